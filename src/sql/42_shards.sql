/*
 * Shards: tables of an instance as PostgreSQL's own hash partitions, row r of table t in partition t_<key mod n>. The
 * operator class hashes a bigint to itself less the seed of partition hashing, so that the server's arithmetic ends in
 * (key + 230) mod n for every power of two up to 256: partition k is made for that remainder.
 */

CREATE FUNCTION hermet.create_shard_operators(target name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF target IS NULL OR NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = target) THEN
    RAISE EXCEPTION 'schema "%" does not exist', target USING ERRCODE = 'invalid_schema_name';
  END IF;
  IF hermet.has_shard_operators(target) THEN
    RETURN;
  END IF;
  IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
    RAISE EXCEPTION 'permission denied to create the operator class of sharded tables'
      USING ERRCODE = 'insufficient_privilege',
            DETAIL = 'PostgreSQL lets only superusers create operator classes.',
            HINT = format('Have a superuser call hermet.create_shard_operators(%L) once; the tables can be made by anybody who may create them.', target);
  END IF;
  -- In the instance's schema and of built-in functions only: it stays, and works, when the extension is dropped.
  EXECUTE format('CREATE OPERATOR FAMILY %I.hermet_modulo_ops USING hash', target);
  EXECUTE format('CREATE OPERATOR CLASS %1$I.hermet_modulo_ops FOR TYPE bigint USING hash FAMILY %1$I.hermet_modulo_ops AS '
                 'OPERATOR 1 = (bigint, bigint), FUNCTION 2 (bigint, bigint) int8mi(bigint, bigint)', target);
  -- So that comparisons with literals, which are integers, find their partition, too.
  EXECUTE format('ALTER OPERATOR FAMILY %I.hermet_modulo_ops USING hash ADD '
                 'OPERATOR 1 = (bigint, integer), FUNCTION 2 (integer, integer) int48mi(integer, bigint), '
                 'OPERATOR 1 = (bigint, smallint), FUNCTION 2 (smallint, smallint) int28mi(smallint, bigint)', target);
END
$$;
COMMENT ON FUNCTION hermet.create_shard_operators(name) IS
    'makes the operator class that sharded tables of a schema are partitioned by; for superusers; does nothing if it is there';

CREATE FUNCTION hermet.has_shard_operators(target name) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace
                  WHERE n.nspname = target AND o.opcname = 'hermet_modulo_ops')
$$;
COMMENT ON FUNCTION hermet.has_shard_operators(name) IS 'whether a schema has the operator class of sharded tables';

CREATE FUNCTION hermet.require_shards(channel_shards int, user_shards int) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  largest int := greatest(channel_shards, user_shards);
BEGIN
  IF channel_shards NOT IN (0, 1, 2, 4, 8, 16, 32, 64, 128, 256) OR user_shards NOT IN (0, 1, 2, 4, 8, 16, 32, 64, 128, 256) THEN
    RAISE EXCEPTION 'channel_shards and user_shards must be powers of two up to 256, or 0 for plain tables'
      USING ERRCODE = 'invalid_parameter_value', DETAIL = format('They are %s and %s.', channel_shards, user_shards);
  END IF;
  IF current_setting('max_locks_per_transaction')::int < largest AND largest > 16 THEN
    RAISE EXCEPTION 'max_locks_per_transaction is too low for % partitions a table', largest
      USING ERRCODE = 'configuration_limit_exceeded',
            DETAIL = format('It is %s. A statement that reads a whole table locks each of its partitions and their indexes.',
                            current_setting('max_locks_per_transaction')),
            HINT = format('Set max_locks_per_transaction = %s in postgresql.conf and restart the server.', greatest(largest, 64));
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.require_shards(int, int) IS 'an error unless these numbers of shards can be made on this server';

-- A parsed bound, as the server writes it: FOR VALUES WITH (modulus 64, remainder 38).
CREATE FUNCTION hermet.shard_of(partition oid, OUT modulus int, OUT shard int)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT m[1]::int, ((m[2]::int - 230) % m[1]::int + m[1]::int) % m[1]::int
    FROM pg_class c, regexp_match(pg_get_expr(c.relpartbound, c.oid), 'modulus (\d+), remainder (\d+)') m
   WHERE c.oid = partition
$$;
COMMENT ON FUNCTION hermet.shard_of(oid) IS 'which keys a partition holds: those that are "shard" modulo "modulus"';

CREATE FUNCTION hermet.relations(target name, OUT table_name text, OUT side text, OUT relation oid, OUT name text, OUT is_partition boolean)
    RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH t AS MATERIALIZED (
    SELECT t.table_name, t.side, c.oid, c.relkind
      FROM hermet.catalog_tables() t
      JOIN pg_class c ON c.relname = t.table_name AND c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = target))
  SELECT t.table_name, t.side, t.oid, format('%I.%I', target, t.table_name), false FROM t
  UNION ALL
  SELECT t.table_name, t.side, c.oid, format('%I.%I', n.nspname, c.relname), true
    FROM t
    JOIN pg_inherits i ON i.inhparent = t.oid AND NOT i.inhdetachpending
    JOIN pg_class c ON c.oid = i.inhrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE t.relkind = 'p'
$$;
COMMENT ON FUNCTION hermet.relations(name) IS 'the tables of an instance and their partitions, with names as SQL writes them';

