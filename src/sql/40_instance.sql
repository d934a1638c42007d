/* The life of an instance: create, attach, upgrade, detach. All of it is plain DDL by the caller. */

CREATE FUNCTION hermet.instances(OUT target name, OUT owner name) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  -- By names, which have an index: partitions make thousands of triggers.
  SELECT DISTINCT n.nspname, pg_get_userbyid(c.relowner)
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relname = ANY (ARRAY(SELECT k.table_name::name FROM hermet.catalog_tables() k))
     AND EXISTS (SELECT FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
                  WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND f.pronamespace = 'hermet'::regnamespace)
   ORDER BY 1, 2
$$;
COMMENT ON FUNCTION hermet.instances() IS 'the instances in this database, found by their triggers, and who owns their tables';

CREATE FUNCTION hermet.resolve_target(target name) RETURNS name
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found name[] := ARRAY(SELECT DISTINCT i.target FROM hermet.instances() i ORDER BY 1);
BEGIN
  IF target IS NOT NULL THEN
    IF target = ANY (found) THEN
      RETURN target;
    END IF;
    RAISE EXCEPTION 'there is no hermet instance in schema "%"', target
      USING ERRCODE = 'undefined_object',
            DETAIL = CASE WHEN cardinality(found) = 0 THEN 'This database has no instance.'
                          ELSE 'Instances: ' || array_to_string(found, ', ') || '.' END,
            HINT = 'Make one with hermet.create_tables() or hermet.attach().';
  END IF;
  IF cardinality(found) = 1 THEN
    RETURN found[1];
  END IF;
  IF cardinality(found) = 0 THEN
    RAISE EXCEPTION 'this database has no hermet instance'
      USING ERRCODE = 'undefined_object', HINT = 'Make one with hermet.create_tables() or hermet.attach().';
  END IF;
  RAISE EXCEPTION 'this database has several hermet instances'
    USING ERRCODE = 'ambiguous_parameter',
          DETAIL = 'Instances: ' || array_to_string(found, ', ') || '.',
          HINT = 'Name one of them as the argument "target".';
END
$$;
COMMENT ON FUNCTION hermet.resolve_target(name) IS
    'the instance that "target" names; without a name the only one, else an error that lists them';

