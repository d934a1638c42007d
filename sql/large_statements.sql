-- Statements with more deltas than are kept at once (half of maintenance_work_mem: here some 9,000 messages),
-- with more channels and with more rows than one pass takes (10,000): in pieces, and as if they were one.
SELECT hermet.create_tables('large');
SET search_path = large;
SET maintenance_work_mem = '1MB';
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set sums 'SELECT count(*), sum(unread_count) AS unread, sum(mention_count) AS mentions, sum(last_message_id) AS last, count(*) FILTER (WHERE closed_at <> 0) AS closed FROM user_conversation_view;'

INSERT INTO biz_user (id, nickname) SELECT u, 'user ' || u FROM generate_series(1, 40) u;
INSERT INTO channel (id, channel_type) SELECT c, 'group' FROM generate_series(1, 11000) c;
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
SELECT c * 100 + u, c, u, 1 FROM generate_series(1, 11000) c, generate_series(1, 40) u WHERE c <= 20 OR u = c % 40 + 1;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)
SELECT u, u, 5, 100000 + u * 100 FROM generate_series(1, 40) u;
:sums

-- Half of them in twenty channels, and one in every other; everybody mentions somebody.
INSERT INTO message (id, channel_id, sender_id, content, mention_user_ids, mention_all, message_type, sent_at)
SELECT 100000 + m, CASE WHEN m <= 11000 THEN m ELSE m * 7 % 20 + 1 END, CASE WHEN m <= 11000 THEN m ELSE m * 11 END % 40 + 1, 'message ' || m,
       ARRAY[m % 40 + 1, m * 3 % 40 + 1], m % 100 = 0, CASE WHEN m % 50 = 1 THEN 'system' ELSE 'text' END, m
  FROM generate_series(1, 20000) m;
:sums
-- Names that over 10,000 rows show.
UPDATE biz_user SET nickname = nickname || '!';
SELECT count(*) FROM user_conversation_view WHERE last_message_sender_name LIKE '%!';
:clean
-- Closed at what will not be the last message for long.
INSERT INTO conversation_setting (user_id, channel_id, closed_at) SELECT user_id, channel_id, last_message_time - 1 FROM user_conversation_view WHERE last_message_id > 0;
-- Edits, which count nowhere, among moves, recalls and the other way round.
UPDATE message SET content = content || '.', channel_id = CASE WHEN id % 3 = 0 THEN id % 20 + 1 ELSE channel_id END,
       deleted_at = CASE WHEN id % 7 = 0 THEN 5 ELSE 0 END;
:sums
:clean
UPDATE message SET deleted_at = 5 - deleted_at;
:sums
UPDATE channel_read_record SET last_read_message_id = last_read_message_id + 5000;
UPDATE conversation_setting SET is_muted = true, closed_at = 0;
:sums
:clean
DELETE FROM message WHERE id % 13 <> 0;
:sums
:clean
-- In a savepoint that is given up, and again.
BEGIN;
SAVEPOINT s;
INSERT INTO message (id, channel_id, sender_id) SELECT 200000 + m, m % 20 + 1, 1 FROM generate_series(1, 12000) m;
ROLLBACK TO s;
INSERT INTO message (id, channel_id, sender_id) SELECT 200000 + m, m % 21 + 1, 2 FROM generate_series(1, 12000) m;
COMMIT;
:clean
SELECT count(*) FROM hermet.check_consistency('large');
SELECT count(*) FROM hermet_incident;
-- What is asked of one user or channel reads no whole table. Of a user with a few rows, so that an index is better by far.
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT 99000000 + c, c, 41, 1 FROM generate_series(1, 3) c;
ANALYZE user_conversation_view, conversation_reverse_index, channel_member, channel, message;
-- What was counted before must not be counted here.
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT (SELECT sum(inserted + updated + deleted) FROM hermet.repair_channel(5, 'large')) AS channel,
       (SELECT sum(inserted + updated + deleted) FROM hermet.repair_conversation_view(41, 'large')) AS inbox,
       (SELECT count(*) FROM hermet.check_consistency('large', 'user_conversation_view', 41)) AS found;
SELECT relname FROM pg_stat_xact_user_tables
 WHERE schemaname = 'large' AND relname ~ '^(user_conversation_view|channel_member|message)(_\d+)?$' AND seq_scan > 0;
COMMIT;
