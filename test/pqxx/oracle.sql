-- The read side's rules, written a second time from their text alone, and compared both ways with
-- what is stored. No row = equal. Every column counts but updated_at.
--
--   psql -v schema=im -f oracle.sql
--
-- Written for being read beside the rules (their numbers stand here), not for speed. It shares no line with
-- the extension's own definition: two readings of one text must agree.
WITH
-- Rule 4: the last message of each channel.
last_message AS (
    SELECT DISTINCT ON (m.channel_id) m.*
    FROM :"schema".message m
    WHERE m.deleted_at = 0
    ORDER BY m.channel_id, m.id DESC
),
-- Rules 1 to 6.
conversation AS (
    SELECT cm.id, cm.user_id, cm.channel_id,
        c.channel_type AS conversation_type,
        CASE WHEN c.channel_type = 'group' THEN c.channel_name
             WHEN f.remark_name <> '' THEN f.remark_name
             ELSE coalesce(pu.nickname, '') END AS conversation_name,
        CASE WHEN c.channel_type = 'group' THEN c.channel_avatar
             ELSE coalesce(pu.avatar, '') END AS conversation_avatar,
        CASE WHEN c.channel_type = 'group' THEN c.channel_info_ver
             ELSE coalesce(pu.info_ver, 1) END AS conversation_info_ver,
        peer.user_id AS peer_user_id,
        CASE WHEN c.channel_type = 'single' THEN coalesce(pu.nickname, '') END AS peer_nickname,
        CASE WHEN c.channel_type = 'single' THEN coalesce(pu.avatar, '') END AS peer_avatar,
        CASE WHEN c.channel_type = 'group' THEN NULL
             WHEN pu.deleted_at <> 0 THEN 'deleted'
             ELSE coalesce(pu.user_status::text, 'active') END AS peer_status,
        CASE WHEN c.channel_type = 'single' THEN coalesce(f.remark_name, '') END AS remark_name,
        coalesce(s.is_muted, false) AS is_muted,
        coalesce(s.is_pinned, false) AS is_pinned,
        coalesce(s.is_hidden, false) AS is_hidden,
        c.channel_type = 'single' AND coalesce(f.is_starred, false) AS is_starred,
        coalesce(s.marked_unread, false) AS marked_unread,
        coalesce(l.id, 0) AS last_message_id,
        coalesce(l.message_type, '') AS last_message_type,
        coalesce(substring(l.content FROM 1 FOR 512), '') AS last_message_content,
        coalesce(l.sender_id, 0) AS last_message_sender_id,
        coalesce(nullif(sm.nickname, ''), su.nickname, '') AS last_message_sender_name,
        coalesce(l.sent_at, 0) AS last_message_time,
        coalesce(r.last_read_message_id, 0) AS last_read_message_id,
        n.unread_count, n.mention_count,
        cm.joined_at AS opened_at,
        CASE WHEN s.closed_at > coalesce(l.sent_at, 0) THEN s.closed_at ELSE 0 END AS closed_at,
        cm.created_at,
        CASE WHEN EXISTS (SELECT FROM :"schema".hermet_large_inbox b WHERE b.user_id = cm.user_id)
             THEN 1 + div(greatest(l.sent_at, cm.joined_at, 0), 3600000)::bigint ELSE 0 END AS list_hour
    FROM :"schema".channel_member cm
    JOIN :"schema".channel c ON c.id = cm.channel_id
    LEFT JOIN LATERAL (
        SELECT other.user_id
        FROM :"schema".channel_member other
        WHERE c.channel_type = 'single' AND other.channel_id = cm.channel_id
          AND other.user_id <> cm.user_id
        ORDER BY (other.left_at <> 0), other.user_id
        LIMIT 1) peer ON true
    LEFT JOIN :"schema".biz_user pu ON pu.id = peer.user_id
    LEFT JOIN :"schema".friendship f
        ON f.user_id = cm.user_id AND f.friend_id = peer.user_id AND f.deleted_at = 0
    LEFT JOIN :"schema".conversation_setting s
        ON s.user_id = cm.user_id AND s.channel_id = cm.channel_id
    LEFT JOIN :"schema".channel_read_record r
        ON r.user_id = cm.user_id AND r.channel_id = cm.channel_id
    LEFT JOIN last_message l ON l.channel_id = cm.channel_id
    -- The sender's name needs his member row: a sender who never was a member shows as ''.
    LEFT JOIN :"schema".channel_member sm ON sm.channel_id = l.channel_id AND sm.user_id = l.sender_id
    LEFT JOIN :"schema".biz_user su ON su.id = sm.user_id
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS unread_count,
            (count(*) FILTER (WHERE m.mention_all
                OR EXISTS (SELECT FROM unnest(m.mention_user_ids) AS x (id) WHERE x.id = cm.user_id)))::int
                AS mention_count
        FROM :"schema".message m
        WHERE m.channel_id = cm.channel_id AND m.id > coalesce(r.last_read_message_id, 0)
          AND m.sender_id <> cm.user_id AND m.sent_at >= cm.joined_at AND m.deleted_at = 0
          AND m.message_type <> 'system') n
    WHERE cm.left_at = 0 AND c.channel_status = 'active'
      AND (c.channel_type = 'group' OR peer.user_id IS NOT NULL)
),
-- Rule 7.
contact AS (
    SELECT f.id, f.user_id, f.friend_id AS contact_id,
        coalesce(u.nickname, '') AS contact_nickname, coalesce(u.avatar, '') AS contact_avatar,
        coalesce(u.info_ver, 1) AS contact_info_ver,
        f.remark_name, f.group_name, f.tags, f.is_starred, f.is_blocked,
        coalesce(u.mobile, '') AS mobile, f.source, f.added_at, f.deleted_at, f.created_at
    FROM :"schema".friendship f
    LEFT JOIN :"schema".biz_user u ON u.id = f.friend_id
    WHERE f.deleted_at = 0
      AND (u.id IS NULL OR (u.deleted_at = 0 AND u.user_status <> 'deleted'))
),
expected (table_name, key, image) AS (
    SELECT 'user_conversation_view', format('user_id=%s channel_id=%s', user_id, channel_id), to_jsonb(e)
    FROM conversation e
    UNION ALL
    SELECT 'user_contact_view', format('user_id=%s contact_id=%s', user_id, contact_id), to_jsonb(e)
    FROM contact e
    UNION ALL -- Rule 8, twice.
    SELECT 'conversation_reverse_index',
        format('peer_user_id=%s owner_user_id=%s channel_id=%s', peer_user_id, user_id, channel_id),
        jsonb_build_object('created_at', created_at)
    FROM conversation
    WHERE conversation_type = 'single'
    UNION ALL
    SELECT 'contact_reverse_index', format('contact_user_id=%s owner_user_id=%s', friend_id, user_id),
        jsonb_build_object('created_at', created_at)
    FROM :"schema".friendship
    WHERE deleted_at = 0
    UNION ALL -- The columns of channel that the triggers own, whatever its status.
    SELECT 'channel', format('id=%s', c.id),
        jsonb_build_object(
            'channel_member_count', (SELECT count(*) FROM :"schema".channel_member m
                                     WHERE m.channel_id = c.id AND m.left_at = 0),
            'last_message_at', coalesce(l.sent_at, 0),
            'last_message_id', coalesce(l.id, 0))
    FROM :"schema".channel c
    LEFT JOIN last_message l ON l.channel_id = c.id
),
-- What is stored. Further columns that serve speed are not part of the rules: those of the two
-- views are cut to the rules' columns below.
actual (table_name, key, image) AS (
    SELECT 'user_conversation_view', format('user_id=%s channel_id=%s', user_id, channel_id),
        to_jsonb(v) - 'updated_at'
    FROM :"schema".user_conversation_view v
    UNION ALL
    SELECT 'user_contact_view', format('user_id=%s contact_id=%s', user_id, contact_id),
        to_jsonb(v) - 'updated_at'
    FROM :"schema".user_contact_view v
    UNION ALL
    SELECT 'conversation_reverse_index',
        format('peer_user_id=%s owner_user_id=%s channel_id=%s', peer_user_id, owner_user_id, channel_id),
        jsonb_build_object('created_at', created_at)
    FROM :"schema".conversation_reverse_index
    UNION ALL
    SELECT 'contact_reverse_index', format('contact_user_id=%s owner_user_id=%s', contact_user_id, owner_user_id),
        jsonb_build_object('created_at', created_at)
    FROM :"schema".contact_reverse_index
    UNION ALL
    SELECT 'channel', format('id=%s', id),
        jsonb_build_object('channel_member_count', channel_member_count,
            'last_message_at', last_message_at, 'last_message_id', last_message_id)
    FROM :"schema".channel
),
-- A difference names every column that differs; a key stored twice would show as one too.
difference AS (
    SELECT table_name, key, 'missing' AS problem
    FROM expected e
    WHERE NOT EXISTS (SELECT FROM actual a WHERE (a.table_name, a.key) = (e.table_name, e.key))
    UNION ALL
    SELECT table_name, key, 'unexpected'
    FROM actual a
    WHERE NOT EXISTS (SELECT FROM expected e WHERE (e.table_name, e.key) = (a.table_name, a.key))
    UNION ALL
    SELECT table_name, key, 'twice' FROM actual GROUP BY 1, 2 HAVING count(*) > 1
    UNION ALL
    SELECT table_name, key,
        format('%s: expected %s, stored %s', column_name, wanted,
            coalesce((a.image -> column_name)::text, 'no such column'))
    FROM expected e
    JOIN actual a USING (table_name, key)
    CROSS JOIN LATERAL jsonb_each(e.image) AS x (column_name, wanted)
    WHERE a.image -> column_name IS DISTINCT FROM wanted
)
SELECT table_name, key, problem FROM difference ORDER BY 1, 2, 3;
