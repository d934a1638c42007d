/*
 * The copy that the consumer keeps: what it needs of the write side, both views, and how far it has come. Written
 * from the contract alone (the numbers are those of its rules), with plain types: whoever consumes the stream
 * has neither hermet nor its enums.
 */

-- How far: every transaction that was committed up to here is in this copy, and none behind it.
CREATE TABLE progress (
    position pg_lsn NOT NULL,
    events   bigint NOT NULL,  -- applied since the first copy
    only_row boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (only_row)
);

CREATE TABLE biz_user (
    id bigint PRIMARY KEY, nickname text, avatar text, mobile text, info_ver int, user_status text, deleted_at bigint);
CREATE TABLE channel (
    id bigint PRIMARY KEY, channel_name text, channel_type text, channel_avatar text, channel_status text,
    channel_info_ver int);
CREATE TABLE channel_member (
    id bigint, channel_id bigint, user_id bigint, nickname text, joined_at bigint, left_at bigint, created_at bigint,
    PRIMARY KEY (channel_id, user_id));
CREATE TABLE channel_read_record (
    user_id bigint, channel_id bigint, last_read_message_id bigint, PRIMARY KEY (user_id, channel_id));
CREATE TABLE friendship (
    id bigint, user_id bigint, friend_id bigint, remark_name text, source text, tags text[], group_name text,
    is_starred boolean, is_blocked boolean, added_at bigint, deleted_at bigint, created_at bigint,
    PRIMARY KEY (user_id, friend_id));
CREATE INDEX ON friendship (friend_id);
CREATE TABLE message (
    id bigint, channel_id bigint, sender_id bigint, message_type text, content text, mention_user_ids bigint[],
    mention_all boolean, sent_at bigint, deleted_at bigint, PRIMARY KEY (channel_id, id));
CREATE TABLE conversation_setting (
    user_id bigint, channel_id bigint, is_muted boolean, is_pinned boolean, is_hidden boolean, closed_at bigint,
    marked_unread boolean, PRIMARY KEY (user_id, channel_id));

-- Of each table its key; partitions go by the first column.
CREATE TABLE kept (table_name text PRIMARY KEY, key text[] NOT NULL);
INSERT INTO kept VALUES
    ('biz_user', '{id}'), ('channel', '{id}'), ('channel_member', '{channel_id,user_id}'),
    ('channel_read_record', '{user_id,channel_id}'), ('friendship', '{user_id,friend_id}'),
    ('message', '{channel_id,id}'), ('conversation_setting', '{user_id,channel_id}');

