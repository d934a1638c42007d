-- Rule 9: updated_at is the clock of the row's last change; what does not change a row does not touch it.
SELECT hermet.create_tables('rule9_updated_at');
SET search_path = rule9_updated_at;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set forget 'SELECT FROM testing.forget_touches(current_schema()) AS done;'
\set touched 'SELECT * FROM testing.touched(current_schema());'

SELECT hermet.now_ms() AS started \gset
INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann'), (102, 'Bob'), (103, 'Cid');
INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'group', 'Walkers'), (2, 'single', '');
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
VALUES (11, 1, 101, 0), (12, 1, 102, 0), (13, 1, 103, 0), (21, 2, 101, 0), (22, 2, 102, 0);
INSERT INTO friendship (id, user_id, friend_id) VALUES (1, 101, 102), (2, 102, 101), (3, 101, 103);
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (10, 1, 101, 'hello', 1000), (11, 2, 101, 'hi', 1001);
SELECT bool_and(updated_at BETWEEN :started AND hermet.now_ms()) AS in_time FROM user_conversation_view;
SELECT bool_and(updated_at BETWEEN :started AND hermet.now_ms()) AS in_time FROM user_contact_view;
:clean

-- A change carries the clock.
:forget
SELECT hermet.now_ms() AS started \gset
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (20, 1, 102, 'all three', 2000);
:touched
SELECT bool_and(updated_at BETWEEN :started AND hermet.now_ms()) AS in_time
  FROM user_conversation_view WHERE channel_id = 1;
:clean
-- A backdated message is new to those who have it unread (not to its sender).
:forget
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (15, 1, 103, 1500);
:touched
:clean
-- A read mark: the reader's row; the same mark again: none; in a channel that one is not in: none.
:forget
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 101, 1, 20);
:touched
:forget
UPDATE channel_read_record SET last_read_message_id = 20, updated_at = 5;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (2, 103, 2, 20);
:touched
:clean
-- An edit of the last message touches who sees it; one of an earlier message nobody; the same text nobody.
UPDATE message SET content = 'edited' WHERE id = 20;
:touched
:forget
UPDATE message SET content = 'edited', updated_at = 6 WHERE id = 20;
UPDATE message SET content = 'not shown' WHERE id = 10;
UPDATE message SET mention_user_ids = '{}' WHERE id = 20;
:touched
:clean
-- Recalling an old message touches those who had not read it.
UPDATE message SET deleted_at = 1 WHERE id = 15;
:touched
:clean
-- Names: peers, contacts, and where the last sender shows.
:forget
UPDATE biz_user SET nickname = 'Bobby' WHERE id = 102;
:touched
:clean
:forget
UPDATE biz_user SET nickname = 'Bobby', avatar = '', region = 'elsewhere' WHERE id = 102;
:touched
UPDATE biz_user SET mobile = '333' WHERE id = 103;
:touched
:clean
-- A group's name; the same again; a channel that is not active.
:forget
UPDATE channel SET channel_name = 'Hikers' WHERE id = 1;
:touched
:forget
UPDATE channel SET channel_name = 'Hikers', creator_id = 101, updated_at = 7 WHERE id = 1;
UPDATE channel SET channel_name = 'unseen' WHERE id = 2;
UPDATE channel SET channel_member_count = 9, last_message_at = 9, last_message_id = 9;
:touched
:clean
-- A name in the channel touches nobody while its owner is not the last sender.
UPDATE channel_member SET nickname = 'Cid of the hills' WHERE id = 13;
UPDATE channel_member SET role = 'admin', updated_at = 8;
:touched
UPDATE channel_member SET nickname = 'Bob of the hills' WHERE id = 12;
:touched
:clean
-- Joining a group touches only the newcomer's row.
:forget
INSERT INTO channel_member (id, channel_id, user_id) VALUES (14, 1, 104);
:touched
:clean
:forget
UPDATE channel_member SET left_at = 1 WHERE id = 14;
:touched
:clean
-- A friendship: the contact row, and the conversation when remark or star change.
UPDATE friendship SET remark_name = 'B.' WHERE id = 1;
:touched
:forget
UPDATE friendship SET tags = '{walks}', group_name = 'hills' WHERE id = 1;
:touched
:forget
UPDATE friendship SET tags = '{walks}', remark_name = 'B.', updated_at = 9 WHERE id = 1;
:touched
:clean
-- Settings: one row; the same again: none.
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (102, 2, true);
:touched
:forget
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (102, 2, true)
ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = excluded.is_pinned, updated_at = 10;
INSERT INTO conversation_setting (user_id, channel_id) VALUES (101, 2);
:touched
:clean
-- Neither a check nor a repair of what is right touches a row.
SELECT count(*) FROM hermet.check_consistency('rule9_updated_at');
SELECT sum(inserted) AS inserted, sum(updated) AS updated, sum(deleted) AS deleted FROM hermet.repair('rule9_updated_at');
:touched
-- updated_at itself is not checked.
SELECT testing.plant('UPDATE rule9_updated_at.user_conversation_view SET updated_at = -1');
:clean
-- A statement that is undone leaves it as it was.
:forget
BEGIN;
INSERT INTO message (id, channel_id, sender_id) VALUES (30, 1, 101);
SAVEPOINT one;
UPDATE biz_user SET nickname = 'nobody';
ROLLBACK TO one;
ROLLBACK;
:touched
:clean

SET client_min_messages = warning;
DROP SCHEMA rule9_updated_at CASCADE;
