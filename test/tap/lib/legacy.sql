-- A legacy user_contact table as an application leaves it after years of keeping it by hand, and beside each row
-- what is to become of it. :singles and :groups say how large, :seed which dice; every kind of dirt has channels
-- of its own. The instance im holds the people, and the messages of every second channel.
CREATE FUNCTION testing.dice(what text, n bigint, sides int) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT abs(hashtextextended(what || n, :seed) % sides)::int $$;

-- Ends in 1: deleted. Ends in 0, and is only in groups: nowhere.
INSERT INTO im.biz_user (id, nickname, avatar, user_status, deleted_at)
SELECT u, 'user ' || u, u || '.png', CASE WHEN u % 10 = 1 THEN 'deleted' ELSE 'active' END::im.user_status_enum, CASE WHEN u % 10 = 1 THEN 5 ELSE 0 END
  FROM generate_series(1, 4009) u WHERE u % 10 <> 0;

CREATE TABLE testing.legacy (
    -- the legacy row
    id bigint, user_id bigint, channel_id bigint, contact_type text, contact_name text, contact_avatar text, peer_user_id bigint,
    last_message_id bigint, last_message_type text, last_message_content text, last_message_sender_id bigint, last_message_sender_name text,
    last_message_time bigint, unread_count int, is_muted boolean, is_pinned boolean, is_hidden boolean,
    joined_at bigint, left_at bigint, created_at bigint, updated_at bigint,
    -- which it is: a single chat's first or second, or which member of a group; clean where dirt is no number below
    place bigint, nth int, dirt int, is_group boolean, in_legacy boolean DEFAULT true,
    -- why it is not carried ('left': left out), and what the inbox is to show where it is
    reason text, name text, avatar text, peer bigint, muted boolean, pinned boolean, hidden boolean, opened_at bigint,
    message_id bigint, unread int, closed boolean DEFAULT false, shown boolean DEFAULT true);
CREATE TABLE testing.remark (legacy_id bigint, channel_id bigint, reason text);

INSERT INTO testing.legacy (id, user_id, channel_id, contact_type, contact_name, contact_avatar, peer_user_id, place, nth, dirt, is_group)
SELECT 2 * s + side, CASE side WHEN 0 THEN a ELSE b END, 1000000 + s, 'single', 'user ' || CASE side WHEN 0 THEN b ELSE a END,
       CASE side WHEN 0 THEN b ELSE a END || '.png', CASE side WHEN 0 THEN b ELSE a END, s, side, (s + :seed) % 81, false
  FROM (SELECT s, testing.dice('one', s, 400) * 10 + r AS a,
               testing.dice('other', s, 400) * 10 + 1 + (r + testing.dice('digit', s, 8)) % 9 AS b
          FROM (SELECT s, 1 + testing.dice('ends', s, 9) AS r FROM generate_series(1, :singles) s) x) pair, generate_series(0, 1) side;
INSERT INTO testing.legacy (id, user_id, channel_id, contact_type, contact_name, contact_avatar, place, nth, dirt, is_group)
SELECT 100000000 + g * 30 + j, 1 + (testing.dice('group', g, 4000) + j * 131) % 4000, 2000000 + g, 'group', 'group ' || g, g || '.jpg', g, j, (g + :seed) % 20, true
  FROM generate_series(1, :groups) g, generate_series(0, 29) j;
UPDATE testing.legacy SET
    unread_count = testing.dice('unread', id, 12), is_muted = testing.dice('muted', id, 5) = 0, is_pinned = testing.dice('pinned', id, 9) = 0,
    is_hidden = testing.dice('hidden', id, 20) = 0, joined_at = 1700000000000 + testing.dice('joined', id, 1000000000), left_at = 0,
    created_at = 1699999990000 + testing.dice('created', id, 10000), updated_at = 1702000000000 + testing.dice('updated', id, 1000000000);

