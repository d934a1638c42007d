SELECT 'name ' || nextval('bench.id') AS name \gset
BEGIN;
UPDATE im.biz_user SET nickname = :name, info_ver = info_ver + 1 WHERE id = 2;
UPDATE im.user_conversation_view v SET peer_nickname = :name, conversation_name = CASE WHEN v.remark_name = '' THEN :name ELSE v.conversation_name END, conversation_info_ver = v.conversation_info_ver + 1, updated_at = 0 FROM im.conversation_reverse_index r WHERE r.peer_user_id = 2 AND v.channel_id = r.channel_id AND v.user_id = r.owner_user_id;
UPDATE im.user_conversation_view v SET last_message_sender_name = :name, updated_at = 0 FROM bench.last_of_two l WHERE v.channel_id = l.channel_id;
UPDATE im.user_contact_view v SET contact_nickname = :name, contact_info_ver = v.contact_info_ver + 1, updated_at = 0 FROM im.contact_reverse_index r WHERE r.contact_user_id = 2 AND v.user_id = r.owner_user_id AND v.contact_id = 2;
COMMIT;
