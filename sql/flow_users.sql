-- Users: rename, delete softly, restore, remove, change keys; all inboxes and address books follow.
SELECT hermet.create_tables('flow_users');
SET search_path = flow_users;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set contacts 'SELECT user_id AS u, contact_id AS c, contact_nickname AS nickname, contact_avatar AS avatar, contact_info_ver AS ver, mobile FROM user_contact_view ORDER BY 1, 2;'
\set inbox 'SELECT user_id AS u, channel_id AS c, conversation_name AS name, conversation_avatar AS avatar, conversation_info_ver AS ver, peer_nickname AS peer, peer_status AS status, last_message_sender_name AS sender FROM user_conversation_view ORDER BY 2, 1;'

INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'single', ''), (2, 'single', ''), (3, 'group', 'three');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (11, 1, 101), (12, 1, 102), (21, 2, 101), (23, 2, 103), (31, 3, 101), (32, 3, 102), (33, 3, 103);
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (1, 101, 102, ''), (2, 102, 101, 'A'), (3, 101, 103, 'C'), (4, 103, 101, '');
INSERT INTO message (id, channel_id, sender_id) VALUES (10, 1, 101), (20, 2, 103), (30, 3, 102);
:contacts
:inbox
:clean
-- Users come last of all: one, several, by COPY.
INSERT INTO biz_user (id, nickname, avatar, mobile) VALUES (101, 'Ann', 'ann.png', '111');
:contacts
:inbox
:clean
COPY biz_user (id, nickname, avatar, mobile, email) FROM stdin;
102	Bob	bob.png	222	bob@x
103	Cid	cid.png	333	
\.
:contacts
:inbox
:clean
-- Rename; avatar; both of all, by themselves and in one statement with other tables.
UPDATE biz_user SET nickname = 'Anne' WHERE id = 101;
:contacts
:inbox
:clean
UPDATE biz_user SET avatar = 'new-' || avatar;
:clean
UPDATE biz_user SET nickname = upper(nickname), avatar = upper(avatar), info_ver = info_ver + 10;
:contacts
:inbox
:clean
WITH u AS (UPDATE biz_user SET nickname = 'Robert' WHERE id = 102),
     f AS (UPDATE friendship SET remark_name = 'Bobby' WHERE id = 1),
     m AS (INSERT INTO message (id, channel_id, sender_id) VALUES (31, 3, 102), (11, 1, 102)),
     p AS (UPDATE channel_member SET nickname = 'B.' WHERE id = 12)
SELECT 1;
:contacts
:inbox
:clean
-- Renamed twice in one transaction: two versions. Renamed there and back: two versions as well.
BEGIN;
UPDATE biz_user SET nickname = 'Zoe' WHERE id = 101;
UPDATE biz_user SET nickname = 'ANNE' WHERE id = 101;
COMMIT;
:contacts
:clean
-- Deleted and restored; by status, by time; several at once.
UPDATE biz_user SET deleted_at = 1 WHERE id = 102;
:contacts
:inbox
:clean
UPDATE biz_user SET deleted_at = 0 WHERE id = 102;
:contacts
:inbox
:clean
UPDATE biz_user SET user_status = 'deleted', nickname = '', avatar = '', mobile = '';
:contacts
:inbox
:clean
UPDATE biz_user SET user_status = CASE id WHEN 101 THEN 'active' ELSE 'disabled' END::user_status_enum, nickname = 'user ' || id;
:contacts
:inbox
:clean
-- A mobile number passes from a deleted user to another; a live one keeps it.
UPDATE biz_user SET mobile = '555' WHERE id = 102;
UPDATE biz_user SET mobile = '555' WHERE id = 103;
UPDATE biz_user SET deleted_at = 1 WHERE id = 102;
UPDATE biz_user SET mobile = '555' WHERE id = 103;
:contacts
:clean
UPDATE biz_user SET deleted_at = 0 WHERE id = 102;
UPDATE biz_user SET deleted_at = 0, mobile = '556' WHERE id = 102;
:contacts
:clean
-- Upsert and MERGE.
INSERT INTO biz_user (id, nickname) VALUES (101, 'upserted'), (104, 'Dee')
ON CONFLICT (id) DO UPDATE SET nickname = excluded.nickname;
:contacts
:inbox
:clean
INSERT INTO biz_user (id, nickname) VALUES (101, 'ignored') ON CONFLICT DO NOTHING;
:clean
MERGE INTO biz_user u
USING (VALUES (101, 'merged'), (102, NULL), (105, 'Eve')) v (id, nickname) ON u.id = v.id
 WHEN MATCHED AND v.nickname IS NULL THEN DELETE
 WHEN MATCHED THEN UPDATE SET nickname = v.nickname
 WHEN NOT MATCHED THEN INSERT (id, nickname) VALUES (v.id, v.nickname);
