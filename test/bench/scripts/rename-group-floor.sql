\set c random(:first, :first + :count - 1)
WITH c AS (UPDATE im.channel SET channel_name = 'group ' || nextval('bench.id'), channel_info_ver = channel_info_ver + 1 WHERE id = :c RETURNING *)
UPDATE im.user_conversation_view v SET conversation_name = c.channel_name, conversation_info_ver = c.channel_info_ver, updated_at = 0 FROM c WHERE v.channel_id = :c;