-- Eight messages each: the fourth is the system's, the sixth was recalled; some came before a member did.
INSERT INTO im.message (id, channel_id, sender_id, message_type, content, sent_at, deleted_at)
SELECT channel_id * 100 + k, channel_id, user_id, CASE k WHEN 4 THEN 'system' ELSE 'text' END, 'message ' || k, 1700000000000 + k * 200000000, CASE k WHEN 6 THEN 5 ELSE 0 END
  FROM testing.legacy, generate_series(1, 8) k WHERE channel_id % 2 = 0 AND nth = CASE WHEN is_group THEN k ELSE k % 2 END;
UPDATE testing.legacy t SET last_message_id = t.channel_id * 100 + 8, last_message_type = 'text', last_message_content = 'message 8', last_message_sender_id = s.user_id,
    last_message_sender_name = 'user ' || s.user_id, last_message_time = 1701600000000
  FROM testing.legacy s WHERE s.channel_id = t.channel_id AND s.nth = CASE WHEN t.is_group THEN 8 ELSE 0 END;
UPDATE testing.legacy SET name = contact_name, avatar = contact_avatar, peer = peer_user_id, muted = is_muted, pinned = is_pinned, hidden = is_hidden,
    opened_at = joined_at, message_id = last_message_id;

-- The other of a single chat, where his row is not carried, is a member who has the conversation closed.
CREATE FUNCTION testing.counterpart(of_dirt int, of_nth int) RETURNS void LANGUAGE sql AS $$
INSERT INTO testing.legacy (user_id, channel_id, in_legacy, name, avatar, peer, muted, pinned, hidden, opened_at, message_id, closed, unread_count, is_group)
SELECT t.peer, t.channel_id, false, 'user ' || t.user_id, t.user_id || '.png', t.user_id, false, false, false, t.opened_at, t.message_id, true, 0, false
  FROM testing.legacy t WHERE NOT t.is_group AND t.dirt = of_dirt AND t.nth = of_nth;
INSERT INTO testing.remark SELECT id, channel_id, 'counterpart added' FROM testing.legacy WHERE NOT is_group AND dirt = of_dirt AND nth = of_nth
$$;
-- A further row of the place of another.
CREATE FUNCTION testing.again(of_group boolean, of_dirt int, of_nth int) RETURNS void LANGUAGE sql AS $$
INSERT INTO testing.legacy SELECT (jsonb_populate_record(t, jsonb_build_object('id', 200000000 + t.id, 'nth', 99))).*
  FROM testing.legacy t WHERE t.is_group = of_group AND t.dirt = of_dirt AND t.nth = of_nth
$$;