CREATE FUNCTION hermet.shard_counts(target name, OUT channel_shards int, OUT user_shards int)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(max(s.modulus) FILTER (WHERE c.spread_by = 'channel'), 0), coalesce(max(s.modulus) FILTER (WHERE c.spread_by = 'user'), 0)
    FROM hermet.relations(target) r
    JOIN hermet.catalog_shards() c USING (table_name)
   CROSS JOIN LATERAL hermet.shard_of(r.relation) s
   WHERE r.is_partition
$$;
COMMENT ON FUNCTION hermet.shard_counts(name) IS 'into how many partitions an instance spreads its tables; 0 = they are plain';

CREATE FUNCTION hermet.tables_to_spread(target name, channel_shards int, user_shards int, OUT table_name text, OUT shards int, OUT shards_before int)
    RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.table_name, t.shards, t.shards_before
    FROM (SELECT s.table_name, CASE s.spread_by WHEN 'channel' THEN channel_shards ELSE user_shards END AS shards,
                 count(r.relation)::int AS shards_before
            FROM hermet.catalog_shards() s
            LEFT JOIN hermet.relations(target) r ON r.table_name = s.table_name AND r.is_partition
           GROUP BY s.table_name, s.spread_by) t
   WHERE t.shards <> t.shards_before ORDER BY 1
$$;
COMMENT ON FUNCTION hermet.tables_to_spread(name, int, int) IS
    'the tables that have, or would have, another number of partitions; 0 = they are plain, or not there';

-- What cannot fit is refused before it is begun; what only may not fit, as others hold locks, is the server's error.
CREATE FUNCTION hermet.require_lock_places(target name, channel_shards int, user_shards int) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t record;
  needed bigint;
  processes bigint := (SELECT 1 + sum(s.setting::int) FROM pg_settings s
                        WHERE s.name IN ('max_connections', 'max_prepared_transactions', 'max_worker_processes', 'max_wal_senders',
                                         'autovacuum_max_workers', 'autovacuum_worker_slots'));
  per_transaction int := current_setting('max_locks_per_transaction');
  -- The server sets aside more than it promises, half as much again; and one may use what the locks of SERIALIZABLE do not.
  places bigint := processes * (2 * per_transaction + current_setting('max_pred_locks_per_transaction')::int / 8);
BEGIN
  SELECT coalesce(sum(s.shards), 0) AS made, coalesce(sum(s.shards_before), 0) AS dropped INTO t
    FROM hermet.tables_to_spread(target, channel_shards, user_shards) s;
  -- A partition takes that many at least, with its indexes, its TOAST table, its types; one that goes, with its triggers and
  -- constraints; and the instance around them.
  needed := 300 + 8 * t.made + 16 * t.dropped;
  IF t.made + t.dropped > 0 AND needed > places THEN
    RAISE EXCEPTION 'max_locks_per_transaction is too low to make % and drop % partitions in one transaction', t.made, t.dropped
      USING ERRCODE = 'configuration_limit_exceeded',
            DETAIL = format('That takes %s locks or more. max_locks_per_transaction is %s: all processes together have places for %s at most.',
                            needed, per_transaction, places),
            HINT = format('Set max_locks_per_transaction = %s in postgresql.conf and restart the server.', (needed / processes / 64 + 1) * 64);
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.require_lock_places(name, int, int) IS
    'an error if the lock table of this server cannot hold the locks that making, or dropping, so many partitions takes';

CREATE FUNCTION hermet.create_table(target name, table_name text, shards int) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  s record;
  columns text;
  -- Room on each page, so that updates by messages stay on it (HOT).
  options text := CASE table_name WHEN 'user_conversation_view' THEN ' WITH (fillfactor = 70)'
                                  WHEN 'channel' THEN ' WITH (fillfactor = 80)' ELSE '' END;
BEGIN
  SELECT string_agg(format('%I %s%s%s', k.column_name, hermet.type_sql(target, k.type_name),
                           CASE WHEN k.nullable THEN '' ELSE ' NOT NULL' END, hermet.default_sql(k.default_value)),
                    ', ' ORDER BY k.ordinal)
    INTO columns FROM hermet.catalog_columns() k WHERE k.table_name = table_name;
  SELECT * INTO s FROM hermet.catalog_shards() c WHERE c.table_name = table_name;
  IF shards = 0 OR s.shard_key IS NULL THEN
    EXECUTE format('CREATE TABLE %I.%I (%s)%s', target, table_name, columns, options);
    RETURN;
  END IF;
  EXECUTE format('CREATE TABLE %I.%I (%s%s) PARTITION BY HASH (%I %I.hermet_modulo_ops)', target, table_name, columns,
    (SELECT format(', CONSTRAINT %I CHECK (%s)', table_name || '_shard_check', string_agg(format('%I >= 0', n), ' AND '))
       FROM unnest(s.not_negative) n HAVING count(*) > 0), s.shard_key, target);
  PERFORM hermet.create_partitions(target, table_name, shards, options, '{}');
END
$$;
COMMENT ON FUNCTION hermet.create_table(name, text, int) IS 'makes a table of the catalog, plain (0) or with so many partitions, without keys and triggers';