-- Rules 1 to 6.
CREATE VIEW conversation_rules AS
SELECT me.id, me.user_id, me.channel_id,
       c.channel_type AS conversation_type,
       CASE WHEN c.channel_type = 'group' THEN c.channel_name
            ELSE coalesce(nullif(friend.remark_name, ''), peer.nickname, '') END AS conversation_name,
       CASE WHEN c.channel_type = 'group' THEN c.channel_avatar ELSE coalesce(peer.avatar, '') END AS conversation_avatar,
       CASE WHEN c.channel_type = 'group' THEN c.channel_info_ver ELSE coalesce(peer.info_ver, 1) END AS conversation_info_ver,
       other.user_id AS peer_user_id,
       CASE c.channel_type WHEN 'single' THEN coalesce(peer.nickname, '') END AS peer_nickname,
       CASE c.channel_type WHEN 'single' THEN coalesce(peer.avatar, '') END AS peer_avatar,
       CASE c.channel_type WHEN 'single' THEN
           CASE WHEN peer.deleted_at <> 0 THEN 'deleted' ELSE coalesce(peer.user_status, 'active') END END AS peer_status,
       CASE c.channel_type WHEN 'single' THEN coalesce(friend.remark_name, '') END AS remark_name,
       coalesce(setting.is_muted, false) AS is_muted,
       coalesce(setting.is_pinned, false) AS is_pinned,
       coalesce(setting.is_hidden, false) AS is_hidden,
       coalesce(friend.is_starred, false) AS is_starred,
       coalesce(setting.marked_unread, false) AS marked_unread,
       coalesce(last.id, 0) AS last_message_id,
       coalesce(last.message_type, '') AS last_message_type,
       coalesce(left(last.content, 512), '') AS last_message_content,
       coalesce(last.sender_id, 0) AS last_message_sender_id,
       coalesce(nullif(sender.nickname, ''), sender_user.nickname, '') AS last_message_sender_name,
       coalesce(last.sent_at, 0) AS last_message_time,
       coalesce(cursor.last_read_message_id, 0) AS last_read_message_id,
       unread.messages AS unread_count,
       unread.mentions AS mention_count,
       me.joined_at AS opened_at,
       CASE WHEN setting.closed_at > coalesce(last.sent_at, 0) THEN setting.closed_at ELSE 0 END AS closed_at,
       me.created_at,
       -- As it is in large inboxes; whose are large, the stream does not say.
       greatest(last.sent_at, me.joined_at, 0) / 3600000 + 1 AS list_hour
  FROM channel_member me
  JOIN channel c ON c.id = me.channel_id
  LEFT JOIN LATERAL (SELECT o.user_id FROM channel_member o
                      WHERE c.channel_type = 'single' AND o.channel_id = me.channel_id AND o.user_id <> me.user_id
                      ORDER BY (o.left_at = 0) DESC, o.user_id LIMIT 1) other ON true
  LEFT JOIN biz_user peer ON peer.id = other.user_id
  LEFT JOIN friendship friend ON friend.user_id = me.user_id AND friend.friend_id = other.user_id AND friend.deleted_at = 0
  LEFT JOIN conversation_setting setting ON setting.user_id = me.user_id AND setting.channel_id = me.channel_id
  LEFT JOIN channel_read_record cursor ON cursor.user_id = me.user_id AND cursor.channel_id = me.channel_id
  LEFT JOIN LATERAL (SELECT * FROM message WHERE channel_id = me.channel_id AND deleted_at = 0
                      ORDER BY id DESC LIMIT 1) last ON true
  LEFT JOIN channel_member sender ON sender.channel_id = me.channel_id AND sender.user_id = last.sender_id
  LEFT JOIN biz_user sender_user ON sender_user.id = sender.user_id
 CROSS JOIN LATERAL (SELECT count(*)::int AS messages,
                            count(*) FILTER (WHERE mention_all OR me.user_id = ANY (mention_user_ids))::int AS mentions
                       FROM message
                      WHERE channel_id = me.channel_id AND id > coalesce(cursor.last_read_message_id, 0)
                        AND sender_id <> me.user_id AND sent_at >= me.joined_at AND deleted_at = 0
                        AND message_type <> 'system') unread
 WHERE me.left_at = 0 AND c.channel_status = 'active' AND (c.channel_type = 'group' OR other.user_id IS NOT NULL);

-- Rule 7.
CREATE VIEW contact_rules AS
SELECT f.id, f.user_id, f.friend_id AS contact_id,
       coalesce(u.nickname, '') AS contact_nickname,
       coalesce(u.avatar, '') AS contact_avatar,
       coalesce(u.info_ver, 1) AS contact_info_ver,
       f.remark_name, f.group_name, f.tags, f.is_starred, f.is_blocked,
       coalesce(u.mobile, '') AS mobile,
       f.source, f.added_at, f.deleted_at, f.created_at
  FROM friendship f
  LEFT JOIN biz_user u ON u.id = f.friend_id
 WHERE f.deleted_at = 0 AND (u.id IS NULL OR u.deleted_at = 0 AND u.user_status <> 'deleted');

CREATE TABLE user_conversation_view AS TABLE conversation_rules WITH NO DATA;
ALTER TABLE user_conversation_view ADD PRIMARY KEY (channel_id, user_id);
CREATE INDEX ON user_conversation_view (user_id);
CREATE INDEX ON user_conversation_view (peer_user_id);
CREATE INDEX ON user_conversation_view (last_message_sender_id);
CREATE TABLE user_contact_view AS TABLE contact_rules WITH NO DATA;
ALTER TABLE user_contact_view ADD PRIMARY KEY (user_id, contact_id);