:contacts
:inbox
:clean
-- Keys: to a free id, to one that others know, a cycle.
UPDATE biz_user SET id = 102 WHERE id = 105;
:contacts
:inbox
:clean
UPDATE biz_user SET id = 200 WHERE id = 101;
:contacts
:inbox
:clean
UPDATE biz_user SET id = 101 WHERE id = 200;
UPDATE biz_user SET id = -id;
:clean
UPDATE biz_user SET id = CASE id WHEN -101 THEN 102 WHEN -102 THEN 103 WHEN -103 THEN 101 ELSE -id END;
:contacts
:inbox
:clean
-- The key moves together with a change of name.
UPDATE biz_user SET id = 201, nickname = 'moved' WHERE id = 101;
:contacts
:inbox
:clean
UPDATE biz_user SET id = 101, deleted_at = 1 WHERE id = 201;
:contacts
:inbox
:clean
-- Removed for good, in one statement with what belongs to them; a new one under the same id.
WITH u AS (DELETE FROM biz_user WHERE id = 103), f AS (DELETE FROM friendship WHERE 103 IN (user_id, friend_id))
UPDATE channel_member SET left_at = 1 WHERE user_id = 103;
:contacts
:inbox
:clean
INSERT INTO biz_user (id, nickname) VALUES (103, 'another');
:contacts
:inbox
:clean
-- Undone.
BEGIN;
UPDATE biz_user SET nickname = 'kept' WHERE id = 102;
SAVEPOINT a;
UPDATE biz_user SET nickname = 'lost', deleted_at = 1;
:clean
ROLLBACK TO a;
:clean
DELETE FROM biz_user WHERE id = 101;
SAVEPOINT b;
TRUNCATE biz_user;
:clean
ROLLBACK TO b;
COMMIT;
:contacts
:inbox
:clean
-- A thousand contacts of one user are renamed, and one user in a thousand inboxes.
INSERT INTO biz_user (id, nickname) SELECT i, 'many ' || i FROM generate_series(10001, 11000) i;
INSERT INTO friendship (id, user_id, friend_id) SELECT i, 102, i FROM generate_series(10001, 11000) i;
INSERT INTO friendship (id, user_id, friend_id) SELECT i + 10000, i, 102 FROM generate_series(10001, 11000) i;
INSERT INTO channel (id, channel_type) SELECT i, 'single' FROM generate_series(10001, 11000) i;
INSERT INTO channel_member (id, channel_id, user_id) SELECT i, i, i FROM generate_series(10001, 11000) i UNION ALL SELECT i + 10000, i, 102 FROM generate_series(10001, 11000) i;
UPDATE biz_user SET nickname = 'all ' || id WHERE id > 10000;
UPDATE biz_user SET nickname = 'one in a thousand', avatar = '1.png' WHERE id = 102;
SELECT conversation_name LIKE 'all %' AS others, count(*) FROM user_conversation_view WHERE channel_id > 10000 GROUP BY 1 ORDER BY 1;
SELECT contact_nickname LIKE 'all %' AS others, contact_avatar, contact_info_ver, count(*) FROM user_contact_view WHERE id > 10000 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
:clean
DELETE FROM biz_user WHERE id > 10000;
DELETE FROM channel WHERE id > 10000;
:clean
DELETE FROM channel_member WHERE channel_id > 10000;
DELETE FROM friendship WHERE id > 10000;

-- Triggers of one's own: names are cleaned before, friends are told after.
CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        new.nickname := initcap(new.nickname);
        IF new.nickname = 'Nobody' THEN
            RETURN NULL;
        END IF;
        RETURN new;
    END IF;
    UPDATE flow_users.friendship SET remark_name = old.nickname WHERE friend_id = new.id;
    UPDATE flow_users.biz_user SET tagline = 'was ' || old.nickname, avatar = avatar || '!' WHERE id = new.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER own_before BEFORE INSERT OR UPDATE ON biz_user FOR EACH ROW EXECUTE FUNCTION own();
CREATE TRIGGER own_after AFTER UPDATE OF nickname ON biz_user FOR EACH ROW EXECUTE FUNCTION own();
INSERT INTO biz_user (id, nickname, avatar) VALUES (101, 'ann', 'a.png');
UPDATE biz_user SET nickname = 'anna lee' WHERE id = 101;
:contacts
:inbox
:clean
-- Cleaned to what it was: no change, no new version.
UPDATE biz_user SET nickname = 'ANNA LEE' WHERE id = 101;
UPDATE biz_user SET nickname = 'nobody';
SELECT id, nickname, avatar, info_ver FROM biz_user ORDER BY 1;
:clean
-- A statement that would move one user only, where another is dropped on the way.
UPDATE biz_user SET id = id + 500, nickname = CASE id WHEN 102 THEN 'nobody' ELSE 'moved' END;
SELECT id, nickname FROM biz_user ORDER BY 1;
:contacts
:inbox
:clean

TRUNCATE biz_user;
:contacts
:inbox
:clean

SET client_min_messages = warning;
DROP SCHEMA flow_users CASCADE;
