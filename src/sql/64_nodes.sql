/*
 * Read nodes: other servers that keep the read side of a share of the users, by PostgreSQL's logical replication.
 * publish() on the primary, follow() on the node; between them a subscription, which is the DBA's own.
 */

CREATE FUNCTION hermet.catalog_node_triggers(OUT table_name text, OUT trigger_name text, OUT enabled "char", OUT definition text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.table_name, k.trigger_name, k.enabled,
         format('%s ON %%I.%I FOR EACH %s EXECUTE FUNCTION hermet.%s()', k.event, t.table_name, k.each, k.called)
    FROM hermet.catalog_tables() t,
         (VALUES ('hermet_node_guard', 'O'::"char", 'BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE', 'STATEMENT', 'forbid_node_write'),
                 ('hermet_node_row', 'R', 'AFTER INSERT OR DELETE OR UPDATE', 'ROW', 'follow_row'),
                 ('hermet_node_truncate', 'R', 'AFTER TRUNCATE', 'STATEMENT', 'follow_truncate'))
         AS k (trigger_name, enabled, event, each, called)
   WHERE t.side = 'write' AND (t.table_name <> 'channel_application' OR k.trigger_name = 'hermet_node_guard')
$$;
COMMENT ON FUNCTION hermet.catalog_node_triggers() IS
    'the triggers that a read node has besides; those with enabled R fire only for what replication applies';

CREATE FUNCTION hermet.is_node(target name) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found boolean;
BEGIN
  IF to_regclass(format('%I.hermet_node', target)) IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('SELECT EXISTS (SELECT FROM %I.hermet_node)', target) INTO found;
  RETURN found;
END
$$;
COMMENT ON FUNCTION hermet.is_node(name) IS 'whether the instance in a schema is a read node';

/*
 * The primary.
 */

CREATE FUNCTION hermet.publication_name(target name, nodes int, node int) RETURNS name
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN octet_length(n.name) < 64 THEN n.name
              ELSE format('hermet_%s_%s_of_%s', md5(target::text), node, nodes) END::name
    FROM (SELECT format('hermet_%s_%s_of_%s', target, node, nodes) AS name) n
$$;
COMMENT ON FUNCTION hermet.publication_name(name, int, int) IS
    'what publish() calls the publication of a node: hermet_SCHEMA_NODE_of_NODES, the schema''s md5 where that is too long';

/* What is published of which table: all columns of the catalog but the password, rows by the user where they are his alone. */
CREATE FUNCTION hermet.published_tables(target name, nodes int, node int, OUT table_name text, OUT definition text) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.table_name,
         format('TABLE %I.%I (%s)%s', target, t.table_name,
                (SELECT string_agg(quote_ident(k.column_name), ', ' ORDER BY k.ordinal)
                   FROM hermet.catalog_columns() k
                  WHERE k.table_name = t.table_name AND (k.table_name, k.column_name) <> ('biz_user', 'passwd')),
                CASE WHEN t.table_name IN ('friendship', 'channel_read_record', 'conversation_setting')
                     THEN format(' WHERE (abs(user_id %% %s) = %s)', nodes, node) ELSE '' END)
    FROM hermet.catalog_tables() t WHERE t.side = 'write' ORDER BY t.table_name
$$;
COMMENT ON FUNCTION hermet.published_tables(name, int, int) IS 'the tables of a node''s publication, as CREATE PUBLICATION says it';

/* By which columns a row of the write side is known to who replicates it; of partitioned tables, of each partition, too. */
CREATE FUNCTION hermet.row_identities(target name, OUT table_name text, OUT name text, OUT relation oid, OUT is_leaf boolean, OUT key text[],
                                      OUT kind "char", OUT chosen text[], OUT primary_key text[])
    RETURNS SETOF record
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT x.table_name, x.name, c.oid, c.relkind <> 'p', t.key, c.relreplident, k.chosen, k.primary_key
    FROM hermet.relations(target) x
    JOIN hermet.catalog_tables() t USING (table_name)
    JOIN pg_class c ON c.oid = x.relation
   CROSS JOIN LATERAL (
         SELECT array_agg(a.attname::text) FILTER (WHERE i.indisreplident) AS chosen,
                array_agg(a.attname::text) FILTER (WHERE i.indisprimary) AS primary_key
           FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
          WHERE i.indrelid = c.oid) k
   WHERE t.side = 'write'
$$;
COMMENT ON FUNCTION hermet.row_identities(name) IS
    'the write side''s tables and partitions: the catalog''s key, the kind of replica identity, its index''s columns if one was chosen, and the primary key''s';

/*
 * An UPDATE or DELETE of a published table is an error on the primary unless its replica identity has what the filter asks
 * for, and nothing that is not published; and the node finds the row by its own primary key, which is the catalog's. What is
 * sent as a key is that of the table, what it holds that of the partition: so both must fit.
 */
CREATE FUNCTION hermet.fit_replica_identity(target name) RETURNS void
    LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  chosen name;
BEGIN
  FOR r IN
    SELECT x.*, CASE x.kind WHEN 'd' THEN x.primary_key WHEN 'i' THEN x.chosen END AS identity,
           ARRAY(SELECT k.column_name FROM hermet.catalog_columns() k
                  WHERE k.table_name = x.table_name AND (k.table_name, k.column_name) <> ('biz_user', 'passwd')) AS published
      FROM hermet.row_identities(target) x
  LOOP
    CONTINUE WHEN r.identity @> r.key AND r.identity <@ r.published;
    SELECT i.relname INTO chosen
      FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
     WHERE x.indrelid = r.relation AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indpred IS NULL AND x.indexprs IS NULL
       AND (SELECT array_agg(a.attname::text) @> r.key AND array_agg(a.attname::text) <@ r.key
              FROM unnest(x.indkey[0:x.indnkeyatts - 1]) u(attnum)
              JOIN pg_attribute a ON a.attrelid = r.relation AND a.attnum = u.attnum)
     ORDER BY x.indisprimary DESC, i.relname LIMIT 1;
    IF chosen IS NULL OR r.kind IN ('f', 'i') THEN
      RAISE EXCEPTION 'the replica identity of table % does not fit', r.name
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = format('It must have the columns %s, and none that is not published.', array_to_string(r.key, ', ')),
              HINT = coalesce(format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I, if nobody else needs the one it has.', r.name, chosen),
                              'hermet.upgrade() makes the key that is missing.');
    END IF;
    EXECUTE format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', r.name, chosen);
    RAISE NOTICE 'replica identity of table % is now index "%"', r.name, chosen
      USING DETAIL = 'A read node finds its rows by that key.';
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.fit_replica_identity(name) IS
    'gives the tables of the write side the replica identity that read nodes need, where they have another by default';

CREATE FUNCTION hermet.check_share(nodes int, node int) RETURNS void
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF nodes IS NULL OR node IS NULL THEN
    RAISE EXCEPTION 'nodes and node must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF nodes NOT BETWEEN 1 AND 1000000 THEN
    RAISE EXCEPTION 'nodes must be between 1 and 1000000' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'With 1, a single read node has all users.';
  END IF;
  IF node NOT BETWEEN 0 AND nodes - 1 THEN
    RAISE EXCEPTION 'node must be between 0 and %', nodes - 1 USING ERRCODE = 'invalid_parameter_value',
      HINT = 'A node has the users whose id modulo nodes is its number.';
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.check_share(int, int) IS 'an error unless there can be such a node';

CREATE FUNCTION hermet.publish(target name, nodes int, node int) RETURNS name
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  publication name;
  tables text;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  PERFORM hermet.check_share(nodes, node);
  IF hermet.is_node(target) THEN
    RAISE EXCEPTION 'the hermet instance in schema "%" is a read node itself', target
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Publish on the primary server.';
  END IF;
  IF current_setting('wal_level') <> 'logical' THEN
    RAISE EXCEPTION 'wal_level is %, read nodes need logical', current_setting('wal_level')
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'ALTER SYSTEM SET wal_level = logical, and restart the server.';
  END IF;
  PERFORM hermet.fit_replica_identity(target);
  publication := hermet.publication_name(target, nodes, node);
  SELECT string_agg(p.definition, ', ') INTO tables FROM hermet.published_tables(target, nodes, node) p;
  IF EXISTS (SELECT FROM pg_publication WHERE pubname = publication) THEN
    EXECUTE format('ALTER PUBLICATION %I SET %s', publication, tables);
    EXECUTE format('ALTER PUBLICATION %I SET (publish = ''insert, update, delete, truncate'', publish_via_partition_root = true)', publication);
  ELSE
    EXECUTE format('CREATE PUBLICATION %I FOR %s WITH (publish_via_partition_root = true)', publication, tables);
  END IF;
  RETURN publication;
END
$$;
COMMENT ON FUNCTION hermet.publish(name, int, int) IS
    'on the primary: makes, or makes anew, the publication for one of so many read nodes; returns its name';

CREATE FUNCTION hermet.unpublish(target name, nodes int, node int) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  publication name;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  PERFORM hermet.check_share(nodes, node);
  publication := hermet.publication_name(target, nodes, node);
  IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = publication) THEN
    RAISE EXCEPTION 'publication "%" does not exist', publication
      USING ERRCODE = 'undefined_object', HINT = 'hermet.publish() makes the publication of a read node.';
  END IF;
  EXECUTE format('DROP PUBLICATION %I', publication);