-- Single chats.
SELECT testing.again(false, 0, 0);
UPDATE testing.legacy SET updated_at = 1700000000000, is_muted = NOT is_muted, reason = 'duplicate' WHERE NOT is_group AND dirt = 0 AND nth = 99;
SELECT testing.again(false, 1, 0);
UPDATE testing.legacy SET reason = 'duplicate' WHERE NOT is_group AND dirt = 1 AND nth = 0;
UPDATE testing.legacy SET updated_at = 1704000000000, is_muted = NOT is_muted, muted = NOT muted WHERE NOT is_group AND dirt = 1 AND nth = 99;
UPDATE testing.legacy SET user_id = NULL, reason = 'no user_id' WHERE NOT is_group AND dirt = 2 AND nth = 1;
SELECT testing.counterpart(2, 0);
SELECT testing.counterpart(3, 0);
UPDATE testing.legacy SET channel_id = NULL, reason = 'no channel_id' WHERE NOT is_group AND dirt = 3 AND nth = 1;
UPDATE testing.legacy SET channel_id = -place * (place % 2), reason = 'no channel_id' WHERE NOT is_group AND dirt = 4;
UPDATE testing.legacy SET contact_type = CASE place % 3 WHEN 0 THEN 'robot' WHEN 1 THEN '' END, reason = 'contact_type unknown' WHERE NOT is_group AND dirt = 5 AND nth = 0;
SELECT testing.counterpart(5, 1);
SELECT testing.again(false, 6, 1);
-- A third person's number may be lower or higher than those of the two: 10 is nobody else's here.
UPDATE testing.legacy SET user_id = CASE place % 2 WHEN 0 THEN 10 ELSE 4002 + place % 8 END, reason = 'third person' WHERE NOT is_group AND dirt = 6 AND nth = 99;
DELETE FROM testing.legacy WHERE NOT is_group AND dirt IN (7, 8, 9) AND nth = 1;
UPDATE testing.legacy SET peer_user_id = user_id, reason = 'chat with oneself' WHERE NOT is_group AND dirt = 7;
UPDATE testing.legacy SET peer_user_id = NULL, reason = 'no peer' WHERE NOT is_group AND dirt = 8;
SELECT testing.counterpart(9, 0);
UPDATE testing.legacy SET left_at = 1701000000000, reason = 'left' WHERE NOT is_group AND dirt = 10 AND nth = 1 OR NOT is_group AND dirt = 11;
UPDATE testing.legacy SET peer_user_id = CASE nth WHEN 1 THEN 0 END WHERE NOT is_group AND dirt = 12;
UPDATE testing.legacy SET updated_at = 1704000000000 WHERE NOT is_group AND dirt IN (13, 14) AND nth = 0;
UPDATE testing.legacy SET peer_user_id = CASE place % 2 WHEN 0 THEN 10 ELSE 4002 + place % 8 END WHERE NOT is_group AND dirt = 13 AND nth = 1;
INSERT INTO testing.remark SELECT id, channel_id, 'peer differs' FROM testing.legacy WHERE NOT is_group AND dirt = 13 AND nth = 1;
UPDATE testing.legacy SET contact_type = 'group', reason = 'contact_type conflict' WHERE NOT is_group AND dirt = 14 AND nth = 1;
SELECT testing.counterpart(14, 0);
-- 15 to 17: ids that are taken, twice there, none.
INSERT INTO im.channel (id, channel_type) VALUES (3000000, 'group');
INSERT INTO im.channel_member (id, channel_id, user_id) SELECT id, 3000000, 5000000 + place FROM testing.legacy WHERE NOT is_group AND dirt = 15 AND nth = 0;
UPDATE testing.legacy SET id = id - 1 WHERE NOT is_group AND dirt = 16 AND nth = 1;
UPDATE testing.legacy SET id = CASE place % 3 WHEN 0 THEN 0 WHEN 1 THEN -place END WHERE NOT is_group AND dirt = 17 AND nth = 0;
INSERT INTO testing.remark SELECT id, channel_id, 'id replaced' FROM testing.legacy WHERE NOT is_group AND dirt IN (15, 16, 17) AND nth = 0;
-- 18 to 20: times.
UPDATE testing.legacy SET joined_at = CASE dirt WHEN 18 THEN -5 ELSE 99999999999999 END, opened_at = created_at WHERE NOT is_group AND dirt IN (18, 19) AND nth = 0;
INSERT INTO testing.remark SELECT id, channel_id, 'time not plausible' FROM testing.legacy WHERE NOT is_group AND dirt IN (18, 19) AND nth = 0;
UPDATE testing.legacy SET joined_at = joined_at / 1000, created_at = created_at / 1000, updated_at = updated_at / 1000, opened_at = joined_at / 1000 * 1000
 WHERE NOT is_group AND dirt = 20;
