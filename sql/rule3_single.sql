-- Rule 3: what a single conversation shows of the peer: the peer's own fields, remark and star.
SELECT hermet.create_tables('rule3_single');
SET search_path = rule3_single;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set show 'SELECT user_id, conversation_name AS name, conversation_avatar AS avatar, conversation_info_ver AS ver, peer_user_id AS peer, peer_nickname, peer_avatar, peer_status AS status, remark_name AS remark, is_starred AS starred FROM user_conversation_view ORDER BY channel_id, user_id;'

-- No biz_user row yet: empty, active, version 1.
INSERT INTO channel (id, channel_type, channel_name, channel_avatar, channel_info_ver) VALUES (1, 'single', 'not shown', 'not.png', 9);
INSERT INTO channel_member (id, channel_id, user_id) VALUES (11, 1, 101), (12, 1, 102);
:show
:clean
-- They arrive one by one.
INSERT INTO biz_user (id, nickname, avatar, mobile) VALUES (102, 'Bob', 'bob.png', '222');
:show
:clean
INSERT INTO biz_user (id, nickname, avatar, info_ver) VALUES (101, 'Ann', 'ann.png', 5);
:show
:clean

-- Each displayed field raises the version by one, and is shown.
UPDATE biz_user SET nickname = 'Robert' WHERE id = 102;
:show
:clean
UPDATE biz_user SET avatar = 'robert.png' WHERE id = 102;
:show
:clean
UPDATE biz_user SET mobile = '223' WHERE id = 102;
:show
:clean
UPDATE biz_user SET user_status = 'disabled' WHERE id = 102;
:show
:clean
UPDATE biz_user SET deleted_at = 5000 WHERE id = 102;
:show
:clean
-- The other columns do not; nor does writing the same again.
UPDATE biz_user SET email = 'b@x', passwd = 'p', gender = 'male', region = 'r', birthday = 1, tagline = 't', updated_at = 2,
       nickname = 'Robert', avatar = 'robert.png', mobile = '223', user_status = 'disabled', deleted_at = 5000 WHERE id = 102;
:show
:clean
-- Several at once raise it once; deleted_at back to 0 shows the status again.
UPDATE biz_user SET deleted_at = 0, nickname = 'Bob', avatar = 'bob.png' WHERE id = 102;
:show
:clean
UPDATE biz_user SET user_status = 'deleted' WHERE id = 102;
:show
:clean
-- Raised by the statement itself: taken as it is.
UPDATE biz_user SET user_status = 'active', info_ver = 100 WHERE id = 102;
:show
UPDATE biz_user SET info_ver = info_ver + 1 WHERE id = 102;
:show
:clean

-- The friendship u -> peer gives remark and star; the one back does not.
INSERT INTO friendship (id, user_id, friend_id, remark_name, is_starred) VALUES (1, 101, 102, 'Bobby', true);
:show
:clean
INSERT INTO friendship (id, user_id, friend_id) VALUES (2, 102, 101);
:show
:clean
-- The nickname changes behind the remark.
UPDATE biz_user SET nickname = 'Roberto' WHERE id = 102;
:show
:clean
-- Remark off, on again; star off.
UPDATE friendship SET remark_name = '' WHERE id = 1;
:show
:clean
UPDATE friendship SET remark_name = 'Bobby', is_starred = false WHERE id = 1;
:show
:clean
-- Only the live friendship counts.
UPDATE friendship SET deleted_at = 6000, is_starred = true WHERE id = 1;
:show
:clean
UPDATE friendship SET deleted_at = 0 WHERE id = 1;
:show
:clean
DELETE FROM friendship WHERE id = 1;
:show
:clean
-- Inserted as deleted; then its key moves here and away.
INSERT INTO friendship (id, user_id, friend_id, remark_name, deleted_at) VALUES (3, 101, 102, 'gone', 7000);
:show
:clean
DELETE FROM friendship WHERE id = 3;
INSERT INTO friendship (id, user_id, friend_id, remark_name, is_starred) VALUES (4, 101, 109, 'Moved', true);
:show
UPDATE friendship SET friend_id = 102 WHERE id = 4;
:show
:clean
UPDATE friendship SET user_id = 109 WHERE id = 4;
:show
:clean
-- Both remarks in one statement.
UPDATE friendship SET user_id = 101, friend_id = 102 WHERE id = 4;
UPDATE friendship SET remark_name = 'remark of ' || user_id, is_starred = true;
:show
:clean
-- Blocking and a deleted peer leave the conversation as it is, but for the status.
UPDATE friendship SET is_blocked = true;
UPDATE biz_user SET deleted_at = 8000 WHERE id = 102;
:show
:clean
-- The biz_user row goes, comes back, changes its id.
DELETE FROM biz_user WHERE id = 102;
:show
:clean
INSERT INTO biz_user (id, nickname, avatar) VALUES (103, 'Cid', 'cid.png');
UPDATE biz_user SET id = 102 WHERE id = 103;
:show
:clean
UPDATE biz_user SET id = 103 WHERE id = 102;
:show
:clean
-- Two ids exchanged in one statement.
INSERT INTO biz_user (id, nickname, avatar) VALUES (102, 'Bob', 'bob.png');
UPDATE biz_user SET id = -id;
UPDATE biz_user SET id = CASE id WHEN -101 THEN 102 WHEN -102 THEN 101 ELSE 103 END;
:show
:clean
-- A peer in several channels, and in several inboxes.
INSERT INTO channel (id, channel_type) VALUES (2, 'single'), (3, 'single');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (21, 2, 103), (22, 2, 102), (31, 3, 101), (32, 3, 102);
UPDATE biz_user SET nickname = nickname || '!';
SELECT channel_id, user_id, conversation_name AS name, conversation_info_ver AS ver FROM user_conversation_view ORDER BY 1, 2;
:clean
-- A group becomes a single channel.
INSERT INTO channel (id, channel_type, channel_name) VALUES (4, 'group', 'Two');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (41, 4, 101), (42, 4, 102);
UPDATE channel SET channel_type = 'single' WHERE id = 4;
SELECT user_id, conversation_name AS name, conversation_avatar AS avatar, conversation_info_ver AS ver, peer_user_id AS peer, peer_nickname, peer_avatar, peer_status AS status, remark_name AS remark, is_starred AS starred
  FROM user_conversation_view WHERE channel_id = 4 ORDER BY 1;
:clean

SET client_min_messages = warning;
DROP SCHEMA rule3_single CASCADE;