CREATE FUNCTION hermet.type_sql(target name, type_name text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN type_name LIKE '%\_enum' THEN format('%I.%I', target, type_name)
              WHEN type_name = 'int' THEN 'integer'
              WHEN type_name = 'float8' THEN 'double precision'
              WHEN type_name = 'timestamptz' THEN 'timestamp with time zone'
              ELSE replace(type_name, 'varchar', 'character varying') END
$$;
COMMENT ON FUNCTION hermet.type_sql(name, text) IS 'a type of the catalog as format_type() writes it';

CREATE FUNCTION hermet.default_sql(default_value text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE default_value
           WHEN 'now' THEN ' DEFAULT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
           WHEN 'identity' THEN ' GENERATED ALWAYS AS IDENTITY'
           ELSE coalesce(' DEFAULT ' || default_value, '') END
$$;
COMMENT ON FUNCTION hermet.default_sql(text) IS 'a default of the catalog as a clause of CREATE TABLE, built-in functions only';

/* What of the schema does not fit the catalog and cannot be made to fit by adding. */
CREATE FUNCTION hermet.misfits(target name) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  n bigint;
BEGIN
  FOR r IN
    SELECT e.type_name, e.labels, t.typtype,
           ARRAY(SELECT l.enumlabel::text FROM pg_enum l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder) AS found
      FROM hermet.catalog_enums() e
      JOIN pg_type t ON t.typname = e.type_name AND t.typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
  LOOP
    IF r.typtype <> 'e' OR r.found <> r.labels THEN
      RETURN NEXT format('type %s is not an enum of (%s)', r.type_name, array_to_string(r.labels, ', '));
    END IF;
  END LOOP;

  FOR r IN
    SELECT t.side, t.table_name, t.key, c.oid, c.relkind, c.relpersistence, c.relowner
      FROM hermet.catalog_tables() t
      JOIN pg_class c ON c.relname = t.table_name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
  LOOP
    IF r.relkind <> 'r' AND (r.relkind <> 'p' OR r.side = 'state' OR r.table_name = 'biz_user') THEN
      RETURN NEXT format('%s is not a plain table', r.table_name);
      CONTINUE;
    END IF;
    IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = r.oid OR i.inhparent = r.oid AND r.relkind = 'r') THEN
      RETURN NEXT format('table %s inherits or is inherited from: rows of a child fire no trigger', r.table_name);
    END IF;
    IF r.relpersistence <> 'p' THEN
      RETURN NEXT format('table %s is unlogged or temporary', r.table_name);
    END IF;
    RETURN QUERY
      SELECT format('column %s.%s is %s, expected %s', r.table_name, k.column_name,
                    format_type(a.atttypid, a.atttypmod), hermet.type_sql(target, k.type_name))
        FROM hermet.catalog_columns() k
        JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = k.column_name AND NOT a.attisdropped
       WHERE k.table_name = r.table_name
         AND format_type(a.atttypid, a.atttypmod) <> hermet.type_sql(target, k.type_name)
       ORDER BY k.ordinal;
    RETURN QUERY
      SELECT format('column %s.%s has a nondeterministic collation', r.table_name, a.attname)
        FROM hermet.catalog_columns() k
        JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = k.column_name AND NOT a.attisdropped
        JOIN pg_collation l ON l.oid = a.attcollation AND NOT l.collisdeterministic
       WHERE k.table_name = r.table_name
       ORDER BY k.ordinal;
    IF r.side = 'read' THEN
      RETURN QUERY
        SELECT format('column %s.%s is not one of hermet''s and must have a default or allow NULL', r.table_name, a.attname)
          FROM pg_attribute a
         WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef
           AND a.attname NOT IN (SELECT k.column_name FROM hermet.catalog_columns() k WHERE k.table_name = r.table_name);
    END IF;
  END LOOP;
  RETURN QUERY SELECT hermet.misfit_shards(target);
END
$$;
COMMENT ON FUNCTION hermet.misfits(name) IS
    'what of the existing types and tables of a schema contradicts the catalog, a line each';

/* The rows that stand against a NOT NULL or a key that attach has to add. */
CREATE FUNCTION hermet.misfit_rows(target name) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  n bigint;
BEGIN
  FOR r IN
    SELECT c.oid, k.table_name, k.column_name, k.default_value, k.nullable, a.attnum, a.attnotnull
      FROM hermet.catalog_columns() k
      JOIN hermet.catalog_tables() t ON t.table_name = k.table_name
      JOIN pg_class c ON c.relname = k.table_name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = k.column_name AND NOT a.attisdropped
     WHERE t.side = 'write' OR a.attnum IS NOT NULL -- what the read side lacks is added and derived
     ORDER BY k.table_name, k.ordinal
  LOOP
    IF r.attnum IS NULL AND r.default_value IS NULL AND NOT r.nullable THEN
      EXECUTE format('SELECT count(*) FROM (SELECT FROM %I.%I LIMIT 1) x', target, r.table_name) INTO n;
      IF n > 0 THEN
        RETURN NEXT format('column %s.%s is missing, has no default, and the table has rows', r.table_name, r.column_name);
      END IF;
    ELSIF r.attnum IS NOT NULL AND NOT r.attnotnull AND NOT r.nullable THEN
      EXECUTE format('SELECT count(*) FROM %I.%I WHERE %I IS NULL', target, r.table_name, r.column_name) INTO n;
      IF n > 0 THEN
        RETURN NEXT format('column %s.%s is NULL in %s row(s)', r.table_name, r.column_name, n);
      END IF;
    END IF;
  END LOOP;

  FOR r IN
    SELECT k.table_name, k.key, k.predicate FROM hermet.missing_keys(target) k
  LOOP
    CONTINUE WHEN EXISTS (SELECT FROM unnest(r.key) col
                           WHERE NOT EXISTS (SELECT FROM pg_attribute a
                                              WHERE a.attrelid = format('%I.%I', target, r.table_name)::regclass
                                                AND a.attname = col AND NOT a.attisdropped));
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I.%I WHERE %s GROUP BY %s HAVING count(*) > 1) x',
                   target, r.table_name, coalesce(r.predicate, 'true'),
                   (SELECT string_agg(quote_ident(col), ', ') FROM unnest(r.key) col)) INTO n;
    IF n > 0 THEN
      RETURN NEXT format('%s value(s) of (%s) occur more than once in table %s', n, array_to_string(r.key, ', '), r.table_name);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.misfit_rows(name) IS 'rows of existing tables that contradict a NOT NULL or a key of the catalog, a line each';