CREATE FUNCTION hermet.create_partitions(target name, table_name text, shards int, options text, tablespaces name[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  FOR k IN 0 .. shards - 1 LOOP
    EXECUTE format('CREATE TABLE %I.%I PARTITION OF %I.%I FOR VALUES WITH (MODULUS %s, REMAINDER %s)%s%s',
                   target, table_name || '_' || k, target, table_name, shards, (k + 230) % shards, options,
                   hermet.tablespace_clause(tablespaces[k % nullif(cardinality(tablespaces), 0) + 1]));
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.create_partitions(name, text, int, text, name[]) IS
    'makes the partitions <table>_<k> of a table, in these tablespaces by turns; NULL = where the server puts them';

CREATE FUNCTION hermet.tablespace_clause(tablespace name) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(' TABLESPACE ' || quote_ident(tablespace), '')
$$;
COMMENT ON FUNCTION hermet.tablespace_clause(name) IS 'a tablespace as a clause of CREATE TABLE; NULL = none';

CREATE FUNCTION hermet.misfit_shards(target name) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH r AS MATERIALIZED (
    SELECT r.table_name, r.name, r.relation, r.is_partition, c.relkind, c.relpersistence, c.relname, c.relnamespace, s.modulus, s.shard
      FROM hermet.relations(target) r
      JOIN pg_class c ON c.oid = r.relation
      LEFT JOIN LATERAL hermet.shard_of(r.relation) s ON r.is_partition
     WHERE r.is_partition OR c.relkind = 'p')
  SELECT format('table %s is partitioned in another way than hermet.create_tables() does', r.table_name)
    FROM r
    LEFT JOIN hermet.catalog_shards() s USING (table_name)
   WHERE NOT r.is_partition
     AND NOT EXISTS (SELECT FROM pg_partitioned_table p
                       JOIN pg_opclass o ON o.oid = p.partclass[0]
                       JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
                      WHERE p.partrelid = r.relation AND p.partstrat = 'h' AND p.partnatts = 1 AND a.attname = s.shard_key
                        AND EXISTS (SELECT FROM pg_amproc m WHERE m.amprocfamily = o.opcfamily AND m.amprocnum = 2
                                       AND m.amproclefttype = 'bigint'::regtype AND m.amproc = 'int8mi(bigint,bigint)'::regprocedure))
  UNION ALL
  SELECT format('%s is not a plain, logged table', r.name) FROM r WHERE r.is_partition AND (r.relkind <> 'r' OR r.relpersistence <> 'p')
  UNION ALL
  SELECT format('partition %s should be called %s', r.name, format('%I.%I', target, r.table_name || '_' || r.shard))
    FROM r
   WHERE r.is_partition AND (r.relname <> r.table_name || '_' || r.shard OR r.relnamespace <> (SELECT n.oid FROM pg_namespace n WHERE n.nspname = target))
  UNION ALL
  SELECT format('table %s has no partition for the keys that are %s modulo %s', m.table_name, k, m.modulus)
    FROM (SELECT r.table_name, max(r.modulus) AS modulus FROM r WHERE r.is_partition GROUP BY 1) m,
         generate_series(0, m.modulus - 1) k
   WHERE NOT EXISTS (SELECT FROM r WHERE r.table_name = m.table_name AND r.is_partition AND k % r.modulus = r.shard)
  UNION ALL
  SELECT format('partition %s holds keys modulo %s, others of its table modulo %s', m.name, m.modulus, m.greatest)
    FROM (SELECT r.name, r.modulus, max(r.modulus) OVER (PARTITION BY r.table_name) AS greatest FROM r WHERE r.is_partition) m
   WHERE m.modulus < m.greatest
  UNION ALL
  SELECT format('table %s has no partition', r.table_name)
    FROM r WHERE NOT r.is_partition AND NOT EXISTS (SELECT FROM r x WHERE x.table_name = r.table_name AND x.is_partition)
$$;
COMMENT ON FUNCTION hermet.misfit_shards(name) IS
    'what of an instance''s partitions is not as create_tables() makes them, a line each: detached, renamed, otherwise partitioned';

-- Unique keys of partitioned tables have one column more than those of plain ones: what they allow may be too much for these.
CREATE FUNCTION hermet.double_keys(target name, channel_shards int, user_shards int) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
  r record;
  d record;
BEGIN
  FOR r IN
    SELECT t.table_name, k.key, k.predicate
      FROM hermet.tables_to_spread(target, channel_shards, user_shards) t
      JOIN hermet.catalog_shards() s USING (table_name)
      JOIN (SELECT c.table_name, c.key, NULL AS predicate FROM hermet.catalog_tables() c
            UNION ALL
            SELECT i.table_name, i.key, i.predicate FROM hermet.catalog_indexes() i WHERE i.is_unique) k USING (table_name)
     WHERE t.shards = 0 AND s.shard_key <> ALL (k.key)
     ORDER BY 1, 2
  LOOP
    EXECUTE format('SELECT count(*) AS n, min(x.key::text) AS key FROM (SELECT (%3$s) AS key FROM %1$I.%2$I WHERE %4$s GROUP BY %3$s HAVING count(*) > 1) x',
                   target, r.table_name, (SELECT string_agg(quote_ident(col), ', ') FROM unnest(r.key) col), coalesce(r.predicate, 'true')) INTO d;
    IF d.n > 0 THEN
      RETURN NEXT format('%s value(s) of (%s) occur more than once in table %s, for example %s', d.n, array_to_string(r.key, ', '), r.table_name, d.key);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.double_keys(name, int, int) IS
    'what the keys of plain tables would not allow of rows that are in partitions now, a line each; reads the tables that would become plain';

-- What the CHECKs of partitioned tables will find, unless they have been there all the time.
CREATE FUNCTION hermet.negative_keys(target name, channel_shards int, user_shards int) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
DECLARE
  r record;
  n bigint;
  key bigint;
BEGIN
  FOR r IN
    SELECT t.table_name, col
      FROM hermet.tables_to_spread(target, channel_shards, user_shards) t
      JOIN hermet.catalog_shards() s USING (table_name)
      JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', target, t.table_name))
     CROSS JOIN unnest(s.not_negative) col
     WHERE t.shards > 0
       AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conname = t.table_name || '_shard_check' AND k.convalidated)
     ORDER BY 1, 2
  LOOP
    EXECUTE format('SELECT count(*), min(%3$I) FROM %1$I.%2$I WHERE %3$I < 0', target, r.table_name, r.col) INTO n, key;
    IF n > 0 THEN
      RETURN NEXT format('%s row(s) of table %s have a negative %s, for example %s', n, r.table_name, r.col, key);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.negative_keys(name, int, int) IS
    'which ids of plain tables are negative and could not be in partitions, a line for each column; reads the tables that would be partitioned';

CREATE FUNCTION hermet.grants(relation oid, name text) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('GRANT %s ON %s TO %s%s', a.privilege, name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_class c
   CROSS JOIN LATERAL (
         SELECT x.privilege_type AS privilege, x.grantee, x.is_grantable FROM aclexplode(c.relacl) x
         UNION
         SELECT format('%s (%I)', x.privilege_type, b.attname), x.grantee, x.is_grantable
           FROM pg_attribute b, aclexplode(b.attacl) x WHERE b.attrelid = c.oid AND NOT b.attisdropped) a
   WHERE c.oid = relation AND a.grantee <> c.relowner
$$;
COMMENT ON FUNCTION hermet.grants(oid, text) IS 'the rights of others on a table and its columns, as statements for the table of this name';

-- What of a table is not made anew by reshard() and would be lost with it; with numbers, also what the rows would break there.
CREATE FUNCTION hermet.reshard_obstacles(target name, channel_shards int DEFAULT NULL, user_shards int DEFAULT NULL) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH r AS MATERIALIZED (SELECT r.* FROM hermet.relations(target) r JOIN hermet.catalog_shards() s USING (table_name))
  SELECT format('%s depends on %s', pg_describe_object('pg_class'::regclass, w.ev_class, 0), r.name)
    FROM r
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.relation AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid AND w.ev_class <> r.relation
  UNION
  SELECT format('%s is of %s', pg_describe_object('pg_rewrite'::regclass, w.oid, 0), r.name) FROM r JOIN pg_rewrite w ON w.ev_class = r.relation
  UNION
  SELECT format('%s is of or to %s', pg_describe_object('pg_constraint'::regclass, k.oid, 0), r.name)
    FROM r JOIN pg_constraint k ON k.contype = 'f' AND k.conparentid = 0 AND r.relation IN (k.conrelid, k.confrelid)
  UNION
  SELECT format('%s is in %s', r.name, pg_describe_object('pg_publication'::regclass, p.prpubid, 0)) FROM r JOIN pg_publication_rel p ON p.prrelid = r.relation
  UNION
  SELECT format('%s depends on %s', pg_describe_object(d.classid, d.objid, 0), r.name)
    FROM r JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.relation AND d.deptype = 'n' AND d.classid = 'pg_proc'::regclass
  UNION
  SELECT format('policy %I on %s depends on %s', p.polname, p.polrelid::regclass, r.name)
    FROM r
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.relation AND d.deptype = 'n' AND d.classid = 'pg_policy'::regclass
    JOIN pg_policy p ON p.oid = d.objid AND p.polrelid NOT IN (SELECT x.relation FROM hermet.relations(target) x)
  UNION
  SELECT format('policy %I is of partition %s alone', p.polname, r.name) FROM r JOIN pg_policy p ON p.polrelid = r.relation WHERE r.is_partition
  UNION
  SELECT format('row security is of partition %s alone', r.name)
    FROM r JOIN pg_class c ON c.oid = r.relation WHERE r.is_partition AND (c.relrowsecurity OR c.relforcerowsecurity)
  UNION
  SELECT format('constraint %I is of partition %s alone', k.conname, r.name)
    FROM r JOIN pg_constraint k ON k.conrelid = r.relation AND k.contype = 'c' AND k.coninhcount = 0 WHERE r.is_partition
  UNION
  SELECT format('rights on %s of %s partitions of table %s alone: %s', count(*), x.partitions, x.table_name, g)
    FROM (SELECT r.table_name, r.relation, count(*) OVER (PARTITION BY r.table_name) AS partitions FROM r WHERE r.is_partition) x,
         hermet.grants(x.relation, '...') g
   GROUP BY x.table_name, x.partitions, g HAVING count(*) < x.partitions
  UNION
  SELECT format('trigger %I is of partition %s alone', g.tgname, r.name)
    FROM r
    JOIN pg_trigger g ON g.tgrelid = r.relation AND g.tgparentid = 0 AND NOT g.tgisinternal
    JOIN pg_proc f ON f.oid = g.tgfoid AND f.pronamespace <> 'hermet'::regnamespace
   WHERE r.is_partition
  UNION
  SELECT format('index %s is of partition %s alone', i.indexrelid::regclass, r.name)
    FROM r JOIN pg_index i ON i.indrelid = r.relation
   WHERE r.is_partition AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)
  UNION
  SELECT format('%s has an index as its replica identity', r.name) FROM r JOIN pg_class c ON c.oid = r.relation AND c.relreplident = 'i'
  UNION
  SELECT format('schema %I is in %s', target, pg_describe_object('pg_publication'::regclass, p.oid, 0))
    FROM pg_publication p
   WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace n
                                    WHERE n.pnpubid = p.oid AND n.pnnspid = (SELECT x.oid FROM pg_namespace x WHERE x.nspname = target))
  UNION
  SELECT format('%s is in %s', r.name, pg_describe_object('pg_subscription'::regclass, p.srsubid, 0)) FROM r JOIN pg_subscription_rel p ON p.srrelid = r.relation
  UNION
  SELECT format('%s is the type of something', r.name)
    FROM r
    JOIN pg_class c ON c.oid = r.relation
    JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = c.reltype AND d.deptype = 'n' AND d.classid <> 'pg_type'::regclass
  UNION
  SELECT format('unique key %s of %s lacks the column that the table is partitioned by', i.indexrelid::regclass, r.name)
    FROM r
    JOIN hermet.catalog_shards() s USING (table_name)
    JOIN pg_index i ON i.indrelid = r.relation AND i.indisunique
    JOIN pg_class c ON c.oid = i.indexrelid
   WHERE NOT r.is_partition AND c.relname NOT IN (SELECT x.index_name FROM hermet.catalog_indexes() x)
     AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = r.relation AND a.attname = s.shard_key AND a.attnum = ANY (i.indkey))
  UNION
  SELECT d FROM hermet.double_keys(target, channel_shards, user_shards) d
  UNION
  SELECT d FROM hermet.negative_keys(target, channel_shards, user_shards) d
  ORDER BY 1
