-- The extension, and the helpers that every other file of the suite uses.
CREATE EXTENSION hermet;
CREATE SCHEMA testing;

-- The rules of the read side once more, written apart from hermet.definition() and as plainly as
-- possible, so that a mistake in the one definition cannot hide behind itself.
CREATE FUNCTION testing.rules(table_name text, target name) RETURNS text
LANGUAGE sql STABLE AS $func$
SELECT replace(CASE table_name
WHEN 'user_conversation_view' THEN $q$
SELECT cm.id, cm.user_id, cm.channel_id, c.channel_type AS conversation_type,
       CASE WHEN c.channel_type = 'group' THEN c.channel_name
            ELSE coalesce(nullif(f.remark_name, ''), p.nickname, '') END AS conversation_name,
       CASE WHEN c.channel_type = 'group' THEN c.channel_avatar
            ELSE coalesce(p.avatar, '') END AS conversation_avatar,
       CASE WHEN c.channel_type = 'group' THEN c.channel_info_ver
            ELSE coalesce(p.info_ver, 1) END AS conversation_info_ver,
       peer.user_id AS peer_user_id,
       CASE WHEN c.channel_type = 'single' THEN coalesce(p.nickname, '') END AS peer_nickname,
       CASE WHEN c.channel_type = 'single' THEN coalesce(p.avatar, '') END AS peer_avatar,
       CASE WHEN c.channel_type = 'single' THEN
            CASE WHEN p.deleted_at <> 0 THEN 'deleted'
                 ELSE coalesce(p.user_status, 'active') END END AS peer_status,
       CASE WHEN c.channel_type = 'single' THEN coalesce(f.remark_name, '') END AS remark_name,
       coalesce(s.is_muted, false) AS is_muted,
       coalesce(s.is_pinned, false) AS is_pinned,
       coalesce(s.is_hidden, false) AS is_hidden,
       coalesce(f.is_starred, false) AS is_starred,
       coalesce(s.marked_unread, false) AS marked_unread,
       coalesce(m.id, 0) AS last_message_id,
       coalesce(m.message_type, '') AS last_message_type,
       coalesce(left(m.content, 512), '') AS last_message_content,
       coalesce(m.sender_id, 0) AS last_message_sender_id,
       coalesce(nullif(sm.nickname, ''), su.nickname, '') AS last_message_sender_name,
       coalesce(m.sent_at, 0) AS last_message_time,
       coalesce(r.last_read_message_id, 0) AS last_read_message_id,
       (SELECT count(*)::int FROM @.message n
         WHERE n.channel_id = c.id AND n.id > coalesce(r.last_read_message_id, 0)
           AND n.sender_id <> cm.user_id AND n.sent_at >= cm.joined_at
           AND n.deleted_at = 0 AND n.message_type <> 'system') AS unread_count,
       (SELECT count(*)::int FROM @.message n
         WHERE n.channel_id = c.id AND n.id > coalesce(r.last_read_message_id, 0)
           AND n.sender_id <> cm.user_id AND n.sent_at >= cm.joined_at
           AND n.deleted_at = 0 AND n.message_type <> 'system'
           AND (n.mention_all OR EXISTS (SELECT FROM unnest(n.mention_user_ids) AS who
                                          WHERE who = cm.user_id))) AS mention_count,
       cm.joined_at AS opened_at,
       CASE WHEN s.closed_at > coalesce(m.sent_at, 0) THEN s.closed_at ELSE 0 END AS closed_at,
       cm.created_at,
       CASE WHEN cm.user_id IN (SELECT b.user_id FROM @.hermet_large_inbox b)
            THEN 1 + div(greatest(m.sent_at, cm.joined_at, 0), 3600000)::bigint ELSE 0 END AS list_hour
  FROM @.channel_member cm
  JOIN @.channel c ON c.id = cm.channel_id
  LEFT JOIN LATERAL (SELECT o.user_id FROM @.channel_member o
                      WHERE c.channel_type = 'single' AND o.channel_id = c.id
                        AND o.user_id <> cm.user_id
                      ORDER BY o.left_at <> 0, o.user_id LIMIT 1) peer ON true
  LEFT JOIN @.biz_user p ON p.id = peer.user_id
  LEFT JOIN @.friendship f
         ON f.user_id = cm.user_id AND f.friend_id = peer.user_id AND f.deleted_at = 0
  LEFT JOIN LATERAL (SELECT n.* FROM @.message n
                      WHERE n.channel_id = c.id AND n.deleted_at = 0
                      ORDER BY n.id DESC LIMIT 1) m ON true
  LEFT JOIN @.channel_member sm ON sm.channel_id = m.channel_id AND sm.user_id = m.sender_id
  LEFT JOIN @.biz_user su ON su.id = sm.user_id
  LEFT JOIN @.channel_read_record r ON r.user_id = cm.user_id AND r.channel_id = c.id
  LEFT JOIN @.conversation_setting s ON s.user_id = cm.user_id AND s.channel_id = c.id
 WHERE cm.left_at = 0 AND c.channel_status = 'active'
   AND (c.channel_type = 'group' OR peer.user_id IS NOT NULL)$q$
WHEN 'user_contact_view' THEN $q$
SELECT f.id, f.user_id, f.friend_id AS contact_id,
       coalesce(u.nickname, '') AS contact_nickname,
       coalesce(u.avatar, '') AS contact_avatar,
       coalesce(u.info_ver, 1) AS contact_info_ver,
       f.remark_name, f.group_name, f.tags, f.is_starred, f.is_blocked,
       coalesce(u.mobile, '') AS mobile,
       f.source, f.added_at, f.deleted_at, f.created_at
  FROM @.friendship f
  LEFT JOIN @.biz_user u ON u.id = f.friend_id
 WHERE f.deleted_at = 0
   AND (u.id IS NULL OR u.deleted_at = 0 AND u.user_status <> 'deleted')$q$
WHEN 'conversation_reverse_index' THEN $q$
SELECT peer.user_id AS peer_user_id, cm.user_id AS owner_user_id, cm.channel_id, cm.created_at
  FROM @.channel_member cm
  JOIN @.channel c ON c.id = cm.channel_id
  JOIN LATERAL (SELECT o.user_id FROM @.channel_member o
                 WHERE o.channel_id = c.id AND o.user_id <> cm.user_id
                 ORDER BY o.left_at <> 0, o.user_id LIMIT 1) peer ON true
 WHERE cm.left_at = 0 AND c.channel_status = 'active' AND c.channel_type = 'single'$q$
WHEN 'contact_reverse_index' THEN $q$
SELECT f.friend_id AS contact_user_id, f.user_id AS owner_user_id, f.created_at
  FROM @.friendship f
 WHERE f.deleted_at = 0$q$
WHEN 'channel' THEN $q$
SELECT c.id,
       (SELECT count(*)::int FROM @.channel_member cm
         WHERE cm.channel_id = c.id AND cm.left_at = 0) AS channel_member_count,
       coalesce(m.sent_at, 0) AS last_message_at,
       coalesce(m.id, 0) AS last_message_id
  FROM @.channel c
  LEFT JOIN LATERAL (SELECT n.id, n.sent_at FROM @.message n
                      WHERE n.channel_id = c.id AND n.deleted_at = 0
                      ORDER BY n.id DESC LIMIT 1) m ON true$q$
END, '@', quote_ident(target))
$func$;

