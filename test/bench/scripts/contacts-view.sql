SELECT * FROM im.user_contact_view WHERE user_id = :u
 ORDER BY is_starred DESC, CASE WHEN remark_name <> '' THEN remark_name ELSE contact_nickname END COLLATE "C", id;