END
$$;
COMMENT ON FUNCTION hermet.unpublish(name, int, int) IS 'drops the publication of a read node; its subscription is to be dropped before';

/*
 * The node.
 */

CREATE FUNCTION hermet.node_subscription(target name, OUT oid oid, OUT name name, OUT enabled boolean, OUT two_phase boolean,
                                         OUT nodes int, OUT node int, OUT tables int, OUT lacking text[], OUT copying text[])
    RETURNS SETOF record
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.oid, s.subname, s.subenabled, s.subtwophasestate <> 'd',
         (m.parts)[2]::int, (m.parts)[1]::int,
         (SELECT count(r.srrelid)::int FROM hermet.catalog_tables() t
            JOIN pg_subscription_rel r ON r.srsubid = s.oid AND r.srrelid = to_regclass(format('%I.%I', target, t.table_name))
           WHERE t.side = 'write'),
         ARRAY(SELECT t.table_name FROM hermet.catalog_tables() t
                WHERE t.side = 'write' AND NOT EXISTS (SELECT FROM pg_subscription_rel r
                        WHERE r.srsubid = s.oid AND r.srrelid = to_regclass(format('%I.%I', target, t.table_name)))
                ORDER BY 1),
         ARRAY(SELECT t.table_name FROM hermet.catalog_tables() t
                 JOIN pg_subscription_rel r ON r.srsubid = s.oid AND r.srrelid = to_regclass(format('%I.%I', target, t.table_name))
                WHERE t.side = 'write' AND r.srsubstate <> 'r' ORDER BY 1)
    FROM pg_subscription s
   CROSS JOIN LATERAL (SELECT CASE WHEN cardinality(s.subpublications) = 1
                                   THEN regexp_match(s.subpublications[1], '^hermet_.*_(\d{1,9})_of_(\d{1,9})$') END AS parts) m
   WHERE s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
     AND EXISTS (SELECT FROM hermet.catalog_tables() t
                   JOIN pg_subscription_rel r ON r.srsubid = s.oid AND r.srrelid = to_regclass(format('%I.%I', target, t.table_name))
                  WHERE t.side = 'write')
   ORDER BY s.subname
