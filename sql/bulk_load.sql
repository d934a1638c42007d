-- A session's writes without maintenance: seen by health until the read side was rebuilt and checked.
SELECT hermet.create_tables('bulk_load');
SET search_path = bulk_load;
\set SHOW_CONTEXT never
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set brief 'SELECT problem, object FROM hermet.health(\'bulk_load\') ORDER BY problem COLLATE "C", object COLLATE "C";'
\set loads 'SELECT id, role_name = session_user AS mine, pid = pg_backend_pid() AS here, ended_at <> 0 AS ended, verified FROM hermet_bulk_load ORDER BY id;'
INSERT INTO channel (id, channel_type) VALUES (1, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 0), (12, 1, 102, 0);
INSERT INTO friendship (id, user_id, friend_id) VALUES (1, 101, 102);
:clean

SELECT hermet.begin_bulk_load('bulk_load');
:loads
:brief
SELECT regexp_replace(detail, 'at .* by (.*) in process \d+', 'at ... by \1 in process ...') AS detail FROM hermet.health('bulk_load') WHERE problem LIKE 'bulk%';
-- Nothing of this reaches the read side; rows are completed all the same.
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT m, 1, 101, 'message', m FROM generate_series(1, 1000) m;
INSERT INTO channel (id, channel_type, channel_member_count) VALUES (2, 'single', 77), (3, 'group', 0);
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (21, 2, 101, 0), (22, 2, 103, 0), (31, 3, 101, 0), (13, 1, 103, 0);
INSERT INTO friendship (id, user_id, friend_id) VALUES (2, 102, 101), (3, 101, 103);
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 102, 1, 500);
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (102, 1, true);
INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann'), (102, 'Bob');
UPDATE biz_user SET nickname = 'Anna' WHERE id = 101;
UPDATE channel SET channel_name = 'one' WHERE id = 1;
DELETE FROM friendship WHERE id = 1;
TRUNCATE conversation_setting;
INSERT INTO conversation_setting (user_id, channel_id, is_muted) VALUES (102, 1, true);
SELECT user_id, channel_id, unread_count, is_pinned, conversation_name FROM user_conversation_view ORDER BY 1, 2;
SELECT user_id, contact_id, contact_nickname FROM user_contact_view;
SELECT id, info_ver FROM biz_user ORDER BY 1;
SELECT id, channel_member_count, channel_info_ver FROM channel ORDER BY 1;
SELECT * FROM testing.error($$SELECT hermet.begin_bulk_load('bulk_load')$$);
-- The end of the load is not the end of the story.
SELECT hermet.end_bulk_load('bulk_load');
:loads
:brief
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (2001, 3, 102, 2001);
SELECT channel_id, unread_count FROM user_conversation_view WHERE user_id = 101 AND channel_id = 3;
SELECT table_name, fail > 0 AS wrong FROM hermet.consistency_summary('bulk_load');
:brief
CALL hermet.rebuild_conversation_view('bulk_load');
CALL hermet.rebuild_contact_view('bulk_load');
:clean
-- A check of some of it, of a part, or of another table, is not enough.
TRUNCATE hermet_check;
UPDATE hermet_bulk_load SET verified = '{}';
SELECT count(*) FROM hermet.check_consistency('bulk_load', sample => 0.5);
SELECT count(*) FROM hermet.check_consistency('bulk_load', user_id => 101);
SELECT count(*) FROM hermet.check_consistency('bulk_load', from_key => 0);
SELECT count(*) FROM hermet.check_consistency('bulk_load', 'channel');
SELECT count(*) FROM hermet.check_consistency('bulk_load', 'channel');
SELECT verified FROM hermet_bulk_load;
SELECT regexp_replace(detail, '^.*not yet', 'not yet') FROM hermet.health('bulk_load');
-- Nor one that finds something.
SELECT testing.plant('UPDATE bulk_load.user_contact_view SET mobile = ''x''');
SELECT table_name, fail FROM hermet.consistency_summary('bulk_load');
SELECT verified FROM hermet_bulk_load;
SELECT sum(updated) FROM hermet.repair('bulk_load');
SELECT table_name, fail FROM hermet.consistency_summary('bulk_load');
:loads
:brief

-- A load whose beginning is undone never was.
BEGIN;
SELECT hermet.begin_bulk_load('bulk_load');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (3001, 1, 101, 3001);
ROLLBACK;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (3002, 1, 101, 3002);
:clean
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SELECT hermet.begin_bulk_load('bulk_load');
RELEASE SAVEPOINT b;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (3003, 1, 101, 3003);
SELECT count(*) > 0 AS drifted FROM testing.clean('bulk_load');
ROLLBACK TO SAVEPOINT a;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (3004, 1, 101, 3004);
COMMIT;
:clean
BEGIN;
SELECT hermet.begin_bulk_load('bulk_load');
PREPARE TRANSACTION 'bulk_load';
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (3005, 1, 101, 3005);
ROLLBACK PREPARED 'bulk_load';
:clean
:loads
-- All of it in one transaction.
BEGIN;
SELECT hermet.begin_bulk_load('bulk_load');
INSERT INTO message (id, channel_id, sender_id, sent_at) SELECT m, 1, 101, m FROM generate_series(4000, 4100) m;
SELECT hermet.end_bulk_load('bulk_load');
SELECT updated > 0 AS repaired FROM hermet.repair('bulk_load') WHERE table_name = 'user_conversation_view';
COMMIT;
:clean
:brief
-- An end that is undone: the load stays open in the books, this session is maintained.
SELECT hermet.begin_bulk_load('bulk_load');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (5001, 1, 101, 5001);
BEGIN;
SELECT hermet.end_bulk_load('bulk_load');
ROLLBACK;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (5002, 3, 101, 5002);
SELECT unread_count FROM user_conversation_view WHERE user_id = 101 AND channel_id = 3;
:brief
SELECT hermet.end_bulk_load('bulk_load');
SELECT * FROM testing.error($$SELECT hermet.end_bulk_load('bulk_load')$$);
CALL hermet.rebuild_conversation_view('bulk_load');
:clean
-- Only where a transaction of the load is prepared is there something to wait for.
SELECT hermet.begin_bulk_load('bulk_load');
BEGIN;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (6001, 1, 101, 6001);
PREPARE TRANSACTION 'bulk_load';
SELECT code, message, hint FROM testing.error($$SELECT hermet.end_bulk_load('bulk_load')$$);
COMMIT PREPARED 'bulk_load';
SELECT hermet.end_bulk_load('bulk_load');
CALL hermet.rebuild_conversation_view('bulk_load');
:clean
:brief
-- Another schema is another matter.
SELECT hermet.create_tables('bulk_load_2');
SELECT hermet.begin_bulk_load('bulk_load');
INSERT INTO bulk_load_2.channel (id, channel_type) VALUES (1, 'group');
INSERT INTO bulk_load_2.channel_member (id, channel_id, user_id) VALUES (1, 1, 1);
SELECT count(*) FROM testing.clean('bulk_load_2');
SELECT count(*) FROM bulk_load_2.user_conversation_view;
SELECT hermet.end_bulk_load('bulk_load');
SELECT * FROM testing.error($$SELECT hermet.end_bulk_load('bulk_load_2')$$);
-- For its owner only.
CREATE ROLE bulk_load_other;
SET ROLE bulk_load_other;
SELECT hermet.begin_bulk_load('bulk_load');
SELECT hermet.end_bulk_load('bulk_load');
RESET ROLE;
DROP ROLE bulk_load_other;
