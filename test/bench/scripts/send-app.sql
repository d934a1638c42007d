\set c random(:first, :first + :count - 1)
\set k random(0, :n - 1)
BEGIN;
SELECT nextval('bench.message_id') AS id, hermet.now_ms() AS at, bench.member(:c, :k, :n) AS sender FROM im.channel WHERE id = :c FOR NO KEY UPDATE \gset
SELECT 'user ' || :sender AS name, coalesce(nullif(cm.nickname, ''), u.nickname) AS shown FROM im.channel_member cm JOIN im.biz_user u ON u.id = cm.user_id WHERE cm.channel_id = :c AND cm.user_id = :sender;
INSERT INTO im.message (id, channel_id, sender_id, content, sent_at) VALUES (:id, :c, :sender, 'forty characters are sent in this message', :at);
UPDATE im.channel SET last_message_id = :id, last_message_at = :at WHERE id = :c;
UPDATE im.user_conversation_view v SET last_message_id = :id, last_message_type = 'text', last_message_content = 'forty characters are sent in this message', last_message_sender_id = :sender, last_message_sender_name = 'user ' || :sender, last_message_time = :at, list_hour = CASE WHEN v.list_hour <> 0 THEN :at::bigint / 3600000 + 1 ELSE 0 END, unread_count = v.unread_count + (v.user_id <> :sender)::int, closed_at = 0, updated_at = :at WHERE v.channel_id = :c;
COMMIT;