$$;
COMMENT ON FUNCTION hermet.node_subscription(name) IS
    'the subscriptions that write tables of an instance: their share, by the name of the publication, and which tables are not there or still copied';

/* The tables of the write side against apply, which may hold some of them already: so never in a queue for long, holding others. */
CREATE FUNCTION hermet.lock_write_side(target name) RETURNS void
    LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT hermet.lock_together(string_agg(format('%I.%I', target, t.table_name), ', ' ORDER BY t.table_name), 'SHARE ROW EXCLUSIVE', interval '0')
    FROM hermet.catalog_tables() t WHERE t.side = 'write'
$$;
COMMENT ON FUNCTION hermet.lock_write_side(name) IS
    'keeps replication from writing to an instance until the transaction ends; waits between two transactions of its own';

CREATE FUNCTION hermet.require_copied(target name, subscription name) RETURNS void
    LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s record;
  errors bigint;
  errors_before bigint;
  said_at timestamptz := clock_timestamp();
BEGIN
  LOOP
    SELECT * INTO s FROM hermet.node_subscription(target) n WHERE n.name = subscription;
    IF s.oid IS NULL OR NOT s.enabled THEN
      RAISE EXCEPTION 'subscription "%" is disabled, or gone', subscription
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = format('Not copied yet: %s.', coalesce(array_to_string(s.copying, ', '), 'anything')),
              HINT = format('ALTER SUBSCRIPTION %I ENABLE, then call hermet.follow() again.', subscription);
    END IF;
    EXIT WHEN s.copying = '{}';
    -- Statistics stay what they were when a transaction first saw them.
    PERFORM pg_stat_clear_snapshot();
    SELECT sync_error_count INTO errors FROM pg_stat_subscription_stats WHERE subid = s.oid;
    IF errors > coalesce(errors_before, 0) THEN
      RAISE WARNING 'the copy of subscription "%" has failed % time(s), and is tried again', subscription, errors
        USING DETAIL = format('Not copied yet: %s.', array_to_string(s.copying, ', ')),
              HINT = 'The server log says why. A table that is copied must be empty before.';
      errors_before := errors;
    ELSIF clock_timestamp() > said_at + interval '10 seconds' THEN
      RAISE NOTICE 'waiting for the copy of %', array_to_string(s.copying, ', ');
      said_at := clock_timestamp();
    END IF;
    PERFORM pg_sleep(0.1);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.require_copied(name, name) IS 'waits until all tables of a subscription are copied; an error if it is disabled';

