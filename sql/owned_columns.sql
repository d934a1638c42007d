-- The columns of the write side that hermet owns: channel's counters, and the versions.
SELECT hermet.create_tables('owned_columns');
SET search_path = owned_columns;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set channels 'SELECT id, channel_status AS status, channel_info_ver AS ver, channel_member_count AS members, last_message_id AS last, last_message_at AS at FROM channel ORDER BY 1;'
\set users 'SELECT id, info_ver FROM biz_user ORDER BY 1;'

-- Counts cover active members, and channels of every status and type.
INSERT INTO channel (id, channel_type, channel_status)
VALUES (1, 'group', 'active'), (2, 'group', 'creating'), (3, 'group', 'failed'), (4, 'group', 'archived'), (5, 'single', 'creating');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, left_at)
SELECT 10 * c + u, c, 100 + u, 0, CASE WHEN u = 1 THEN 1 ELSE 0 END FROM generate_series(1, 5) c, generate_series(1, 2) u;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT 10 * c + 3, c, 103, 0 FROM generate_series(1, 4) c;
:channels
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) SELECT 100 + c, c, 102, 1000 * c FROM generate_series(1, 5) c;
:channels
:clean
UPDATE message SET sent_at = sent_at + 1;
UPDATE channel_member SET left_at = 1 - left_at WHERE user_id = 101;
:channels
:clean
UPDATE message SET deleted_at = 1 WHERE channel_id > 2;
UPDATE message SET id = id + 100 WHERE channel_id <= 2;
:channels
:clean
UPDATE message SET deleted_at = 0;
UPDATE channel_member SET channel_id = 2 WHERE user_id = 103 AND channel_id = 2;
DELETE FROM channel_member WHERE user_id = 103;
:channels
:clean
-- A time of 0 and an id below 0 are as good as others.
INSERT INTO channel (id, channel_type) VALUES (6, 'group'), (7, 'group');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (-6, 6, 102, 0), (-7, 7, 102, -70);
:channels
:clean
-- Written by hand: overwritten with the right value, no error; each column, many rows, by upsert, in an insert.
UPDATE channel SET channel_member_count = channel_member_count + 1 WHERE id = 1;
:clean
UPDATE channel SET last_message_at = 0 WHERE id = 1;
:clean
UPDATE channel SET last_message_id = 0 WHERE id = 1;
:clean
UPDATE channel SET channel_member_count = -1, last_message_at = 9223372036854775807, last_message_id = -9223372036854775808;
:channels
:clean
INSERT INTO channel (id, channel_type, channel_member_count) VALUES (1, 'group', 5), (8, 'group', 5)
ON CONFLICT (id) DO UPDATE SET channel_member_count = excluded.channel_member_count, last_message_id = 3, last_message_at = 3;
:channels
:clean
-- In the same statement as what makes them change, and in one that moves the channel.
WITH m AS (INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (300, 1, 102, 300)),
     p AS (INSERT INTO channel_member (id, channel_id, user_id) VALUES (14, 1, 104))
UPDATE channel SET channel_member_count = 0, last_message_at = 0, last_message_id = 0 WHERE id = 2;
:channels
:clean
WITH m AS (INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (301, 1, 102, 301)),
     p AS (INSERT INTO channel_member (id, channel_id, user_id) VALUES (15, 1, 105))
UPDATE channel SET channel_member_count = 0, last_message_at = 0, last_message_id = 0, channel_name = 'x' WHERE id = 1;
:channels
:clean
UPDATE channel SET id = 9, last_message_at = 1 WHERE id = 1;
:channels
:clean
UPDATE channel_member SET channel_id = 9 WHERE channel_id = 1;
UPDATE message SET channel_id = 9 WHERE channel_id = 1;
:channels
:clean

-- Versions: every displayed field raises, once a statement; every other does not.
INSERT INTO biz_user (id) VALUES (101), (102);
INSERT INTO biz_user (id, info_ver) VALUES (103, 50);
:users
UPDATE biz_user SET nickname = 'n' WHERE id = 101;
UPDATE biz_user SET avatar = 'a' WHERE id = 101;
UPDATE biz_user SET mobile = '1' WHERE id = 101;
UPDATE biz_user SET user_status = 'disabled' WHERE id = 101;
UPDATE biz_user SET deleted_at = 1 WHERE id = 101;
:users
UPDATE biz_user SET email = 'e' || id, passwd = 'p', gender = 'female', region = 'r', birthday = 1, tagline = 't', created_at = 1, updated_at = 1;
UPDATE biz_user SET nickname = nickname, avatar = avatar, mobile = mobile, user_status = user_status, deleted_at = deleted_at, info_ver = info_ver;
:users
UPDATE biz_user SET nickname = 'all', avatar = 'all', deleted_at = 2;
:users
-- The statement raises it: that stands, by one or by many.
UPDATE biz_user SET nickname = 'again', info_ver = info_ver + 1;
:users
UPDATE biz_user SET info_ver = 1000 WHERE id = 103;
:users
-- A trailing blank and another case are changes.
UPDATE biz_user SET nickname = 'again ' WHERE id = 101;
UPDATE biz_user SET nickname = 'Again ' WHERE id = 101;
:users
:clean
UPDATE channel SET channel_name = 'n', channel_avatar = 'a' WHERE id <= 3;
UPDATE channel SET channel_avatar = 'b' WHERE id = 2;
UPDATE channel SET channel_status = 'active', channel_type = channel_type, creator_id = 5, created_at = 5, updated_at = 5;
:channels
UPDATE channel SET channel_name = 'm', channel_info_ver = 9 WHERE id = 2;
:channels
:clean
-- At the top of its range a version cannot rise: an error, and nothing changed.
UPDATE biz_user SET info_ver = 2147483647 WHERE id = 101;
SELECT code, message FROM testing.error($$UPDATE owned_columns.biz_user SET nickname = 'top' WHERE id = 101$$);
UPDATE channel SET channel_info_ver = 2147483647 WHERE id = 2;
SELECT code, message FROM testing.error($$UPDATE owned_columns.channel SET channel_name = 'top' WHERE id = 2$$);
UPDATE biz_user SET tagline = 'at the top' WHERE id = 101;
:clean

TRUNCATE message;
:channels
:clean
TRUNCATE channel_member;
:channels
:clean

SET client_min_messages = warning;
DROP SCHEMA owned_columns CASCADE;
