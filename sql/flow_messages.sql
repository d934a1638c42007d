-- Messages and read marks: every kind of statement, several tables in one, triggers of one's own.
SELECT hermet.create_tables('flow_messages');
SET search_path = flow_messages;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set inbox 'SELECT user_id AS u, channel_id AS c, last_message_id AS last, last_message_content AS content, last_message_sender_name AS sender, last_read_message_id AS read, unread_count AS unread, mention_count AS mentions FROM user_conversation_view ORDER BY 2, 1;'

INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann'), (102, 'Bob'), (103, 'Cid'), (104, 'Dee');
INSERT INTO channel (id, channel_type) VALUES (1, 'single'), (2, 'group'), (3, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
VALUES (11, 1, 101, 0), (12, 1, 102, 0), (21, 2, 101, 0), (22, 2, 102, 0), (23, 2, 103, 0), (31, 3, 103, 0);

-- Send; edit; recall; send again; delete.
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (10, 1, 101, 'hello', 1000);
:inbox
:clean
UPDATE message SET content = 'hello Bob' WHERE channel_id = 1 AND id = 10;
:clean
UPDATE message SET deleted_at = 1001 WHERE channel_id = 1 AND id = 10;
:inbox
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (11, 1, 102, 'you recalled?', 1002);
:clean
DELETE FROM message WHERE channel_id = 1 AND id = 11;
:inbox
:clean
-- Into several channels at once, in no order, from several senders, some for nobody.
INSERT INTO message (id, channel_id, sender_id, content, sent_at, mention_user_ids, mention_all)
VALUES (25, 2, 103, 'e', 25, '{101,102}', false), (21, 2, 101, 'a', 21, '{}', true), (31, 3, 103, 'note', 31, '{103}', true),
       (12, 1, 101, 'x', 12, '{102}', false), (23, 2, 102, 'c', 23, '{}', false), (24, 2, 102, 'd', 24, '{103,103}', true),
       (90, 9, 101, 'no such channel', 90, '{}', true);
:inbox
:clean
-- Upserts: nothing, an edit, a mixture of both.
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (25, 2, 101, 'ignored', 26), (26, 2, 101, 'f', 26)
ON CONFLICT (channel_id, id) DO NOTHING;
:inbox
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (26, 2, 101, 'f edited', 26), (27, 2, 102, 'g', 27)
ON CONFLICT (channel_id, id) DO UPDATE SET content = excluded.content;
:inbox
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (27, 2, 102, 'g', 27), (28, 2, 102, 'h', 28)
ON CONFLICT (channel_id, id) DO UPDATE SET deleted_at = 99;
:inbox
:clean
-- COPY, with messages in the middle of those that are there.
COPY message (id, channel_id, sender_id, content, sent_at, mention_user_ids) FROM stdin;
22	2	103	between	22	{101}
29	2	103	last	29	{102,NULL}
20	2	101	first	20	{}
13	1	101	copied	13	{}
\.
:inbox
:clean
-- MERGE.
MERGE INTO message m
USING (VALUES (29, 2, 'merged'), (22, 2, 'delete'), (14, 1, 'new'), (13, 1, 'recall')) v (id, channel_id, content)
   ON m.channel_id = v.channel_id AND m.id = v.id
 WHEN MATCHED AND v.content = 'delete' THEN DELETE
 WHEN MATCHED AND v.content = 'recall' THEN UPDATE SET deleted_at = 1
 WHEN MATCHED THEN UPDATE SET content = v.content
 WHEN NOT MATCHED THEN INSERT (id, channel_id, sender_id, content, sent_at) VALUES (v.id, v.channel_id, 102, v.content, 14);
:inbox
:clean
MERGE INTO channel_read_record r
USING (VALUES (1, 101, 2, 24), (2, 102, 2, 29), (3, 101, 1, 14)) v (id, user_id, channel_id, upto)
   ON r.user_id = v.user_id AND r.channel_id = v.channel_id
 WHEN MATCHED THEN UPDATE SET last_read_message_id = v.upto
 WHEN NOT MATCHED THEN INSERT (id, user_id, channel_id, last_read_message_id) VALUES (v.id, v.user_id, v.channel_id, v.upto);
:inbox
:clean

-- Keys: an id below, above and between; a channel; both; all at once; a swap.
UPDATE message SET id = 5 WHERE id = 29;
:inbox
:clean
UPDATE message SET id = 50 WHERE id = 5;
:inbox
:clean
UPDATE message SET channel_id = 1 WHERE id = 50;
:inbox
:clean
UPDATE message SET channel_id = 2, id = 51, sender_id = 101 WHERE id = 50;
:inbox
:clean
UPDATE message SET channel_id = 3 - channel_id WHERE channel_id IN (1, 2);
:inbox
:clean
UPDATE message SET channel_id = 3 - channel_id, id = id + 1000 WHERE channel_id IN (1, 2);
:inbox
:clean
UPDATE message SET id = id - 1000 WHERE channel_id IN (1, 2);
UPDATE channel_read_record SET id = id + 100;
UPDATE channel_read_record SET channel_id = -channel_id WHERE user_id = 101;
UPDATE channel_read_record SET channel_id = 3 + channel_id WHERE user_id = 101;
:inbox
:clean
UPDATE channel_read_record SET user_id = -user_id;
UPDATE channel_read_record SET user_id = 203 + user_id;
:inbox
:clean

-- A thousand messages, one update, one delete.
INSERT INTO message (id, channel_id, sender_id, content, sent_at, mention_user_ids)
SELECT 10000 + i, 1 + i % 3, 101 + i % 4, 'message ' || i, i, ARRAY[101 + i % 7] FROM generate_series(1, 1000) i;
:inbox
:clean
UPDATE message SET deleted_at = 1 WHERE id > 10000 AND id % 2 = 0;
:inbox
:clean
DELETE FROM message WHERE id > 10000;
:inbox
:clean

-- A message and a read mark in one statement, either one first.
WITH r AS (UPDATE channel_read_record SET last_read_message_id = 60 WHERE user_id = 101 AND channel_id = 2 RETURNING user_id)
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (60, 2, 102, 'read at once', 60), (61, 2, 102, 'not read', 61);
:inbox
:clean
WITH m AS (INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (62, 2, 102, 'read at once', 62), (63, 2, 102, 'not read', 63) RETURNING id, channel_id)
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)
SELECT 200, 101, channel_id, min(id) FROM m GROUP BY channel_id
ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
:inbox
:clean
WITH r AS (DELETE FROM channel_read_record WHERE user_id = 101 AND channel_id = 2),
     m AS (DELETE FROM message WHERE id IN (61, 63)),
     n AS (INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (64, 2, 103, 'three at once', 64)),
     e AS (UPDATE message SET content = 'edited at once', deleted_at = 1 WHERE id = 62)