CREATE FUNCTION hermet.misfit_node_keys(target name) RETURNS SETOF text
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('Replication finds rows of %s by %s, not by (%s).', x.name,
                coalesce('(' || array_to_string(k.found, ', ') || ')', 'no key'), array_to_string(x.key, ', '))
    FROM hermet.row_identities(target) x
   CROSS JOIN LATERAL (SELECT CASE WHEN x.kind = 'i' THEN x.chosen ELSE x.primary_key END) k (found)
   WHERE x.is_leaf AND NOT coalesce(k.found <@ x.key, false)
   ORDER BY x.name
$$;
COMMENT ON FUNCTION hermet.misfit_node_keys(name) IS
    'tables of a read node of which replication cannot find a row by what the primary sends of it, a line each';

CREATE FUNCTION hermet.follow(target name DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s record;
  n bigint;
  t text;
  stray text[] := '{}';
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'hermet.follow() serves transactions at READ COMMITTED only'
      USING ERRCODE = 'feature_not_supported', DETAIL = 'With one snapshot it would wait for the copy for ever.';
  END IF;
  IF to_regclass(format('%I.hermet_node', target)) IS NULL THEN
    RAISE EXCEPTION 'table "%.hermet_node" of the hermet instance does not exist', target
      USING ERRCODE = 'undefined_table', HINT = 'hermet.upgrade() makes it.';
  END IF;
  IF hermet.events_enabled(target) THEN
    RAISE EXCEPTION 'the hermet instance in schema "%" writes events', target
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'What replication applies fires no statement trigger: its log would have gaps.',
            HINT = 'hermet.disable_events() stops them; read the events of the primary.';
  END IF;
  SELECT count(*), min(x.name) INTO n, t FROM hermet.node_subscription(target) x;
  IF n <> 1 THEN
    RAISE EXCEPTION 'the hermet instance in schema "%" has % subscriptions, a read node has one', target, n
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = format('CREATE SUBSCRIPTION ... CONNECTION ''...'' PUBLICATION %I copies the tables from the primary, where hermet.publish() has made the publication.',
                          hermet.publication_name(target, 4, 0));
  END IF;
  SELECT * INTO s FROM hermet.node_subscription(target);
  IF s.nodes IS NULL OR s.lacking <> '{}' THEN
    RAISE EXCEPTION 'subscription "%" is not of a publication that hermet.publish() made', s.name
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = CASE WHEN s.nodes IS NULL THEN 'The name of its one publication must end in _NODE_of_NODES.'
                          ELSE format('It lacks tables: %s.', array_to_string(s.lacking, ', ')) END,
            HINT = 'Call hermet.publish() on the primary, and drop the subscription and create it again.';
  END IF;
  PERFORM hermet.check_share(s.nodes, s.node);
  IF s.two_phase THEN
    RAISE EXCEPTION 'subscription "%" has two_phase on', s.name
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'A prepared transaction would hold the read side against all that follow it.',
            HINT = 'Create the subscription without two_phase: prepared transactions come when they are committed.';
  END IF;

  SELECT string_agg(m, ' ') INTO t FROM hermet.misfit_node_keys(target) m;
  IF t IS NOT NULL THEN
    RAISE EXCEPTION 'the tables in schema "%" have keys that the primary does not send', target
      USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = t,
            HINT = 'hermet.create_tables() makes tables whose primary keys replication finds rows by.';
  END IF;
  EXECUTE format('SELECT count(*) FROM %I.hermet_node WHERE (nodes, node) <> ($1, $2)', target) INTO n USING s.nodes, s.node;
  IF n > 0 THEN
    RAISE EXCEPTION 'the hermet instance in schema "%" is the read node of another share', target
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('The publication of subscription "%s" is that of node %s of %s.', s.name, s.node, s.nodes),
            HINT = 'Drop the subscription, call hermet.unfollow() with empty => true, and copy again.';
  END IF;

  PERFORM hermet.require_copied(target, s.name);
  PERFORM hermet.lock_write_side(target);
  t := s.name;
  SELECT * INTO s FROM hermet.node_subscription(target) x WHERE x.name = t;
  IF s.oid IS NULL OR s.copying <> '{}' THEN
    RAISE EXCEPTION 'subscription "%" has been changed meanwhile', t
      USING ERRCODE = 'serialization_failure', HINT = 'Call hermet.follow() again.';
  END IF;
  FOREACH t IN ARRAY '{friendship,channel_read_record,conversation_setting}'::text[] LOOP
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I.%I WHERE abs(user_id %% $1) <> $2 LIMIT 1) x', target, t)
       INTO n USING s.nodes, s.node;
    IF n > 0 THEN
      stray := stray || t;
    END IF;
  END LOOP;
  IF stray <> '{}' THEN
    RAISE EXCEPTION 'schema "%" has rows of users of other read nodes', target
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = format('In: %s. Node %s of %s has users whose id modulo %s is %s.', array_to_string(stray, ', '), s.node, s.nodes, s.nodes, s.node),
            HINT = 'Copy into empty tables: drop the subscription, TRUNCATE the write side, create the subscription again.';
  END IF;

  EXECUTE format('DELETE FROM %I.hermet_node', target);
  EXECUTE format('INSERT INTO %I.hermet_node (nodes, node, subscription) VALUES ($1, $2, $3)', target) USING s.nodes, s.node, s.name::text;
  PERFORM hermet.make_triggers(target, false);
  PERFORM hermet.repair(target);
  EXECUTE format('ANALYZE %I.user_conversation_view, %1$I.user_contact_view', target);