CREATE FUNCTION hermet.missing_keys(target name, OUT table_name text, OUT key text[], OUT predicate text, OUT is_primary boolean,
                                    OUT index_name text)
    RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH wanted AS (
    SELECT t.table_name, t.key, NULL AS predicate, true AS is_primary, NULL AS index_name FROM hermet.catalog_tables() t
    UNION ALL
    SELECT i.table_name, i.key, i.predicate, false, i.index_name FROM hermet.catalog_indexes() i WHERE i.is_unique),
  fitting AS (
    -- A unique key of a partitioned table has the column that it is partitioned by.
    SELECT w.table_name, c.oid, w.predicate, w.is_primary, w.index_name,
           CASE WHEN c.relkind = 'p' AND s.shard_key <> ALL (w.key) THEN w.key || s.shard_key ELSE w.key END AS key
      FROM wanted w
      JOIN pg_class c ON c.relname = w.table_name AND c.relkind IN ('r', 'p')
       AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
      LEFT JOIN hermet.catalog_shards() s ON s.table_name = w.table_name)
  SELECT w.table_name, w.key, w.predicate, w.is_primary, w.index_name
    FROM fitting w
   WHERE NOT EXISTS (
     SELECT FROM pg_index x
      WHERE x.indrelid = w.oid AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indexprs IS NULL
        AND (x.indpred IS NULL) = (w.predicate IS NULL)
        AND ARRAY(SELECT a.attname::text FROM unnest(x.indkey[0:x.indnkeyatts - 1]) WITH ORDINALITY u(attnum, o)
                    JOIN pg_attribute a ON a.attrelid = w.oid AND a.attnum = u.attnum ORDER BY u.o) = w.key)
$$;
COMMENT ON FUNCTION hermet.missing_keys(name) IS 'unique keys of the catalog that a schema''s existing tables do not have';