SELECT 1;
:inbox
:clean
-- A message, a new member and a new channel in one statement.
WITH c AS (INSERT INTO channel (id, channel_type, channel_name) VALUES (4, 'group', 'four') RETURNING id),
     p AS (INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT 40 + i, c.id, 100 + i, 0 FROM c, generate_series(1, 2) i RETURNING 1)
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT 400, id, 101, 'born together', 400 FROM c;
:inbox
:clean
WITH m AS (INSERT INTO message (id, channel_id, sender_id, content, sent_at, mention_all) VALUES (401, 4, 101, 'welcome', 401, true)),
     p AS (INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (43, 4, 103, 0))
SELECT 1;
:inbox
:clean
WITH p AS (INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (44, 4, 104, 0)),
     q AS (UPDATE channel_member SET left_at = 1 WHERE channel_id = 4 AND user_id = 103),
     m AS (INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (402, 4, 102, 'Cid left, Dee came', 402)),
     c AS (UPDATE channel SET channel_name = 'FOUR' WHERE id = 4),
     s AS (INSERT INTO conversation_setting (user_id, channel_id, closed_at) VALUES (101, 4, 402), (104, 4, 403)),
     u AS (UPDATE biz_user SET nickname = 'Robert' WHERE id = 102)
SELECT 1;
:inbox
SELECT user_id, conversation_name, conversation_info_ver, closed_at FROM user_conversation_view WHERE channel_id = 4 ORDER BY 1;
SELECT channel_member_count, last_message_at, last_message_id FROM channel WHERE id = 4;
:clean
WITH c AS (UPDATE channel SET channel_status = 'archived' WHERE id = 4),
     m AS (INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (403, 4, 101, 'closing', 403))
