-- Rule 7: the address book.
SELECT hermet.create_tables('rule7_contacts');
SET search_path = rule7_contacts;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set show 'SELECT id, user_id AS u, contact_id AS c, contact_nickname AS nickname, contact_avatar AS avatar, contact_info_ver AS ver, mobile, remark_name AS remark FROM user_contact_view ORDER BY 2, 3;'
\set own 'SELECT id, user_id AS u, contact_id AS c, remark_name, group_name, tags, is_starred, is_blocked, source, added_at, deleted_at, created_at FROM user_contact_view ORDER BY 2, 3;'

-- A friend without a biz_user row counts as not deleted.
INSERT INTO friendship (id, user_id, friend_id, added_at, created_at) VALUES (1, 101, 102, 1000, 999);
:show
:own
:clean
INSERT INTO biz_user (id, nickname, avatar, mobile) VALUES (102, 'Bob', 'bob.png', '222');
:show
:clean
-- Every column of the friendship.
UPDATE friendship SET remark_name = 'Bobby' WHERE id = 1;
UPDATE friendship SET group_name = 'family' WHERE id = 1;
:own
UPDATE friendship SET tags = '{"old friend",walks}' WHERE id = 1;
UPDATE friendship SET is_starred = true WHERE id = 1;
:own
UPDATE friendship SET is_blocked = true WHERE id = 1;
UPDATE friendship SET source = 'qrcode' WHERE id = 1;
:own
UPDATE friendship SET added_at = 2000, created_at = 1999, id = 7 WHERE id = 1;
:own
UPDATE friendship SET tags = '{}' WHERE id = 7;
UPDATE friendship SET tags = '{NULL,"",a}' WHERE id = 7;
:own
:clean
-- Every displayed column of the friend, and the version with it.
UPDATE biz_user SET nickname = 'Robert' WHERE id = 102;
:show
UPDATE biz_user SET avatar = 'robert.png' WHERE id = 102;
UPDATE biz_user SET mobile = '333' WHERE id = 102;
:show
UPDATE biz_user SET user_status = 'disabled' WHERE id = 102;
:show
UPDATE biz_user SET info_ver = 77 WHERE id = 102;
:show
:clean
-- Deleted by status, by time, by both: the contact goes; it comes back when neither says so.
UPDATE biz_user SET user_status = 'deleted' WHERE id = 102;
:show
:clean
UPDATE biz_user SET deleted_at = 5 WHERE id = 102;
UPDATE biz_user SET user_status = 'active' WHERE id = 102;
:show
:clean
UPDATE biz_user SET deleted_at = 0, nickname = 'Bob' WHERE id = 102;
:show
:clean
-- Several contacts of one, one contact of several; oneself.
INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann'), (103, 'Cid');
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (2, 102, 101, ''), (3, 103, 102, 'B.'), (4, 101, 103, ''), (5, 101, 101, 'me');
:show
:clean
UPDATE biz_user SET nickname = upper(nickname);
:show
:clean
-- Unfriend, refriend, in one direction and in both.
UPDATE friendship SET deleted_at = 3000 WHERE id = 2;
:show
:clean
UPDATE friendship SET deleted_at = 3000 WHERE user_id = 101;
:show
UPDATE friendship SET deleted_at = 0;
:show
:clean
-- A friendship changed while the friend is deleted appears changed.
UPDATE biz_user SET deleted_at = 1 WHERE id = 102;
UPDATE friendship SET remark_name = 'changed meanwhile', is_starred = true WHERE friend_id = 102;
INSERT INTO friendship (id, user_id, friend_id) VALUES (6, 104, 102);
:show
:clean
UPDATE biz_user SET deleted_at = 0 WHERE id = 102;
:show
:clean
-- Keys change: the owner's, the friend's, the user's id.
UPDATE friendship SET user_id = 105 WHERE user_id = 104;
UPDATE friendship SET friend_id = 106 WHERE user_id = 105;
:show
:clean
UPDATE biz_user SET id = 106 WHERE id = 103;
:show
:clean
UPDATE biz_user SET id = 1000 WHERE id = 102;
:show
:clean
-- One user takes the id of a deleted one and the other way round, in one statement.
INSERT INTO biz_user (id, nickname, deleted_at) VALUES (102, 'Deleted', 9);
:show
UPDATE biz_user SET id = -id WHERE id IN (102, 1000);
UPDATE biz_user SET id = CASE id WHEN -102 THEN 1000 ELSE 102 END WHERE id < 0;
:show
:clean
DELETE FROM biz_user WHERE id IN (101, 102);
:show
:clean
-- Inserted as deleted; deleted for good.
INSERT INTO friendship (id, user_id, friend_id, deleted_at) VALUES (8, 107, 108, 1);
SELECT count(*) FROM user_contact_view WHERE user_id = 107;
INSERT INTO friendship (id, user_id, friend_id) VALUES (9, 107, 108)
ON CONFLICT (user_id, friend_id) DO UPDATE SET deleted_at = 0, added_at = 4000;
SELECT id, added_at, deleted_at FROM user_contact_view WHERE user_id = 107;
:clean
DELETE FROM friendship WHERE user_id = 107;
SELECT count(*) FROM user_contact_view WHERE user_id = 107;
:clean
TRUNCATE biz_user;
:show
:clean
TRUNCATE friendship;
:show
:clean

SET client_min_messages = warning;
DROP SCHEMA rule7_contacts CASCADE;
