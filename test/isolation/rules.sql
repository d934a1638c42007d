-- The rules of the read side once more, written apart from the extension: what hermet.check_consistency
-- says is compared with what this finds. The generator puts it into the setup of every spec.
CREATE SCHEMA rules;

CREATE FUNCTION rules.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE VIEW rules.last_message AS
SELECT DISTINCT ON (channel_id) * FROM im.message WHERE deleted_at = 0 ORDER BY channel_id, id DESC;

CREATE VIEW rules.conversation AS
SELECT cm.id, cm.user_id, cm.channel_id, c.channel_type AS conversation_type,
       CASE WHEN s.one THEN coalesce(nullif(f.remark_name, ''), pu.nickname, '')
            ELSE c.channel_name END AS conversation_name,
       CASE WHEN s.one THEN coalesce(pu.avatar, '') ELSE c.channel_avatar END AS conversation_avatar,
       CASE WHEN s.one THEN coalesce(pu.info_ver, 1) ELSE c.channel_info_ver END AS conversation_info_ver,
       CASE WHEN s.one THEN p.user_id END AS peer_user_id,
       CASE WHEN s.one THEN coalesce(pu.nickname, '') END AS peer_nickname,
       CASE WHEN s.one THEN coalesce(pu.avatar, '') END AS peer_avatar,
       CASE WHEN s.one THEN CASE WHEN pu.deleted_at <> 0 THEN 'deleted'
                                 ELSE coalesce(pu.user_status::text, 'active') END END AS peer_status,
       CASE WHEN s.one THEN coalesce(f.remark_name, '') END AS remark_name,
       coalesce(cs.is_muted, false) AS is_muted, coalesce(cs.is_pinned, false) AS is_pinned,
       coalesce(cs.is_hidden, false) AS is_hidden,
       s.one AND coalesce(f.is_starred, false) AS is_starred,
       coalesce(cs.marked_unread, false) AS marked_unread,
       coalesce(l.id, 0) AS last_message_id, coalesce(l.message_type, '') AS last_message_type,
       coalesce(left(l.content, 512), '') AS last_message_content,
       coalesce(l.sender_id, 0) AS last_message_sender_id,
       CASE WHEN sm.id IS NULL THEN '' ELSE coalesce(nullif(sm.nickname, ''), su.nickname, '') END
           AS last_message_sender_name,
       coalesce(l.sent_at, 0) AS last_message_time,
       coalesce(r.last_read_message_id, 0) AS last_read_message_id,
       n.unread::int AS unread_count, n.mention::int AS mention_count,
       cm.joined_at AS opened_at,
       CASE WHEN cs.closed_at > coalesce(l.sent_at, 0) THEN cs.closed_at ELSE 0 END AS closed_at,
       cm.created_at
FROM im.channel_member cm
JOIN im.channel c ON c.id = cm.channel_id AND c.channel_status = 'active'
CROSS JOIN LATERAL (SELECT c.channel_type = 'single' AS one) s
LEFT JOIN LATERAL (SELECT o.user_id FROM im.channel_member o
                   WHERE s.one AND o.channel_id = cm.channel_id AND o.user_id <> cm.user_id
                   ORDER BY o.left_at <> 0, o.user_id LIMIT 1) p ON true
LEFT JOIN im.biz_user pu ON pu.id = p.user_id
LEFT JOIN im.friendship f ON f.user_id = cm.user_id AND f.friend_id = p.user_id AND f.deleted_at = 0
LEFT JOIN im.conversation_setting cs ON cs.user_id = cm.user_id AND cs.channel_id = cm.channel_id
LEFT JOIN rules.last_message l ON l.channel_id = cm.channel_id
LEFT JOIN im.channel_member sm ON sm.channel_id = l.channel_id AND sm.user_id = l.sender_id
LEFT JOIN im.biz_user su ON su.id = l.sender_id
LEFT JOIN im.channel_read_record r ON r.user_id = cm.user_id AND r.channel_id = cm.channel_id
CROSS JOIN LATERAL (
    SELECT count(*) AS unread,
           count(*) FILTER (WHERE m.mention_all OR coalesce(cm.user_id = ANY (m.mention_user_ids), false)) AS mention
    FROM im.message m
    WHERE m.channel_id = cm.channel_id AND m.id > coalesce(r.last_read_message_id, 0)
      AND m.sender_id <> cm.user_id AND m.sent_at >= cm.joined_at AND m.deleted_at = 0
      AND m.message_type <> 'system') n