-- The columns that are compared: all of a read-side table but updated_at and those that a test adds
-- (own_...); of channel the ones that hermet owns.
CREATE FUNCTION testing.columns(table_name text, target name) RETURNS text
LANGUAGE sql STABLE AS $$
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
  FROM pg_attribute
 WHERE attrelid = format('%I.%I', target, table_name)::regclass
   AND attnum > 0 AND NOT attisdropped AND attname <> 'updated_at' AND attname NOT LIKE 'own\_%'
   AND (table_name <> 'channel'
        OR attname IN ('id', 'channel_member_count', 'last_message_at', 'last_message_id'))
$$;

-- What is stored, what hermet.definition() says and what testing.rules() says should be the same rows,
-- as often. This is a two-way EXCEPT ALL of the stored rows with each of the two, in one pass.
CREATE FUNCTION testing.diff(target name)
RETURNS TABLE (table_name text, side text, row_image jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    t text;
    list text;
BEGIN
    FOREACH t IN ARRAY '{user_conversation_view,user_contact_view,conversation_reverse_index,
                         contact_reverse_index,channel}'::text[]
    LOOP
        list := testing.columns(t, target);
        RETURN QUERY EXECUTE format(
            'SELECT %1$L::text,'
            '       concat_ws('' and '', CASE WHEN in_table > least(by_definition, by_rules) THEN ''stored'' END,'
            '                 CASE WHEN by_definition > in_table THEN ''expected by hermet.definition()'' END,'
            '                 CASE WHEN by_rules > in_table THEN ''expected by testing.rules()'' END),'
            '       to_jsonb(d) - ''{in_table,by_definition,by_rules}''::text[]'
            '  FROM (SELECT %2$s, sum(a) AS in_table, sum(b) AS by_definition, sum(c) AS by_rules'
            '          FROM (SELECT 1 AS a, 0 AS b, 0 AS c, %2$s FROM %3$I.%1$I'
            '                UNION ALL SELECT 0, 1, 0, %2$s FROM (%4$s) definition'
            '                UNION ALL SELECT 0, 0, 1, %2$s FROM (%5$s) rules) every'
            '         GROUP BY %2$s) d'
            ' WHERE in_table <> by_definition OR in_table <> by_rules ORDER BY 2, 3',
            t, list, target, hermet.definition(t, target), testing.rules(t, target));
    END LOOP;
