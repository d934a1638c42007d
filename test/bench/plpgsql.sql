-- What a good application does without an extension: statement triggers in PL/pgSQL, set-wise, over the same tables and
-- indexes. They keep what the benchmark writes and no more (a recall, a member who leaves and the like would take more
-- code), and lock the channel's row first, so that two sends of one channel wait for each other.


CREATE FUNCTION bench.message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM channel WHERE id IN (SELECT channel_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE;
    UPDATE channel c SET last_message_id = l.id, last_message_at = l.sent_at
      FROM (SELECT DISTINCT ON (channel_id) * FROM new_rows ORDER BY channel_id, id DESC) l
     WHERE c.id = l.channel_id AND l.id > c.last_message_id;
    UPDATE user_conversation_view v
       SET last_message_id = l.id, last_message_type = l.message_type, last_message_content = left(l.content, 512),
           last_message_sender_id = l.sender_id, last_message_sender_name = l.name, last_message_time = l.sent_at,
           list_hour = CASE WHEN v.list_hour <> 0 THEN greatest(l.sent_at, v.opened_at, 0) / 3600000 + 1 ELSE 0 END,
           closed_at = CASE WHEN v.closed_at > l.sent_at THEN v.closed_at ELSE 0 END, updated_at = hermet.now_ms(),
           (unread_count, mention_count) = (
              SELECT v.unread_count + count(*), v.mention_count + count(*) FILTER (WHERE m.mention_all OR v.user_id = ANY (m.mention_user_ids))
                FROM new_rows m
               WHERE m.channel_id = v.channel_id AND m.id > v.last_read_message_id AND m.sender_id <> v.user_id
                 AND m.sent_at >= v.opened_at AND m.deleted_at = 0 AND m.message_type <> 'system')
      FROM (SELECT DISTINCT ON (m.channel_id) m.*, coalesce(nullif(cm.nickname, ''), u.nickname, '') AS name
              FROM new_rows m
              LEFT JOIN channel_member cm ON cm.channel_id = m.channel_id AND cm.user_id = m.sender_id
              LEFT JOIN biz_user u ON u.id = cm.user_id
             ORDER BY m.channel_id, m.id DESC) l
     WHERE v.channel_id = l.channel_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER peer_message AFTER INSERT ON message REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION bench.message();

CREATE FUNCTION bench.read_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM channel WHERE id IN (SELECT channel_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE;
    UPDATE user_conversation_view v
       SET last_read_message_id = r.last_read_message_id, unread_count = n.unread, mention_count = n.mentions, updated_at = hermet.now_ms()
      FROM new_rows r
      JOIN channel_member cm ON cm.channel_id = r.channel_id AND cm.user_id = r.user_id
     CROSS JOIN LATERAL (
              SELECT count(*)::int AS unread, (count(*) FILTER (WHERE m.mention_all OR r.user_id = ANY (m.mention_user_ids)))::int AS mentions
                FROM message m
               WHERE m.channel_id = r.channel_id AND m.id > r.last_read_message_id AND m.sender_id <> r.user_id
                 AND m.sent_at >= cm.joined_at AND m.deleted_at = 0 AND m.message_type <> 'system') n
     WHERE v.channel_id = r.channel_id AND v.user_id = r.user_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER peer_read_insert AFTER INSERT ON channel_read_record REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION bench.read_record();
CREATE TRIGGER peer_read_update AFTER UPDATE ON channel_read_record REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION bench.read_record();

CREATE FUNCTION bench.befriend() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_contact_view (id, user_id, contact_id, contact_nickname, contact_avatar, contact_info_ver, remark_name, group_name, tags,
                                   is_starred, is_blocked, mobile, source, added_at, deleted_at, created_at, updated_at)
    SELECT f.id, f.user_id, f.friend_id, coalesce(b.nickname, ''), coalesce(b.avatar, ''), coalesce(b.info_ver, 1), f.remark_name, f.group_name, f.tags,
           f.is_starred, f.is_blocked, coalesce(b.mobile, ''), f.source, f.added_at, f.deleted_at, f.created_at, hermet.now_ms()
      FROM new_rows f LEFT JOIN biz_user b ON b.id = f.friend_id
     WHERE f.deleted_at = 0 AND coalesce(b.deleted_at, 0) = 0 AND coalesce(b.user_status, 'active') <> 'deleted';
    INSERT INTO contact_reverse_index (contact_user_id, owner_user_id, created_at)
    SELECT friend_id, user_id, created_at FROM new_rows WHERE deleted_at = 0;
    UPDATE user_conversation_view v
       SET remark_name = f.remark_name, is_starred = f.is_starred,
           conversation_name = CASE WHEN f.remark_name <> '' THEN f.remark_name ELSE v.peer_nickname END, updated_at = hermet.now_ms()
      FROM new_rows f JOIN conversation_reverse_index r ON r.peer_user_id = f.friend_id AND r.owner_user_id = f.user_id
     WHERE v.channel_id = r.channel_id AND v.user_id = r.owner_user_id
       AND (v.remark_name, v.is_starred) IS DISTINCT FROM (f.remark_name, f.is_starred);
    RETURN NULL;
END
$$;
CREATE TRIGGER peer_befriend AFTER INSERT ON friendship REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION bench.befriend();

-- Groups only: whoever joins a single chat gives the other one a row, too.
CREATE FUNCTION bench.join_group() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM channel WHERE id IN (SELECT channel_id FROM new_rows) ORDER BY id FOR NO KEY UPDATE;
    UPDATE channel c SET channel_member_count = c.channel_member_count + n.n
      FROM (SELECT channel_id, count(*)::int AS n FROM new_rows WHERE left_at = 0 GROUP BY 1) n WHERE c.id = n.channel_id;
    INSERT INTO user_conversation_view (id, user_id, channel_id, conversation_type, conversation_name, conversation_avatar, conversation_info_ver,
           is_muted, is_pinned, is_hidden, is_starred, marked_unread, last_message_id, last_message_type, last_message_content,
           last_message_sender_id, last_message_sender_name, last_message_time, last_read_message_id, unread_count, mention_count,
           opened_at, closed_at, created_at, updated_at, list_hour)
    SELECT cm.id, cm.user_id, cm.channel_id, c.channel_type, c.channel_name, c.channel_avatar, c.channel_info_ver,
           coalesce(s.is_muted, false), coalesce(s.is_pinned, false), coalesce(s.is_hidden, false), false, coalesce(s.marked_unread, false),
           coalesce(m.id, 0), coalesce(m.message_type, ''), coalesce(left(m.content, 512), ''), coalesce(m.sender_id, 0),
           coalesce(nullif(sm.nickname, ''), su.nickname, ''), coalesce(m.sent_at, 0), coalesce(r.last_read_message_id, 0), n.unread, n.mentions,
           cm.joined_at, CASE WHEN s.closed_at > coalesce(m.sent_at, 0) THEN s.closed_at ELSE 0 END, cm.created_at, hermet.now_ms(),
           CASE WHEN EXISTS (SELECT FROM hermet_large_inbox b WHERE b.user_id = cm.user_id) THEN greatest(m.sent_at, cm.joined_at, 0) / 3600000 + 1 ELSE 0 END
      FROM new_rows cm
      JOIN channel c ON c.id = cm.channel_id AND c.channel_status = 'active'
      LEFT JOIN message m ON m.channel_id = c.id AND m.id = c.last_message_id
      LEFT JOIN channel_member sm ON sm.channel_id = m.channel_id AND sm.user_id = m.sender_id
      LEFT JOIN biz_user su ON su.id = sm.user_id
      LEFT JOIN channel_read_record r ON r.user_id = cm.user_id AND r.channel_id = cm.channel_id
      LEFT JOIN conversation_setting s ON s.user_id = cm.user_id AND s.channel_id = cm.channel_id
     CROSS JOIN LATERAL (
              SELECT count(*)::int AS unread, (count(*) FILTER (WHERE x.mention_all OR cm.user_id = ANY (x.mention_user_ids)))::int AS mentions
                FROM message x
               WHERE x.channel_id = cm.channel_id AND x.id > coalesce(r.last_read_message_id, 0) AND x.sender_id <> cm.user_id
                 AND x.sent_at >= cm.joined_at AND x.deleted_at = 0 AND x.message_type <> 'system') n
     WHERE cm.left_at = 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER peer_join AFTER INSERT ON channel_member REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION bench.join_group();
SELECT bench.mode('none');
