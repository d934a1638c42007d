-- Rule 6: the user's own switches, and when a closed conversation comes back.
SELECT hermet.create_tables('rule6_settings');
SET search_path = rule6_settings;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set show 'SELECT user_id AS u, channel_id AS c, is_muted, is_pinned, is_hidden, marked_unread, closed_at FROM user_conversation_view ORDER BY 2, 1;'

INSERT INTO channel (id, channel_type) VALUES (1, 'group'), (2, 'single');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 0), (12, 1, 102, 0), (21, 2, 101, 0), (22, 2, 102, 0);
:show
:clean
-- One switch at a time, for one user and one conversation.
INSERT INTO conversation_setting (user_id, channel_id, is_muted) VALUES (101, 1, true);
:show
UPDATE conversation_setting SET is_pinned = true WHERE user_id = 101 AND channel_id = 1;
:show
UPDATE conversation_setting SET is_hidden = true, is_muted = false WHERE user_id = 101 AND channel_id = 1;
:show
UPDATE conversation_setting SET marked_unread = true WHERE user_id = 101 AND channel_id = 1;
:show
:clean
-- By upsert, in the single channel.
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (101, 2, true)
ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = excluded.is_pinned;
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (101, 2, false), (102, 2, true)
ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = excluded.is_pinned, is_muted = true;
:show
:clean
-- A setting moves to another user, another channel.
UPDATE conversation_setting SET user_id = 102 WHERE user_id = 101 AND channel_id = 1;
:show
UPDATE conversation_setting SET channel_id = 1 WHERE user_id = 101 AND channel_id = 2;
:show
:clean
DELETE FROM conversation_setting WHERE user_id = 102;
:show
TRUNCATE conversation_setting;
:show
:clean

-- Closing an empty conversation: any time later than 0; 0 and less is not closed.
INSERT INTO conversation_setting (user_id, channel_id, closed_at) VALUES (101, 1, 1), (102, 1, 0), (101, 2, -1);
:show
:clean
-- The next message reopens, when it is as late as the closing.
UPDATE conversation_setting SET closed_at = 5000;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (10, 1, 102, 4999), (11, 2, 102, 5000);
:show
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (20, 1, 102, 5001);
:show
:clean
-- Closed again, later; reopened by one's own message, then by a system message.
UPDATE conversation_setting SET closed_at = 6000 WHERE user_id = 101;
:show
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (30, 1, 101, 6001);
:show
UPDATE conversation_setting SET closed_at = 7000 WHERE user_id = 101 AND channel_id = 1;
INSERT INTO message (id, channel_id, sender_id, sent_at, message_type) VALUES (40, 1, 0, 7001, 'system');
:show
:clean
-- Recalling the message that reopened closes again; so does moving its time.
UPDATE message SET deleted_at = 1 WHERE id = 40;
:show
UPDATE message SET deleted_at = 0 WHERE id = 40;
:show
UPDATE message SET sent_at = 6999 WHERE id = 40;
:show
UPDATE message SET sent_at = 7001 WHERE id = 40;
:show
:clean
-- A backdated message below the last one does nothing; one with a higher id and an earlier time closes.
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (35, 1, 102, 9000);
:show
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (50, 1, 102, 6500);
:show
:clean
-- An edit of the text and a rename reopen nothing.
UPDATE message SET content = 'edited' WHERE id = 50;
UPDATE channel SET channel_name = 'renamed' WHERE id = 1;
INSERT INTO biz_user (id, nickname) VALUES (102, 'Bob');
UPDATE biz_user SET nickname = 'Rob' WHERE id = 102;
:show
:clean
-- A hidden conversation stays hidden, and pinned, muted and marked stay, whatever arrives.
UPDATE conversation_setting SET is_hidden = true, is_pinned = true, is_muted = true, marked_unread = true WHERE user_id = 102;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (60, 1, 101, 10000);
:show
:clean
-- Settings survive leaving and coming back, archiving and restoring; they may be there before the row.
UPDATE channel_member SET left_at = 1 WHERE user_id = 102 AND channel_id = 1;
UPDATE channel_member SET left_at = 0 WHERE user_id = 102 AND channel_id = 1;
UPDATE channel SET channel_status = 'archived' WHERE id = 1;
UPDATE channel SET channel_status = 'active' WHERE id = 1;
:show
:clean
INSERT INTO conversation_setting (user_id, channel_id, is_pinned, closed_at) VALUES (103, 1, true, 20000), (103, 3, true, 20000);
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (13, 1, 103, 0), (33, 3, 103, 0);
INSERT INTO channel (id, channel_type) VALUES (3, 'group');
:show
:clean
-- The clock to close with.
UPDATE conversation_setting SET closed_at = hermet.now_ms() WHERE user_id = 103 AND channel_id = 3;
SELECT closed_at > 1700000000000 AS closed FROM user_conversation_view WHERE user_id = 103 AND channel_id = 3;
INSERT INTO message (id, channel_id, sender_id) VALUES (70, 3, 103);
SELECT closed_at FROM user_conversation_view WHERE user_id = 103 AND channel_id = 3;
:clean

SET client_min_messages = warning;
DROP SCHEMA rule6_settings CASCADE;