/* Adds to a schema whatever of the catalog it lacks; changes nothing that is there. */
CREATE FUNCTION hermet.complete_schema(target name, channel_shards int DEFAULT NULL, user_shards int DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  counts record;
  any_value text;
  misfits text[] := ARRAY(SELECT hermet.misfits(target));
BEGIN
  IF misfits = '{}' THEN
    misfits := ARRAY(SELECT hermet.misfit_rows(target));
  END IF;
  IF misfits <> '{}' THEN
    RAISE EXCEPTION 'the tables in schema "%" do not fit', target
      USING ERRCODE = 'datatype_mismatch', DETAIL = array_to_string(misfits, E'\n'),
            HINT = 'Change what is listed and call the function again; tables of the read side may simply be dropped or renamed, they are derived anew.';
  END IF;

  FOR r IN SELECT e.* FROM hermet.catalog_enums() e
            WHERE NOT EXISTS (SELECT FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
                               WHERE n.nspname = target AND t.typname = e.type_name)
  LOOP
    EXECUTE format('CREATE TYPE %I.%I AS ENUM (%s)', target, r.type_name,
                   (SELECT string_agg(quote_literal(l), ', ') FROM unnest(r.labels) l));
  END LOOP;

  SELECT * INTO counts FROM hermet.shard_counts(target);
  FOR r IN SELECT t.table_name, s.spread_by
             FROM hermet.catalog_tables() t LEFT JOIN hermet.catalog_shards() s USING (table_name)
            WHERE to_regclass(format('%I.%I', target, t.table_name)) IS NULL
  LOOP
    PERFORM hermet.create_table(target, r.table_name,
      CASE r.spread_by WHEN 'channel' THEN coalesce(channel_shards, counts.channel_shards)
                       WHEN 'user' THEN coalesce(user_shards, counts.user_shards) ELSE 0 END);
  END LOOP;

  FOR r IN SELECT x.name, CASE WHEN c.relkind = 'p' THEN 'n_distinct_inherited' ELSE 'n_distinct' END AS option
             FROM hermet.relations(target) x
             JOIN pg_class c ON c.oid = x.relation
             JOIN pg_attribute a ON a.attrelid = x.relation AND a.attname = 'user_id'
            WHERE x.table_name = 'user_conversation_view' AND NOT coalesce(a.attoptions::text LIKE '%n_distinct%=%', false)
  LOOP
    -- A prepared list is planned for the average user. Expecting 200 conversations, it takes the order of the
    -- index, which costs who has fewer nothing, and spares who has thousands to read them all.
    EXECUTE format('ALTER TABLE %s ALTER COLUMN user_id SET (%s = -0.005)', r.name, r.option);
  END LOOP;

  FOR r IN
    SELECT k.*, a.attnum, a.atthasdef, a.attnotnull
      FROM hermet.catalog_columns() k
      LEFT JOIN pg_attribute a ON a.attrelid = format('%I.%I', target, k.table_name)::regclass
                              AND a.attname = k.column_name AND NOT a.attisdropped
     ORDER BY k.table_name, k.ordinal
  LOOP
    IF r.attnum IS NULL THEN
      -- A read side that has rows takes any value for now: repair derives the right one.
      any_value := CASE WHEN r.nullable OR r.default_value IS NOT NULL THEN NULL
                        WHEN r.type_name LIKE '%\_enum' THEN (SELECT e.labels[1] FROM hermet.catalog_enums() e WHERE e.type_name = r.type_name)
                        WHEN r.type_name LIKE '%[]' THEN '{}'
                        WHEN r.type_name LIKE 'varchar%' THEN ''
                        WHEN r.type_name = 'boolean' THEN 'false'
                        ELSE '0' END;
      EXECUTE format('ALTER TABLE %I.%I ADD COLUMN %I %s%s%s', target, r.table_name, r.column_name,
                     hermet.type_sql(target, r.type_name),
                     CASE WHEN r.nullable THEN '' ELSE ' NOT NULL' END,
                     CASE WHEN any_value IS NULL THEN hermet.default_sql(r.default_value)
                          ELSE format(' DEFAULT %L', any_value) END);
      IF any_value IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I DROP DEFAULT', target, r.table_name, r.column_name);
      END IF;
      CONTINUE;
    END IF;
    IF NOT r.attnotnull AND NOT r.nullable THEN
      EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I SET NOT NULL', target, r.table_name, r.column_name);
    END IF;
    IF NOT r.atthasdef AND r.default_value IS NOT NULL AND r.default_value <> 'identity' THEN
      EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I SET%s', target, r.table_name, r.column_name,
                     hermet.default_sql(r.default_value));
    END IF;
  END LOOP;

  IF NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conname = 'user_conversation_view_peer_check'
                    AND k.conrelid = format('%I.user_conversation_view', target)::regclass) THEN
    -- NOT VALID: rows that were there before are derived anew in a moment.
    EXECUTE format('ALTER TABLE %I.user_conversation_view ADD CONSTRAINT user_conversation_view_peer_check CHECK ('
                   '(conversation_type = ''single'') = (peer_user_id IS NOT NULL) AND '
                   'num_nulls(peer_user_id, peer_nickname, peer_avatar, peer_status, remark_name) IN (0, 5)) NOT VALID', target);
  END IF;

  FOR r IN SELECT k.* FROM hermet.missing_keys(target) k WHERE k.is_primary
  LOOP
    EXECUTE format('ALTER TABLE %I.%I ADD %s (%s)', target, r.table_name,
      CASE WHEN EXISTS (SELECT FROM pg_index x WHERE x.indisprimary
                           AND x.indrelid = format('%I.%I', target, r.table_name)::regclass)
           THEN 'UNIQUE' ELSE 'PRIMARY KEY' END,
      (SELECT string_agg(quote_ident(col), ', ' ORDER BY o) FROM unnest(r.key) WITH ORDINALITY u(col, o)));
  END LOOP;

  FOR r IN
    SELECT i.table_name, i.index_name, i.is_unique, i.predicate,
           coalesce((SELECT k.key FROM hermet.missing_keys(target) k WHERE k.index_name = i.index_name), i.key) AS key
      FROM hermet.catalog_indexes() i
     WHERE CASE WHEN i.is_unique
                THEN EXISTS (SELECT FROM hermet.missing_keys(target) k WHERE k.index_name = i.index_name)
                -- Any index that begins with the same columns serves as well.
                ELSE NOT EXISTS (
                  SELECT FROM pg_index x
                   WHERE x.indrelid = format('%I.%I', target, i.table_name)::regclass AND x.indisvalid
                     AND (x.indpred IS NULL) = (i.predicate IS NULL)
                     AND ARRAY(SELECT a.attname::text FROM unnest(x.indkey[0:cardinality(i.key) - 1]) WITH ORDINALITY u(attnum, o)
                                 JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.attnum ORDER BY u.o) = i.key)
           END
  LOOP
    EXECUTE format('CREATE %s INDEX %s ON %I.%I (%s)%s', CASE WHEN r.is_unique THEN 'UNIQUE' ELSE '' END,
      CASE WHEN to_regclass(format('%I.%I', target, r.index_name)) IS NULL THEN quote_ident(r.index_name) ELSE '' END,
      target, r.table_name,
      (SELECT string_agg(quote_ident(col), ', ' ORDER BY o) FROM unnest(r.key) WITH ORDINALITY u(col, o)),
      coalesce(' WHERE ' || r.predicate, ''));
  END LOOP;

  PERFORM hermet.make_triggers(target, false);

  -- The write side may have been there before, with comments of its own.
  FOR r IN
    SELECT format('TABLE %I.%I', target, t.table_name) AS object, t.description
      FROM hermet.catalog_tables() t,
           obj_description(format('%I.%I', target, t.table_name)::regclass, 'pg_class') AS d (found)
     WHERE d.found IS NULL OR t.side <> 'write' AND d.found <> t.description
    UNION ALL
    SELECT format('COLUMN %I.%I.%I', target, k.table_name, k.column_name), k.description
      FROM hermet.catalog_columns() k
      JOIN hermet.catalog_tables() t ON t.table_name = k.table_name
      JOIN pg_attribute a ON a.attrelid = format('%I.%I', target, k.table_name)::regclass AND a.attname = k.column_name
     CROSS JOIN col_description(a.attrelid, a.attnum) AS d (found)
     WHERE d.found IS NULL OR t.side <> 'write' AND d.found <> k.description
  LOOP
    EXECUTE format('COMMENT ON %s IS %L', r.object, r.description);
  END LOOP;

  EXECUTE format('DELETE FROM %I.hermet_instance', target);
  EXECUTE format('INSERT INTO %I.hermet_instance (version) VALUES (%L)', target, hermet.version());
