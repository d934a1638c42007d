\set z random_zipfian(1, :count, 1.05)
\set c 1 + (:z * 7919 + 13) % :count
WITH m AS (
  INSERT INTO im.message (id, channel_id, sender_id, content, sent_at)
  SELECT nextval('bench.message_id'), id, bench.member(id, 0, members), 'forty characters are sent in this message', hermet.now_ms() FROM bench.channels WHERE id = :c
  RETURNING *)
UPDATE im.channel c SET last_message_id = m.id, last_message_at = m.sent_at FROM m WHERE c.id = m.channel_id;