SELECT 1;
:inbox
:clean
WITH m AS (DELETE FROM message WHERE id = 403),
     c AS (UPDATE channel SET channel_status = 'active' WHERE id = 4)
SELECT 1;
:inbox
:clean
WITH m AS (DELETE FROM message WHERE channel_id = 4), p AS (DELETE FROM channel_member WHERE channel_id = 4),
     s AS (DELETE FROM conversation_setting WHERE channel_id = 4), c AS (DELETE FROM channel WHERE id = 4)
SELECT 1;
:inbox
:clean
-- Two inserts into one table in one statement; inserted by the one, not seen by the other.
WITH a AS (INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (70, 1, 101, 'a', 70)),
     b AS (INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (71, 2, 101, 'b', 71), (72, 1, 102, 'b', 72)),
     d AS (DELETE FROM message WHERE id IN (70, 71, 12))
UPDATE message SET mention_all = true WHERE id IN (72, 25);
:inbox
:clean

-- Savepoints: what is undone leaves no trace, what is released stays.
BEGIN;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (80, 2, 101, 'kept', 80);
SAVEPOINT a;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (81, 2, 101, 'undone', 81);
UPDATE message SET deleted_at = 1 WHERE id = 80;
:clean
ROLLBACK TO a;
:inbox
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (81, 2, 102, 'second try', 81);
SAVEPOINT b;
\set VERBOSITY sqlstate
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (81, 2, 102, 'duplicate', 81);
\set VERBOSITY default
ROLLBACK TO b;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (300, 103, 2, 80);
RELEASE b;
:clean
COMMIT;
:inbox
:clean
BEGIN;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT 8000 + i, 1 + i % 3, 104, 'gone', 1 FROM generate_series(1, 100) i;
TRUNCATE channel_read_record;
:clean
ROLLBACK;
:inbox
:clean
-- Within a transaction of a stricter kind.
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (82, 2, 101, 'repeatable', 82);
UPDATE channel_read_record SET last_read_message_id = 82 WHERE user_id = 102;
UPDATE biz_user SET nickname = 'Anne' WHERE id = 101;
:clean
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (83, 2, 101, 'serializable', 83);
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (24, 2, 104, 0);
UPDATE message SET deleted_at = 1 WHERE id = 82;
:clean
COMMIT;
:inbox
:clean
-- Several statements at once, in a DO block, by a cursor. (In a partitioned table each partition must be in the cursor's plan.)
DO $$
DECLARE
    c CURSOR FOR SELECT * FROM flow_messages.message WHERE channel_id + 0 = 2 FOR UPDATE;
BEGIN
    FOR i IN 84..88 LOOP
        INSERT INTO flow_messages.message (id, channel_id, sender_id, content, sent_at) VALUES (i, 2, 102, 'loop ' || i, i);
    END LOOP;
    FOR m IN c LOOP
        UPDATE flow_messages.message SET content = upper(content) WHERE CURRENT OF c;
    END LOOP;
END
$$;
:inbox
:clean

-- In any order: message, mark, setting, member and user rows before their channel.
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (501, 5, 105, 'before all', 501), (502, 5, 106, 'too', 502);
:clean
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (500, 106, 5, 501);
:clean
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (105, 5, true);
:clean
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (51, 5, 105, 0), (52, 5, 106, 0);
:clean
INSERT INTO channel (id, channel_type) VALUES (5, 'single');
:inbox
:clean
INSERT INTO biz_user (id, nickname) VALUES (105, 'Eve'), (106, 'Fay');
:inbox
:clean

-- A trigger of one's own, that marks one's own message as read.
CREATE FUNCTION mark_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flow_messages.channel_read_record (id, user_id, channel_id, last_read_message_id)
    VALUES (1000000 + new.id, new.sender_id, new.channel_id, new.id)
    ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER mark_own AFTER INSERT ON message FOR EACH ROW EXECUTE FUNCTION mark_own();
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (600, 2, 101, 'mark', 600);
:inbox
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at)
VALUES (601, 2, 102, 'mark 2', 601), (602, 2, 103, 'mark 3', 602), (603, 2, 101, 'mark 4', 603), (604, 1, 102, 'mark 5', 604);
:inbox
:clean
-- One that marks everything as read for everybody, and renames the channel and the sender.
CREATE OR REPLACE FUNCTION mark_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flow_messages.channel_read_record (id, user_id, channel_id, last_read_message_id)
    SELECT 2000000 + id, user_id, channel_id, new.id FROM flow_messages.channel_member WHERE channel_id = new.channel_id
    ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
    UPDATE flow_messages.channel SET channel_name = 'after ' || new.id WHERE id = new.channel_id;
    UPDATE flow_messages.biz_user SET nickname = 'sent ' || new.id WHERE id = new.sender_id;
    RETURN NULL;
