-- Rule 5: the read cursor, the unread messages and the mentions among them.
SELECT hermet.create_tables('rule5_unread');
SET search_path = rule5_unread;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set show 'SELECT user_id AS u, last_read_message_id AS read, unread_count AS unread, mention_count AS mentions FROM user_conversation_view WHERE channel_id = 1 ORDER BY 1;'

INSERT INTO channel (id, channel_type) VALUES (1, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 1000), (12, 1, 102, 1000), (13, 1, 103, 2000);
:show
:clean
-- Not one's own, and not from before one joined; at the very moment of joining counts.
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (10, 1, 101, 999);
:show
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (20, 1, 101, 1000);
:show
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (30, 1, 102, 2000), (31, 1, 101, 1999), (32, 1, 999, 3000);
:show
:clean
-- System messages do not count, recalled ones neither.
INSERT INTO message (id, channel_id, sender_id, sent_at, message_type) VALUES (33, 1, 999, 3000, 'system'), (34, 1, 999, 3000, 'System');
:show
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at, deleted_at) VALUES (35, 1, 999, 3000, 1);
:show
:clean
-- Sending does not move the sender's own cursor.
SELECT count(*) FROM channel_read_record;

-- Reading up to a message; without a row before, by upsert, backwards, ahead of everything, to zero.
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 102, 1, 31);
:show
:clean
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (2, 102, 1, 34)
ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
:show
:clean
UPDATE channel_read_record SET last_read_message_id = 20 WHERE user_id = 102;
:show
:clean
UPDATE channel_read_record SET last_read_message_id = 19 WHERE user_id = 102;
:show
:clean
UPDATE channel_read_record SET last_read_message_id = 1000 WHERE user_id = 102;
:show
:clean
-- Messages below a cursor that is ahead stay read.
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (40, 1, 101, 4000), (1000, 1, 101, 4000), (1001, 1, 101, 4000);
:show
:clean
UPDATE channel_read_record SET last_read_message_id = -5 WHERE user_id = 102;
:show
:clean
-- A negative id counts above a negative cursor.
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (-4, 1, 101, 4000);
:show
:clean
DELETE FROM channel_read_record WHERE user_id = 102;
:show
:clean
-- A cursor of its own for every reader, in one statement.
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 101, 1, 40), (2, 102, 1, 33), (3, 103, 1, 1001), (4, 104, 1, 5);
:show
:clean
UPDATE channel_read_record SET last_read_message_id = 1001 - last_read_message_id;
:show
:clean
-- The mark moves to another user, to another channel, and back.
UPDATE channel_read_record SET user_id = 105 WHERE user_id = 102;
:show
UPDATE channel_read_record SET channel_id = 2 WHERE user_id = 101;
:show
:clean
UPDATE channel_read_record SET channel_id = 1, user_id = CASE user_id WHEN 105 THEN 102 ELSE user_id END;
:show
:clean
TRUNCATE channel_read_record;
:show
:clean

-- What a message is may change: recalled, restored, system, sender, time, id, channel; deleted.
DELETE FROM message WHERE id <> 30 AND id <> 32;
:show
:clean
UPDATE message SET deleted_at = 1 WHERE id = 32;
:show
UPDATE message SET deleted_at = 0 WHERE id = 32;
:show
:clean
UPDATE message SET message_type = 'system' WHERE id = 32;
:show
UPDATE message SET message_type = 'image' WHERE id = 32;
:show
:clean
UPDATE message SET sender_id = 101 WHERE id = 32;
:show
UPDATE message SET sender_id = 102 WHERE id = 32;
:show
:clean
UPDATE message SET sent_at = 999 WHERE id = 32;
:show
UPDATE message SET sent_at = 1500 WHERE id = 32;
:show
UPDATE message SET sent_at = 3000 WHERE id = 32;
:show
:clean
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 101, 1, 31);
UPDATE message SET id = 31 WHERE id = 32;
:show
UPDATE message SET id = 32 WHERE id = 31;
:show
:clean
UPDATE message SET channel_id = 2 WHERE id = 32;
:show
UPDATE message SET channel_id = 1 WHERE id = 32;
:show
:clean
UPDATE message SET content = 'edited' WHERE id = 32;
:show
:clean
DELETE FROM message WHERE id = 32;
:show
:clean
TRUNCATE message;
:show
:clean
TRUNCATE channel_read_record;

