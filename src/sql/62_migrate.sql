/*
 * Migration: a legacy user_contact table, one wide row a user and conversation that an application kept by
 * hand, goes to the write side; docs/migration.md says what becomes of each column.
 *
 * The legacy table is read once, into a table of the instance that goes away at the end ("input" below:
 * values made uniform, unlogged). From it, channels are taken by ranges of their ids, as what is to become of
 * a row depends on the other rows of its channel. A range is judged, carried and reported in one transaction.
 */

CREATE FUNCTION hermet.legacy_columns(OUT column_name text, OUT kind text, OUT required boolean) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  VALUES ('id', 'number', true), ('user_id', 'number', true), ('channel_id', 'number', true),
         ('contact_type', 'type', true), ('contact_name', 'text', true), ('contact_avatar', 'text', true),
         ('peer_user_id', 'number', true),
         ('last_message_id', 'number', false), ('last_message_type', 'text', false), ('last_message_content', 'text', false),
         ('last_message_sender_id', 'number', false), ('last_message_time', 'time', false),
         ('unread_count', 'number', true),
         ('is_muted', 'boolean', true), ('is_pinned', 'boolean', true), ('is_hidden', 'boolean', true),
         ('joined_at', 'time', true), ('left_at', 'time', true), ('created_at', 'time', true), ('updated_at', 'time', true)
$$;
COMMENT ON FUNCTION hermet.legacy_columns() IS
    'the columns of a legacy user_contact table that a migration reads, and what they may hold';

/* A legacy value as bigint (times: milliseconds), text or boolean; NULL where the type does not do. */
CREATE FUNCTION hermet.legacy_value(kind text, column_name text, type_name text, type_category "char") RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN kind IN ('text', 'type') AND type_category IN ('S', 'E') THEN format('s.%I::text COLLATE "C"', column_name)
    WHEN kind = 'type' AND type_name IN ('smallint', 'integer', 'bigint', 'numeric') THEN format('s.%I::text COLLATE "C"', column_name)
    WHEN kind = 'boolean' AND type_name = 'boolean' THEN format('s.%I::boolean', column_name)
    WHEN kind = 'boolean' AND type_name IN ('smallint', 'integer', 'bigint', 'numeric') THEN format('s.%I <> 0', column_name)
    WHEN kind IN ('number', 'time') AND type_name IN ('smallint', 'integer', 'bigint') THEN format('s.%I::bigint', column_name)
    WHEN kind = 'number' AND type_name = 'numeric'
      THEN format('CASE WHEN s.%1$I BETWEEN -9223372036854775808 AND 9223372036854775807 AND s.%1$I = trunc(s.%1$I) THEN s.%1$I::bigint END',
                  column_name)
    WHEN kind = 'time' AND type_name = 'numeric'
      THEN format('CASE WHEN s.%1$I BETWEEN -9223372036854775808 AND 9223372036854775807 THEN floor(s.%1$I)::bigint END', column_name)
    WHEN kind = 'time' AND type_name IN ('timestamp with time zone', 'timestamp without time zone')
      THEN format('CASE WHEN isfinite(s.%1$I) IS FALSE THEN 9223372036854775807 '
                  'ELSE floor(extract(epoch FROM s.%1$I::timestamp with time zone) * 1000)::bigint END', column_name)
  END
$$;
COMMENT ON FUNCTION hermet.legacy_value(text, text, text, "char") IS
    'how a column of a legacy table is read, as an expression; NULL if its type cannot be';

/* The query that reads a legacy table. */
CREATE FUNCTION hermet.legacy_query(source regclass) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  v record;
  latest bigint := hermet.now_ms() + 86400000;
  missing text[] := '{}';
  unfit text[] := '{}';
  list text[] := '{}';
  times text;
