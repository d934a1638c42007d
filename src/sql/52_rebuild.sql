/*
 * Rebuild online: the read side derived anew from the write side alone, in batches that commit, while applications
 * go on. What a batch does is in the library; here is where it stands, and who runs it. And bulk loads.
 *
 * Procedures that commit carry neither SET nor SECURITY DEFINER: whatever needs names or operators is in functions.
 */

CREATE FUNCTION hermet.require_own_transactions() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_require_own_transactions';
COMMENT ON FUNCTION hermet.require_own_transactions() IS 'an error inside a transaction block: what commits cannot run there';

CREATE FUNCTION hermet.rebuild_batch(schema_oid oid, table_name text, next_first bigint, next_second bigint, to_key bigint,
                                     batch_size int, all_rows boolean)
    RETURNS TABLE (first bigint, second bigint, finished boolean, looked_at bigint, changed bigint)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_rebuild_batch';
COMMENT ON FUNCTION hermet.rebuild_batch(oid, text, bigint, bigint, bigint, int, boolean) IS
    'one batch of a rebuild: compares the rows of a table from a key on, writes what differs, and says where the next batch begins';

CREATE FUNCTION hermet.hold_rebuild(id bigint, target name DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_hold_rebuild';
COMMENT ON FUNCTION hermet.hold_rebuild(bigint, name) IS
    'makes this session the one that runs a rebuild, until an error, its end, or release_rebuild(); false: another one does';

CREATE FUNCTION hermet.release_rebuild() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_release_rebuild';
COMMENT ON FUNCTION hermet.release_rebuild() IS 'the rebuild that this session runs is over';

CREATE FUNCTION hermet.rebuild_runs(id bigint, schema_oid oid) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_rebuild_runs';
COMMENT ON FUNCTION hermet.rebuild_runs(bigint, oid) IS 'whether some session runs a rebuild of the instance in that schema';

-- The tables that a rebuild goes through, in this order, and the column that from_key and to_key mean in each, NULL = it goes
-- through all of it. Applications write meanwhile, and are maintained from what is stored. So first channel: what is written
-- after a row was passed is derived from what its channel says, whichever that is. And last what should not be in the reverse
-- index: a member who leaves before his row was mended leaves there what no stored row led to.
CREATE FUNCTION hermet.rebuild_phases(view_name text, OUT phase int, OUT table_name text, OUT counted text, OUT key_column text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.phase, p.table_name, p.counted, p.key_column
    FROM (VALUES ('user_conversation_view', 1, 'channel', 'channel', NULL),
                 ('user_conversation_view', 2, 'user_conversation_view', 'channel_member', 'user_id'),
                 ('user_conversation_view', 3, 'conversation_reverse_index', 'conversation_reverse_index', 'peer_user_id'),
                 ('user_contact_view', 1, 'user_contact_view', 'friendship', 'user_id'),
                 ('user_contact_view', 2, 'contact_reverse_index', 'contact_reverse_index', 'contact_user_id'))
         AS p (view_name, phase, table_name, counted, key_column)
   WHERE p.view_name = rebuild_phases.view_name
   ORDER BY p.phase
$$;
COMMENT ON FUNCTION hermet.rebuild_phases(text) IS
    'the tables that a rebuild goes through, where their rows are counted, and the column that its range is of, NULL = the whole table';

CREATE FUNCTION hermet.rows_to_rebuild(target name, view_name text, from_phase int, from_key bigint, to_key bigint) RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  total bigint := 0;
  n bigint;
  p record;
BEGIN
  FOR p IN SELECT * FROM hermet.rebuild_phases(view_name) x WHERE x.phase >= from_phase LOOP
    EXECUTE format('SELECT count(*) FROM %I.%I t', target, p.counted)
      || CASE WHEN p.key_column IS NULL THEN '' ELSE format(' WHERE t.%I BETWEEN $1 AND $2', p.key_column) END
      INTO n USING coalesce(from_key, -9223372036854775808), coalesce(to_key, 9223372036854775807);
    total := total + n;
  END LOOP;
  RETURN total;
END
$$;
COMMENT ON FUNCTION hermet.rows_to_rebuild(name, text, int, bigint, bigint) IS
    'how many rows a rebuild of that range looks at from one of its phases on, as far as that can be counted before it gets there';

CREATE FUNCTION hermet.begin_rebuild(INOUT target name, view_name text, batch_size int, from_key bigint, to_key bigint,
                                     pause_ms int, notice_seconds int, restart boolean, OUT id bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  low bigint := coalesce(from_key, -9223372036854775808);
  high bigint := coalesce(to_key, 9223372036854775807);
  now_ms bigint := hermet.now_ms();
  loaded bigint;
  r record;
BEGIN
  IF batch_size NOT BETWEEN 1 AND 10000 OR pause_ms < 0 OR notice_seconds < 0 OR restart IS NULL
     OR num_nulls(batch_size, pause_ms, notice_seconds) > 0 OR low > high THEN
    RAISE EXCEPTION 'the arguments of the rebuild are out of range'
      USING ERRCODE = 'invalid_parameter_value',
            DETAIL = format('batch_size %s, from_key %s, to_key %s, pause_ms %s, notice_seconds %s, restart %s.',
                            coalesce(batch_size::text, 'NULL'), coalesce(from_key::text, 'NULL'), coalesce(to_key::text, 'NULL'),
                            coalesce(pause_ms::text, 'NULL'), coalesce(notice_seconds::text, 'NULL'), coalesce(restart::text, 'NULL')),
            HINT = 'batch_size is 1 to 10000; from_key is not above to_key; pause_ms and notice_seconds are not negative; only the keys may be NULL.';
  END IF;
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  IF to_regclass(format('%I.hermet_rebuild', target)) IS NULL THEN
    RAISE EXCEPTION 'table "%.hermet_rebuild" of the hermet instance does not exist', target
      USING ERRCODE = 'undefined_table', HINT = 'hermet.upgrade() makes it.';
  END IF;

  -- Rebuilds begin one after the other, and no batch of another one waits for it.
  EXECUTE format('LOCK TABLE %I.hermet_rebuild IN SHARE UPDATE EXCLUSIVE MODE', target);
  FOR r IN EXECUTE format(
    'SELECT b.*, hermet.rebuild_runs(b.id, %L::regnamespace) AS runs FROM %I.hermet_rebuild b '
    ' WHERE b.view_name = $1 AND b.finished_at = 0 ORDER BY b.id', quote_ident(target), target) USING view_name
  LOOP
    CONTINUE WHEN coalesce(r.to_key, 9223372036854775807) < low OR coalesce(r.from_key, -9223372036854775808) > high;
    IF r.runs THEN
      RAISE EXCEPTION 'a rebuild of "%.%" runs already', target, view_name
        USING ERRCODE = 'object_in_use',
              DETAIL = format('Process %s rebuilds the keys from %s to %s.', r.pid, coalesce(r.from_key::text, 'the lowest'), coalesce(r.to_key::text, 'the highest')),
              HINT = 'hermet.progress shows it. Rebuilds whose ranges do not overlap can run at once.';
    END IF;
  END LOOP;

  -- One that was interrupted goes on, unless there has been a bulk load since; those that lie within this one are done with.
  EXECUTE format('SELECT max(ended_at) FROM %I.hermet_bulk_load', target) INTO loaded;
  EXECUTE format('SELECT * FROM %I.hermet_rebuild b WHERE b.view_name = $1 AND b.finished_at = 0 '
                 '   AND (b.from_key, b.to_key) IS NOT DISTINCT FROM ($2, $3) ORDER BY b.id LIMIT 1', target)
    INTO r USING view_name, from_key, to_key;
  IF r.id IS NOT NULL AND NOT restart AND r.started_at > coalesce(loaded, 0) THEN
    EXECUTE format('UPDATE %I.hermet_rebuild SET resumed_at = $2, resumed_done = done, updated_at = $2, pid = $3 WHERE id = $1', target)
      USING r.id, now_ms, pg_backend_pid();
    RAISE NOTICE 'rebuild of "%.%" goes on after % of % rows', target, view_name, r.done, greatest(r.total, r.done);
  ELSE
    IF r.id IS NOT NULL AND NOT restart THEN
      RAISE NOTICE 'rebuild of "%.%" begins anew: there has been a bulk load since it was interrupted', target, view_name;
    END IF;
    EXECUTE format('DELETE FROM %I.hermet_rebuild b WHERE b.view_name = $1 AND b.finished_at = 0 '
                   '   AND coalesce(b.from_key, -9223372036854775808) >= $2 AND coalesce(b.to_key, 9223372036854775807) <= $3', target)
      USING view_name, low, high;
    EXECUTE format('INSERT INTO %I.hermet_rebuild (view_name, from_key, to_key, phase, next_first, total, started_at, resumed_at, updated_at, pid) '
                   'SELECT $1, $2, $3, p.phase, CASE WHEN p.key_column IS NULL THEN -9223372036854775808 ELSE $4 END, $5, $6, $6, $6, $7 '
                   '  FROM hermet.rebuild_phases($1) p WHERE p.phase = 1 RETURNING id', target)
      INTO r USING view_name, from_key, to_key, low, hermet.rows_to_rebuild(target, view_name, 1, from_key, to_key), now_ms, pg_backend_pid();
  END IF;
  IF NOT hermet.hold_rebuild(r.id, target) THEN
    RAISE EXCEPTION 'a rebuild of "%.%" runs already', target, view_name USING ERRCODE = 'object_in_use';
  END IF;
  id := r.id;
END
$$;
COMMENT ON FUNCTION hermet.begin_rebuild(name, text, int, bigint, bigint, int, int, boolean) IS
    'the beginning of a rebuild, or of its continuation: refuses what overlaps with a running one; returns its id in hermet_rebuild';

CREATE FUNCTION hermet.rebuild_step(target name, id bigint, batch_size int, notice_seconds int,
                                    INOUT said_at bigint, INOUT all_rows boolean, OUT more boolean)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  now_ms bigint;
  high bigint;
  r record;
  p record;
  b record;
  rate float8;
BEGIN
  EXECUTE format('SELECT * FROM %I.hermet_rebuild x WHERE x.id = $1 AND x.finished_at = 0 AND x.pid = $2 FOR UPDATE', target)
    INTO r USING id, pg_backend_pid();
  IF r.id IS NULL THEN
    RAISE EXCEPTION 'rebuild % of the instance in schema "%" is not this session''s any more', id, target
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Somebody has changed hermet_rebuild. CALL the rebuild again.';
  END IF;
  high := coalesce(r.to_key, 9223372036854775807);
  SELECT * INTO p FROM hermet.rebuild_phases(r.view_name) x WHERE x.phase = r.phase;
  -- Only now is in the reverse index what this rebuild has put there; and nothing is locked yet.
  IF p.table_name LIKE '%reverse_index' AND r.next_first = coalesce(r.from_key, -9223372036854775808) AND r.next_second = -9223372036854775808 THEN
    r.total := r.done + hermet.rows_to_rebuild(target, r.view_name, r.phase, r.from_key, r.to_key);
  END IF;
  SELECT * INTO b FROM hermet.rebuild_batch(quote_ident(target)::regnamespace, p.table_name, r.next_first, r.next_second,
                                            CASE WHEN p.key_column IS NULL THEN 9223372036854775807 ELSE high END, batch_size,
                                            all_rows AND p.table_name = r.view_name);
  r.done := r.done + b.looked_at;
  r.changed := r.changed + b.changed;
  r.next_first := b.first;
  r.next_second := b.second;
  more := true;
  -- Where nearly all rows differ, it is cheaper not to compare first.
  all_rows := p.table_name = r.view_name AND b.looked_at > 0 AND b.changed >= b.looked_at * 0.9;
  IF b.finished THEN
    r.phase := r.phase + 1;
    r.next_first := coalesce(r.from_key, -9223372036854775808);
    r.next_second := -9223372036854775808;
    more := EXISTS (SELECT FROM hermet.rebuild_phases(r.view_name) x WHERE x.phase = r.phase);
  END IF;
  now_ms := hermet.now_ms();
  EXECUTE format('UPDATE %I.hermet_rebuild x SET phase = $2, next_first = $3, next_second = $4, done = $5, total = $6, changed = $7, '
                 '       updated_at = $8, finished_at = CASE WHEN $9 THEN 0 ELSE $8 END WHERE x.id = $1', target)
    USING id, r.phase, r.next_first, r.next_second, r.done, r.total, r.changed, now_ms, more;
  IF NOT more THEN
    -- What lies within a finished one says nothing more; and incidents before it are mended.
    EXECUTE format('DELETE FROM %I.hermet_rebuild x WHERE x.view_name = $1 AND x.finished_at <> 0 AND x.id < $2 '
                   '   AND coalesce(x.from_key, -9223372036854775808) >= $3 AND coalesce(x.to_key, 9223372036854775807) <= $4', target)
      USING r.view_name, id, coalesce(r.from_key, -9223372036854775808), high;
    IF r.from_key IS NULL AND r.to_key IS NULL THEN
      EXECUTE format('DELETE FROM %I.hermet_incident i WHERE i.happened_at < $1 AND (i.table_name LIKE %L) = $2', target, '%contact%')
        USING r.started_at, r.view_name = 'user_contact_view';
    END IF;
  END IF;
  IF said_at = 0 THEN
    said_at := r.resumed_at;
  END IF;
  IF NOT more OR (notice_seconds > 0 AND now_ms - said_at >= notice_seconds * 1000::bigint) THEN
    rate := (r.done - r.resumed_done) * 1000.0 / greatest(now_ms - r.resumed_at, 1);
    IF more THEN
      RAISE NOTICE 'rebuild of "%.%": % of % rows, % changed, % a second, % left', target, r.view_name, r.done, greatest(r.total, r.done),
        r.changed, round(rate), coalesce(hermet.time_left(r.total - r.done, rate)::text, 'unknown');
    ELSIF notice_seconds > 0 THEN
      RAISE NOTICE 'rebuild of "%.%": finished, % rows, % changed', target, r.view_name, r.done, r.changed;
    END IF;
    said_at := now_ms;
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.rebuild_step(name, bigint, int, int, bigint, boolean) IS
    'the next batch of a rebuild, with the note of it in hermet_rebuild; more: whether there is another one';

CREATE FUNCTION hermet.time_left(rows_left bigint, rate float8) RETURNS interval
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN rows_left <= 0 THEN interval '0'
              WHEN rows_left / nullif(rate, 0) < 1e9 THEN make_interval(secs => round((rows_left / rate)::numeric, 0)::float8) END
$$;
COMMENT ON FUNCTION hermet.time_left(bigint, float8) IS 'how long so many rows take at so many a second; NULL where nobody can say';

-- How long to wait before the batch is tried again, in seconds; in the end an error.
CREATE FUNCTION hermet.rebuild_failed(target name, id bigint, INOUT tries int, state text, message text, detail text,
                                      OUT seconds float8)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  tries := tries + 1;
  seconds := least(0.02 * 2 ^ tries, 1);
  IF tries < 8 THEN
    RETURN;
  END IF;
  EXECUTE format('SELECT * FROM %I.hermet_rebuild x WHERE x.id = $1', target) INTO r USING id;
  RAISE EXCEPTION 'the rebuild of "%.%" stopped after % of % rows: a batch failed % times', target, r.view_name, r.done, greatest(r.total, r.done), tries
    USING ERRCODE = state, DETAIL = format('The last time: %s', concat_ws(' ', message, detail)),
          HINT = 'What was done stays. CALL it again, and it goes on from there.';
END
$$;
COMMENT ON FUNCTION hermet.rebuild_failed(name, bigint, int, text, text, text) IS
    'what follows when a batch of a rebuild met a deadlock or a lock_timeout: a pause, or after some of them an error';

CREATE PROCEDURE hermet.run_rebuild(target name, view_name text, batch_size int, from_key bigint, to_key bigint,
                                    pause_ms int, notice_seconds int, restart boolean)
    LANGUAGE plpgsql AS $$
DECLARE
  id bigint;
  said_at bigint := 0;
  all_rows boolean := false;
  more boolean := true;
  tries int := 0;
  seconds pg_catalog.float8;
  state pg_catalog.text;
  message pg_catalog.text;
  detail pg_catalog.text;
BEGIN
  PERFORM hermet.require_own_transactions();
  -- Every transaction reads what is committed by then; at a higher level it would fail for what others wrote meanwhile.
  -- Nothing may be evaluated between COMMIT and this: it would take a snapshot.
  COMMIT;
  SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
  SELECT b.target, b.id INTO target, id
    FROM hermet.begin_rebuild(target, view_name, batch_size, from_key, to_key, pause_ms, notice_seconds, restart) b;
  COMMIT;
  LOOP
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    seconds := NULL;
    BEGIN
      SELECT s.said_at, s.all_rows, s.more INTO said_at, all_rows, more
        FROM hermet.rebuild_step(target, id, batch_size, notice_seconds, said_at, all_rows) s;
      tries := 0;
    EXCEPTION WHEN serialization_failure OR deadlock_detected OR lock_not_available THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
      SELECT f.tries, f.seconds INTO tries, seconds FROM hermet.rebuild_failed(target, id, tries, state, message, detail) f;
    END;
    COMMIT;
    EXIT WHEN NOT more;
    seconds := hermet.rebuild_pause(pause_ms, seconds);
    IF seconds IS NOT NULL THEN
      PERFORM pg_catalog.pg_sleep(seconds);
    END IF;
    COMMIT;
  END LOOP;
  PERFORM hermet.release_rebuild();
END
$$;
COMMENT ON PROCEDURE hermet.run_rebuild(name, text, int, bigint, bigint, int, int, boolean) IS
    'what rebuild_conversation_view() and rebuild_contact_view() do';

CREATE FUNCTION hermet.rebuild_pause(pause_ms int, seconds float8) RETURNS float8
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(seconds, nullif(pause_ms, 0) / 1000.0)
$$;
COMMENT ON FUNCTION hermet.rebuild_pause(int, float8) IS 'how many seconds a rebuild pauses after a batch; NULL = not at all';

CREATE PROCEDURE hermet.rebuild_conversation_view(target name DEFAULT NULL, batch_size int DEFAULT 300,
                                                  from_key bigint DEFAULT NULL, to_key bigint DEFAULT NULL,
                                                  pause_ms int DEFAULT 0, notice_seconds int DEFAULT 10, restart boolean DEFAULT false)
    LANGUAGE plpgsql AS $$
BEGIN
  CALL hermet.run_rebuild(target, 'user_conversation_view', batch_size, from_key, to_key, pause_ms, notice_seconds, restart);
END
$$;
COMMENT ON PROCEDURE hermet.rebuild_conversation_view(name, int, bigint, bigint, int, int, boolean) IS
    'derives the inbox, its reverse index and channel''s own columns anew, from the write side alone, in batches that commit, beside applications; goes on where an interrupted one stood';

CREATE PROCEDURE hermet.rebuild_contact_view(target name DEFAULT NULL, batch_size int DEFAULT 300,
                                             from_key bigint DEFAULT NULL, to_key bigint DEFAULT NULL,
                                             pause_ms int DEFAULT 0, notice_seconds int DEFAULT 10, restart boolean DEFAULT false)
    LANGUAGE plpgsql AS $$
BEGIN
  CALL hermet.run_rebuild(target, 'user_contact_view', batch_size, from_key, to_key, pause_ms, notice_seconds, restart);
END
$$;
COMMENT ON PROCEDURE hermet.rebuild_contact_view(name, int, bigint, bigint, int, int, boolean) IS
    'derives the address book and its reverse index anew, as rebuild_conversation_view() does the inbox';

CREATE FUNCTION hermet.progress(INOUT target name DEFAULT NULL, OUT operation text, OUT from_key bigint, OUT to_key bigint,
                                OUT phase text, OUT done bigint, OUT total bigint, OUT changed bigint, OUT rate float8,
                                OUT time_left interval, OUT state text, OUT pid int,
                                OUT started timestamptz, OUT updated timestamptz)
    RETURNS SETOF record
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  target := hermet.resolve_target(target);
  IF to_regclass(format('%I.hermet_rebuild', target)) IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY EXECUTE format($q$
    SELECT %1$L::name, replace(b.view_name, 'user_', 'rebuild_'), b.from_key, b.to_key, p.table_name, b.done, greatest(b.total, b.done), b.changed,
           s.rate, CASE WHEN b.finished_at = 0 THEN hermet.time_left(b.total - b.done, s.rate) END,
           s.state, CASE WHEN s.state = 'running' THEN b.pid END,
           to_timestamp(b.started_at / 1000.0), to_timestamp(b.updated_at / 1000.0)
      FROM %1$I.hermet_rebuild b
      LEFT JOIN LATERAL hermet.rebuild_phases(b.view_name) p ON p.phase = b.phase
     CROSS JOIN LATERAL (
           SELECT CASE WHEN b.finished_at <> 0 THEN 'finished'
                       WHEN hermet.rebuild_runs(b.id, %2$s::oid) THEN 'running' ELSE 'interrupted' END AS state,
                  round((b.done - b.resumed_done) * 1000.0 / greatest(b.updated_at - b.resumed_at, 1))::float8 AS rate) s
     ORDER BY b.id$q$, target, (SELECT n.oid FROM pg_namespace n WHERE n.nspname = target));
END
$$;
COMMENT ON FUNCTION hermet.progress(name) IS
    'how far the rebuilds of an instance are: rows done of all, rate a second, time left, and whether they run, were interrupted or are finished';

CREATE VIEW hermet.progress AS
  SELECT p.*
    FROM hermet.instances() i
   CROSS JOIN LATERAL hermet.progress(i.target) p
   WHERE has_schema_privilege(i.target, 'USAGE')
     AND has_table_privilege(to_regclass(format('%I.hermet_rebuild', i.target)), 'SELECT');
COMMENT ON VIEW hermet.progress IS 'hermet.progress() of all instances that you may see';
GRANT SELECT ON hermet.progress TO PUBLIC;

CREATE FUNCTION hermet.begin_bulk_load(target name DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_begin_bulk_load';
COMMENT ON FUNCTION hermet.begin_bulk_load(name) IS
    'what this session writes from now on does not reach the read side, until end_bulk_load(); health reports it until a check of everything found nothing wrong';

CREATE FUNCTION hermet.end_bulk_load(target name DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_end_bulk_load';
COMMENT ON FUNCTION hermet.end_bulk_load(name) IS
    'this session''s writes are maintained again; the read side lacks what was loaded until it is rebuilt';
