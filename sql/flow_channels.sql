-- Channels: made, renamed, archived, restored, turned, moved and removed, by every kind of statement.
SELECT hermet.create_tables('flow_channels');
SET search_path = flow_channels;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set inbox 'SELECT user_id AS u, channel_id AS c, conversation_type AS type, conversation_name AS name, conversation_info_ver AS ver, peer_user_id AS peer, last_message_id AS last, unread_count AS unread FROM user_conversation_view ORDER BY 2, 1;'
\set channels 'SELECT id, channel_type AS type, channel_status AS status, channel_name AS name, channel_info_ver AS ver, channel_member_count AS members, last_message_id AS last, last_message_at AS at FROM channel ORDER BY 1;'

INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann'), (102, 'Bob'), (103, 'Cid');
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
SELECT 10 * c + u, c, 100 + u, 0 FROM generate_series(1, 6) c, generate_series(1, 2) u;
INSERT INTO message (id, channel_id, sender_id, sent_at) SELECT 100 + c, c, 101, 1000 + c FROM generate_series(1, 6) c;
:channels
-- What the statement says of the columns that hermet owns does not count.
INSERT INTO channel (id, channel_type, channel_name, channel_member_count, last_message_at, last_message_id)
VALUES (1, 'group', 'one', 77, 77, 77), (2, 'single', '', -1, -1, -1);
:channels
:inbox
:clean
COPY channel (id, channel_type, channel_name, channel_member_count) FROM stdin;
3	group	three	99
4	single		99
8	group	nobody is here	99
\.
:channels
:inbox
:clean
INSERT INTO channel (id, channel_type, channel_name) VALUES (3, 'group', 'upserted'), (5, 'group', 'five')
ON CONFLICT (id) DO UPDATE SET channel_name = excluded.channel_name, last_message_at = 5, channel_member_count = 0;
:channels
:inbox
:clean
INSERT INTO channel (id, channel_type) VALUES (3, 'single'), (6, 'single') ON CONFLICT DO NOTHING;
:channels
:inbox
:clean
-- Rename one, rename all; with the version.
UPDATE channel SET channel_name = 'renamed' WHERE id = 1;
:inbox
:clean
UPDATE channel SET channel_name = channel_name || '+', channel_avatar = 'a';
:channels
:inbox
:clean
-- Archive, restore; while archived everything goes on.
UPDATE channel SET channel_status = 'archived' WHERE id IN (1, 2);
:inbox
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (111, 1, 102, 2001), (112, 2, 102, 2002);
UPDATE channel SET channel_name = 'renamed while archived' WHERE id = 1;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (13, 1, 103, 0);
UPDATE channel_member SET left_at = 1 WHERE id = 12;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 101, 1, 111);
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (101, 1, true);
UPDATE biz_user SET nickname = 'Rob' WHERE id = 102;
:channels
:inbox
:clean
UPDATE channel SET channel_status = 'active';
:channels
:inbox
:clean
-- Status, type and name in one statement.
UPDATE channel SET channel_status = 'failed', channel_type = 'single', channel_name = 'x' WHERE id = 3;
:channels
:clean
UPDATE channel SET channel_status = 'active', channel_name = 'y' WHERE id = 3;
:inbox
:clean
UPDATE channel SET channel_type = 'group' WHERE id = 3;
:inbox
:clean
-- MERGE.
MERGE INTO channel c
USING (VALUES (3, 'merged'), (5, ''), (7, 'seven')) v (id, name) ON c.id = v.id
 WHEN MATCHED AND v.name = '' THEN DELETE
 WHEN MATCHED THEN UPDATE SET channel_name = v.name
 WHEN NOT MATCHED THEN INSERT (id, channel_type, channel_name) VALUES (v.id, 'group', v.name);
:channels
:inbox
:clean
-- The owned columns written directly: put right again, with and without a real change.
UPDATE channel SET channel_member_count = 50, last_message_at = 50, last_message_id = 50;
:channels
:clean
UPDATE channel SET channel_member_count = 0, channel_name = 'z' WHERE id = 7;
:channels
:clean
UPDATE channel SET last_message_at = 1, channel_status = 'archived' WHERE id = 1;
:channels
:clean
UPDATE channel SET channel_status = 'active' WHERE id = 1;
-- Keys: a free id, one that has members and messages, a cycle.
UPDATE channel SET id = 5 WHERE id = 7;
:channels
:inbox
:clean
UPDATE channel SET id = -id;
:channels
:inbox
:clean
UPDATE channel SET id = CASE id WHEN -1 THEN 3 WHEN -2 THEN 4 WHEN -3 THEN 1 WHEN -4 THEN 2 ELSE -id END;
:channels
:inbox
:clean
-- The key moves together with the members and the messages.
WITH c AS (UPDATE channel SET id = 20 WHERE id = 2),
     m AS (UPDATE channel_member SET channel_id = 20 WHERE channel_id = 2),
     n AS (UPDATE message SET channel_id = 20 WHERE channel_id = 2)
SELECT 1;
:channels
:inbox
:clean
-- A channel ends, with its members and messages, in one statement and one after the other.
WITH c AS (DELETE FROM channel WHERE id = 20),
     m AS (DELETE FROM channel_member WHERE channel_id = 20),
     n AS (DELETE FROM message WHERE channel_id = 20)
SELECT 1;
:channels
:inbox
:clean
DELETE FROM message WHERE channel_id = 3;
:clean
DELETE FROM channel WHERE id = 3;
:clean
DELETE FROM channel_member WHERE channel_id = 3;
:channels
:inbox
:clean
-- Undone.
BEGIN;
UPDATE channel SET channel_name = 'kept' WHERE id = 1;
SAVEPOINT a;
DELETE FROM channel;
:inbox
:clean
ROLLBACK TO a;
UPDATE channel SET channel_status = 'archived' WHERE id = 4;
:clean
SAVEPOINT b;
TRUNCATE channel;
:clean
ROLLBACK TO b;
COMMIT;
:channels
:inbox
:clean
-- A trigger of one's own: a new channel gets its creator as a member, and a welcome.
CREATE FUNCTION welcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        IF TG_OP = 'INSERT' OR new.creator_id IS DISTINCT FROM old.creator_id THEN
            new.channel_member_count := 1000;
        END IF;
        new.channel_name := btrim(new.channel_name);
        RETURN new;
    END IF;
    INSERT INTO flow_channels.channel_member (id, channel_id, user_id, joined_at, role) VALUES (1000 + new.id, new.id, new.creator_id, 0, 'owner');
    INSERT INTO flow_channels.message (id, channel_id, sender_id, content, sent_at) VALUES (1000 + new.id, new.id, 0, 'welcome', 5000);
    UPDATE flow_channels.channel SET channel_avatar = 'made by ' || new.creator_id WHERE id = new.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER welcome AFTER INSERT ON channel FOR EACH ROW EXECUTE FUNCTION welcome();
CREATE TRIGGER welcome_before BEFORE INSERT OR UPDATE ON channel FOR EACH ROW EXECUTE FUNCTION welcome();
INSERT INTO channel (id, channel_type, channel_name, creator_id) VALUES (30, 'group', ' thirty ', 101), (31, 'single', '', 102);
:channels
:inbox
:clean
UPDATE channel SET channel_name = channel_name || ' ', creator_id = 103;
:channels
:inbox
:clean

TRUNCATE channel;
:inbox
:clean

SET client_min_messages = warning;
DROP SCHEMA flow_channels CASCADE;
