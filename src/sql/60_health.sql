/* Health: what could let the read side drift, or has. */

CREATE FUNCTION hermet.prepared_transactions(target name DEFAULT NULL)
    RETURNS TABLE (gid text, owner name, prepared timestamptz)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  -- Its locks go by the virtual transaction that it had, and after a restart by another: the lock on its own id has it.
  SELECT x.gid, x.owner, x.prepared
    FROM hermet.resolve_target(target) r (target)
    JOIN pg_prepared_xacts x ON x.database = current_database()
   WHERE EXISTS (SELECT FROM pg_locks o
                   JOIN pg_locks l ON l.virtualtransaction = o.virtualtransaction AND l.pid IS NULL AND l.locktype = 'relation'
                  WHERE o.pid IS NULL AND o.locktype = 'transactionid' AND o.transactionid = x.transaction
                    AND l.relation IN (SELECT to_regclass(format('%I.%I', r.target, t.table_name)) FROM hermet.catalog_tables() t))
   ORDER BY x.prepared
$$;
COMMENT ON FUNCTION hermet.prepared_transactions(name) IS
    'prepared transactions that have written the instance and keep what they wrote locked, the oldest first';

CREATE FUNCTION hermet.health(target name DEFAULT NULL)
    RETURNS TABLE (problem text, object text, detail text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  n bigint;
  newest bigint;
  found text;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);

  RETURN QUERY
    SELECT 'table missing', format('%I.%I', target, t.table_name),
           CASE WHEN t.side = 'write' THEN 'bring it back: the read side derives from it' ELSE 'hermet.upgrade() makes it anew' END
      FROM hermet.catalog_tables() t
     WHERE to_regclass(format('%I.%I', target, t.table_name)) IS NULL;
  RETURN QUERY
    SELECT 'column missing', format('%I.%I.%I', target, k.table_name, k.column_name), 'hermet.upgrade() adds it where it can, and repairs'
      FROM hermet.catalog_columns() k
      JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', target, k.table_name))
     WHERE NOT EXISTS (SELECT FROM pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attname = k.column_name AND NOT a.attisdropped);
  RETURN QUERY
    SELECT 'table altered', quote_ident(target), m FROM hermet.misfits(target) m;
  RETURN QUERY
    SELECT 'owners differ', quote_ident(target),
           format('tables belong to %s: give all of them one owner', string_agg(DISTINCT pg_get_userbyid(c.relowner)::text, ', '))
      FROM hermet.relations(target) t
      JOIN pg_class c ON c.oid = t.relation
    HAVING count(DISTINCT c.relowner) > 1;
  RETURN QUERY
    SELECT 'key missing', format('%I.%I', target, k.table_name), format('(%s) is not unique', array_to_string(k.key, ', '))
      FROM hermet.missing_keys(target) k;

  RETURN QUERY
    SELECT CASE WHEN g.oid IS NULL THEN 'trigger missing'
                WHEN g.tgenabled <> t.enabled AND NOT (g.tgenabled = 'A' AND t.enabled = 'O') THEN 'trigger disabled'
                ELSE 'trigger altered' END,
           format('%s.%I', r.name, t.trigger_name),
           CASE WHEN g.oid IS NULL THEN 'hermet.upgrade() makes it anew, and repairs'
                WHEN t.enabled = 'R' AND g.tgenabled <> 'R' THEN 'must fire in replication only: hermet.follow() makes it anew'
                WHEN g.tgenabled = 'R' AND t.enabled <> 'R' THEN 'fires in replication only'
                WHEN g.tgenabled = 'D' THEN 'ALTER TABLE ... ENABLE TRIGGER switches it on again; then hermet.repair()'
                ELSE pg_get_triggerdef(g.oid) END
      FROM hermet.wanted_triggers(target, hermet.events_enabled(target)) t
      JOIN hermet.relations(target) r ON r.relation = t.relation
      LEFT JOIN pg_trigger g ON g.tgrelid = t.relation AND g.tgname = t.trigger_name AND NOT g.tgisinternal
      LEFT JOIN pg_trigger p ON p.oid = g.tgparentid
     WHERE (g.oid IS NULL OR g.tgenabled <> t.enabled AND NOT (g.tgenabled = 'A' AND t.enabled = 'O')
            OR pg_get_triggerdef(g.oid) <> t.definition)
       -- What a clone has from its table's trigger is said of that one.
       AND (NOT t.is_clone OR g.tgenabled <> p.tgenabled);
  RETURN QUERY
    SELECT 'trigger on the read side', format('%s.%I', r.name, g.tgname),
           'a BEFORE ROW trigger may change what hermet writes'
      FROM hermet.relations(target) r
      JOIN pg_trigger g ON g.tgrelid = r.relation
     WHERE r.side = 'read' AND NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgtype & 3 = 3 AND g.tgenabled <> 'D';
  RETURN QUERY
    SELECT 'rule on a table', t.name, format('rule %I may turn writes elsewhere', r.rulename)
      FROM hermet.relations(target) t
      JOIN pg_rewrite r ON r.ev_class = t.relation
     WHERE t.side <> 'state';

  RETURN QUERY
    SELECT 'direct writes allowed', t.name,
           format('role %s has %s', CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                  string_agg(DISTINCT a.privilege_type, ', '))
      FROM hermet.relations(target) t
      JOIN pg_class c ON c.oid = t.relation
     CROSS JOIN LATERAL (
           SELECT x.grantee, x.privilege_type FROM aclexplode(c.relacl) x
           UNION ALL
           SELECT x.grantee, x.privilege_type FROM pg_attribute b, aclexplode(b.attacl) x WHERE b.attrelid = c.oid) a
     WHERE t.side <> 'write' AND a.grantee <> c.relowner
       AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
     GROUP BY t.name, a.grantee;

  -- Offsets that a session keeps in store would come late; so would those of a sequence that goes back.
  RETURN QUERY
    SELECT 'sequence altered', format('%I.change_event.event_offset', target),
           CASE WHEN s.seqrelid IS NULL THEN 'offsets come from no sequence: events cannot be written'
                ELSE 'readers would miss events: ALTER TABLE ... ALTER event_offset SET CACHE 1 SET INCREMENT 1 SET NO CYCLE' END
      FROM pg_class c
      LEFT JOIN pg_depend d ON d.refobjid = c.oid AND d.deptype = 'i' AND d.refclassid = 'pg_class'::regclass
                           AND d.classid = 'pg_class'::regclass
                           AND d.refobjsubid = (SELECT a.attnum FROM pg_attribute a
                                                 WHERE a.attrelid = c.oid AND a.attname = 'event_offset' AND NOT a.attisdropped)
      LEFT JOIN pg_sequence s ON s.seqrelid = d.objid
     WHERE c.oid = to_regclass(format('%I.change_event', target))
       AND (s.seqrelid IS NULL OR s.seqcache <> 1 OR s.seqincrement < 1 OR s.seqcycle);

  IF current_setting('session_replication_role') = 'replica' THEN
    RETURN QUERY SELECT 'triggers switched off', 'this session', 'session_replication_role is replica';
  END IF;
  RETURN QUERY
    SELECT 'triggers switched off',
           concat_ws(' ', CASE WHEN s.setrole <> 0 THEN 'role ' || quote_ident(pg_get_userbyid(s.setrole)) END,
                          CASE WHEN s.setdatabase <> 0 THEN 'database ' || quote_ident((SELECT datname FROM pg_database WHERE oid = s.setdatabase)) END),
           'session_replication_role is set to replica'
      FROM pg_db_role_setting s
     WHERE 'session_replication_role=replica' = ANY (s.setconfig)
       AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()));

  IF to_regclass(format('%I.hermet_instance', target)) IS NOT NULL THEN
    EXECUTE format('SELECT version FROM %I.hermet_instance', target) INTO found;
    IF found IS DISTINCT FROM hermet.version() THEN
      RETURN QUERY SELECT 'instance of another version', quote_ident(target),
        format('made by %s, the library is %s: call hermet.upgrade()', coalesce(found, 'an unknown version'), hermet.version());
    END IF;
  END IF;
  SELECT extversion INTO found FROM pg_extension WHERE extname = 'hermet';
  IF found IS DISTINCT FROM hermet.version() THEN
    RETURN QUERY SELECT 'extension of another version', 'hermet',
      format('installed is %s, the library is %s: ALTER EXTENSION hermet UPDATE', found, hermet.version());
  END IF;

  IF to_regclass(format('%I.hermet_incident', target)) IS NOT NULL THEN
    EXECUTE format('SELECT count(*), max(happened_at) FROM %I.hermet_incident', target) INTO n, newest;
    IF n > 0 THEN
      RETURN QUERY SELECT 'rows were recomputed', format('%I.hermet_incident', target),
        format('%s time(s), last at %s: a stored row could not take a change; hermet.repair() mends the rest', n, to_timestamp(newest / 1000.0));
    END IF;
  END IF;
  IF to_regclass(format('%I.hermet_check', target)) IS NOT NULL THEN
    -- A narrower check later on does not take back what a wider one found. (An instance of 0.1.0 knows no ranges.)
    FOR found, n, newest IN
      EXECUTE format('SELECT DISTINCT ON (table_name) table_name, problems, checked_at FROM %1$I.hermet_check c '
                     'WHERE problems > 0 AND NOT EXISTS (SELECT FROM %1$I.hermet_check l '
                     ' WHERE l.table_name = c.table_name AND l.id > c.id AND l.user_id IS NULL AND l.sample = 1 AND to_jsonb(l) ->> ''from_key'' IS NULL AND to_jsonb(l) ->> ''to_key'' IS NULL) '
                     'ORDER BY table_name, id DESC', target)
    LOOP
      RETURN QUERY SELECT 'last check found problems', format('%I.%I', target, found),
        format('%s at %s: hermet.check_consistency() lists them, hermet.repair() mends them', n, to_timestamp(newest / 1000.0));
    END LOOP;
  END IF;

  IF to_regclass(format('%I.hermet_mismatch', target)) IS NOT NULL THEN
    FOR n, newest, found IN
      EXECUTE format('SELECT count(*), max(happened_at), string_agg(DISTINCT endpoint, '', '') FROM %I.hermet_mismatch HAVING count(*) > 0', target)
    LOOP
      RETURN QUERY SELECT 'shadow found differences', format('%I.hermet_mismatch', target),
        format('%s kept, of %s, last at %s: hermet.rollout() shows the latest, hermet.repair() mends the read side', n, found, to_timestamp(newest / 1000.0));
    END LOOP;
  END IF;
  IF to_regclass(format('%I.hermet_bulk_load', target)) IS NOT NULL THEN
    RETURN QUERY EXECUTE format($q$
      SELECT CASE WHEN l.ended_at = 0 THEN 'bulk load open' ELSE 'bulk load not checked' END, format('%%I.hermet_bulk_load', %1$L),
             CASE WHEN l.ended_at = 0
                  THEN format('begun at %%s by %%s in process %%s: its writes do not reach the read side; hermet.end_bulk_load() closes it',
                              to_timestamp(l.began_at / 1000.0), l.role_name, l.pid)
                  ELSE format('closed at %%s: rebuild both views, then call hermet.consistency_summary(); not yet seen to be right: %%s',
                              to_timestamp(l.ended_at / 1000.0),
                              (SELECT string_agg(t, ', ')
                                 FROM unnest('{user_conversation_view,user_contact_view,conversation_reverse_index,contact_reverse_index,channel}'::text[]) t
                                WHERE t <> ALL (l.verified))) END
        FROM %1$I.hermet_bulk_load l
       WHERE l.ended_at = 0 OR cardinality(l.verified) < 5
       ORDER BY l.id$q$, target);
  END IF;
  IF to_regclass(format('%I.hermet_rebuild', target)) IS NOT NULL THEN
    RETURN QUERY EXECUTE format($q$
      SELECT 'rebuild interrupted', format('%%I.%%I', %1$L, b.view_name),
             format('after %%s of %%s rows at %%s: CALL it again, and it goes on', b.done, greatest(b.total, b.done), to_timestamp(b.updated_at / 1000.0))
        FROM %1$I.hermet_rebuild b
       WHERE b.finished_at = 0 AND NOT hermet.rebuild_runs(b.id, %2$s::oid)
       ORDER BY b.id$q$, target, (SELECT n.oid FROM pg_namespace n WHERE n.nspname = target));
  END IF;
  IF to_regclass(format('%I.hermet_migration', target)) IS NOT NULL THEN
    RETURN QUERY EXECUTE format('SELECT ''migration not finished'', source, '
                                'format(''%%s of %%s rows: call hermet.migrate_user_contact() again'', done_rows, legacy_rows) '
                                'FROM %I.hermet_migration WHERE finished_at = 0 ORDER BY id', target);
  END IF;

  RETURN QUERY SELECT p.problem, p.object, p.detail FROM hermet.node_problems(target) p;
  RETURN QUERY
    SELECT 'prepared transaction', x.gid,
           format('prepared at %s by %s: its rows and channels stay locked until COMMIT PREPARED or ROLLBACK PREPARED', x.prepared, x.owner)
      FROM hermet.prepared_transactions(target) x
     WHERE x.prepared < clock_timestamp() - interval '5 minutes';
END
$$;
COMMENT ON FUNCTION hermet.health(name) IS
    'what could let the read side drift unseen, or has: triggers, rights, versions, incidents, the last check; none = healthy';