-- What has to be derived anew before the commit. No user: all rows of the channel. The tables are of the session
-- (see start_session); what an event adds to them follows from which rows could show what it changed.
CREATE FUNCTION note(table_name text, key jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    of_channel bigint := key ->> 'channel_id';
    of_user bigint := key ->> 'user_id';
BEGIN
    CASE table_name
    WHEN 'channel' THEN
        INSERT INTO changed_conversation VALUES ((key ->> 'id')::bigint, NULL);
    WHEN 'channel_member', 'message' THEN
        INSERT INTO changed_conversation VALUES (of_channel, NULL);
    WHEN 'channel_read_record', 'conversation_setting' THEN
        INSERT INTO changed_conversation VALUES (of_channel, of_user);
    WHEN 'friendship' THEN
        INSERT INTO changed_contact VALUES (of_user, (key ->> 'friend_id')::bigint);
        INSERT INTO changed_conversation
        SELECT v.channel_id, v.user_id FROM user_conversation_view v
         WHERE v.user_id = of_user AND v.peer_user_id = (key ->> 'friend_id')::bigint;
    WHEN 'biz_user' THEN
        INSERT INTO changed_contact SELECT f.user_id, f.friend_id FROM friendship f WHERE f.friend_id = (key ->> 'id')::bigint;
        INSERT INTO changed_conversation
        SELECT v.channel_id, v.user_id FROM user_conversation_view v
         WHERE (key ->> 'id')::bigint IN (v.peer_user_id, v.last_message_sender_id);
    END CASE;
END
$$;

CREATE FUNCTION note_all() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changed_conversation
    SELECT channel_id, NULL::bigint FROM channel_member UNION SELECT channel_id, NULL FROM user_conversation_view;
    INSERT INTO changed_contact
    SELECT user_id, friend_id FROM friendship UNION SELECT user_id, contact_id FROM user_contact_view;
END
$$;

-- One event. An insert and an update are the same: the row is now so. Deletes come before the inserts of a statement.
CREATE FUNCTION apply_event(of_table text, operation text, key jsonb, new_values jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    key_columns text[] := (SELECT k.key FROM kept k WHERE k.table_name = of_table);
BEGIN
    IF key_columns IS NULL THEN
        RETURN; -- a table that no view shows
    END IF;
    IF operation = 'truncate' THEN
        -- Of a partition the key says which rows are gone.
        EXECUTE format('DELETE FROM %I WHERE $1 IS NULL OR %I %% ($1 ->> ''modulus'')::bigint = ($1 ->> ''remainder'')::bigint',
                       of_table, key_columns[1]) USING key;
        PERFORM note_all();
        RETURN;
    END IF;
    EXECUTE format('DELETE FROM %I WHERE %s', of_table,
                   (SELECT string_agg(format('%1$I = ($1 ->> %1$L)::bigint', c), ' AND ') FROM unnest(key_columns) c)) USING key;
    IF operation <> 'delete' THEN
        EXECUTE format('INSERT INTO %1$I SELECT * FROM jsonb_populate_record(NULL::%1$I, $1)', of_table) USING new_values;
    END IF;
    PERFORM note(of_table, key);
END
$$;

-- Derives what was noted, key by key (OFFSET 0: never all rows first). Afterwards both views are what the rules say,
-- and the transaction may commit.
CREATE FUNCTION refresh() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM user_conversation_view v USING changed_conversation k
     WHERE v.channel_id = k.channel_id AND (k.user_id IS NULL OR v.user_id = k.user_id);
    INSERT INTO user_conversation_view
    SELECT r.* FROM (SELECT DISTINCT m.channel_id, m.user_id FROM changed_conversation k
                       JOIN channel_member m ON m.channel_id = k.channel_id AND (k.user_id IS NULL OR m.user_id = k.user_id)) k
     CROSS JOIN LATERAL (SELECT * FROM conversation_rules v
                          WHERE v.channel_id = k.channel_id AND v.user_id = k.user_id OFFSET 0) r;
    DELETE FROM user_contact_view v USING changed_contact k WHERE (v.user_id, v.contact_id) = (k.user_id, k.friend_id);
    INSERT INTO user_contact_view
    SELECT r.* FROM (SELECT DISTINCT user_id, friend_id FROM changed_contact) k
     CROSS JOIN LATERAL (SELECT * FROM contact_rules v
                          WHERE v.user_id = k.user_id AND v.contact_id = k.friend_id OFFSET 0) r;
    DELETE FROM changed_conversation;
    DELETE FROM changed_contact;
END
$$;

CREATE FUNCTION start_session() RETURNS void LANGUAGE sql AS $$
    CREATE TEMPORARY TABLE changed_conversation (channel_id bigint, user_id bigint) ON COMMIT DELETE ROWS;
    CREATE TEMPORARY TABLE changed_contact (user_id bigint, friend_id bigint) ON COMMIT DELETE ROWS;
$$;