END
$$;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (610, 2, 101, 'all read', 610);
:inbox
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (611, 2, 102, 'all read', 611), (612, 2, 103, 'all read', 612), (613, 3, 103, 'x', 613);
:inbox
:clean
-- One that answers with a message of its own, and one before the row that adds a member.
CREATE OR REPLACE FUNCTION mark_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        INSERT INTO flow_messages.channel_member (id, channel_id, user_id, joined_at)
        VALUES (3000000 + new.id, new.channel_id, new.sender_id, 0) ON CONFLICT DO NOTHING;
        RETURN new;
    END IF;
    INSERT INTO flow_messages.message (id, channel_id, sender_id, message_type, content, sent_at)
    VALUES (new.id + 100000, new.channel_id, 0, 'bot', 'got ' || new.id, new.sent_at + 1);
    RETURN NULL;
END
$$;
DROP TRIGGER mark_own ON message;
CREATE TRIGGER a_mark_own AFTER INSERT ON message FOR EACH ROW WHEN (new.sender_id <> 0) EXECUTE FUNCTION mark_own();
CREATE TRIGGER b_mark_own BEFORE INSERT ON message FOR EACH ROW WHEN (new.sender_id <> 0) EXECUTE FUNCTION mark_own();
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (620, 2, 106, 'newcomer writes', 620), (621, 3, 101, 'and another', 621);
:inbox
:clean
COPY message (id, channel_id, sender_id, content, sent_at) FROM stdin;
630	3	102	copied	630
631	3	103	copied	631
632	2	105	copied	632
\.
:inbox
:clean
-- One that recalls what it sees, and one whose message replaces the row.
CREATE OR REPLACE FUNCTION mark_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        RETURN CASE WHEN new.content = 'swallowed' THEN NULL ELSE new END;
    END IF;
    UPDATE flow_messages.message SET deleted_at = 1 WHERE channel_id = new.channel_id AND id = new.id AND content = 'recalled at once';
    DELETE FROM flow_messages.message WHERE channel_id = new.channel_id AND id = new.id AND content = 'deleted at once';
    RETURN NULL;
END
$$;
INSERT INTO message (id, channel_id, sender_id, content, sent_at)
VALUES (640, 2, 101, 'stays', 640), (641, 2, 101, 'recalled at once', 641), (642, 2, 101, 'deleted at once', 642), (643, 2, 101, 'swallowed', 643);
:inbox
:clean
-- Statement triggers of one's own, before and after those of hermet by name, and a deferred one.
CREATE FUNCTION after_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        UPDATE flow_messages.channel_read_record SET last_read_message_id = last_read_message_id + 1;
        UPDATE flow_messages.message SET content = content || '.' WHERE id >= 640;
        UPDATE flow_messages.channel_member SET nickname = nickname || 'n' WHERE channel_id = 2;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER aaa AFTER INSERT ON message FOR EACH STATEMENT EXECUTE FUNCTION after_all();
CREATE TRIGGER zzz AFTER INSERT ON message FOR EACH STATEMENT EXECUTE FUNCTION after_all();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON message DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION after_all();
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (650, 2, 101, 'triggers', 650), (651, 1, 101, 'all over', 651);
:inbox
:clean

-- Truncated: messages, marks; several tables at once.
TRUNCATE message;
:inbox
SELECT id, last_message_id, last_message_at FROM channel ORDER BY 1;
:clean
TRUNCATE channel_read_record;
:inbox
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (700, 1, 101, 'again', 700);
:clean
TRUNCATE message, channel_read_record, conversation_setting, channel_member, channel, friendship, biz_user, channel_application;
:inbox
:clean

SET client_min_messages = warning;
DROP SCHEMA flow_messages CASCADE;