END
$$;
COMMENT ON FUNCTION hermet.complete_schema(name, int, int) IS
    'adds the types, tables, columns, keys, indexes, triggers and comments of the catalog that a schema lacks';

CREATE FUNCTION hermet.validate_schema(target name) RETURNS void
    LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('ALTER TABLE %I.user_conversation_view VALIDATE CONSTRAINT user_conversation_view_peer_check', target);
END
$$;
COMMENT ON FUNCTION hermet.validate_schema(name) IS 'makes the read side''s check hold for rows that were there before it';

CREATE FUNCTION hermet.version() RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_version';
COMMENT ON FUNCTION hermet.version() IS 'the version of the loaded library';

CREATE FUNCTION hermet.require_owner(target name) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  SELECT c.relname, c.relowner INTO r
    FROM hermet.catalog_tables() t
    JOIN pg_class c ON c.relname = t.table_name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
   WHERE NOT pg_has_role(c.relowner, 'USAGE') LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'must be owner of table %', r.relname
      USING ERRCODE = 'insufficient_privilege',
            HINT = format('The instance in schema "%s" belongs to role "%s".', target, pg_get_userbyid(r.relowner));
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.require_owner(name) IS 'an error unless the caller owns the tables of the instance';

CREATE FUNCTION hermet.create_tables(target name DEFAULT current_schema(), channel_shards int DEFAULT 0, user_shards int DEFAULT 0)
    RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  existing text;
