SELECT f.id, f.user_id, f.friend_id AS contact_id, coalesce(b.nickname, '') AS contact_nickname, coalesce(b.avatar, '') AS contact_avatar,
       coalesce(b.info_ver, 1) AS contact_info_ver, f.remark_name, f.group_name, f.tags, f.is_starred, f.is_blocked, coalesce(b.mobile, '') AS mobile,
       f.source, f.added_at, f.deleted_at, f.created_at
  FROM im.friendship f LEFT JOIN im.biz_user b ON b.id = f.friend_id
 WHERE f.user_id = :u AND f.deleted_at = 0 AND coalesce(b.deleted_at, 0) = 0 AND coalesce(b.user_status, 'active') <> 'deleted'
 ORDER BY f.is_starred DESC, CASE WHEN f.remark_name <> '' THEN f.remark_name ELSE b.nickname END COLLATE "C", f.id;