$$;
COMMENT ON FUNCTION hermet.reshard_obstacles(name, int, int) IS
    'what hangs on the tables of an instance that reshard() would lose or spoil: views, rules, functions, foreign keys, publications, subscriptions, row types, unique keys, what is of one partition (also its rights and row security); with numbers of partitions, also ids that are double or negative';

CREATE FUNCTION hermet.require_no_obstacles(target name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  obstacles text[] := ARRAY(SELECT hermet.misfits(target) UNION ALL SELECT hermet.reshard_obstacles(target));
BEGIN
  IF obstacles <> '{}' THEN
    RAISE EXCEPTION 'the tables in schema "%" cannot be made anew', target
      USING ERRCODE = 'dependent_objects_still_exist', DETAIL = array_to_string(obstacles, E'\n'),
            HINT = 'Drop what is listed, call the function again, and make it anew.';
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.require_no_obstacles(name) IS 'an error that lists what hangs on the tables, if something does';

CREATE FUNCTION hermet.require_fitting_keys(target name, channel_shards int, user_shards int) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  doubles text[] := ARRAY(SELECT hermet.double_keys(target, channel_shards, user_shards));
  negatives text[] := ARRAY(SELECT hermet.negative_keys(target, channel_shards, user_shards));
BEGIN
  IF doubles <> '{}' THEN
    RAISE EXCEPTION 'the rows in schema "%" do not fit into plain tables', target
      USING ERRCODE = 'unique_violation', DETAIL = array_to_string(doubles, E'\n'),
            HINT = 'Partitions allow one id in several channels or users, plain tables do not: change all but one of each, and call the function again.';
  END IF;
  IF negatives <> '{}' THEN
    RAISE EXCEPTION 'the rows in schema "%" do not fit into partitions', target
      USING ERRCODE = 'check_violation', DETAIL = array_to_string(negatives, E'\n'),
            HINT = 'Ids that rows are spread by must not be negative: change or delete these rows, and call the function again.';
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.require_fitting_keys(name, int, int) IS
    'an error that lists the keys that would be double in plain tables, or are negative and would be in partitions, if some would';

CREATE FUNCTION hermet.statistics_targets(relation oid, name text) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', name, b.attname, b.attstattarget)
    FROM pg_attribute b WHERE b.attrelid = relation AND b.attnum > 0 AND NOT b.attisdropped AND b.attstattarget >= 0
$$;
COMMENT ON FUNCTION hermet.statistics_targets(oid, text) IS 'statistics targets of the columns of a table, as statements for the table of this name';

-- Of all rows of a table: plain ones have it by one name, partitioned ones by another.
CREATE FUNCTION hermet.distinct_values(relation oid, name text, partitioned boolean) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('ALTER TABLE %s ALTER COLUMN %I SET (%s = %s)', name, b.attname, CASE WHEN partitioned THEN 'n_distinct_inherited' ELSE 'n_distinct' END, o.option_value)
    FROM pg_class c
    JOIN pg_attribute b ON b.attrelid = c.oid AND NOT b.attisdropped
   CROSS JOIN pg_options_to_table(b.attoptions) o
   WHERE c.oid = relation AND o.option_name = CASE c.relkind WHEN 'p' THEN 'n_distinct_inherited' ELSE 'n_distinct' END
$$;
COMMENT ON FUNCTION hermet.distinct_values(oid, text, boolean) IS
    'the numbers of distinct values that are set for the columns of a table, as statements for the table of this name, which is or is not partitioned';

-- What the owner has added to a table, as statements that make it again once the table has been made anew.
CREATE FUNCTION hermet.own_definitions(target name, table_name text, partitioned boolean) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH t AS MATERIALIZED (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = target AND c.relname = own_definitions.table_name)
  SELECT d.statement
    FROM (
      SELECT 1 AS o, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS statement
        FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
       WHERE NOT i.indisprimary AND x.relname NOT IN (SELECT y.index_name FROM hermet.catalog_indexes() y)
         AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
      UNION ALL
      SELECT 2, format('COMMENT ON INDEX %I.%I IS %L', target, x.relname, obj_description(x.oid, 'pg_class'))
        FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
       WHERE x.relname NOT IN (SELECT y.index_name FROM hermet.catalog_indexes() y) AND obj_description(x.oid, 'pg_class') IS NOT NULL
      UNION ALL
      SELECT 2, pg_get_statisticsobjdef(e.oid) FROM t JOIN pg_statistic_ext e ON e.stxrelid = t.oid
      UNION ALL
      SELECT 2, s FROM t, hermet.statistics_targets(t.oid, t.name) s
      UNION ALL
      SELECT 2, s FROM t, hermet.distinct_values(t.oid, t.name, partitioned) s
      UNION ALL
      SELECT 2, format('ALTER TABLE %s ADD CONSTRAINT %I %s', t.name, k.conname, pg_get_constraintdef(k.oid))
        FROM t JOIN pg_constraint k ON k.conrelid = t.oid
       WHERE k.contype IN ('u', 'x') AND k.conname NOT IN (SELECT y.index_name FROM hermet.catalog_indexes() y)
      UNION ALL
      SELECT 3, pg_get_triggerdef(g.oid)
        FROM t JOIN pg_trigger g ON g.tgrelid = t.oid JOIN pg_proc f ON f.oid = g.tgfoid
       WHERE NOT g.tgisinternal AND f.pronamespace <> 'hermet'::regnamespace
      UNION ALL
      SELECT 4, format('ALTER TABLE %s %s TRIGGER %I', t.name,
                       CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, g.tgname)
        FROM t JOIN pg_trigger g ON g.tgrelid = t.oid JOIN pg_proc f ON f.oid = g.tgfoid
       WHERE NOT g.tgisinternal AND f.pronamespace <> 'hermet'::regnamespace AND g.tgenabled <> 'O'
      UNION ALL
      SELECT 6, format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.name) FROM t WHERE t.relrowsecurity
      UNION ALL
      SELECT 6, format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.name) FROM t WHERE t.relforcerowsecurity
      UNION ALL
      SELECT 7, g FROM t, hermet.grants(t.oid, t.name) g
      UNION ALL
      SELECT 8, format('COMMENT ON TABLE %s IS %L', t.name, obj_description(t.oid, 'pg_class')) FROM t
    ) d (o, statement)
   WHERE d.statement IS NOT NULL
   ORDER BY d.o, d.statement