BEGIN
  IF target IS NULL OR channel_shards IS NULL OR user_shards IS NULL THEN
    RAISE EXCEPTION 'the arguments of hermet.create_tables() must not be NULL'
      USING ERRCODE = 'null_value_not_allowed',
            HINT = 'Name the schema; current_schema() is NULL where the search_path has no existing schema.';
  END IF;
  PERFORM hermet.require_shards(channel_shards, user_shards);
  IF target LIKE 'pg\_%' OR target IN ('', 'hermet', 'information_schema') THEN
    RAISE EXCEPTION 'schema "%" cannot hold an instance', target
      USING ERRCODE = 'invalid_schema_name', HINT = 'Choose a schema of your own.';
  END IF;
  SELECT string_agg(t.table_name, ', ') INTO existing
    FROM hermet.catalog_tables() t
   WHERE to_regclass(format('%I.%I', target, t.table_name)) IS NOT NULL;
  IF existing IS NOT NULL THEN
    RAISE EXCEPTION 'schema "%" already has tables of an instance', target
      USING ERRCODE = 'duplicate_table', DETAIL = format('Tables: %s.', existing),
            HINT = 'Use hermet.attach() to take over tables that exist.';
  END IF;
  PERFORM hermet.require_lock_places(target, channel_shards, user_shards);
  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = target) THEN
    EXECUTE format('CREATE SCHEMA %I', target);
  END IF;
  IF channel_shards + user_shards > 0 THEN
    PERFORM hermet.create_shard_operators(target);
  END IF;
  PERFORM hermet.complete_schema(target, channel_shards, user_shards);
  PERFORM hermet.validate_schema(target);
END
$$;
COMMENT ON FUNCTION hermet.create_tables(name, int, int) IS
    'makes an instance in a schema (created when missing): tables, plain or in so many partitions, read side and triggers, owned by the caller';

CREATE FUNCTION hermet.seconds_since(started_at timestamptz) RETURNS numeric
    LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT round(extract(epoch FROM clock_timestamp() - started_at), 1)
$$;
COMMENT ON FUNCTION hermet.seconds_since(timestamptz) IS 'wall-clock time that has passed, for progress messages';

CREATE FUNCTION hermet.attach(target name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  started_at timestamptz := clock_timestamp();
  large boolean;
  filled text;
BEGIN
  IF target IS NULL OR NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = target) THEN
    RAISE EXCEPTION 'schema "%" does not exist', target USING ERRCODE = 'invalid_schema_name';
  END IF;
  IF EXISTS (SELECT FROM hermet.instances() i WHERE i.target = attach.target) THEN
    RAISE EXCEPTION 'schema "%" already is a hermet instance', target
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'hermet.upgrade() completes it, hermet.detach() takes the triggers away.';
  END IF;
  IF NOT EXISTS (SELECT FROM hermet.catalog_tables() t
                  WHERE t.side = 'write' AND to_regclass(format('%I.%I', target, t.table_name)) IS NOT NULL) THEN
    RAISE EXCEPTION 'schema "%" has no table of the write side', target
      USING ERRCODE = 'undefined_table', HINT = 'Use hermet.create_tables() to make an instance anew.';
  END IF;
  PERFORM hermet.require_owner(target);
  -- What takes no time needs no progress.
  SELECT coalesce(sum(pg_relation_size(r.relation)), 0) > 8388608 INTO large FROM hermet.relations(target) r WHERE r.side = 'write';
  IF large THEN
    RAISE NOTICE 'attach "%", 1 of 3: checking the tables, adding what is missing', target;
  END IF;
  PERFORM hermet.complete_schema(target);
  IF large THEN
    RAISE NOTICE 'attach "%", 2 of 3: filling the read side (% s)', target, hermet.seconds_since(started_at);
  END IF;
  SELECT string_agg(format('%s %s', r.table_name, r.inserted), ', ') INTO filled FROM hermet.repair(target) r WHERE r.inserted > 0;
  IF large THEN
    RAISE NOTICE 'attach "%", 3 of 3: validating a constraint (% s)', target, hermet.seconds_since(started_at);
  END IF;
  PERFORM hermet.validate_schema(target);
  IF large THEN
    RAISE NOTICE 'attached "%" (% s): %', target, hermet.seconds_since(started_at), filled;
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.attach(name) IS
    'makes an instance of write-side tables that exist already: checks them, adds what is missing, fills the read side';