UPDATE testing.legacy SET unread_count = CASE dirt WHEN 21 THEN 500 ELSE -3 END WHERE NOT is_group AND dirt IN (21, 22);
-- 23, 24, 34: names and pictures that are not the peer's.
UPDATE testing.legacy SET contact_name = CASE dirt WHEN 23 THEN repeat('long ', 200) ELSE 'my friend' END WHERE NOT is_group AND dirt IN (23, 34) AND nth = 0;
INSERT INTO testing.remark SELECT id, channel_id, 'name differs' FROM testing.legacy WHERE NOT is_group AND dirt IN (23, 34) AND nth = 0;
UPDATE testing.legacy SET contact_avatar = repeat('x', 300) WHERE NOT is_group AND dirt = 24 AND nth = 0;
INSERT INTO testing.remark SELECT id, channel_id, 'avatar differs' FROM testing.legacy WHERE NOT is_group AND dirt = 24 AND nth = 0;
-- 25: a peer whom nobody wrote.
UPDATE testing.legacy SET user_id = CASE nth WHEN 1 THEN 7000000 + place ELSE user_id END, peer_user_id = CASE nth WHEN 0 THEN 7000000 + place ELSE peer_user_id END,
    contact_name = CASE nth WHEN 0 THEN 'somebody ' || place ELSE contact_name END, name = CASE nth WHEN 0 THEN 'somebody ' || place ELSE name END,
    peer = CASE nth WHEN 0 THEN 7000000 + place ELSE peer END, last_message_sender_id = 7000000 + place WHERE NOT is_group AND dirt = 25;
-- 26 to 28: what applications wrote wins.
INSERT INTO im.channel (id, channel_type) SELECT channel_id, 'single' FROM testing.legacy WHERE NOT is_group AND dirt = 26 AND nth = 0;
INSERT INTO im.channel_member (id, channel_id, user_id, joined_at) SELECT 300000000 + id, channel_id, user_id, 5 FROM testing.legacy WHERE NOT is_group AND dirt = 26;
INSERT INTO im.conversation_setting (user_id, channel_id, is_muted) SELECT user_id, channel_id, NOT is_muted FROM testing.legacy WHERE NOT is_group AND dirt = 26 AND nth = 0;
INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id) SELECT id, user_id, channel_id, 1000000000000 FROM testing.legacy WHERE NOT is_group AND dirt = 26 AND nth = 0;
UPDATE testing.legacy SET opened_at = 5 WHERE NOT is_group AND dirt = 26;
UPDATE testing.legacy SET muted = NOT is_muted, pinned = false, hidden = false, unread = 0 WHERE NOT is_group AND dirt = 26 AND nth = 0;
INSERT INTO testing.remark SELECT id, channel_id, 'id replaced' FROM testing.legacy WHERE NOT is_group AND dirt = 26;
INSERT INTO testing.remark SELECT id, channel_id, 'settings differ' FROM testing.legacy WHERE NOT is_group AND dirt = 26 AND nth = 0;
INSERT INTO im.channel_member (id, channel_id, user_id, left_at) SELECT 300000000 + id, channel_id, user_id, 77 FROM testing.legacy WHERE NOT is_group AND dirt = 27 AND nth = 0;
UPDATE testing.legacy SET reason = 'has left' WHERE NOT is_group AND dirt = 27 AND nth = 0;
INSERT INTO im.channel (id, channel_type) SELECT channel_id, 'group' FROM testing.legacy WHERE NOT is_group AND dirt = 28 AND nth = 0;
UPDATE testing.legacy SET reason = 'contact_type conflict' WHERE NOT is_group AND dirt = 28;
-- 29 to 33: last messages, of channels without messages.
INSERT INTO im.message (id, channel_id, sender_id) SELECT last_message_id, 3000000, 1 FROM testing.legacy WHERE NOT is_group AND dirt = 29 AND nth = 0 AND channel_id % 2 = 1;
UPDATE testing.legacy SET last_message_time = NULL WHERE NOT is_group AND dirt = 30 AND channel_id % 2 = 1;
UPDATE testing.legacy SET last_message_type = repeat('x', 40) WHERE NOT is_group AND dirt = 31 AND channel_id % 2 = 1;
UPDATE testing.legacy SET message_id = 0 WHERE NOT is_group AND dirt IN (29, 30, 31) AND channel_id % 2 = 1;
INSERT INTO testing.remark SELECT id, channel_id, 'last message not carried' FROM testing.legacy WHERE NOT is_group AND dirt IN (29, 30, 31) AND channel_id % 2 = 1;
UPDATE testing.legacy SET last_message_id = last_message_id - 5, last_message_content = 'stale' WHERE NOT is_group AND dirt = 32 AND nth = 1;
UPDATE testing.legacy SET last_message_type = 'system', last_message_sender_id = NULL WHERE NOT is_group AND dirt = 33 AND channel_id % 2 = 1;
UPDATE testing.legacy SET contact_name = NULL, contact_avatar = NULL, last_message_id = NULL, last_message_type = NULL, last_message_content = NULL, last_message_sender_id = NULL,
    last_message_time = NULL, unread_count = NULL, is_muted = NULL, is_pinned = NULL, is_hidden = NULL, joined_at = NULL, left_at = NULL, created_at = NULL, updated_at = NULL,
    opened_at = 0, muted = false, pinned = false, hidden = false WHERE NOT is_group AND dirt = 35 AND nth = 0;
