-- Rule 8: the two reverse indexes.
SELECT hermet.create_tables('rule8_reverse');
SET search_path = rule8_reverse;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set conversations 'SELECT * FROM conversation_reverse_index ORDER BY 1, 2, 3;'
\set contacts 'SELECT * FROM contact_reverse_index ORDER BY 1, 2;'

-- A contact: as long as the friendship is not deleted.
INSERT INTO friendship (id, user_id, friend_id, created_at) VALUES (1, 101, 102, 1000), (2, 102, 101, 1001), (3, 103, 102, 1002), (4, 101, 101, 1003);
:contacts
:clean
-- Whether the friend is deleted does not matter here, nor what else the friendship says.
INSERT INTO biz_user (id, deleted_at, user_status) VALUES (101, 1, 'active'), (102, 0, 'deleted');
UPDATE friendship SET is_blocked = true, remark_name = 'x', added_at = 1;
:contacts
SELECT count(*) FROM user_contact_view;
:clean
UPDATE friendship SET deleted_at = 2 WHERE friend_id = 102;
:contacts
:clean
UPDATE friendship SET deleted_at = 0, created_at = created_at + 1000;
:contacts
:clean
UPDATE friendship SET friend_id = 104 WHERE id = 3;
UPDATE friendship SET user_id = 104 WHERE id = 2;
:contacts
:clean
-- Two owners exchange their friends in one statement.
UPDATE friendship SET user_id = -user_id;
UPDATE friendship SET user_id = CASE user_id WHEN -101 THEN 103 WHEN -103 THEN 101 ELSE -user_id END;
:contacts
:clean
DELETE FROM friendship WHERE friend_id = 102;
:contacts
:clean
TRUNCATE friendship;
:contacts
:clean

-- A single conversation: exactly when its row exists, with the same created_at.
INSERT INTO channel (id, channel_type) VALUES (1, 'single'), (2, 'group'), (3, 'single');
INSERT INTO channel_member (id, channel_id, user_id, created_at)
VALUES (11, 1, 101, 11), (12, 1, 102, 12), (21, 2, 101, 21), (22, 2, 102, 22), (31, 3, 102, 31);
:conversations
:clean
INSERT INTO channel_member (id, channel_id, user_id, created_at) VALUES (32, 3, 101, 32);
:conversations
:clean
UPDATE channel_member SET created_at = created_at + 100;
:conversations
:clean
UPDATE channel_member SET left_at = 1 WHERE id = 11;
:conversations
:clean
UPDATE channel_member SET left_at = 0 WHERE id = 11;
UPDATE channel SET channel_status = 'archived' WHERE id = 1;
:conversations
:clean
UPDATE channel SET channel_status = 'active' WHERE id = 1;
UPDATE channel SET channel_type = CASE channel_type WHEN 'single' THEN 'group' ELSE 'single' END::channel_type_enum;
:conversations
:clean
UPDATE channel SET channel_type = 'single';
:conversations
:clean
-- The peer becomes another.
UPDATE channel_member SET user_id = 103 WHERE id = 12;
:conversations
:clean
DELETE FROM channel_member WHERE id = 12;
:conversations
INSERT INTO channel_member (id, channel_id, user_id, created_at) VALUES (14, 1, 104, 14);
:conversations
:clean
-- The channel changes its id, and goes.
UPDATE channel SET id = 4 WHERE id = 3;
UPDATE channel_member SET channel_id = 4 WHERE channel_id = 3;
:conversations
:clean
DELETE FROM channel WHERE id = 4;
:conversations
:clean
TRUNCATE channel_member;
:conversations
:clean

SET client_min_messages = warning;
DROP SCHEMA rule8_reverse CASCADE;