CREATE FUNCTION hermet.detach(target name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  FOR r IN
    SELECT t.tgname, c.relname
      FROM pg_trigger t
      JOIN pg_class c ON c.oid = t.tgrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_proc f ON f.oid = t.tgfoid
     WHERE n.nspname = target AND f.pronamespace = 'hermet'::regnamespace AND NOT t.tgisinternal
       AND t.tgparentid = 0 -- that of a partition goes with the table's
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %I.%I', r.tgname, target, r.relname);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.detach(name) IS 'takes hermet''s triggers away from an instance; all data stays';

-- Of row triggers the server makes those of the partitions itself.
CREATE FUNCTION hermet.wanted_triggers(target name, events boolean,
        OUT relation oid, OUT trigger_name text, OUT enabled "char", OUT is_clone boolean, OUT definition text)
    RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT r.relation, t.trigger_name, t.enabled, r.is_partition AND t.definition NOT LIKE '%FOR EACH STATEMENT%',
         format('CREATE TRIGGER %I ', t.trigger_name) || replace(t.definition, ' ON %I.' || t.table_name || ' ', ' ON ' || r.name || ' ')
    FROM (SELECT c.table_name, c.trigger_name, 'O'::"char" AS enabled, c.definition FROM hermet.catalog_triggers() c
          UNION ALL
          SELECT e.table_name, e.trigger_name, 'O', e.definition FROM hermet.catalog_event_triggers() e WHERE events
          UNION ALL
          SELECT n.table_name, n.trigger_name, n.enabled, n.definition FROM hermet.catalog_node_triggers() n WHERE hermet.is_node(target)) t
    JOIN hermet.relations(target) r USING (table_name)
$$;
COMMENT ON FUNCTION hermet.wanted_triggers(name, boolean) IS
    'the triggers that the tables of an instance and their partitions should have, as pg_get_triggerdef() writes them';

CREATE FUNCTION hermet.bad_triggers(target name, OUT relation oid, OUT trigger_name text, OUT enabled "char", OUT is_there boolean, OUT is_clone boolean)
    RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH found AS (
    SELECT g.tgrelid AS relation, g.tgname::text AS trigger_name, g.tgenabled, pg_get_triggerdef(g.oid) AS definition, g.tgparentid <> 0 AS is_clone
      FROM hermet.relations(target) r
      JOIN pg_trigger g ON g.tgrelid = r.relation AND NOT g.tgisinternal
      JOIN pg_proc f ON f.oid = g.tgfoid
     WHERE f.pronamespace = 'hermet'::regnamespace)
  SELECT relation, trigger_name, w.enabled, f.definition IS NOT NULL, coalesce(f.is_clone, w.is_clone)
    FROM found f FULL JOIN hermet.wanted_triggers(target, hermet.events_enabled(target)) w USING (relation, trigger_name)
   WHERE f.definition IS DISTINCT FROM w.definition OR f.tgenabled <> w.enabled
$$;
COMMENT ON FUNCTION hermet.bad_triggers(name) IS
    'hermet''s triggers in an instance that are missing, disabled, altered or too many: hermet.upgrade() makes them anew';

-- A partition's clone of a row trigger comes and goes with the table's: it is only switched.
CREATE FUNCTION hermet.make_triggers(target name, events boolean) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  FOR r IN
    SELECT w.relation::regclass, w.trigger_name, w.enabled, w.is_clone, w.definition, g.oid IS NOT NULL AS is_there
      FROM hermet.wanted_triggers(target, events) w
      LEFT JOIN pg_trigger g ON g.tgname = w.trigger_name AND g.tgrelid = w.relation AND NOT g.tgisinternal
     WHERE g.oid IS NULL OR g.tgenabled <> w.enabled OR pg_get_triggerdef(g.oid) <> w.definition
     ORDER BY w.is_clone
  LOOP
    IF r.is_there AND NOT r.is_clone THEN
      EXECUTE format('DROP TRIGGER %I ON %s', r.trigger_name, r.relation);
    END IF;
    IF NOT r.is_clone THEN
      EXECUTE r.definition;
    END IF;
    IF r.is_clone OR r.enabled <> 'O' THEN
      EXECUTE format('ALTER TABLE %s ENABLE %s TRIGGER %I', r.relation, CASE r.enabled WHEN 'R' THEN 'REPLICA' ELSE '' END, r.trigger_name);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.make_triggers(name, boolean) IS 'makes the triggers of an instance that are missing or altered, those of its events if told so';

CREATE FUNCTION hermet.upgrade(target name DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  made_by text;
  suspect boolean;
  events boolean;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  events := hermet.events_enabled(target);
  IF hermet.is_node(target) THEN
    -- Else replication might hold one of the tables and wait for another.
    PERFORM hermet.lock_write_side(target);
  END IF;
  -- A table of the write side made anew would be empty, and so would the read side be.
  FOR r IN SELECT t.table_name FROM hermet.catalog_tables() t
            WHERE t.side = 'write' AND to_regclass(format('%I.%I', target, t.table_name)) IS NULL
  LOOP
    RAISE EXCEPTION 'table "%.%" of the hermet instance does not exist', target, r.table_name
      USING ERRCODE = 'undefined_table',
            HINT = 'Bring it back, or call hermet.detach() and hermet.attach(), which makes an empty one.';
  END LOOP;

  -- Where rows may have passed a trigger, or there is nothing yet to repair, the read side is derived when the tables
  -- are as they should be, which keeps them locked meanwhile. Else it is derived before, while others read and write,
  -- and the tables are locked for a moment only: a new column's default is right for the rows that there are.
  -- Tables of the instance's own state that are missing are new ones, or were dropped if it is of this version.
  IF to_regclass(format('%I.hermet_instance', target)) IS NOT NULL THEN
    EXECUTE format('SELECT version FROM %I.hermet_instance', target) INTO made_by;
  END IF;
  suspect := EXISTS (SELECT FROM hermet.misfits(target))
    OR EXISTS (SELECT FROM hermet.bad_triggers(target))
    OR EXISTS (SELECT FROM hermet.catalog_tables() t
                WHERE (t.side = 'read' OR made_by IS NOT DISTINCT FROM hermet.version())
                  AND to_regclass(format('%I.%I', target, t.table_name)) IS NULL)
    OR EXISTS (SELECT FROM hermet.catalog_columns() k
                 JOIN hermet.catalog_tables() t ON t.table_name = k.table_name AND t.side <> 'state'
                WHERE (k.default_value IS NULL OR t.side = 'write')
                  AND NOT EXISTS (SELECT FROM pg_attribute a
                                   WHERE a.attrelid = to_regclass(format('%I.%I', target, k.table_name))
                                     AND a.attname = k.column_name AND NOT a.attisdropped));
  IF NOT suspect THEN
    PERFORM hermet.repair(target);
  END IF;
  FOR r IN SELECT b.relation::regclass, b.trigger_name FROM hermet.bad_triggers(target) b WHERE b.is_there AND NOT b.is_clone
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', r.trigger_name, r.relation);
  END LOOP;
  PERFORM hermet.complete_schema(target);
  FOR r IN
    SELECT i.index_name FROM hermet.catalog_retired_indexes() i
      JOIN pg_index x ON x.indexrelid = to_regclass(format('%I.%I', target, i.index_name))
                     AND x.indrelid = to_regclass(format('%I.%I', target, i.table_name))
     WHERE NOT x.indisunique AND x.indpred IS NULL
       AND ARRAY(SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY u(attnum, o)
                   JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.attnum ORDER BY u.o) = i.key
  LOOP
    EXECUTE format('DROP INDEX %I.%I', target, r.index_name);
  END LOOP;
  IF events THEN
    PERFORM hermet.enable_events(target);
  END IF;
  IF suspect THEN
    PERFORM hermet.repair(target);
  END IF;
  PERFORM hermet.validate_schema(target);
END
$$;
COMMENT ON FUNCTION hermet.upgrade(name) IS
    'brings an instance to the library''s version: adds what is missing, makes altered triggers anew, repairs the read side';
