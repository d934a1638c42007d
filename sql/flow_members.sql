-- Members: join, leave, come back, be removed, be renamed, move; one by one and many at once.
SELECT hermet.create_tables('flow_members');
SET search_path = flow_members;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set inbox 'SELECT user_id AS u, channel_id AS c, peer_user_id AS peer, last_message_sender_name AS sender, unread_count AS unread, mention_count AS mentions, opened_at FROM user_conversation_view ORDER BY 2, 1;'
\set counts 'SELECT id, channel_member_count AS members FROM channel ORDER BY 1;'

INSERT INTO biz_user (id, nickname) SELECT 100 + i, 'user ' || i FROM generate_series(1, 8) i;
INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'group', 'one'), (2, 'group', 'two'), (3, 'single', ''), (4, 'single', '');
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_all)
SELECT 10 * c + i, c, 100 + i, 1000 * i, i = 3 FROM generate_series(1, 4) c, generate_series(1, 3) i;
:clean

-- Join, one and several; the role; with a name in the group.
INSERT INTO channel_member (id, channel_id, user_id, joined_at, role) VALUES (11, 1, 101, 500, 'owner');
:inbox
:clean
INSERT INTO channel_member (id, channel_id, user_id, joined_at, nickname)
VALUES (12, 1, 102, 1500, ''), (13, 1, 103, 2500, 'Three'), (23, 2, 103, 0, ''), (31, 3, 101, 0, ''), (32, 3, 102, 0, '');
:inbox
:counts
:clean
UPDATE channel_member SET role = 'admin' WHERE id = 12;
:clean
-- The name in the group, of the last sender and of others, in several channels at once.
UPDATE channel_member SET nickname = 'The third' WHERE user_id = 103;
:inbox
:clean
UPDATE channel_member SET nickname = '';
:inbox
:clean
-- Leave; come back; be removed; join anew.
UPDATE channel_member SET left_at = 9000 WHERE channel_id = 1 AND user_id = 102;
:inbox
:counts
:clean
UPDATE channel_member SET left_at = 9001 WHERE channel_id = 1 AND user_id = 102;
:clean
UPDATE channel_member SET left_at = 0, joined_at = 2000 WHERE channel_id = 1 AND user_id = 102;
:inbox
:counts
:clean
DELETE FROM channel_member WHERE channel_id = 1 AND user_id = 102;
:inbox
:counts
:clean
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (14, 1, 102, 1000);
:inbox
:clean
-- Coming back by upsert: joined_at is now unless the statement changes it.
UPDATE channel_member SET left_at = 9000 WHERE id IN (13, 14);
INSERT INTO channel_member (id, channel_id, user_id) VALUES (99, 1, 102)
ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = 0;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (99, 1, 103, 2999)
ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = 0, joined_at = excluded.joined_at;
SELECT user_id, opened_at > 1700000000000 AS anew, unread_count FROM user_conversation_view WHERE channel_id = 1 ORDER BY 1;
:counts
:clean
UPDATE channel_member SET joined_at = 1000 WHERE id = 14;
:inbox
:clean
-- Coming back in any channel, the channel being archived or not there.
INSERT INTO channel_member (id, channel_id, user_id, joined_at, left_at) VALUES (91, 9, 101, 1000, 5);
UPDATE channel_member SET left_at = 0 WHERE id = 91;
SELECT joined_at > 1700000000000 AS anew FROM channel_member WHERE id = 91;
-- Leaving with a new joined_at is just what the statement says; and a member inserted twice joins once.
UPDATE channel_member SET left_at = 7, joined_at = 6 WHERE id = 91;
SELECT joined_at, left_at FROM channel_member WHERE id = 91;
DELETE FROM channel_member WHERE id = 91;
:clean
-- All leave, all come back, all are removed.
UPDATE channel_member SET left_at = 9999;
:inbox
:counts
:clean
UPDATE channel_member SET left_at = 0, joined_at = joined_at + 1;
:inbox
:counts
:clean
BEGIN;
DELETE FROM channel_member;
:inbox
:counts
:clean
ROLLBACK;
:clean
-- Half of them leave while the other half come, in one statement.
WITH a AS (UPDATE channel_member SET left_at = 1 WHERE id IN (11, 31)),
     b AS (INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (15, 1, 104, 0), (24, 2, 104, 2000)),
     c AS (DELETE FROM channel_member WHERE id = 13)
SELECT 1;
:inbox
:counts
:clean
UPDATE channel_member SET left_at = 0, joined_at = 0 WHERE left_at <> 0;
:clean

-- COPY and MERGE.
COPY channel_member (id, channel_id, user_id, joined_at, nickname) FROM stdin;
16	1	105	2000	Five
25	2	105	1000	
41	4	105	0	
42	4	106	0	Six
\.
:inbox
:counts
:clean
MERGE INTO channel_member m
USING (VALUES (1, 105, 'out'), (2, 105, 'leave'), (2, 106, 'in'), (4, 106, 'rename')) v (c, u, what)
   ON m.channel_id = v.c AND m.user_id = v.u
 WHEN MATCHED AND v.what = 'out' THEN DELETE
 WHEN MATCHED AND v.what = 'leave' THEN UPDATE SET left_at = 77
 WHEN MATCHED THEN UPDATE SET nickname = v.what, joined_at = 1
 WHEN NOT MATCHED THEN INSERT (id, channel_id, user_id, joined_at) VALUES (1000 + v.u, v.c, v.u, 1234);