END
$$;
COMMENT ON FUNCTION hermet.follow(name) IS
    'on a read node: waits until its subscription has copied the tables, derives the read side of its users, and keeps it from then on';

CREATE FUNCTION hermet.unfollow(target name DEFAULT NULL, empty boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  share record;
  subscriptions text;
  r record;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  IF NOT hermet.is_node(target) THEN
    RAISE EXCEPTION 'the hermet instance in schema "%" is no read node', target
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'hermet.follow() makes it one.';
  END IF;
  SELECT string_agg(quote_ident(n.name), ', ') INTO subscriptions FROM hermet.node_subscription(target) n;
  IF subscriptions IS NOT NULL THEN
    RAISE EXCEPTION 'subscription % still writes the hermet instance in schema "%"', subscriptions, target
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Nothing would maintain the read side of what it applies.',
            HINT = format('DROP SUBSCRIPTION %s first; if the primary is gone, ALTER SUBSCRIPTION ... DISABLE and SET (slot_name = NONE) before that.', subscriptions);
  END IF;
  EXECUTE format('SELECT nodes, node FROM %I.hermet_node', target) INTO share;
  FOR r IN
    SELECT g.tgname, x.name
      FROM hermet.relations(target) x
      JOIN hermet.catalog_node_triggers() t USING (table_name)
      JOIN pg_trigger g ON g.tgrelid = x.relation AND g.tgname = t.trigger_name
     WHERE NOT g.tgisinternal AND g.tgparentid = 0
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', r.tgname, r.name);
  END LOOP;
  EXECUTE format('DELETE FROM %I.hermet_node', target);
  IF empty THEN
    -- The read side first: then the triggers of the write side find nothing to take away.
    FOR r IN SELECT x.name FROM hermet.relations(target) x WHERE x.side = 'read' LOOP
      EXECUTE format('ALTER TABLE %s DISABLE TRIGGER hermet_guard', r.name);
    END LOOP;
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('%I.%I', target, t.table_name), ', ' ORDER BY t.table_name)
               FROM hermet.catalog_tables() t WHERE t.side = 'read');
    FOR r IN SELECT x.name FROM hermet.relations(target) x WHERE x.side = 'read' LOOP
      EXECUTE format('ALTER TABLE %s ENABLE TRIGGER hermet_guard', r.name);
    END LOOP;
    EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('%I.%I', target, t.table_name), ', ' ORDER BY t.table_name)
               FROM hermet.catalog_tables() t WHERE t.side = 'write');
    RETURN;
  END IF;
  PERFORM hermet.repair(target);
  IF share.nodes > 1 THEN
    RAISE WARNING 'the hermet instance in schema "%" has only part of the rows', target
      USING DETAIL = format('Friendships, read marks and settings are those of users whose id modulo %s is %s; passwords are nobody''s.', share.nodes, share.node),
            HINT = 'hermet.unfollow() with empty => true leaves empty tables.';
  ELSE
    RAISE NOTICE 'no password has been replicated: column passwd of "%.biz_user" is empty', target;
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.unfollow(name, boolean) IS
    'makes an ordinary instance of a read node whose subscription was dropped; empty: without a row, ready to be copied again';

