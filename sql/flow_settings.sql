-- Settings and read marks: pin, mute, hide, close, mark unread, read; by every kind of statement.
SELECT hermet.create_tables('flow_settings');
SET search_path = flow_settings;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set inbox 'SELECT user_id AS u, channel_id AS c, is_muted AS muted, is_pinned AS pinned, is_hidden AS hidden, marked_unread AS marked, closed_at AS closed, last_read_message_id AS read, unread_count AS unread FROM user_conversation_view ORDER BY 2, 1;'

-- Settings and marks before anything else.
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (101, 1, true), (102, 2, true);
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 101, 1, 10), (2, 102, 2, 20);
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) SELECT 10 * c + i, c, 103, 1000 * c + i FROM generate_series(1, 3) c, generate_series(0, 4) i;
INSERT INTO channel (id, channel_type) VALUES (1, 'group'), (2, 'single'), (3, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 0), (12, 1, 102, 0), (21, 2, 101, 0), (22, 2, 102, 0), (31, 3, 101, 0);
:inbox
:clean
-- Pin, mute, hide, close, mark unread; and read.
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (101, 3, true);
:clean
UPDATE conversation_setting SET is_muted = true WHERE user_id = 101;
:clean
UPDATE conversation_setting SET is_hidden = true WHERE user_id = 102;
:clean
UPDATE conversation_setting SET closed_at = 2004 WHERE user_id = 102;
:clean
UPDATE conversation_setting SET closed_at = 2005, marked_unread = true WHERE user_id = 102;
:inbox
:clean
-- Reading clears the mark, as applications do it: both tables in one statement, either first.
WITH s AS (UPDATE conversation_setting SET marked_unread = false WHERE user_id = 102 AND channel_id = 2)
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (99, 102, 2, 24)
ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = greatest(channel_read_record.last_read_message_id, excluded.last_read_message_id);
:inbox
:clean
WITH r AS (INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (3, 101, 2, 22), (4, 101, 3, 34) RETURNING user_id, channel_id)
INSERT INTO conversation_setting (user_id, channel_id, marked_unread) SELECT user_id, channel_id, false FROM r
ON CONFLICT (user_id, channel_id) DO UPDATE SET marked_unread = false, is_pinned = false;
:inbox
:clean
-- Everything of one user; everything of everybody.
UPDATE channel_read_record SET last_read_message_id = 1000 WHERE user_id = 101;
:inbox
:clean
UPDATE channel_read_record SET last_read_message_id = 10 * channel_id;
UPDATE conversation_setting SET is_muted = NOT is_muted, is_pinned = NOT is_pinned, is_hidden = NOT is_hidden, marked_unread = NOT marked_unread, closed_at = 1000 * channel_id + 4;
:inbox
:clean
UPDATE conversation_setting SET closed_at = closed_at + 1;
:inbox
:clean
-- Closed and reopened in one statement; closed, and the reopening message recalled.
WITH s AS (UPDATE conversation_setting SET closed_at = 9000 WHERE channel_id = 1),
     m AS (INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (19, 1, 103, 9000))
SELECT 1;
:inbox
:clean
WITH m AS (UPDATE message SET deleted_at = 1 WHERE id = 19),
     s AS (UPDATE conversation_setting SET closed_at = 0 WHERE channel_id = 2)
SELECT 1;
:inbox
:clean
-- With a member who joins in the same statement.
WITH s AS (INSERT INTO conversation_setting (user_id, channel_id, is_muted, closed_at) VALUES (103, 3, true, 9999)),
     r AS (INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (5, 103, 3, 31)),
     p AS (INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (33, 3, 103, 0))
SELECT 1;
:inbox
:clean
-- COPY, MERGE.
COPY conversation_setting (user_id, channel_id, is_pinned, closed_at) FROM stdin;
103	1	t	0
104	3	t	7
102	1	f	4000
\.
:inbox
:clean
COPY channel_read_record (id, user_id, channel_id, last_read_message_id) FROM stdin;
6	102	1	14
7	104	3	1
\.
:inbox
:clean
MERGE INTO conversation_setting s
USING (VALUES (101, 1, 'delete'), (101, 2, 'pin'), (101, 4, 'new'), (102, 2, 'close')) v (u, c, what) ON s.user_id = v.u AND s.channel_id = v.c
 WHEN MATCHED AND v.what = 'delete' THEN DELETE
 WHEN MATCHED AND v.what = 'close' THEN UPDATE SET closed_at = 5000
 WHEN MATCHED THEN UPDATE SET is_pinned = NOT is_pinned
 WHEN NOT MATCHED THEN INSERT (user_id, channel_id, is_muted) VALUES (v.u, v.c, true);
:inbox
:clean
-- Keys.
UPDATE conversation_setting SET channel_id = 1 WHERE user_id = 101 AND channel_id = 4;
:inbox
:clean
UPDATE conversation_setting SET user_id = -user_id;
:inbox
:clean
UPDATE conversation_setting SET user_id = CASE user_id WHEN -101 THEN 102 WHEN -102 THEN 101 ELSE -user_id END;
:inbox
:clean
UPDATE channel_read_record SET user_id = -user_id;
:clean
UPDATE channel_read_record SET user_id = CASE user_id WHEN -101 THEN 102 WHEN -102 THEN 101 ELSE -user_id END, last_read_message_id = last_read_message_id + 1;
:inbox
:clean
UPDATE channel_read_record SET channel_id = channel_id + 1, id = -id WHERE user_id = 103;
:clean
-- Deleted, undone, truncated.
BEGIN;
DELETE FROM conversation_setting WHERE user_id = 101;
DELETE FROM channel_read_record WHERE user_id = 102;
:inbox
:clean
SAVEPOINT a;
TRUNCATE conversation_setting, channel_read_record;
:inbox
:clean
ROLLBACK TO a;
:clean
UPDATE conversation_setting SET is_muted = true;
COMMIT;
:inbox
:clean
-- A trigger of one's own: whoever reads, unhides and unmarks; BEFORE keeps the mark from going back.
CREATE FUNCTION unhide() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        IF TG_OP = 'UPDATE' THEN
            new.last_read_message_id := greatest(new.last_read_message_id, old.last_read_message_id);
        END IF;
        RETURN new;
    END IF;
    INSERT INTO flow_settings.conversation_setting (user_id, channel_id) VALUES (new.user_id, new.channel_id)
    ON CONFLICT (user_id, channel_id) DO UPDATE SET is_hidden = false, marked_unread = false;
    RETURN NULL;
END
$$;
CREATE TRIGGER unhide AFTER INSERT OR UPDATE ON channel_read_record FOR EACH ROW EXECUTE FUNCTION unhide();
CREATE TRIGGER monotone BEFORE INSERT OR UPDATE ON channel_read_record FOR EACH ROW EXECUTE FUNCTION unhide();
UPDATE conversation_setting SET is_hidden = true, marked_unread = true;
UPDATE channel_read_record SET last_read_message_id = 12;
:inbox
:clean
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (50, 101, 3, 5), (51, 101, 1, 13)
ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
:inbox
:clean
TRUNCATE conversation_setting;
:inbox
:clean
TRUNCATE channel_read_record;
:inbox
:clean

SET client_min_messages = warning;
DROP SCHEMA flow_settings CASCADE;