:inbox
:counts
:clean
-- A thousand join and leave; a message in between.
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT 100000 + i, 2, 100000 + i, 2500 FROM generate_series(1, 1000) i;
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids) VALUES (29, 2, 103, 9000, '{100500,100501}');
SELECT unread_count, mention_count, count(*) FROM user_conversation_view WHERE user_id > 100000 GROUP BY 1, 2 ORDER BY 1, 2;
:counts
:clean
UPDATE channel_member SET left_at = 1 WHERE user_id > 100000 AND user_id % 2 = 0;
:counts
:clean
DELETE FROM channel_member WHERE user_id > 100000;
:counts
:clean

-- Keys: id, user, channel; a cycle of three in one statement; a peer exchanged.
UPDATE channel_member SET id = id + 5000;
SELECT id, user_id, channel_id FROM user_conversation_view ORDER BY 1;
:clean
UPDATE channel_member SET user_id = 107 WHERE channel_id = 3 AND user_id = 102;
:inbox
:clean
UPDATE channel_member SET channel_id = 2 WHERE channel_id = 1 AND user_id = 101;
:inbox
:counts
:clean
UPDATE channel_member SET user_id = -user_id WHERE channel_id = 2;
:clean
UPDATE channel_member SET user_id = CASE user_id WHEN -101 THEN 103 WHEN -103 THEN 104 WHEN -104 THEN 101 ELSE -user_id END WHERE channel_id = 2;
:inbox
:clean
UPDATE channel_member SET channel_id = 7 - channel_id, left_at = 0 WHERE channel_id IN (3, 4);
:inbox
:clean
-- The key moves while the member leaves and comes back.
UPDATE channel_member SET channel_id = 1, user_id = 108, left_at = 5 WHERE channel_id = 2 AND user_id = 103;
:inbox
:counts
:clean
UPDATE channel_member SET channel_id = 2, user_id = 103, left_at = 0, joined_at = 2000 WHERE channel_id = 1 AND user_id = 108;
:inbox
:counts
:clean
-- Members before their channel, then the channel, in one transaction and in one statement.
BEGIN;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (51, 5, 101, 0), (52, 5, 102, 0), (53, 5, 103, 0);
:clean
INSERT INTO channel (id, channel_type) VALUES (5, 'group');
:counts
:clean
COMMIT;
WITH m AS (INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (61, 6, 101, 0), (62, 6, 102, 0))
INSERT INTO channel (id, channel_type) VALUES (6, 'single');
:inbox
:counts
:clean
-- Undone in part.
BEGIN;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (71, 1, 106, 0);
SAVEPOINT a;
UPDATE channel_member SET left_at = 1 WHERE id = 71;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (19, 1, 106, 1);
ROLLBACK TO a;
:clean
DELETE FROM channel_member WHERE channel_id = 1 AND user_id <> 106;
COMMIT;
:inbox
:counts
:clean

-- A trigger of one's own: joining announces itself, and the first member becomes the owner.
CREATE FUNCTION announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        IF NOT EXISTS (SELECT FROM flow_members.channel_member WHERE channel_id = new.channel_id) THEN
            new.role := 'owner';
        END IF;
        IF TG_OP = 'UPDATE' AND new.left_at = 0 AND old.left_at <> 0 THEN
            new.joined_at := 3;
        END IF;
        RETURN new;
    END IF;
    INSERT INTO flow_members.message (id, channel_id, sender_id, message_type, content, sent_at)
    VALUES (1000000 + new.id, new.channel_id, new.user_id, 'system', 'joined', 5000);
    UPDATE flow_members.channel_member SET nickname = 'friend of ' || new.user_id
     WHERE channel_id = new.channel_id AND user_id <> new.user_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT ON channel_member FOR EACH ROW EXECUTE FUNCTION announce();
CREATE TRIGGER announce_first BEFORE INSERT OR UPDATE ON channel_member FOR EACH ROW EXECUTE FUNCTION announce();
INSERT INTO channel (id, channel_type) VALUES (7, 'group'), (8, 'single');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (81, 7, 101, 0), (82, 7, 102, 0), (83, 8, 103, 0), (84, 8, 104, 0);
SELECT id, channel_id, user_id, role, nickname FROM channel_member WHERE channel_id IN (7, 8) ORDER BY 1;
:inbox
:clean
-- The user's trigger set joined_at on the way back: that stands.
UPDATE channel_member SET left_at = 1 WHERE id = 82;
UPDATE channel_member SET left_at = 0 WHERE id = 82;
:inbox
:clean

TRUNCATE channel_member;
:inbox
:counts
:clean

SET client_min_messages = warning;
DROP SCHEMA flow_members CASCADE;