UPDATE testing.legacy SET user_id = -7 * (place % 2), reason = 'no user_id' WHERE NOT is_group AND dirt = 36 AND nth = 1;
SELECT testing.counterpart(36, 0);
UPDATE testing.legacy SET contact_type = CASE nth WHEN 0 THEN '1' ELSE ' Single' END WHERE NOT is_group AND dirt = 37;

-- Groups.
UPDATE testing.legacy SET contact_name = 'old name' WHERE is_group AND dirt = 0 AND nth % 10 = 0;
INSERT INTO testing.remark SELECT id, channel_id, 'name differs' FROM testing.legacy WHERE is_group AND (dirt = 0 AND nth % 10 = 0 OR dirt IN (1, 8));
UPDATE testing.legacy SET contact_name = repeat('n', 200), name = repeat('n', 128) WHERE is_group AND dirt = 1;
UPDATE testing.legacy SET contact_avatar = repeat('n', 300), avatar = '' WHERE is_group AND dirt = 2;
INSERT INTO testing.remark SELECT id, channel_id, 'avatar differs' FROM testing.legacy WHERE is_group AND dirt = 2;
UPDATE testing.legacy SET contact_type = 'single', reason = 'contact_type conflict' WHERE is_group AND dirt = 3 AND nth = 5;
UPDATE testing.legacy SET left_at = -1, reason = 'left' WHERE is_group AND (dirt = 4 AND nth % 3 = 0 OR dirt = 5);
SELECT testing.again(true, 6, 7);
UPDATE testing.legacy SET updated_at = NULL, reason = 'duplicate' WHERE is_group AND dirt = 6 AND nth = 99;
INSERT INTO im.channel (id, channel_type, channel_status) SELECT channel_id, 'group', 'archived' FROM testing.legacy WHERE is_group AND dirt = 7 AND nth = 0;
UPDATE testing.legacy SET shown = false WHERE is_group AND dirt = 7;
INSERT INTO testing.remark SELECT id, channel_id, 'not shown' FROM testing.legacy WHERE is_group AND dirt = 7;
INSERT INTO im.channel (id, channel_type, channel_name, channel_avatar) SELECT channel_id, 'group', 'renamed', contact_avatar FROM testing.legacy WHERE is_group AND dirt = 8 AND nth = 0;
UPDATE testing.legacy SET name = 'renamed' WHERE is_group AND dirt = 8;
UPDATE testing.legacy SET last_message_id = last_message_id - 5 WHERE is_group AND dirt = 9 AND nth % 2 = 0;
UPDATE testing.legacy SET contact_type = CASE nth % 2 WHEN 0 THEN '2' ELSE 'GROUP ' END WHERE is_group AND dirt = 10;

CREATE SCHEMA legacy;
CREATE TABLE legacy.user_contact AS
SELECT id, user_id, channel_id, contact_type, contact_name, contact_avatar, peer_user_id, last_message_id, last_message_type, last_message_content, last_message_sender_id,
       last_message_sender_name, last_message_time, unread_count, is_muted, is_pinned, is_hidden, joined_at, left_at, created_at, updated_at
  FROM testing.legacy WHERE in_legacy ORDER BY testing.dice('order', coalesce(id, place), 1000000);
ANALYZE legacy.user_contact;