CREATE FUNCTION hermet.node_problems(target name) RETURNS TABLE (problem text, object text, detail text)
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  share record;
  s record;
  w record;
  n bigint := 0;
BEGIN
  IF NOT hermet.is_node(target) THEN
    FOR s IN SELECT * FROM hermet.node_subscription(target) LOOP
      RETURN QUERY SELECT 'subscription not followed', quote_ident(s.name),
        'it writes tables of the instance, and nothing maintains the read side: hermet.follow() does';
    END LOOP;
    RETURN;
  END IF;
  EXECUTE format('SELECT * FROM %I.hermet_node', target) INTO share;
  RETURN QUERY SELECT 'key of a read node', quote_ident(target), m || ' An UPDATE or DELETE of the primary stops replication.'
                 FROM hermet.misfit_node_keys(target) m;
  FOR s IN SELECT * FROM hermet.node_subscription(target) LOOP
    n := n + 1;
    IF (s.nodes, s.node) IS DISTINCT FROM (share.nodes, share.node) OR s.lacking <> '{}' THEN
      RETURN QUERY SELECT 'subscription of another share', quote_ident(s.name),
        format('the read side is kept for node %s of %s: drop the subscription, then hermet.unfollow(empty => true), and copy again', share.node, share.nodes);
    END IF;
    IF s.two_phase THEN
      RETURN QUERY SELECT 'subscription with two_phase', quote_ident(s.name),
        'a prepared transaction would stop all that follow it: create the subscription without two_phase';
    END IF;
    IF s.copying <> '{}' THEN
      RETURN QUERY SELECT 'copy not finished', quote_ident(s.name), format('tables %s', array_to_string(s.copying, ', '));
    END IF;
    IF NOT s.enabled THEN
      RETURN QUERY SELECT 'subscription disabled', quote_ident(s.name),
        format('nothing comes from the primary, which keeps its log meanwhile: ALTER SUBSCRIPTION %I ENABLE', s.name);
    END IF;
    SELECT a.pid, a.last_msg_receipt_time AS heard INTO w FROM pg_stat_subscription a WHERE a.subid = s.oid AND a.relid IS NULL;
    IF s.enabled AND w.pid IS NULL THEN
      RETURN QUERY SELECT 'subscription without worker', quote_ident(s.name),
        'it cannot reach the primary, or stops with an error and is started again: the server log says why';
    ELSIF s.enabled AND w.heard < clock_timestamp() - interval '5 minutes' THEN
      RETURN QUERY SELECT 'read node behind', quote_ident(s.name),
        format('heard from the primary at %s last: its worker (process %s) waits, for a lock or for the network', w.heard, w.pid);
    END IF;
    RETURN QUERY
      SELECT 'replication errors', quote_ident(s.name),
             format('%s while applying, %s while copying: the server log says which; when they are over, pg_stat_reset_subscription_stats(%s)',
                    e.apply_error_count, e.sync_error_count, e.subid)
        FROM pg_stat_subscription_stats e WHERE e.subid = s.oid AND e.apply_error_count + e.sync_error_count > 0;
  END LOOP;
  IF n = 0 THEN
    RETURN QUERY SELECT 'subscription missing', quote_ident(share.subscription),
      'nothing comes from the primary: hermet.unfollow(empty => true), then copy again; or hermet.unfollow() makes it an instance of its own';
  ELSIF n > 1 THEN
    RETURN QUERY SELECT 'several subscriptions', quote_ident(target), 'a read node has one: their rows may meet';
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.node_problems(name) IS 'of health(): what keeps a read node from following, with the way out';