-- Mentions: nobody, one, several, everyone; a message counts once, whatever it says.
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (100, 1, 104, 5000);
:show
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids) VALUES (101, 1, 104, 5000, '{101}');
:show
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids) VALUES (102, 1, 104, 5000, '{103,101,103,999}');
:show
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_all) VALUES (103, 1, 104, 5000, true);
:show
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_all, mention_user_ids) VALUES (104, 1, 104, 5000, true, '{101,102}');
:show
:clean
-- NULL elements and empty arrays mention nobody; arrays of other shapes work by their elements.
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids)
VALUES (105, 1, 104, 5000, '{NULL}'), (106, 1, 104, 5000, '{NULL,102,NULL}'), (107, 1, 104, 5000, '{}'),
       (108, 1, 104, 5000, '[7:8]={101,102}'), (109, 1, 104, 5000, '{{101},{103}}');
:show
:clean
-- Mentioning oneself is nothing; a mention in one's own or a system message, or one from before, is none.
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids, message_type)
VALUES (110, 1, 101, 5000, '{101}', 'text'), (111, 1, 104, 5000, '{101,102,103}', 'system'), (112, 1, 104, 1500, '{102,103}', 'text');
:show
:clean
-- Read marks take mentions along, back and forth.
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 101, 1, 102), (2, 102, 1, 104), (3, 103, 1, 111);
:show
:clean
UPDATE channel_read_record SET last_read_message_id = 101;
:show
:clean
DELETE FROM channel_read_record;
:show
-- Mentions edited into and out of a message.
UPDATE message SET mention_user_ids = '{102}' WHERE id IN (101, 100);
:show
UPDATE message SET mention_all = NOT mention_all WHERE id IN (103, 104);
:show
:clean
UPDATE message SET deleted_at = 1 WHERE id = 102;
:show
:clean
-- Everyone is mentioned but the sender himself, and not who read ahead or joined later than a part of a statement.
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 103, 1, 121);
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_all) VALUES (120, 1, 101, 5000, true), (121, 1, 102, 5000, true), (122, 1, 101, 5000, true);
:show
:clean
UPDATE message SET mention_all = false WHERE id = 122;
:show
UPDATE message SET sent_at = 1999, mention_all = true WHERE id = 122;
:show
UPDATE message SET sent_at = 2000 WHERE id = 122;
:show
:clean
DELETE FROM message WHERE id BETWEEN 120 AND 122;
DELETE FROM channel_read_record;
:show
:clean
-- Who was mentioned joins later: counts from joined_at on.
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids) VALUES (113, 1, 101, 6000, '{105}'), (114, 1, 101, 7000, '{105}');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (15, 1, 105, 7000);
:show
:clean
-- joined_at moves, a member leaves and comes back anew, a mark waits for the member.
UPDATE channel_member SET joined_at = 5000 WHERE user_id = 105;
:show
:clean
UPDATE channel_member SET left_at = 8000 WHERE user_id = 105;
UPDATE channel_member SET left_at = 0 WHERE user_id = 105;
:show
:clean
UPDATE channel_member SET left_at = 8000 WHERE user_id = 105;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (5, 105, 1, 113);
UPDATE channel_member SET left_at = 0, joined_at = 6000 WHERE user_id = 105;
:show
:clean
-- In a single channel it is the same.
INSERT INTO channel (id, channel_type) VALUES (9, 'single');
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids) VALUES (901, 9, 101, 2, '{102}'), (902, 9, 102, 3, '{}'), (903, 9, 102, 4, '{101}');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (91, 9, 101, 2), (92, 9, 102, 3);
SELECT user_id, unread_count, mention_count FROM user_conversation_view WHERE channel_id = 9 ORDER BY 1;
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (904, 9, 101, 5);
SELECT user_id, unread_count, mention_count FROM user_conversation_view WHERE channel_id = 9 ORDER BY 1;
:clean
-- Marking by hand and muting change no counter.
INSERT INTO conversation_setting (user_id, channel_id, marked_unread, is_muted) VALUES (101, 9, true, true);
SELECT user_id, unread_count, mention_count, marked_unread, is_muted FROM user_conversation_view WHERE channel_id = 9 ORDER BY 1;
:clean

SET client_min_messages = warning;
DROP SCHEMA rule5_unread CASCADE;