$$;
COMMENT ON FUNCTION hermet.own_definitions(name, text, boolean) IS
    'indexes, constraints, statistics, triggers and rights that the owner has added to a table of an instance, as statements for one that is partitioned then, or not';

-- Policies of one table may speak of others: they go before the first is made anew, and come back after the last.
CREATE FUNCTION hermet.own_policies(target name, OUT name text, OUT table_name text, OUT statement text) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.policyname, t.name,
         format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.policyname, t.name, p.permissive, p.cmd,
                (SELECT string_agg(CASE r WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(r) END, ', ') FROM unnest(p.roles) r),
                ' USING (' || p.qual || ')', ' WITH CHECK (' || p.with_check || ')')
    FROM hermet.relations(target) t
    JOIN pg_policies p ON p.schemaname = target AND p.tablename = t.table_name
   WHERE NOT t.is_partition
$$;
COMMENT ON FUNCTION hermet.own_policies(name) IS 'the row security policies of an instance''s tables, as statements';

-- What a table that rows lie in has of its own and is not told by LIKE: partitions have it from the first of those before.
CREATE FUNCTION hermet.own_leaf_definitions(leaf oid, name text) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('ALTER TABLE %s REPLICA IDENTITY %s', name, CASE c.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
    FROM pg_class c WHERE c.oid = leaf AND c.relreplident IN ('f', 'n')
  UNION ALL
  SELECT g FROM pg_class c, hermet.grants(leaf, name) g WHERE c.oid = leaf AND c.relispartition
  UNION ALL
  -- A plain table's are of all rows: its successor's, not the partitions'.
  SELECT s FROM pg_class c, LATERAL (SELECT hermet.statistics_targets(leaf, name) UNION ALL SELECT hermet.distinct_values(leaf, name, false)) o (s)
   WHERE c.oid = leaf AND c.relispartition AND (SELECT x.relispartition FROM pg_class x WHERE x.oid = name::regclass)
$$;
COMMENT ON FUNCTION hermet.own_leaf_definitions(oid, text) IS
    'rights on a partition, its column options, and the replica identity of a table, as statements for another one';

CREATE FUNCTION hermet.storage_options(leaf oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(' WITH (' || string_agg(o.option, ', ') || ')', '')
    FROM (SELECT unnest(c.reloptions) AS option FROM pg_class c WHERE c.oid = leaf
          UNION ALL
          SELECT 'toast.' || unnest(s.reloptions) FROM pg_class c JOIN pg_class s ON s.oid = c.reltoastrelid WHERE c.oid = leaf) o
$$;
COMMENT ON FUNCTION hermet.storage_options(oid) IS 'the storage parameters of a table as a clause of CREATE TABLE';

-- By short waits for all tables at once: whoever has locked one of them and wants another gets it, and no deadlock comes of it.
CREATE FUNCTION hermet.lock_together(tables text, lock_mode text, most interval) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  before text := current_setting('lock_timeout');
  started_at timestamptz := clock_timestamp();
BEGIN
  LOOP
    BEGIN
      PERFORM set_config('lock_timeout', '200ms', true);
      EXECUTE 'LOCK TABLE ' || tables || ' IN ' || lock_mode || ' MODE';
      PERFORM set_config('lock_timeout', before, true);
      RETURN;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      IF most > interval '0' AND clock_timestamp() > started_at + most THEN
        RAISE;
      END IF;
      PERFORM pg_sleep(0.05);
    END;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.lock_together(text, text, interval) IS
    'locks tables until the transaction ends, all or none of them at a time; gives up after so long, after 0 never';

CREATE FUNCTION hermet.lock_alone(target name) RETURNS void
    LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT hermet.lock_together(string_agg(r.name, ', ' ORDER BY r.name), 'ACCESS EXCLUSIVE', current_setting('lock_timeout')::interval)
    FROM hermet.relations(target) r WHERE NOT r.is_partition
$$;
COMMENT ON FUNCTION hermet.lock_alone(name) IS 'keeps everybody out of an instance until the transaction ends; waits as long as lock_timeout allows';

CREATE FUNCTION hermet.reshard_table(target name, table_name text, shards int) RETURNS bigint
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off AS $$
#variable_conflict use_variable
DECLARE
  s record;
  r record;
  owner name;
  leaf oid; -- one that rows lie in
  options text;
  tablespaces name[]; -- of the tables that rows lie in, by number
  tablespace name; -- of the table itself
  statement text;
  columns text;
  rows bigint;
  before bigint;
  checked boolean;
BEGIN
  SELECT * INTO s FROM hermet.catalog_shards() c WHERE c.table_name = table_name;
  SELECT x.relation, pg_get_userbyid(c.relowner) INTO leaf, owner
    FROM hermet.relations(target) x JOIN pg_class c ON c.oid = x.relation
   WHERE x.table_name = table_name AND (x.is_partition OR c.relkind = 'r') ORDER BY x.name LIMIT 1;
  options := hermet.storage_options(leaf);
  SELECT array_agg(l.spcname ORDER BY m.shard), min(own.spcname) INTO tablespaces, tablespace
    FROM hermet.relations(target) x
    JOIN pg_class c ON c.oid = x.relation
    JOIN pg_class t ON t.oid = format('%I.%I', target, table_name)::regclass
    JOIN pg_database d ON d.datname = current_database()
    LEFT JOIN pg_tablespace own ON own.oid = t.reltablespace
    -- Where the table has one, its partitions have it, too, unless told otherwise.
    LEFT JOIN pg_tablespace l ON l.oid = CASE WHEN c.reltablespace = 0 AND t.reltablespace <> 0 THEN d.dattablespace ELSE c.reltablespace END
   CROSS JOIN LATERAL hermet.shard_of(x.relation) m
   WHERE x.table_name = table_name AND (x.is_partition OR c.relkind = 'r');
  FOR r IN SELECT x.name, m.shard FROM hermet.relations(target) x, hermet.shard_of(x.relation) m WHERE x.table_name = table_name AND x.is_partition LOOP
    EXECUTE format('ALTER TABLE %s RENAME TO %I', r.name, 'hermet_resharded_' || r.shard);
  END LOOP;
  EXECUTE format('ALTER TABLE %I.%I RENAME TO hermet_resharded', target, table_name);
  -- No policy keeps the owner's rows from him now.
  EXECUTE format('ALTER TABLE %I.hermet_resharded NO FORCE ROW LEVEL SECURITY', target);
  EXECUTE format('CREATE TABLE %1$I.%2$I (LIKE %1$I.hermet_resharded INCLUDING ALL EXCLUDING INDEXES EXCLUDING STATISTICS)%3$s', target, table_name,
                 CASE WHEN shards = 0 THEN options || hermet.tablespace_clause(tablespaces[1])
                      ELSE format(' PARTITION BY HASH (%I %I.hermet_modulo_ops)', s.shard_key, target) || hermet.tablespace_clause(tablespace) END);
  checked := EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = format('%I.%I', target, table_name)::regclass AND k.conname = table_name || '_shard_check');
  IF shards = 0 AND checked THEN
    EXECUTE format('ALTER TABLE %I.%I DROP CONSTRAINT %I', target, table_name, table_name || '_shard_check');
  ELSIF shards > 0 AND NOT checked AND s.not_negative IS NOT NULL THEN
    EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT %I CHECK (%s)', target, table_name, table_name || '_shard_check',
                   (SELECT string_agg(format('%I >= 0', n), ' AND ') FROM unnest(s.not_negative) n));
  END IF;
  IF shards > 0 THEN
    PERFORM hermet.create_partitions(target, table_name, shards, options, tablespaces);
  END IF;
  FOR r IN SELECT x.name, x.is_partition OR shards = 0 AS holds_rows, c.relowner <> l.relowner AS is_others
             FROM hermet.relations(target) x JOIN pg_class c ON c.oid = x.relation, pg_class l
            WHERE x.table_name = table_name AND l.oid = leaf
  LOOP
    IF r.is_others THEN
      EXECUTE format('ALTER TABLE %s OWNER TO %I', r.name, owner);
    END IF;
    IF r.holds_rows THEN
      FOR statement IN SELECT d FROM hermet.own_leaf_definitions(leaf, r.name) d LOOP
        EXECUTE statement;
      END LOOP;
    END IF;
  END LOOP;

  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns
    FROM pg_attribute a
   WHERE a.attrelid = format('%I.%I', target, table_name)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
  EXECUTE format('INSERT INTO %1$I.%2$I (%3$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM %1$I.hermet_resharded', target, table_name, columns);
  GET DIAGNOSTICS rows = ROW_COUNT;
  EXECUTE format('SELECT count(*) FROM %I.hermet_resharded', target) INTO before;
  IF rows <> before THEN
    RAISE EXCEPTION 'table "%.%" has % rows, % of them were moved', target, table_name, before, rows USING ERRCODE = 'data_exception';
  END IF;
  -- Sequences of columns go on: that of an identity is made anew, another one only changes hands.
  FOR r IN SELECT d.objid::regclass AS sequence, d.deptype = 'i' AS is_identity, a.attname
             FROM pg_depend d
             JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
             JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
              AND d.refobjid = format('%I.hermet_resharded', target)::regclass
  LOOP
    IF r.is_identity THEN
      EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), q.last_value, q.is_called) FROM %s q', format('%I.%I', target, table_name), r.attname, r.sequence);
    ELSE
      EXECUTE format('ALTER SEQUENCE %s OWNED BY %I.%I.%I', r.sequence, target, table_name, r.attname);
    END IF;
  END LOOP;
  EXECUTE format('DROP TABLE %I.hermet_resharded', target);
  RETURN rows;