CREATE FUNCTION hermet.node_metrics(target name) RETURNS TABLE (name text, table_name text, value float8)
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  followed_at bigint;
BEGIN
  IF NOT hermet.is_node(target) THEN
    RETURN;
  END IF;
  EXECUTE format('SELECT followed_at FROM %I.hermet_node', target) INTO followed_at;
  RETURN QUERY
    SELECT m.name, NULL::text, m.value
      FROM (SELECT 1) one
      LEFT JOIN hermet.node_subscription(target) s ON true
      LEFT JOIN pg_stat_subscription a ON a.subid = s.oid AND a.relid IS NULL
      LEFT JOIN pg_stat_subscription_stats e ON e.subid = s.oid
     CROSS JOIN LATERAL (VALUES
       ('hermet_node_following', CASE WHEN s.enabled AND a.pid IS NOT NULL AND s.copying = '{}' THEN 1 ELSE 0 END::float8),
       ('hermet_node_silence_seconds',
        greatest(extract(epoch FROM clock_timestamp() - coalesce(a.last_msg_receipt_time, to_timestamp(followed_at / 1000.0))), 0)::float8),
       ('hermet_node_errors', coalesce(e.apply_error_count + e.sync_error_count, 0)::float8)) m (name, value);
END
$$;
COMMENT ON FUNCTION hermet.node_metrics(name) IS 'of metrics(): whether a read node follows its primary';
