-- Rule 4: the last message, its digest, its time and the name of who sent it.
SELECT hermet.create_tables('rule4_last_message');
SET search_path = rule4_last_message;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set show 'SELECT user_id AS u, last_message_id AS id, last_message_type AS type, last_message_content AS content, last_message_sender_id AS sender, last_message_sender_name AS name, last_message_time AS at FROM user_conversation_view WHERE channel_id = 1 ORDER BY 1;'
\set channel 'SELECT id, last_message_id, last_message_at FROM channel ORDER BY 1;'

INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann'), (102, 'Bob'), (103, 'Cid');
INSERT INTO channel (id, channel_type) VALUES (1, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 0), (12, 1, 102, 0);
-- None yet.
:show
:channel
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (50, 1, 101, 'first', 5000);
:show
:channel
:clean
-- The highest id counts, not the latest time, nor the order of arrival.
INSERT INTO message (id, channel_id, sender_id, content, sent_at, message_type) VALUES (60, 1, 102, 'second', 4000, 'image');
:show
:channel
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (55, 1, 102, 'late arrival', 9000);
:show
:clean
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (71, 1, 101, 'b', 7001), (73, 1, 102, 'd', 7003), (72, 1, 101, 'c', 7002);
:show
:clean
-- Own and system messages are last messages.
INSERT INTO message (id, channel_id, sender_id, content, sent_at, message_type) VALUES (80, 1, 0, 'Cid joined', 8000, 'system');
:show
:clean
-- Edited, retyped, retimed, sender changed.
UPDATE message SET content = 'Cid joined!', message_type = 'notice', sent_at = 8001, sender_id = 102 WHERE id = 80;
:show
:channel
:clean
-- Editing one that is not the last changes nothing.
UPDATE message SET content = 'x', sent_at = 1 WHERE id = 71;
:show
:clean
-- Recalled: the one before it; recall undone; deleted; the rest recalled at once.
UPDATE message SET deleted_at = 8100 WHERE id = 80;
:show
:channel
:clean
UPDATE message SET deleted_at = 0 WHERE id = 80;
:show
:clean
DELETE FROM message WHERE id = 80;
:show
:channel
:clean
-- Inserted as recalled.
INSERT INTO message (id, channel_id, sender_id, content, sent_at, deleted_at) VALUES (90, 1, 101, 'never seen', 9000, 9001);
:show
:clean
UPDATE message SET deleted_at = 1 WHERE id >= 55;
:show
:channel
:clean
DELETE FROM message;
:show
:channel
:clean

-- The digest: the first 512 characters, characters of four bytes too; an edit behind them changes nothing shown.
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (100, 1, 101, repeat('x', 511) || '𝔘𝔙', 1);
SELECT user_id, length(last_message_content), octet_length(last_message_content), right(last_message_content, 2)
  FROM user_conversation_view ORDER BY 1;
:clean
UPDATE message SET content = repeat('𝔘', 600) WHERE id = 100;
SELECT user_id, length(last_message_content), octet_length(last_message_content) FROM user_conversation_view ORDER BY 1;
:clean
UPDATE message SET content = repeat('y', 511) || ' z' WHERE id = 100;
SELECT user_id, length(last_message_content), right(last_message_content, 2) FROM user_conversation_view ORDER BY 1;
:clean
UPDATE message SET content = '' WHERE id = 100;
:show
:clean

-- The sender's name: today's nickname of the user.
UPDATE biz_user SET nickname = 'Anne' WHERE id = 101;
:show
:clean
-- The name in the channel goes before it, also of one who left, and in an archived channel.
UPDATE channel_member SET nickname = 'A.' WHERE id = 11;
:show
:clean
UPDATE biz_user SET nickname = 'Anna' WHERE id = 101;
:show
:clean
UPDATE channel_member SET left_at = 2 WHERE id = 11;
:show
:clean
UPDATE channel_member SET nickname = 'A. (left)' WHERE id = 11;
:show
:clean
UPDATE channel SET channel_status = 'archived' WHERE id = 1;
UPDATE channel_member SET nickname = '' WHERE id = 11;
UPDATE channel SET channel_status = 'active' WHERE id = 1;
:show
:clean
-- Without a member row there is no name, whatever becomes of the user.
DELETE FROM channel_member WHERE id = 11;
:show
:clean
UPDATE biz_user SET deleted_at = 3 WHERE id = 101;
:show
:clean
DELETE FROM biz_user WHERE id = 101;
:show
:clean
INSERT INTO channel_member (id, channel_id, user_id, nickname, joined_at) VALUES (13, 1, 101, 'In the channel', 0);
:show
:clean
UPDATE channel_member SET user_id = 103, nickname = '' WHERE id = 13;
:show
:clean
INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann is back');
:show
:clean
INSERT INTO channel_member (id, channel_id, user_id, left_at) VALUES (14, 1, 101, 1);
:show
:clean
-- Of one who is a member still, a softly deleted user's nickname shows; without the biz_user row: ''.
UPDATE biz_user SET deleted_at = 3 WHERE id = 101;
:show
:clean
DELETE FROM biz_user WHERE id = 101;
:show
:clean
INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann');
-- The sender of the last message changes to somebody with a name elsewhere only.
INSERT INTO channel (id, channel_type) VALUES (2, 'group');
INSERT INTO channel_member (id, channel_id, user_id, nickname, joined_at) VALUES (21, 2, 102, 'Bob of two', 0);
UPDATE message SET sender_id = 102 WHERE id = 100;
:show
:clean

-- A message moves to another channel, and takes the last place there; the time goes along.
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (99, 1, 103, 'before', 99);
UPDATE message SET channel_id = 2 WHERE id = 100;
SELECT channel_id, user_id, last_message_id, last_message_sender_name, last_message_time FROM user_conversation_view ORDER BY 1, 2;
:channel
:clean
-- An id changes so that another becomes the last.
UPDATE message SET id = 10 WHERE id = 100;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (20, 2, 103, 'twenty', 20);
UPDATE message SET id = 30 WHERE id = 10;
SELECT channel_id, user_id, last_message_id, last_message_sender_name, last_message_time FROM user_conversation_view ORDER BY 1, 2;
:channel
:clean
-- channel.last_message_at is kept in channels of every status, with or without members.
INSERT INTO channel (id, channel_type, channel_status) VALUES (3, 'single', 'creating'), (4, 'group', 'failed'), (5, 'group', 'archived');
INSERT INTO message (id, channel_id, sender_id, sent_at) SELECT 1000 + id, id, 101, 2000 + id FROM channel;
:channel
:clean
-- Messages before their channel.
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (1106, 6, 103, 'early', 6);
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (61, 6, 101, 0), (63, 6, 103, 0);
INSERT INTO channel (id, channel_type) VALUES (6, 'group');
SELECT user_id, last_message_id, last_message_content, last_message_sender_name, last_message_time FROM user_conversation_view WHERE channel_id = 6;
:channel
:clean
-- A newcomer sees the last message, though it is from before.
INSERT INTO channel_member (id, channel_id, user_id) VALUES (62, 6, 102);
SELECT user_id, last_message_id, last_message_content, unread_count FROM user_conversation_view WHERE channel_id = 6 ORDER BY 1;
:clean

SET client_min_messages = warning;
DROP SCHEMA rule4_last_message CASCADE;