END
$$;

-- Everything that could be wrong with an instance; no row = clean.
CREATE FUNCTION testing.clean(target name) RETURNS SETOF text
LANGUAGE sql AS $$
SELECT format('%s, %s: %s', table_name, side, row_image) FROM testing.diff(target)
UNION ALL
SELECT format('check: %s', to_jsonb(k)) FROM hermet.check_consistency(target) k
$$;

-- The table that a partition belongs to, any other name itself: what a test prints is the same on
-- plain and on sharded instances.
CREATE FUNCTION testing.table_of(name text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
SELECT regexp_replace(name, '\y(channel|channel_member|channel_read_record|channel_application|friendship|message|conversation_setting|'
                            'user_conversation_view|user_contact_view|conversation_reverse_index|contact_reverse_index)_\d+(?!\d)', '\1', 'g')
$$;

-- What an expected failure says. Whatever the statement did is undone.
CREATE FUNCTION testing.error(statement text,
    OUT code text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    code := '00000';
    message := 'no error';
EXCEPTION WHEN OTHERS OR ASSERT_FAILURE OR QUERY_CANCELED THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    message := testing.table_of(message);
END
$$;

-- Runs one statement past the triggers and guards, to plant drift (a superuser's privilege).
CREATE FUNCTION testing.plant(statement text) RETURNS void
LANGUAGE plpgsql SET session_replication_role = replica AS $$
BEGIN
    EXECUTE statement;
END
$$;

-- Marks every row of the read side as last changed at time 1, so that touched() shows which rows a
-- statement changed without looking at the clock.
CREATE FUNCTION testing.forget_touches(target name) RETURNS void
LANGUAGE plpgsql SET session_replication_role = replica AS $$
BEGIN
    EXECUTE format('UPDATE %I.user_conversation_view SET updated_at = 1', target);
    EXECUTE format('UPDATE %I.user_contact_view SET updated_at = 1', target);
END
$$;

CREATE FUNCTION testing.touched(target name) RETURNS TABLE (view text, owner bigint, of bigint)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT ''conversation'', user_id, channel_id FROM %1$I.user_conversation_view'
        ' WHERE updated_at <> 1'
        ' UNION ALL SELECT ''contact'', user_id, contact_id FROM %1$I.user_contact_view'
        ' WHERE updated_at <> 1 ORDER BY 1, 2, 3', target);
END
$$;

-- Where the rows of an instance are and who wrote them: equal before and after = nothing was written.
CREATE FUNCTION testing.fingerprint(target name) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    t text;
    part text;
    result text := '';
BEGIN
    FOREACH t IN ARRAY '{user_conversation_view,user_contact_view,conversation_reverse_index,
                         contact_reverse_index,channel,biz_user,channel_member,message,
                         channel_read_record,friendship,conversation_setting}'::text[]
    LOOP
        EXECUTE format('SELECT md5(string_agg(ctid::text || xmin::text, '','''
                       ' ORDER BY ctid)) FROM %I.%I', target, t) INTO part;
        result := result || coalesce(part, '-');
    END LOOP;
    RETURN md5(result);
END
$$;