END
$$;
COMMENT ON FUNCTION hermet.reshard_table(name, text, int) IS
    'makes a table of an instance anew, plain (0) or with so many partitions, with its rows, but without keys, indexes and triggers; returns the number of rows';

CREATE FUNCTION hermet.reshard(target name, channel_shards int, user_shards int) RETURNS TABLE (table_name text, rows bigint)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  r record;
  moving record;
  kept text[] := '{}';
  statement text;
  wrong bigint;
  events boolean;
BEGIN
  IF channel_shards IS NULL OR user_shards IS NULL THEN
    RAISE EXCEPTION 'channel_shards and user_shards must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  PERFORM hermet.require_shards(channel_shards, user_shards);
  PERFORM hermet.require_lock_places(target, channel_shards, user_shards);
  -- Before the locks as well: they may meet those of replication, and need not.
  PERFORM hermet.require_no_obstacles(target);
  -- This reads all rows, so nobody is to wait for it; what comes in meanwhile, the new keys and CHECKs find.
  PERFORM hermet.require_fitting_keys(target, channel_shards, user_shards);
  -- Nobody reads or writes until this is committed: what is moved is what there is.
  PERFORM hermet.lock_alone(target);
  PERFORM hermet.require_no_obstacles(target);
  IF channel_shards + user_shards > 0 THEN
    PERFORM hermet.create_shard_operators(target);
  END IF;
  events := hermet.events_enabled(target);

  SELECT array_agg(s.table_name ORDER BY s.table_name) AS tables, array_agg(s.shards ORDER BY s.table_name) AS shards INTO moving
    FROM hermet.tables_to_spread(target, channel_shards, user_shards) s;
  -- All of it before the first table changes: what is told of one may name another.
  FOR i IN 1 .. coalesce(cardinality(moving.tables), 0) LOOP
    kept := kept || ARRAY(SELECT hermet.own_definitions(target, moving.tables[i], moving.shards[i] > 0));
  END LOOP;
  FOR r IN SELECT * FROM hermet.own_policies(target) WHERE moving.tables IS NOT NULL LOOP
    kept := kept || r.statement;
    EXECUTE format('DROP POLICY %I ON %s', r.name, r.table_name);
  END LOOP;
  FOR i IN 1 .. coalesce(cardinality(moving.tables), 0) LOOP
    table_name := moving.tables[i];
    rows := hermet.reshard_table(target, table_name, moving.shards[i]);
    RETURN NEXT;
  END LOOP;
  -- Keys, indexes and triggers; then what was the owner's.
  PERFORM hermet.complete_schema(target, channel_shards, user_shards);
  IF events THEN
    PERFORM hermet.enable_events(target);
  END IF;
  FOREACH statement IN ARRAY kept LOOP
    EXECUTE statement;
  END LOOP;
  SELECT sum(s.fail) INTO wrong FROM hermet.consistency_summary(target) s;
  IF wrong > 0 THEN
    RAISE EXCEPTION 'the read side of schema "%" is wrong in % row(s)', target, wrong
      USING ERRCODE = 'data_exception', DETAIL = 'Nothing was changed. It may have been wrong before.',
            HINT = 'Call hermet.repair(), then this function again.';
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.reshard(name, int, int) IS
    'spreads the tables of an instance over other numbers of partitions, 0 = plain ones, under a lock that keeps everybody out; returns the rows moved, a line a table';
