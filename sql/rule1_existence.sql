-- Rule 1: when a conversation row exists, who its peer is, and the columns that come from the member.
SELECT hermet.create_tables('rule1_existence');
SET search_path = rule1_existence;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set show 'SELECT id, user_id, channel_id, conversation_type AS type, peer_user_id AS peer, opened_at, created_at FROM user_conversation_view ORDER BY channel_id, user_id;'

-- A group: the channel alone shows nothing, each active member one row.
INSERT INTO channel (id, channel_type) VALUES (1, 'group');
:show
:clean
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)
VALUES (11, 1, 101, 1000, 900), (12, 1, 102, 1001, 901);
:show
:clean

-- A group of one shows (notes to oneself); a single channel with one member does not.
INSERT INTO channel (id, channel_type) VALUES (2, 'group'), (3, 'single');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)
VALUES (21, 2, 101, 1002, 902), (31, 3, 101, 1003, 903);
:show
:clean
-- The second member of the single channel makes both rows.
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)
VALUES (32, 3, 102, 1004, 904);
:show
:clean

-- Members before their channel: nothing, until the channel is there.
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)
VALUES (41, 4, 101, 1005, 905), (42, 4, 103, 1006, 906);
SELECT count(*) FROM user_conversation_view WHERE channel_id = 4;
:clean
INSERT INTO channel (id, channel_type) VALUES (4, 'single');
:show
:clean

-- Leaving takes the leaver's row; the other keeps theirs, and keeps the peer.
UPDATE channel_member SET left_at = 2000 WHERE id = 42;
:show
:clean
-- Both left: none. A negative left_at is not 0 either.
UPDATE channel_member SET left_at = -1 WHERE id = 41;
SELECT count(*) FROM user_conversation_view WHERE channel_id = 4;
:clean
-- Coming back, with a joined_at of one's own choice.
UPDATE channel_member SET left_at = 0, joined_at = 2001 WHERE id = 41;
:show
:clean
-- Coming back without one: joined_at is now, later than anything above.
UPDATE channel_member SET left_at = 0 WHERE id = 42;
SELECT user_id, joined_at > 1700000000000 AS anew, created_at FROM channel_member WHERE id = 42;
SELECT user_id, opened_at > 1700000000000 AS anew, created_at
  FROM user_conversation_view WHERE channel_id = 4 AND user_id = 103;
UPDATE channel_member SET joined_at = 1006 WHERE id = 42;
:show
:clean
-- Inserted as one who left already: no row, but a peer.
INSERT INTO channel (id, channel_type) VALUES (5, 'single');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, left_at, created_at)
VALUES (51, 5, 101, 1007, 0, 907), (52, 5, 104, 1008, 1009, 908);
SELECT user_id, peer_user_id FROM user_conversation_view WHERE channel_id = 5;
:clean
-- Removed altogether: then there is no peer, and no row.
DELETE FROM channel_member WHERE id = 52;
SELECT count(*) FROM user_conversation_view WHERE channel_id = 5;
:clean

-- Only active channels are in an inbox; each status, there and back.
UPDATE channel SET channel_status = 'archived' WHERE id = 1;
SELECT channel_id, user_id FROM user_conversation_view ORDER BY 1, 2;
:clean
UPDATE channel SET channel_status = 'creating' WHERE id = 1;
SELECT count(*) FROM user_conversation_view WHERE channel_id = 1;
UPDATE channel SET channel_status = 'failed' WHERE id = 1;
SELECT count(*) FROM user_conversation_view WHERE channel_id = 1;
UPDATE channel SET channel_status = 'active' WHERE id = 1;
SELECT count(*) FROM user_conversation_view WHERE channel_id = 1;
:clean
-- Inserted with another status: no rows; then activated.
INSERT INTO channel (id, channel_type, channel_status) VALUES (6, 'group', 'creating');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at) VALUES (61, 6, 101, 1, 2);
SELECT count(*) FROM user_conversation_view WHERE channel_id = 6;
UPDATE channel SET channel_status = 'active' WHERE id = 6;
SELECT count(*) FROM user_conversation_view WHERE channel_id = 6;
:clean

-- The type may change: a group of one becomes a single channel without peer, and back.
UPDATE channel SET channel_type = 'single' WHERE id = 6;
SELECT count(*) FROM user_conversation_view WHERE channel_id = 6;
:clean
UPDATE channel SET channel_type = 'group' WHERE id = 6;
SELECT count(*) FROM user_conversation_view WHERE channel_id = 6;
:clean
UPDATE channel SET channel_type = 'single' WHERE id = 1;
SELECT user_id, conversation_type, peer_user_id FROM user_conversation_view WHERE channel_id = 1 ORDER BY 1;
:clean
UPDATE channel SET channel_type = 'group' WHERE id = 1;
SELECT user_id, conversation_type, peer_user_id FROM user_conversation_view WHERE channel_id = 1 ORDER BY 1;
:clean

-- Ids and times of a member are copied when they change.
UPDATE channel_member SET id = 1011, created_at = 800, joined_at = 801 WHERE id = 11;
SELECT id, user_id, opened_at, created_at FROM user_conversation_view WHERE channel_id = 1 ORDER BY 2;
:clean

-- A member moves to another channel, a membership to another user.
UPDATE channel_member SET channel_id = 6 WHERE id = 12;
SELECT channel_id, user_id, peer_user_id FROM user_conversation_view WHERE channel_id IN (1, 6) ORDER BY 1, 2;
:clean
UPDATE channel_member SET user_id = 105 WHERE id = 12;
SELECT channel_id, user_id, peer_user_id FROM user_conversation_view WHERE channel_id IN (1, 6) ORDER BY 1, 2;
:clean

-- The channel's own key changes: its rows go, those of the new id come when members are there.
UPDATE channel SET id = 7 WHERE id = 6;
SELECT channel_id, user_id FROM user_conversation_view WHERE channel_id IN (6, 7) ORDER BY 1, 2;
:clean
UPDATE channel_member SET channel_id = 7 WHERE channel_id = 6;
SELECT channel_id, user_id FROM user_conversation_view WHERE channel_id IN (6, 7) ORDER BY 1, 2;
:clean
DELETE FROM channel WHERE id = 7;
SELECT channel_id, user_id FROM user_conversation_view WHERE channel_id IN (6, 7) ORDER BY 1, 2;
:clean

-- Bad data, several other members in a single channel: an active one is the peer first, then the
-- lowest user_id. A third row is refused, so load it past the triggers and let repair judge.
INSERT INTO channel (id, channel_type) VALUES (8, 'single');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)
VALUES (81, 8, 110, 1, 2), (82, 8, 120, 3, 4);
SELECT testing.plant($$INSERT INTO rule1_existence.channel_member (id, channel_id, user_id, joined_at, left_at, created_at)
                       VALUES (83, 8, 105, 5, 6, 7), (84, 8, 115, 8, 0, 9)$$);
SELECT inserted, updated, deleted FROM hermet.repair('rule1_existence') WHERE table_name = 'user_conversation_view';
SELECT user_id, peer_user_id FROM user_conversation_view WHERE channel_id = 8 ORDER BY 1;
:clean
-- Made good again by deleting the surplus.
DELETE FROM channel_member WHERE id IN (81, 84);
SELECT user_id, peer_user_id FROM user_conversation_view WHERE channel_id = 8 ORDER BY 1;
:clean

SET client_min_messages = warning;
DROP SCHEMA rule1_existence CASCADE;
