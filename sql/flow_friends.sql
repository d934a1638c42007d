-- Friends: application, channel, members and friendships, in every order and by every kind of statement.
SELECT hermet.create_tables('flow_friends');
SET search_path = flow_friends;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set contacts 'SELECT user_id AS u, contact_id AS c, contact_nickname AS nickname, remark_name AS remark, group_name AS "group", tags, is_starred AS starred, is_blocked AS blocked FROM user_contact_view ORDER BY 1, 2;'
\set inbox 'SELECT user_id AS u, channel_id AS c, conversation_name AS name, peer_user_id AS peer, remark_name AS remark, is_starred AS starred FROM user_conversation_view ORDER BY 1, 2;'

INSERT INTO biz_user (id, nickname, mobile) SELECT 100 + i, 'user ' || i, '555' || i FROM generate_series(1, 6) i;

-- Asking, and being accepted: the whole of it in one transaction.
INSERT INTO channel_application (id, applicant_id, application_type, target_id, application_message)
VALUES (1, 101, 'contact', 102, 'hello');
BEGIN;
UPDATE channel_application SET application_status = 'approved', reviewer_id = 102, reviewed_at = 5 WHERE target_id = 102 AND id = 1;
INSERT INTO channel (id, channel_type, creator_id) VALUES (1, 'single', 101);
:clean
INSERT INTO channel_member (id, channel_id, user_id) VALUES (11, 1, 101), (12, 1, 102);
:clean
INSERT INTO friendship (id, user_id, friend_id) VALUES (1, 101, 102), (2, 102, 101);
:clean
COMMIT;
:contacts
:inbox
SELECT channel_member_count FROM channel;

-- The other way round: friendships with a remark first, channel last.
BEGIN;
INSERT INTO friendship (id, user_id, friend_id, remark_name, is_starred) VALUES (3, 101, 103, 'Number 3', true);
:clean
INSERT INTO friendship (id, user_id, friend_id) VALUES (4, 103, 101);
INSERT INTO channel_member (id, channel_id, user_id) VALUES (22, 2, 103);
INSERT INTO channel_member (id, channel_id, user_id) VALUES (21, 2, 101);
:clean
INSERT INTO channel (id, channel_type) VALUES (2, 'single');
:clean
COMMIT;
:contacts
:inbox

-- All of it in one statement, the friend's biz_user row included.
WITH u AS (INSERT INTO biz_user (id, nickname) VALUES (107, 'user 7') RETURNING id),
     f AS (INSERT INTO friendship (id, user_id, friend_id, remark_name) SELECT 5, 101, id, 'Seven' FROM u
           UNION ALL SELECT 6, id, 101, 'One' FROM u RETURNING user_id, friend_id),
     c AS (INSERT INTO channel (id, channel_type) VALUES (3, 'single') RETURNING id),
     m AS (INSERT INTO channel_member (id, channel_id, user_id) SELECT 31 + row_number() OVER (), c.id, f.user_id FROM c, f RETURNING user_id)
SELECT count(*) FROM m;
:contacts
:inbox
:clean
-- A rename, a remark and a new friendship in one statement.
WITH u AS (UPDATE biz_user SET nickname = 'SEVEN', avatar = '7.png' WHERE id = 107),
     f AS (UPDATE friendship SET remark_name = '', is_starred = true WHERE id IN (5, 6)),
     n AS (INSERT INTO friendship (id, user_id, friend_id) VALUES (7, 107, 102))
SELECT 1;
:contacts
:inbox
:clean
-- Deleted as a user and as a friend in one statement, and back.
WITH u AS (UPDATE biz_user SET deleted_at = 9 WHERE id = 107),
     f AS (UPDATE friendship SET deleted_at = 9 WHERE id = 5)
SELECT 1;
:contacts
:inbox
:clean
WITH f AS (UPDATE friendship SET deleted_at = 0, remark_name = 'back' WHERE id = 5),
     u AS (UPDATE biz_user SET deleted_at = 0 WHERE id = 107)
SELECT 1;
:contacts
:inbox
:clean

-- Remark, star, block, regroup, tag: one at a time, then many at once.
UPDATE friendship SET remark_name = 'Two' WHERE user_id = 101 AND friend_id = 102;
:clean
UPDATE friendship SET is_starred = true WHERE user_id = 101 AND friend_id = 102;
:clean
UPDATE friendship SET is_blocked = true WHERE user_id = 101 AND friend_id = 102;
:clean
UPDATE friendship SET group_name = 'work' WHERE user_id = 101 AND friend_id = 102;
:clean
UPDATE friendship SET tags = tags || '{clever,"fast, too"}'::varchar[] WHERE user_id = 101 AND friend_id = 102;
:contacts
:inbox
:clean
UPDATE friendship SET remark_name = remark_name || '*', is_starred = NOT is_starred, is_blocked = NOT is_blocked,
                      tags = array_prepend('all', tags), group_name = upper(group_name);
