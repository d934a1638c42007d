\set c random(:first, :first + :count - 1)
\set k random(0, :n - 1)
INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id)
SELECT nextval('bench.id'), bench.member(:c, :k, :n), :c, last_message_id FROM im.channel WHERE id = :c
ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id - (channel_read_record.last_read_message_id = excluded.last_read_message_id)::int;