WHERE cm.left_at = 0 AND (NOT s.one OR p.user_id IS NOT NULL);

CREATE VIEW rules.contact AS
SELECT f.id, f.user_id, f.friend_id AS contact_id, coalesce(u.nickname, '') AS contact_nickname,
       coalesce(u.avatar, '') AS contact_avatar, coalesce(u.info_ver, 1) AS contact_info_ver,
       f.remark_name, f.group_name, f.tags, f.is_starred, f.is_blocked, coalesce(u.mobile, '') AS mobile,
       f.source, f.added_at, f.deleted_at, f.created_at
FROM im.friendship f LEFT JOIN im.biz_user u ON u.id = f.friend_id
WHERE f.deleted_at = 0 AND coalesce(u.deleted_at, 0) = 0 AND coalesce(u.user_status::text, '') <> 'deleted';

-- Every row that is on one side only: "want" by the rules, "have" in the tables. No race may need the
-- recomputing that leaves an incident, either.
CREATE VIEW rules.difference AS
WITH want (what, line) AS (
    SELECT 'conversation', to_jsonb(v) FROM rules.conversation v
    UNION ALL SELECT 'contact', to_jsonb(v) FROM rules.contact v
    UNION ALL SELECT 'conversation index', jsonb_build_array(peer_user_id, user_id, channel_id, created_at)
              FROM rules.conversation WHERE conversation_type = 'single'
    UNION ALL SELECT 'contact index', jsonb_build_array(friend_id, user_id, created_at)
              FROM im.friendship WHERE deleted_at = 0
    UNION ALL SELECT 'channel', jsonb_build_array(c.id,
                         (SELECT count(*) FROM im.channel_member m WHERE m.channel_id = c.id AND m.left_at = 0),
                         coalesce((SELECT id FROM rules.last_message l WHERE l.channel_id = c.id), 0),
                         coalesce((SELECT sent_at FROM rules.last_message l WHERE l.channel_id = c.id), 0))
              FROM im.channel c
), have (what, line) AS (
    SELECT 'conversation', (SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(v))
                            WHERE key IN (SELECT attname FROM pg_attribute
                                          WHERE attrelid = 'rules.conversation'::regclass AND attnum > 0))
    FROM im.user_conversation_view v
    UNION ALL SELECT 'contact', (SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(v))
                                 WHERE key IN (SELECT attname FROM pg_attribute
                                               WHERE attrelid = 'rules.contact'::regclass AND attnum > 0))
              FROM im.user_contact_view v
    UNION ALL SELECT 'conversation index', jsonb_build_array(peer_user_id, owner_user_id, channel_id, created_at)
              FROM im.conversation_reverse_index
    UNION ALL SELECT 'contact index', jsonb_build_array(contact_user_id, owner_user_id, created_at)
              FROM im.contact_reverse_index
    UNION ALL SELECT 'channel', jsonb_build_array(id, channel_member_count, last_message_id, last_message_at)
              FROM im.channel
)
SELECT 'want' AS side, * FROM (TABLE want EXCEPT ALL TABLE have) x
UNION ALL SELECT 'have', * FROM (TABLE have EXCEPT ALL TABLE want) y
UNION ALL SELECT 'have', 'incident', to_jsonb(i) FROM im.hermet_incident i;
