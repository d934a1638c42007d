/* Events: a log of what happens to the write side, for replay and for outsiders. Off until it is switched on. */

CREATE FUNCTION hermet.append_events() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_append_events';
COMMENT ON FUNCTION hermet.append_events() IS 'AFTER STATEMENT on the write side, where events are switched on: appends to change_event';

CREATE FUNCTION hermet.catalog_event_triggers(OUT table_name text, OUT trigger_name text, OUT event text, OUT definition text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  -- Named to run after hermet's own: what waits for a lock there has no offset yet.
  SELECT t.table_name, 'hermet_event_' || lower(e.event), e.event,
         format('AFTER %s ON %%I.%I %sFOR EACH STATEMENT EXECUTE FUNCTION hermet.append_events()',
                e.event, t.table_name, e.referencing)
    FROM hermet.catalog_tables() t,
         (VALUES ('INSERT', 'REFERENCING NEW TABLE AS new_rows '),
                 ('UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows '),
                 ('DELETE', 'REFERENCING OLD TABLE AS old_rows '),
                 ('TRUNCATE', '')) AS e (event, referencing)
   WHERE t.side = 'write'
$$;
COMMENT ON FUNCTION hermet.catalog_event_triggers() IS
    'the triggers of an instance whose events are switched on, beside those of catalog_triggers()';

CREATE FUNCTION hermet.events_enabled(target name) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_trigger g
                   JOIN pg_class c ON c.oid = g.tgrelid
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = target AND g.tgfoid = 'hermet.append_events()'::regprocedure AND NOT g.tgisinternal)
$$;
COMMENT ON FUNCTION hermet.events_enabled(name) IS 'whether an instance has any of the triggers that write events';

CREATE FUNCTION hermet.enable_events(target name DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  IF hermet.is_node(target) THEN
    RAISE EXCEPTION 'the hermet instance in schema "%" is a read node', target
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'What replication applies fires no statement trigger: its log would have gaps.',
            HINT = 'Enable the events of the primary.';
  END IF;
  IF to_regclass(format('%I.change_event', target)) IS NULL THEN
    RAISE EXCEPTION 'table "%.change_event" of the hermet instance does not exist', target
      USING ERRCODE = 'undefined_table', HINT = 'hermet.upgrade() makes it.';
  END IF;
  PERFORM hermet.make_triggers(target, true);
END
$$;
COMMENT ON FUNCTION hermet.enable_events(name) IS
    'from now on each change of the write side appends to change_event, in the same transaction';

CREATE FUNCTION hermet.disable_events(target name DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  FOR r IN
    SELECT g.tgname, c.relname
      FROM pg_trigger g
      JOIN pg_class c ON c.oid = g.tgrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = target AND g.tgfoid = 'hermet.append_events()'::regprocedure AND NOT g.tgisinternal
     ORDER BY c.relname, g.tgname
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %I.%I', r.tgname, target, r.relname);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.disable_events(name) IS 'no more events; those that are in change_event stay';

CREATE FUNCTION hermet.read_events(after_offset bigint DEFAULT 0, max_rows int DEFAULT 1000, target name DEFAULT NULL)
    RETURNS TABLE (event_offset bigint, table_name text, key jsonb, operation text, new_values jsonb,
                   transaction_time bigint, transaction_id xid8)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_read_events';
COMMENT ON FUNCTION hermet.read_events(bigint, int, name) IS
    'the next events in order of their offsets, up to the horizon: who goes on after the last one he got misses none';

CREATE FUNCTION hermet.event_horizon(target name DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_event_horizon';
COMMENT ON FUNCTION hermet.event_horizon(name) IS
    'the last event that no open transaction can come before: later statements see everything up to it';

CREATE FUNCTION hermet.replay_events(from_offset bigint, to_offset bigint DEFAULT NULL, target name DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_replay_events';
COMMENT ON FUNCTION hermet.replay_events(bigint, bigint, name) IS
    'refreshes what the events from one offset to another name on the read side; returns up to which offset that is everything';

CREATE FUNCTION hermet.prune_events(before_offset bigint, target name DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_prune_events';
COMMENT ON FUNCTION hermet.prune_events(bigint, name) IS
    'removes the events before an offset, none above the horizon; returns how many';