BEGIN
  IF source IS NULL THEN
    RAISE EXCEPTION 'argument "source" must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  SELECT c.relkind INTO r FROM pg_class c WHERE c.oid = source;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no table with OID %', source::oid USING ERRCODE = 'undefined_table';
  ELSIF r.relkind NOT IN ('r', 'p', 'v', 'm', 'f') THEN
    RAISE EXCEPTION '% is not a table or view', source USING ERRCODE = 'wrong_object_type';
  END IF;
  FOR r IN
    SELECT k.*, a.atttypid AS found FROM hermet.legacy_columns() k
      LEFT JOIN pg_attribute a ON a.attrelid = source AND a.attname = k.column_name AND a.attnum > 0 AND NOT a.attisdropped
  LOOP
    IF r.found IS NULL THEN
      IF r.required THEN
        missing := missing || r.column_name;
      END IF;
      list := list || format('NULL::%s AS %I', CASE r.kind WHEN 'text' THEN 'text' ELSE 'bigint' END, r.column_name);
      CONTINUE;
    END IF;
    -- A domain is read as what it stands on.
    WITH RECURSIVE base AS (
      SELECT t.* FROM pg_type t WHERE t.oid = r.found
      UNION ALL
      SELECT t.* FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd')
    SELECT hermet.legacy_value(r.kind, r.column_name, format_type(b.oid, NULL), b.typcategory) AS expression,
           format_type(r.found, NULL) AS type_name INTO v
      FROM base b WHERE b.typtype <> 'd';
    IF v.expression IS NULL THEN
      unfit := unfit || format('column %s is %s, expected %s', r.column_name, v.type_name,
        CASE r.kind WHEN 'number' THEN 'bigint or another whole number'
                    WHEN 'text' THEN 'text'
                    WHEN 'type' THEN 'text, an enum or a whole number'
                    WHEN 'boolean' THEN 'boolean or a whole number'
                    ELSE 'bigint (Unix milliseconds) or a timestamp' END);
    END IF;
    list := list || format('%s AS %I', v.expression, r.column_name);
  END LOOP;
  IF missing <> '{}' THEN
    RAISE EXCEPTION 'legacy table % lacks columns', source
      USING ERRCODE = 'undefined_column', DETAIL = format('Missing: %s.', array_to_string(missing, ', ')),
            HINT = 'Migrate a view that has them.';
  END IF;
  IF unfit <> '{}' THEN
    RAISE EXCEPTION 'legacy table % has columns of other types', source
      USING ERRCODE = 'datatype_mismatch', DETAIL = array_to_string(unfit, E'\n'),
            HINT = 'Migrate a view that converts them.';
  END IF;

  -- Ten digits are seconds; what lies before 1970 or after tomorrow is no time.
  SELECT string_agg(format('q.%1$I AS raw_%1$s, CASE WHEN q.%1$I BETWEEN 1000000000 AND %2$s / 1000 THEN q.%1$I * 1000 '
                           'WHEN q.%1$I BETWEEN 0 AND %2$s AND q.%1$I NOT BETWEEN 1000000000 AND 9999999999 THEN q.%1$I END AS %1$I',
                           k.column_name, latest), ', ') INTO times
    FROM hermet.legacy_columns() k WHERE k.kind = 'time';
  RETURN format($query$
SELECT row_number() OVER () AS line, t.id AS legacy_id, t.user_id, t.channel_id,
       -- Channels are taken in this order; rows without one come first.
       CASE WHEN t.channel_id > 0 THEN t.channel_id ELSE 0 END AS place,
       t.kind, t.contact_type, coalesce(t.contact_name, '') AS name, coalesce(t.contact_avatar, '') AS avatar, t.peer_user_id AS peer,
       CASE WHEN t.kind = 'single' AND t.peer_user_id > 0 AND t.peer_user_id <> t.user_id THEN t.peer_user_id END AS other,
       t.last_message_id AS message_id, coalesce(t.last_message_type, '') AS message_type,
       coalesce(t.last_message_content, '') AS message_content, t.last_message_sender_id AS message_sender, t.last_message_time AS message_time,
       t.unread_count AS unread, t.is_muted AS muted, t.is_pinned AS pinned, t.is_hidden AS hidden,
       t.joined_at AS joined, t.left_at AS gone, t.created_at AS created, t.updated_at AS updated, 0::bigint AS closed,
       concat_ws(', ', CASE WHEN t.joined_at IS NULL THEN 'joined_at ' || t.raw_joined_at END,
                       CASE WHEN t.created_at IS NULL THEN 'created_at ' || t.raw_created_at END,
                       CASE WHEN t.updated_at IS NULL THEN 'updated_at ' || t.raw_updated_at END,
                       CASE WHEN t.last_message_time IS NULL THEN 'last_message_time ' || t.raw_last_message_time END) AS odd_times,
       CASE WHEN t.raw_left_at <> 0 THEN 'left'
            WHEN t.user_id IS NULL OR t.user_id <= 0 THEN 'no user_id'
            WHEN t.channel_id IS NULL OR t.channel_id <= 0 THEN 'no channel_id'
            WHEN t.kind IS NULL THEN 'contact_type unknown'
            ELSE 'carried' END AS verdict,
       ''::text AS detail
  FROM (SELECT q.id, q.user_id, q.channel_id, q.contact_type, q.contact_name, q.contact_avatar, q.peer_user_id, q.last_message_id,
               q.last_message_type, q.last_message_content, q.last_message_sender_id, q.unread_count, q.is_muted, q.is_pinned, q.is_hidden,
               CASE WHEN lower(btrim(q.contact_type)) IN ('single', '1') THEN 'single'
                    WHEN lower(btrim(q.contact_type)) IN ('group', '2') THEN 'group' END AS kind,
               %s
          FROM (SELECT %s FROM %s s) q) t$query$,
    times, array_to_string(list, ', '),
    (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = source));
END
$$;
COMMENT ON FUNCTION hermet.legacy_query(regclass) IS
    'the query that reads a legacy user_contact table; an error that lists the columns that are missing or of other types';

CREATE FUNCTION hermet.lock_channels(channel_ids bigint[], target name DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_lock_channels';
COMMENT ON FUNCTION hermet.lock_channels(bigint[], name) IS
    'takes channels, in the order in which every statement takes them, before a transaction of many statements writes to them';

/* Finds the migration of a legacy table that is not finished yet, or begins one. */
CREATE FUNCTION hermet.migrate_begin(source regclass, target name) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
  m record;
  source_name text;
  query text;
  input text;
  n bigint;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  query := hermet.legacy_query(source);
  SELECT format('%I.%I', n.nspname, c.relname) INTO source_name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = source;
  -- One session at a time; it is held for a batch.
  EXECUTE format('LOCK TABLE %I.hermet_migration IN SHARE ROW EXCLUSIVE MODE', target);
  EXECUTE format('SELECT id, legacy_rows, done_rows, last_channel_id FROM %I.hermet_migration WHERE source = $1 AND finished_at = 0 ORDER BY id DESC LIMIT 1', target)
     INTO m USING source_name;
  IF m.id IS NULL THEN
    EXECUTE format('INSERT INTO %I.hermet_migration (source) VALUES ($1) RETURNING id, legacy_rows, done_rows, last_channel_id', target)
       INTO m USING source_name;
  END IF;
  input := format('%I.%I', target, 'hermet_migration_input_' || m.id);
  IF to_regclass(input) IS NOT NULL AND m.legacy_rows > 0 THEN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %s LIMIT 1) x', input) INTO n;
    IF n > 0 THEN
      RETURN m.id;
    END IF;
  END IF;
  IF to_regclass(input) IS NOT NULL THEN
    EXECUTE format('DROP TABLE %s', input); -- A crash of the server has emptied it.
  END IF;
  EXECUTE format('CREATE UNLOGGED TABLE %s AS %s', input, query);
  GET DIAGNOSTICS n = ROW_COUNT;
  EXECUTE format('ALTER TABLE %s OWNER TO %I', input,
                 (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = format('%I.hermet_migration', target)::regclass));
  EXECUTE format('CREATE INDEX ON %s (place)', input);
  EXECUTE format('CREATE INDEX ON %s (other) WHERE other IS NOT NULL AND (name <> '''' OR avatar <> '''')', input);
  EXECUTE format('ANALYZE %s', input);
  EXECUTE format('COMMENT ON TABLE %s IS ''what a migration that is not finished read from its legacy table''', input);
  EXECUTE format('UPDATE %I.hermet_migration SET legacy_rows = $1 WHERE id = $2', target) USING n, m.id;
  RETURN m.id;
END
$$;
COMMENT ON FUNCTION hermet.migrate_begin(regclass, name) IS
    'begins the migration of a legacy table, or finds the one that goes on; returns its id in hermet_migration';

/*
 * What becomes of the rows of a range of channels. The planner knows nothing of how many rows a WITH query has, so
 * these are hashed; only what is looked up in the write side, in LATERAL, is looked up one by one.
 */
CREATE FUNCTION hermet.migrate_judge(target name, input name, after_place bigint, to_place bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off AS $$
BEGIN
  EXECUTE format($sql$
WITH r AS MATERIALIZED (
  SELECT line, legacy_id, user_id, channel_id, kind, peer, other, updated, verdict
    FROM %1$I.%2$I WHERE place > $1 AND place <= $2 AND channel_id > 0 AND user_id > 0),
-- The write side says what a channel is, else most of its rows.
types AS MATERIALIZED (
  SELECT DISTINCT ON (v.channel_id) v.channel_id, coalesce((SELECT c.channel_type::text FROM %1$I.channel c WHERE c.id = v.channel_id), v.kind) AS kind
    FROM (SELECT channel_id, kind, count(*) AS votes, max(updated) AS latest
            FROM r WHERE verdict = 'carried' GROUP BY 1, 2) v
   ORDER BY v.channel_id, v.votes DESC, v.latest DESC NULLS LAST, v.kind),
-- Of several rows of a user the newest.
fitting AS MATERIALIZED (
  SELECT r.line, r.channel_id, r.user_id, r.other, r.updated, t.kind,
         row_number() OVER w AS nth, first_value(r.legacy_id) OVER w AS newest
    FROM r JOIN types t USING (channel_id, kind) WHERE r.verdict = 'carried'
  WINDOW w AS (PARTITION BY r.channel_id, r.user_id ORDER BY r.updated DESC NULLS LAST, r.legacy_id DESC NULLS LAST, r.line DESC)),
members AS MATERIALIZED (
  SELECT t.channel_id, t.kind, cm.user_id, cm.left_at
    FROM types t CROSS JOIN LATERAL (SELECT x.user_id, x.left_at FROM %1$I.channel_member x WHERE x.channel_id = t.channel_id OFFSET 0) cm),
-- Who the two of a single chat are: those who are there already; else whom most rows name; else the only two who have a row.
there AS (
  SELECT channel_id, array_agg(user_id ORDER BY user_id) AS users FROM members WHERE kind = 'single' GROUP BY 1),
heard AS (
  SELECT f.channel_id, f.user_id, f.other, f.updated, 1 AS vote FROM fitting f WHERE f.kind = 'single' AND f.nth = 1
  UNION ALL
  SELECT r.channel_id, r.user_id, r.other, r.updated, 0 FROM r JOIN types t USING (channel_id, kind)
   WHERE r.verdict = 'left' AND t.kind = 'single'),
votes AS (
  SELECT channel_id, ARRAY[least(user_id, other), greatest(user_id, other)] AS users, sum(vote) AS votes, count(*) AS voices, max(updated) AS latest
    FROM heard WHERE other IS NOT NULL GROUP BY 1, 2),
people AS (
  SELECT channel_id, array_agg(DISTINCT user_id) AS users
    FROM (SELECT channel_id, user_id FROM heard UNION ALL SELECT channel_id, user_id FROM members WHERE kind = 'single') x GROUP BY 1),
pairs AS MATERIALIZED (
  SELECT DISTINCT ON (t.channel_id) t.channel_id,
         CASE WHEN cardinality(m.users) >= 2 THEN m.users
              WHEN v.users IS NOT NULL THEN v.users
              WHEN cardinality(p.users) = 2 THEN p.users END AS users
    FROM types t
    LEFT JOIN there m ON m.channel_id = t.channel_id
    LEFT JOIN votes v ON v.channel_id = t.channel_id AND (m.users IS NULL OR m.users <@ v.users)
    LEFT JOIN people p ON p.channel_id = t.channel_id
   WHERE t.kind = 'single'
   ORDER BY t.channel_id, v.votes DESC NULLS LAST, v.voices DESC NULLS LAST, v.latest DESC NULLS LAST, v.users),
judged AS (
  SELECT r.line,
         CASE WHEN r.kind <> t.kind THEN 'contact_type conflict'
              WHEN f.nth > 1 THEN 'duplicate'
              WHEN m.left_at <> 0 THEN 'has left'
              WHEN t.kind = 'group' OR r.user_id = ANY (p.users) THEN 'carried'
              WHEN p.users IS NOT NULL THEN 'third person'
              WHEN r.peer = r.user_id THEN 'chat with oneself'
              ELSE 'no peer' END AS verdict,
         CASE WHEN r.kind <> t.kind THEN format('the channel is a %%s', t.kind)
              WHEN f.nth > 1 THEN format('legacy row %%s of this user and channel is newer', f.newest)
              WHEN m.left_at <> 0 THEN format('channel_member says so: left_at %%s', m.left_at)
              WHEN t.kind = 'group' OR r.user_id = ANY (p.users) THEN ''
              WHEN p.users IS NOT NULL THEN format('the channel is between %%s', array_to_string(p.users, ' and '))
              WHEN r.peer = r.user_id THEN 'notes to self are a group of one'
              ELSE format('peer_user_id is %%s', coalesce(r.peer::text, 'NULL')) END AS detail,
         CASE WHEN t.kind = 'single' THEN (SELECT u FROM unnest(p.users) u WHERE u <> r.user_id ORDER BY u LIMIT 1) END AS other
    FROM r
    JOIN types t USING (channel_id)
    LEFT JOIN fitting f USING (line)
    LEFT JOIN pairs p ON p.channel_id = r.channel_id
    LEFT JOIN members m ON m.channel_id = r.channel_id AND m.user_id = r.user_id
   WHERE r.verdict = 'carried')
UPDATE %1$I.%2$I s
   SET verdict = j.verdict, detail = j.detail, other = CASE WHEN j.verdict = 'carried' THEN j.other END
  FROM judged j
 WHERE s.place > $1 AND s.place <= $2 AND s.line = j.line
   AND (j.verdict <> 'carried' OR j.other IS DISTINCT FROM s.other)$sql$, target, input)
  USING after_place, to_place;

  -- A single chat needs both: one whose row is not carried is a member who has left if he did, else one who
  -- has the conversation closed, so that it comes back with the next message.
  EXECUTE format($sql$
INSERT INTO %1$I.%2$I (line, legacy_id, user_id, channel_id, place, kind, other, name, avatar, joined, gone, created, updated, closed, odd_times, verdict, detail)
SELECT s.line, l.legacy_id, s.other, s.channel_id, s.place, s.kind, s.user_id, '', '',
       coalesce(l.joined, l.created, s.joined, s.created), CASE WHEN l.line IS NULL THEN 0 ELSE coalesce(nullif(l.gone, 0), nullif(l.updated, 0), $3) END,
       coalesce(l.created, l.joined, s.created, s.joined), coalesce(l.updated, s.updated),
       CASE WHEN l.line IS NULL THEN $3 ELSE 0 END, '', 'counterpart', ''
  FROM %1$I.%2$I s
  LEFT JOIN LATERAL (SELECT o.* FROM %1$I.%2$I o
                      WHERE o.place = s.place AND o.channel_id = s.channel_id AND o.user_id = s.other AND o.verdict = 'left'
                      ORDER BY o.updated DESC NULLS LAST, o.line DESC LIMIT 1) l ON true
 WHERE s.place > $1 AND s.place <= $2 AND s.verdict = 'carried' AND s.other IS NOT NULL
   AND NOT EXISTS (SELECT FROM %1$I.%2$I o WHERE o.place = s.place AND o.user_id = s.other AND o.verdict = 'carried')
   AND NOT EXISTS (SELECT FROM %1$I.channel_member cm WHERE cm.channel_id = s.channel_id AND cm.user_id = s.other)$sql$, target, input)
  USING after_place, to_place, hermet.now_ms();
END
$$;
COMMENT ON FUNCTION hermet.migrate_judge(name, name, bigint, bigint) IS
    'a step of a migration: which rows of a range of channels are carried, and why the others are not';

/*
 * Writes to the write side, never over what is there. Members come last: an inbox row is derived when its
 * member comes, and what it shows is there by then. $3: whether settings and marks of who is a member already
 * are taken, too; what an earlier migration brought is the applications' from then on.
 */
CREATE FUNCTION hermet.migrate_carry(target name, input name, after_place bigint, to_place bigint, first boolean,
                                     OUT users bigint, OUT messages bigint, OUT settings bigint, OUT read_marks bigint,
                                     OUT channels bigint, OUT members bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
  -- The newest last message, as far as it is known, where a channel has no message at all.
  EXECUTE format($sql$
INSERT INTO %1$I.message (id, channel_id, sender_id, message_type, content, sent_at, created_at, updated_at)
SELECT DISTINCT ON (d.message_id) d.message_id, d.channel_id, d.sender, d.message_type, d.message_content, d.message_time, d.message_time, d.message_time
  FROM (SELECT DISTINCT ON (s.channel_id) s.channel_id, s.message_id, greatest(s.message_sender, 0) AS sender,
               coalesce(nullif(s.message_type, ''), 'text') AS message_type, s.message_content, s.message_time
          FROM %1$I.%2$I s
         WHERE s.place > $1 AND s.place <= $2 AND s.verdict = 'carried' AND s.message_id > 0 AND s.message_time IS NOT NULL
           AND (s.message_sender > 0 OR s.message_type = 'system') AND length(s.message_type) <= 32
           AND NOT EXISTS (SELECT FROM %1$I.message m WHERE m.channel_id = s.channel_id)
         ORDER BY s.channel_id, s.message_id DESC, s.updated DESC NULLS LAST, s.legacy_id DESC NULLS LAST, s.line DESC) d
 WHERE NOT EXISTS (SELECT FROM %1$I.message m WHERE m.id = d.message_id)
 ORDER BY d.message_id, d.channel_id
    ON CONFLICT DO NOTHING$sql$, target, input) USING after_place, to_place;
  GET DIAGNOSTICS messages = ROW_COUNT;

  EXECUTE format($sql$
INSERT INTO %1$I.conversation_setting (user_id, channel_id, is_muted, is_pinned, is_hidden, closed_at, created_at, updated_at)
SELECT s.user_id, s.channel_id, coalesce(s.muted, false), coalesce(s.pinned, false), coalesce(s.hidden, false), s.closed,
       coalesce(s.created, s.joined, $4), coalesce(s.updated, s.created, s.joined, $4)
  FROM %1$I.%2$I s
 WHERE s.place > $1 AND s.place <= $2 AND s.verdict IN ('carried', 'counterpart') AND (s.muted OR s.pinned OR s.hidden OR s.closed > 0)
   AND ($3 OR NOT EXISTS (SELECT FROM %1$I.channel_member cm WHERE cm.channel_id = s.channel_id AND cm.user_id = s.user_id))
 ORDER BY s.user_id, s.channel_id
    ON CONFLICT DO NOTHING$sql$, target, input) USING after_place, to_place, first, hermet.now_ms();
  GET DIAGNOSTICS settings = ROW_COUNT;

  -- The mark stands before the n-th last message that counts for the user (rule 5), or at the end.
  EXECUTE format($sql$
INSERT INTO %1$I.channel_read_record (id, user_id, channel_id, last_read_message_id, created_at, updated_at)
SELECT hermet.next_id(s.user_id), s.user_id, s.channel_id, mark.id,
       coalesce(s.updated, s.created, s.joined, $4), coalesce(s.updated, s.created, s.joined, $4)
  FROM %1$I.%2$I s
  LEFT JOIN %1$I.channel_member cm ON cm.channel_id = s.channel_id AND cm.user_id = s.user_id
 CROSS JOIN LATERAL (
       SELECT min(x.id) AS id
         FROM (SELECT m.id FROM %1$I.message m
                WHERE m.channel_id = s.channel_id AND m.sender_id <> s.user_id AND m.sent_at >= coalesce(cm.joined_at, s.joined, s.created, 0)
                  AND m.deleted_at = 0 AND m.message_type <> 'system'
                ORDER BY m.id DESC LIMIT greatest(s.unread, 0)) x) unread
 CROSS JOIN LATERAL (
       SELECT CASE WHEN s.unread > 0
                   THEN coalesce((SELECT max(m.id) FROM %1$I.message m WHERE m.channel_id = s.channel_id AND m.id < unread.id), unread.id - 1)
                   ELSE (SELECT max(m.id) FROM %1$I.message m WHERE m.channel_id = s.channel_id) END AS id) mark
 WHERE s.place > $1 AND s.place <= $2 AND s.verdict IN ('carried', 'counterpart') AND mark.id <> 0
   AND ($3 OR cm.id IS NULL)
   AND NOT EXISTS (SELECT FROM %1$I.channel_read_record r WHERE r.user_id = s.user_id AND r.channel_id = s.channel_id)
 ORDER BY s.user_id, s.channel_id
    ON CONFLICT DO NOTHING$sql$, target, input) USING after_place, to_place, first, hermet.now_ms();
  GET DIAGNOSTICS read_marks = ROW_COUNT;

  -- A group has the name and picture that most of its members' rows say.
  EXECUTE format($sql$
INSERT INTO %1$I.channel (id, channel_type, channel_name, channel_avatar, created_at, updated_at)
SELECT c.channel_id, c.kind::%1$I.channel_type_enum, coalesce(n.name, ''), coalesce(a.avatar, ''),
       coalesce(c.created, $3), coalesce(c.updated, c.created, $3)
  FROM (SELECT s.channel_id, s.kind, min(coalesce(s.created, s.joined)) AS created, max(s.updated) AS updated
          FROM %1$I.%2$I s WHERE s.place > $1 AND s.place <= $2 AND s.verdict = 'carried' GROUP BY 1, 2) c
  LEFT JOIN LATERAL (SELECT left(x.name, 128) AS name FROM %1$I.%2$I x
                      WHERE c.kind = 'group' AND x.place = c.channel_id AND x.name <> '' AND x.verdict = 'carried'
                      GROUP BY 1 ORDER BY count(*) DESC, max(x.updated) DESC NULLS LAST, 1 LIMIT 1) n ON true
  LEFT JOIN LATERAL (SELECT x.avatar FROM %1$I.%2$I x
                      WHERE c.kind = 'group' AND x.place = c.channel_id AND x.avatar <> '' AND length(x.avatar) <= 256 AND x.verdict = 'carried'
                      GROUP BY 1 ORDER BY count(*) DESC, max(x.updated) DESC NULLS LAST, 1 LIMIT 1) a ON true
 WHERE NOT EXISTS (SELECT FROM %1$I.channel o WHERE o.id = c.channel_id)
 ORDER BY 1
    ON CONFLICT DO NOTHING$sql$, target, input) USING after_place, to_place, hermet.now_ms();
  GET DIAGNOSTICS channels = ROW_COUNT;

  -- A legacy id that is none, or somebody else's, is replaced.
  EXECUTE format($sql$
INSERT INTO %1$I.channel_member (id, channel_id, user_id, joined_at, left_at, created_at, updated_at)
SELECT CASE WHEN x.legacy_id > 0 AND x.nth = 1 AND NOT EXISTS (SELECT FROM %1$I.channel_member o WHERE o.id = x.legacy_id)
            THEN x.legacy_id ELSE hermet.next_id(x.channel_id) END,
       x.channel_id, x.user_id, coalesce(x.joined, x.created, 0), CASE WHEN x.verdict = 'counterpart' THEN x.gone ELSE 0 END,
       coalesce(x.created, x.joined, $3), coalesce(x.updated, x.created, x.joined, $3)
  FROM (SELECT s.*, row_number() OVER (PARTITION BY s.legacy_id ORDER BY s.verdict, s.line) AS nth
          FROM %1$I.%2$I s
         WHERE s.place > $1 AND s.place <= $2 AND s.verdict IN ('carried', 'counterpart')
           AND NOT EXISTS (SELECT FROM %1$I.channel_member cm WHERE cm.channel_id = s.channel_id AND cm.user_id = s.user_id)) x
 ORDER BY x.channel_id, x.user_id
    ON CONFLICT DO NOTHING$sql$, target, input) USING after_place, to_place, hermet.now_ms();
  GET DIAGNOSTICS members = ROW_COUNT;

  -- Whom nobody wrote yet gets the name and picture that most of his peers know.
  EXECUTE format($sql$
INSERT INTO %1$I.biz_user (id, nickname, avatar)
SELECT p.other, coalesce(n.name, ''), coalesce(a.avatar, '')
  FROM (SELECT DISTINCT s.other FROM %1$I.%2$I s
         WHERE s.place > $1 AND s.place <= $2 AND s.verdict = 'carried' AND s.other IS NOT NULL
           AND NOT EXISTS (SELECT FROM %1$I.biz_user b WHERE b.id = s.other)) p
  LEFT JOIN LATERAL (SELECT left(x.name, 64) AS name FROM %1$I.%2$I x
                      WHERE x.other = p.other AND (x.name <> '' OR x.avatar <> '') AND x.name <> '' AND x.verdict = 'carried'
                      GROUP BY 1 ORDER BY count(*) DESC, max(x.updated) DESC NULLS LAST, 1 LIMIT 1) n ON true
  LEFT JOIN LATERAL (SELECT x.avatar FROM %1$I.%2$I x
                      WHERE x.other = p.other AND (x.name <> '' OR x.avatar <> '') AND x.avatar <> '' AND length(x.avatar) <= 256 AND x.verdict = 'carried'
                      GROUP BY 1 ORDER BY count(*) DESC, max(x.updated) DESC NULLS LAST, 1 LIMIT 1) a ON true
 WHERE n.name IS NOT NULL OR a.avatar IS NOT NULL
 ORDER BY 1
    ON CONFLICT DO NOTHING$sql$, target, input) USING after_place, to_place;
  GET DIAGNOSTICS users = ROW_COUNT;
END
$$;
COMMENT ON FUNCTION hermet.migrate_carry(name, name, bigint, bigint, boolean) IS
    'a step of a migration: writes a range of channels to the write side; returns how many rows it added to each table';

/* What was not carried; and what the inbox shows other than the legacy row did. */
CREATE FUNCTION hermet.migrate_report(target name, input name, after_place bigint, to_place bigint, migration_id bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
  EXECUTE format($sql$
INSERT INTO %1$I.hermet_migration_row (migration_id, legacy_id, user_id, channel_id, outcome, reason, detail)
SELECT $3, s.legacy_id, s.user_id, s.channel_id, 'not carried', s.verdict,
       CASE s.verdict WHEN 'no user_id' THEN format('user_id is %%s', coalesce(s.user_id::text, 'NULL'))
                      WHEN 'no channel_id' THEN format('channel_id is %%s', coalesce(s.channel_id::text, 'NULL'))
                      WHEN 'contact_type unknown' THEN format('contact_type is %%s', coalesce(quote_literal(s.contact_type), 'NULL'))
                      ELSE s.detail END
  FROM %1$I.%2$I s
 WHERE s.place > $1 AND s.place <= $2 AND s.verdict NOT IN ('left', 'carried', 'counterpart')
 ORDER BY s.place, s.line$sql$, target, input) USING after_place, to_place, migration_id;

  EXECUTE format($sql$
INSERT INTO %1$I.hermet_migration_row (migration_id, legacy_id, user_id, channel_id, outcome, reason, detail)
SELECT $3, s.legacy_id, s.user_id, s.channel_id, 'carried in part', w.reason, w.detail
  FROM %1$I.%2$I s
  LEFT JOIN %1$I.user_conversation_view v ON v.channel_id = s.channel_id AND v.user_id = s.user_id
 CROSS JOIN LATERAL (VALUES
       (v.id IS NULL, 'not shown', 'channel.channel_status is not active'),
       (v.id <> s.legacy_id OR s.legacy_id IS NULL, 'id replaced', format('now %%s', v.id)),
       (s.odd_times <> '', 'time not plausible', s.odd_times),
       (s.name <> '' AND s.name <> v.conversation_name COLLATE "C", 'name differs', format('%%s, now %%s', s.name, v.conversation_name)),
       (s.avatar <> '' AND s.avatar <> v.conversation_avatar COLLATE "C", 'avatar differs', format('%%s, now %%s', s.avatar, v.conversation_avatar)),
       (s.kind = 'single' AND s.peer > 0 AND s.peer <> v.peer_user_id, 'peer differs', format('%%s, now %%s', s.peer, v.peer_user_id)),
       (s.message_id > v.last_message_id, 'last message not carried', format('%%s, now %%s', s.message_id, v.last_message_id)),
       (s.unread <> v.unread_count, 'unread_count differs', format('%%s, now %%s', s.unread, v.unread_count)),
       (s.muted <> v.is_muted OR s.pinned <> v.is_pinned OR s.hidden <> v.is_hidden, 'settings differ',
        concat_ws(', ', CASE WHEN s.muted <> v.is_muted THEN 'is_muted' END, CASE WHEN s.pinned <> v.is_pinned THEN 'is_pinned' END,
                        CASE WHEN s.hidden <> v.is_hidden THEN 'is_hidden' END)),
       (s.other IS NOT NULL AND EXISTS (SELECT FROM %1$I.%2$I o WHERE o.place = s.place AND o.verdict = 'counterpart' AND o.closed > 0),
        'counterpart added', format('user %%s had no row', s.other))
       ) w (applies, reason, detail)
 WHERE s.place > $1 AND s.place <= $2 AND s.verdict = 'carried' AND w.applies
 ORDER BY s.place, s.line, w.reason$sql$, target, input) USING after_place, to_place, migration_id;
END
$$;
COMMENT ON FUNCTION hermet.migrate_report(name, name, bigint, bigint, bigint) IS
    'a step of a migration: reports what of a range of channels was not carried, or not as it was';

CREATE FUNCTION hermet.migrate_step(migration_id bigint, target name, batch_rows int) RETURNS boolean
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  m record;
  c record;
  input name;
  first boolean;
  found boolean;
  to_place bigint;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  IF batch_rows IS NULL OR batch_rows < 1 THEN
    RAISE EXCEPTION 'a batch must have at least 1 row' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  EXECUTE format('LOCK TABLE %I.hermet_migration IN SHARE ROW EXCLUSIVE MODE', target);
  EXECUTE format('SELECT id, source, finished_at, legacy_rows, coalesce(last_channel_id, -1) AS place FROM %I.hermet_migration WHERE id = $1', target)
     INTO m USING migration_id;
  IF m.id IS NULL THEN
    RAISE EXCEPTION 'there is no migration % in schema "%"', migration_id, target USING ERRCODE = 'undefined_object';
  ELSIF m.finished_at <> 0 THEN
    RETURN false;
  END IF;
  input := 'hermet_migration_input_' || m.id;
  EXECUTE format('SELECT max(x.place) FROM (SELECT i.place FROM %I.%I i WHERE i.place > $1 ORDER BY i.place LIMIT $2) x', target, input)
     INTO to_place USING m.place, batch_rows;
  IF to_place IS NULL THEN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.%I)', target, input) INTO found;
    IF NOT found AND m.legacy_rows > 0 THEN
      RAISE EXCEPTION 'what migration % has read is gone', m.id
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'hermet.migrate_user_contact() reads the legacy table again and goes on.';
    END IF;
    EXECUTE format('DROP TABLE %I.%I', target, input);
    EXECUTE format('UPDATE %I.hermet_migration SET finished_at = hermet.now_ms() WHERE id = $1', target) USING m.id;
    RETURN false;
  END IF;
  EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I.hermet_migration WHERE source = $1 AND finished_at <> 0)', target)
     INTO first USING m.source;

  -- One statement after the other would take the channels now shared, now alone.
  EXECUTE format('SELECT hermet.lock_channels(ARRAY(SELECT DISTINCT i.place FROM %I.%I i WHERE i.place > greatest($1, 0) AND i.place <= $2), $3)', target, input)
    USING m.place, to_place, target;
  PERFORM hermet.migrate_judge(target, input, m.place, to_place);
  SELECT * INTO c FROM hermet.migrate_carry(target, input, m.place, to_place, first);
  PERFORM hermet.migrate_report(target, input, m.place, to_place, m.id);
  EXECUTE format($sql$
UPDATE %1$I.hermet_migration
   SET last_channel_id = $2, done_rows = done_rows + n.looked_at, left_out = left_out + n.gone, carried = carried + n.taken,
       not_carried = not_carried + n.looked_at - n.gone - n.taken, users = users + $4, messages = messages + $5, settings = settings + $6,
       read_marks = read_marks + $7, channels = channels + $8, members = members + $9
  FROM (SELECT count(*) AS looked_at, count(*) FILTER (WHERE s.verdict = 'left') AS gone, count(*) FILTER (WHERE s.verdict = 'carried') AS taken
          FROM %1$I.%2$I s WHERE s.place > $1 AND s.place <= $2 AND s.verdict <> 'counterpart') n
 WHERE id = $3$sql$, target, input)
    USING m.place, to_place, m.id, c.users, c.messages, c.settings, c.read_marks, c.channels, c.members;
  RETURN true;
END
$$;
COMMENT ON FUNCTION hermet.migrate_step(bigint, name, int) IS
    'carries the next channels of a migration, of about so many rows; false when there are none left';

CREATE FUNCTION hermet.migrate_progress(migration_id bigint, target name) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  m record;
  parts bigint;
BEGIN
  target := hermet.resolve_target(target);
  EXECUTE format('SELECT * FROM %I.hermet_migration WHERE id = $1', target) INTO m USING migration_id;
  IF m.id IS NULL THEN
    RETURN NULL;
  ELSIF m.finished_at = 0 THEN
    RETURN format('migration of %s: %s of %s rows', m.source, m.done_rows, m.legacy_rows);
  END IF;
  EXECUTE format('SELECT count(*) FROM %I.hermet_migration_row WHERE migration_id = $1 AND outcome = ''carried in part''', target)
     INTO parts USING m.id;
  RETURN format('migration of %s: %s rows, %s carried, %s left out (left_at), %s not carried; added to channel %s, channel_member %s, '
                'conversation_setting %s, channel_read_record %s, message %s, biz_user %s; remarks in %I.hermet_migration_row: %s',
                m.source, m.done_rows, m.carried, m.left_out, m.not_carried, m.channels, m.members,
                m.settings, m.read_marks, m.messages, m.users, target, parts);
END
$$;
COMMENT ON FUNCTION hermet.migrate_progress(bigint, name) IS 'how far a migration is, or what it has done, in a line';

CREATE FUNCTION hermet.migrate_user_contact(source regclass, target name DEFAULT NULL)
    RETURNS TABLE (legacy_id bigint, user_id bigint, channel_id bigint, reason text, detail text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  migration_id bigint;
BEGIN
  target := hermet.resolve_target(target);
  migration_id := hermet.migrate_begin(source, target);
  WHILE hermet.migrate_step(migration_id, target, 20000) LOOP
    RAISE NOTICE '%', hermet.migrate_progress(migration_id, target);
  END LOOP;
  RAISE NOTICE '%', hermet.migrate_progress(migration_id, target);
  RETURN QUERY EXECUTE format('SELECT r.legacy_id, r.user_id, r.channel_id, r.reason, r.detail FROM %I.hermet_migration_row r '
                              'WHERE r.migration_id = $1 AND r.outcome = ''not carried'' ORDER BY r.id', target) USING migration_id;
END
$$;
COMMENT ON FUNCTION hermet.migrate_user_contact(regclass, name) IS
    'takes over a legacy user_contact table, in one transaction; returns the rows that cannot be carried, and why';

-- A procedure that commits may have no settings of its own: every name is qualified, and what it calls has them.
CREATE PROCEDURE hermet.migrate_user_contact_in_batches(source regclass, target name DEFAULT NULL, batch_rows int DEFAULT 1000,
                                                        notice_seconds double precision DEFAULT 5)
    LANGUAGE plpgsql AS $$
DECLARE
  migration_id bigint;
  more boolean := true;
  told_at pg_catalog.timestamptz := pg_catalog.clock_timestamp();
BEGIN
  IF batch_rows IS NULL OR batch_rows OPERATOR(pg_catalog.<) 1 THEN
    RAISE EXCEPTION 'a batch must have at least 1 row' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  migration_id := hermet.migrate_begin(source, target);
  COMMIT;
  WHILE more LOOP
    more := hermet.migrate_step(migration_id, target, batch_rows);
    COMMIT;
    IF NOT more OR pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) told_at)
                   OPERATOR(pg_catalog.>=) notice_seconds THEN
      RAISE NOTICE '%', hermet.migrate_progress(migration_id, target);
      told_at := pg_catalog.clock_timestamp();
    END IF;
  END LOOP;
END
$$;
COMMENT ON PROCEDURE hermet.migrate_user_contact_in_batches(regclass, name, int, double precision) IS
    'the same, committing every so many rows; cancelled or killed, the next call of either goes on';