:contacts
:inbox
:clean
-- Unfriend and refriend.
UPDATE friendship SET deleted_at = 1000 WHERE 101 IN (user_id, friend_id) AND 102 IN (user_id, friend_id);
:contacts
:inbox
:clean
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (98, 101, 102, 'again'), (99, 102, 101, '')
ON CONFLICT (user_id, friend_id) DO UPDATE SET deleted_at = 0, remark_name = excluded.remark_name, added_at = 2000;
:contacts
:inbox
:clean
INSERT INTO friendship (id, user_id, friend_id) VALUES (98, 101, 102), (97, 106, 101) ON CONFLICT DO NOTHING;
:contacts
:clean
DELETE FROM friendship WHERE user_id = 106;
:clean

-- COPY.
COPY friendship (id, user_id, friend_id, remark_name, tags, is_starred) FROM stdin;
40	104	101	from a file	{a,b}	t
41	104	102		{}	f
42	104	199	nobody yet	{}	f
\.
:contacts
:clean
-- MERGE: one updated, one deleted, one inserted.
MERGE INTO friendship f
USING (VALUES (40, 104, 101, 'merged'), (41, 104, 102, 'delete me'), (43, 104, 103, 'new')) v (id, u, o, remark)
   ON f.user_id = v.u AND f.friend_id = v.o
 WHEN MATCHED AND v.remark = 'delete me' THEN DELETE
 WHEN MATCHED THEN UPDATE SET remark_name = v.remark
 WHEN NOT MATCHED THEN INSERT (id, user_id, friend_id, remark_name) VALUES (v.id, v.u, v.o, v.remark);
:contacts
:clean
MERGE INTO biz_user u
USING (VALUES (102, 'merged'), (199, 'somebody'), (107, '')) v (id, nickname) ON u.id = v.id
 WHEN MATCHED AND v.nickname = '' THEN DELETE
 WHEN MATCHED THEN UPDATE SET nickname = v.nickname
 WHEN NOT MATCHED THEN INSERT (id, nickname) VALUES (v.id, v.nickname);
:contacts
:inbox
:clean

-- Keys change: single steps, swaps, everything at once.
UPDATE friendship SET id = id + 1000;
SELECT id, user_id, contact_id FROM user_contact_view ORDER BY 1;
:clean
UPDATE friendship SET user_id = 105 WHERE user_id = 104;
:contacts
:clean
UPDATE friendship SET friend_id = 106 WHERE friend_id = 101;
:contacts
:inbox
:clean
UPDATE friendship SET user_id = -user_id, friend_id = -friend_id;
:clean
UPDATE friendship SET user_id = -friend_id, friend_id = -user_id;
:contacts
:inbox
:clean

-- Undone: by savepoint, by error, by rollback.
BEGIN;
UPDATE friendship SET remark_name = 'kept';
SAVEPOINT one;
UPDATE friendship SET remark_name = 'lost', deleted_at = 1;
DELETE FROM channel_member;
:clean
ROLLBACK TO one;
:clean
SAVEPOINT two;
INSERT INTO friendship (id, user_id, friend_id) SELECT id, user_id, friend_id FROM friendship WHERE user_id = 101 AND friend_id = 102;
ROLLBACK TO two;
UPDATE friendship SET is_starred = true;
RELEASE two;
:clean
COMMIT;
:contacts
:clean
BEGIN;
TRUNCATE friendship, channel_member;
:clean
ROLLBACK;
:clean
DO $$
BEGIN
    DELETE FROM flow_friends.friendship;
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
    UPDATE flow_friends.friendship SET is_starred = false;
END
$$;
:contacts
:clean
-- A statement that changes no row, and one that changes the same row twice in a transaction.
UPDATE friendship SET remark_name = 'x' WHERE false;
DELETE FROM friendship WHERE false;
INSERT INTO friendship (id, user_id, friend_id) SELECT 1, 1, 1 WHERE false;
:clean
BEGIN;
INSERT INTO friendship (id, user_id, friend_id) VALUES (60, 106, 106);
DELETE FROM friendship WHERE id = 60;
INSERT INTO friendship (id, user_id, friend_id) VALUES (61, 106, 106);
UPDATE friendship SET deleted_at = 1 WHERE id = 61;
UPDATE friendship SET deleted_at = 0 WHERE id = 61;
COMMIT;
:clean
TRUNCATE friendship;
:contacts
:inbox
:clean

-- Triggers of one's own on the write side: befriending is mutual, and names are tidied.
CREATE FUNCTION mutual() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flow_friends.friendship (id, user_id, friend_id)
    VALUES (new.id + 1000, new.friend_id, new.user_id) ON CONFLICT DO NOTHING;
    RETURN new;
END
$$;
CREATE TRIGGER mutual AFTER INSERT ON friendship FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION mutual();
CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.remark_name = 'drop me' THEN
        RETURN NULL;
    END IF;
    new.remark_name := btrim(new.remark_name);
    RETURN new;
END
$$;
CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON friendship FOR EACH ROW EXECUTE FUNCTION tidy();
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (1, 101, 102, '  spaces  '), (2, 101, 103, 'drop me'), (3, 101, 106, '');
:contacts
:inbox
:clean
UPDATE friendship SET remark_name = CASE friend_id WHEN 102 THEN ' new ' ELSE 'drop me' END;
:contacts
:inbox
:clean

SET client_min_messages = warning;
DROP SCHEMA flow_friends CASCADE;
