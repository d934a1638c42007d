\set c random(:first, :first + :count - 1)
\set k random(0, :n - 1)
INSERT INTO im.message (id, channel_id, sender_id, content, sent_at) VALUES (nextval('bench.message_id'), :c, bench.member(:c, :k, :n), 'forty characters are sent in this message', hermet.now_ms());
