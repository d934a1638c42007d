-- hermet.explain_conversation(): why an inbox row says what it says.
SELECT hermet.create_tables('explain');
SET search_path = explain;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\pset null '(null)'

INSERT INTO biz_user (id, nickname, avatar) VALUES (101, 'Ann', 'ann.png'), (102, 'Bob', 'bob.png'), (103, 'Cid', 'cid.png');
INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'single', ''), (2, 'group', 'two'), (3, 'group', 'three'), (4, 'single', '');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at, nickname, left_at)
VALUES (11, 1, 101, 1000, 1, '', 0), (12, 1, 102, 1000, 2, '', 0), (21, 2, 101, 2000, 3, 'A.', 0), (22, 2, 102, 0, 4, '', 0), (31, 3, 101, 0, 5, '', 3000), (41, 4, 101, 0, 6, '', 0);
INSERT INTO friendship (id, user_id, friend_id, remark_name, is_starred) VALUES (1, 101, 102, 'Bobby', true);
INSERT INTO message (id, channel_id, sender_id, content, sent_at, message_type, mention_user_ids, mention_all, deleted_at)
VALUES (10, 1, 102, 'before', 999, 'text', '{}', false, 0), (11, 1, 102, 'read', 1000, 'text', '{}', false, 0), (12, 1, 101, 'own', 1001, 'text', '{101}', false, 0),
       (13, 1, 102, 'unread', 1002, 'text', '{}', false, 0), (14, 1, 102, 'mention', 1003, 'text', '{101}', true, 0), (15, 1, 102, 'system', 1004, 'system', '{}', true, 0),
       (16, 1, 102, 'recalled', 1005, 'text', '{}', false, 7), (20, 2, 101, 'hello', 2000, 'text', '{}', false, 0);
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 101, 1, 11);
INSERT INTO conversation_setting (user_id, channel_id, closed_at, is_pinned) VALUES (101, 1, 1003, true), (102, 2, 5000, false);
:clean

-- A single conversation: every source, every column, every message with its reason.
SELECT * FROM hermet.explain_conversation(101, 1, 'explain');
-- The number of messages counted is the unread count; those that mention, the mention count.
SELECT count(*) FILTER (WHERE e.reason LIKE 'unread%') = v.unread_count AS unread,
       count(*) FILTER (WHERE e.reason LIKE '%mentions%') = v.mention_count AS mentions
  FROM user_conversation_view v, hermet.explain_conversation(v.user_id, v.channel_id, 'explain') e
 WHERE v.user_id = 101 AND v.channel_id = 1 AND e.section = 'message' GROUP BY v.unread_count, v.mention_count;
-- A group: no peer; a name in the group; a conversation that is closed.
SELECT * FROM hermet.explain_conversation(102, 2, 'explain') WHERE section = 'source' OR expected IS DISTINCT FROM stored;
SELECT section, item, expected, stored, reason FROM hermet.explain_conversation(101, 2, 'explain') WHERE section = 'source';
-- Nothing there, and why: one who left, one who never came, no other member, no such channel, no such user.
SELECT * FROM hermet.explain_conversation(101, 3, 'explain') WHERE section <> 'source' OR item IN ('channel', 'member', 'peer');
SELECT * FROM hermet.explain_conversation(103, 3, 'explain') WHERE section <> 'source' OR item IN ('channel', 'member', 'peer');
SELECT * FROM hermet.explain_conversation(101, 4, 'explain') WHERE section <> 'source' OR item IN ('channel', 'member', 'peer');
SELECT * FROM hermet.explain_conversation(101, 99, 'explain') WHERE section <> 'source' OR item IN ('channel', 'member', 'peer');
SELECT * FROM hermet.explain_conversation(99, 1, 'explain') WHERE section <> 'source' OR item IN ('channel', 'member', 'peer');
UPDATE channel SET channel_status = 'archived' WHERE id = 2;
SELECT * FROM hermet.explain_conversation(101, 2, 'explain') WHERE section <> 'source' OR item IN ('channel', 'member', 'peer');
UPDATE channel SET channel_status = 'active' WHERE id = 2;
-- Drift is named: a stale column, a missing row, an unexpected one.
SELECT testing.plant($$UPDATE explain.user_conversation_view SET unread_count = 5, conversation_name = 'Rob' WHERE user_id = 101 AND channel_id = 1$$);
SELECT * FROM hermet.explain_conversation(101, 1, 'explain') WHERE section = 'row' AND expected IS DISTINCT FROM stored;
SELECT testing.plant($$DELETE FROM explain.user_conversation_view WHERE user_id = 101 AND channel_id = 1$$);
SELECT item, expected, stored, reason FROM hermet.explain_conversation(101, 1, 'explain') WHERE section = 'row' AND item IN ('id', 'unread_count', 'conversation_name');
SELECT testing.plant($$UPDATE explain.channel_member SET left_at = 9 WHERE id = 21$$);
SELECT item, expected, stored, reason FROM hermet.explain_conversation(101, 2, 'explain') WHERE section = 'row' AND item IN ('id', 'unread_count', 'conversation_name');
-- It only reads.
SELECT testing.fingerprint('explain') AS before \gset
SELECT count(*) > 0 FROM hermet.explain_conversation(101, 1, 'explain');
SELECT testing.fingerprint('explain') = :'before' AS untouched;
SELECT inserted, updated, deleted FROM hermet.repair_conversation_view(101, 'explain') WHERE table_name = 'user_conversation_view';
:clean
-- Names of users without a biz_user row, of senders without a member row; a deleted friendship; a long history.
DELETE FROM biz_user WHERE id = 102;
UPDATE friendship SET deleted_at = 5;
INSERT INTO message (id, channel_id, sender_id, sent_at) SELECT 1000 + i, 1, 999, 3000 + i FROM generate_series(1, 150) i;
SELECT * FROM hermet.explain_conversation(101, 1, 'explain') WHERE section = 'source';
SELECT section, count(*) FROM hermet.explain_conversation(101, 1, 'explain') GROUP BY 1 ORDER BY 1;
SELECT * FROM hermet.explain_conversation(101, 1, 'explain') WHERE item = 'older';
-- NULL asks about nothing.
SELECT * FROM hermet.explain_conversation(NULL, 1, 'explain');
SELECT * FROM hermet.explain_conversation(101, NULL, 'explain');
:clean

SET client_min_messages = warning;
DROP SCHEMA explain CASCADE;
