\set c random(:first, :first + :count - 1)
\set k random(0, :n - 1)
WITH m AS (
  INSERT INTO im.message (id, channel_id, sender_id, content, sent_at) VALUES (nextval('bench.message_id'), :c, bench.member(:c, :k, :n), 'forty characters are sent in this message', hermet.now_ms())
  RETURNING *),
c AS (
  UPDATE im.channel c SET last_message_id = m.id, last_message_at = m.sent_at FROM m WHERE c.id = :c)
UPDATE im.user_conversation_view v
   SET last_message_id = m.id, last_message_type = m.message_type, last_message_content = m.content, last_message_sender_id = m.sender_id,
       last_message_sender_name = 'user ' || m.sender_id, last_message_time = m.sent_at,
       list_hour = CASE WHEN v.list_hour <> 0 THEN m.sent_at / 3600000 + 1 ELSE 0 END,
       unread_count = v.unread_count + (v.user_id <> m.sender_id)::int, updated_at = m.created_at
  FROM m WHERE v.channel_id = :c;
