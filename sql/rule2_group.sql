-- Rule 2: what a group conversation shows: name, picture and version of the channel, and no peer.
SELECT hermet.create_tables('rule2_group');
SET search_path = rule2_group;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set show 'SELECT user_id, conversation_name AS name, conversation_avatar AS avatar, conversation_info_ver AS ver, peer_user_id, peer_nickname, peer_avatar, peer_status, remark_name, is_starred FROM user_conversation_view ORDER BY channel_id, user_id;'
\pset null '(null)'

INSERT INTO biz_user (id, nickname, avatar) VALUES (101, 'Ann', 'ann.png'), (102, 'Bob', 'bob.png');
INSERT INTO channel (id, channel_type, channel_name, channel_avatar) VALUES (1, 'group', 'Walkers', 'boots.png');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (11, 1, 101), (12, 1, 102);
:show
:clean

-- A friendship between the members, with remark and star, changes nothing in a group.
INSERT INTO friendship (id, user_id, friend_id, remark_name, is_starred) VALUES (1, 101, 102, 'Bobby', true);
:show
:clean

-- A new name, a new picture, both: the version rises by one for each statement.
UPDATE channel SET channel_name = 'Hikers' WHERE id = 1;
:show
:clean
UPDATE channel SET channel_avatar = 'map.png' WHERE id = 1;
:show
:clean
UPDATE channel SET channel_name = 'Climbers', channel_avatar = 'rope.png' WHERE id = 1;
:show
:clean
-- The same again is no change, and neither is another column.
UPDATE channel SET channel_name = 'Climbers', creator_id = 101 WHERE id = 1;
:show
:clean
-- Only the case differs: that is a change.
UPDATE channel SET channel_name = 'CLIMBERS' WHERE id = 1;
:show
:clean
-- A statement that raises the version itself is taken at its word, with or without a new name.
UPDATE channel SET channel_name = 'Sailors', channel_info_ver = 40 WHERE id = 1;
:show
UPDATE channel SET channel_info_ver = 50 WHERE id = 1;
:show
:clean
-- It does not matter in which status or type the channel is.
UPDATE channel SET channel_status = 'archived' WHERE id = 1;
UPDATE channel SET channel_name = 'Divers' WHERE id = 1;
SELECT channel_name, channel_info_ver FROM channel;
UPDATE channel SET channel_status = 'active' WHERE id = 1;
:show
:clean
-- An empty name is an empty name; the widest one fits.
UPDATE channel SET channel_name = '' WHERE id = 1;
:show
UPDATE channel SET channel_name = repeat('𝔘', 128), channel_avatar = repeat('ü', 256) WHERE id = 1;
SELECT user_id, conversation_name = repeat('𝔘', 128) AS name, conversation_avatar = repeat('ü', 256) AS avatar,
       conversation_info_ver AS ver
  FROM user_conversation_view ORDER BY 1;
:clean
-- An insert may start anywhere; a version is 1 when not given.
INSERT INTO channel (id, channel_type, channel_name, channel_info_ver) VALUES (2, 'group', 'Old', 7), (3, 'group', 'New', DEFAULT);
INSERT INTO channel_member (id, channel_id, user_id) VALUES (21, 2, 101), (31, 3, 101);
SELECT channel_id, conversation_name, conversation_info_ver FROM user_conversation_view WHERE channel_id > 1 ORDER BY 1;
:clean
-- Several groups in one statement, each with its own.
UPDATE channel SET channel_name = 'Group ' || id, channel_avatar = id || '.png';
SELECT channel_id, user_id, conversation_name, conversation_avatar, conversation_info_ver FROM user_conversation_view ORDER BY 1, 2;
:clean
-- An upsert is an update of the row that is there.
INSERT INTO channel (id, channel_type, channel_name) VALUES (2, 'group', 'Upserted')
ON CONFLICT (id) DO UPDATE SET channel_name = excluded.channel_name;
SELECT channel_id, user_id, conversation_name, conversation_info_ver FROM user_conversation_view WHERE channel_id = 2;
:clean
-- From single to group: what was shown of the peer goes.
INSERT INTO channel (id, channel_type, channel_name, channel_avatar) VALUES (4, 'single', 'never shown', 'never.png');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (41, 4, 101), (42, 4, 102);
SELECT user_id, conversation_name AS name, conversation_avatar AS avatar, conversation_info_ver AS ver, peer_user_id, peer_nickname, peer_avatar, peer_status, remark_name, is_starred
  FROM user_conversation_view WHERE channel_id = 4 ORDER BY 1;
UPDATE channel SET channel_type = 'group' WHERE id = 4;
SELECT user_id, conversation_name AS name, conversation_avatar AS avatar, conversation_info_ver AS ver, peer_user_id, peer_nickname, peer_avatar, peer_status, remark_name, is_starred
  FROM user_conversation_view WHERE channel_id = 4 ORDER BY 1;
:clean

SET client_min_messages = warning;
DROP SCHEMA rule2_group CASCADE;
