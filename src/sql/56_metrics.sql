/* Metrics: what hermet counts of itself, and the state of the instances, for a monitoring system. */

-- By offsets, from both ends of the key: that is quick, and a few more than there are, as what was rolled back left gaps.
CREATE FUNCTION hermet.event_metrics(target name) RETURNS TABLE (name text, table_name text, value float8)
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regclass(format('%I.change_event', target)) IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY EXECUTE format(
    'SELECT m.name, NULL::text, m.value '
    '  FROM (SELECT min(e.event_offset) AS first, max(e.event_offset) AS last FROM %1$I.change_event e) q '
    '  LEFT JOIN %1$I.change_event o ON o.event_offset = q.first, '
    '       LATERAL (VALUES (''hermet_event_queue_depth'', coalesce(q.last - q.first + 1, 0)::float8), '
    '                       (''hermet_event_queue_age_seconds'', '
    '                        coalesce(greatest(hermet.now_ms() - o.transaction_time, 0), 0) / 1000.0)) m (name, value)', target);
END
$$;
COMMENT ON FUNCTION hermet.event_metrics(name) IS 'of metrics(): how many events an instance keeps, and how old they are';

-- By their number, and one bound of each table: to look at each partition as health() does takes longer than all the rest of a scrape.
CREATE FUNCTION hermet.missing_partitions(target name) RETURNS bigint
    LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(sum(greatest(coalesce(m.modulus, 1) - p.attached, 0)), 0)::bigint
    FROM hermet.catalog_shards() s
    JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', target, s.table_name)) AND c.relkind = 'p'
   CROSS JOIN LATERAL (SELECT count(*) AS attached, max(i.inhrelid) AS one FROM pg_inherits i WHERE i.inhparent = c.oid AND NOT i.inhdetachpending) p
    LEFT JOIN LATERAL hermet.shard_of(p.one) m ON true
$$;
COMMENT ON FUNCTION hermet.missing_partitions(name) IS 'of metrics(): how many partitions the tables of an instance lack; health() names them';

/*
 * The state of one instance, called by metrics() as the instance's owner. Gives what the instance has: one
 * made by an older version may lack a table, and what cannot be read must not keep the rest from being told.
 */
CREATE FUNCTION hermet.instance_metrics(target name) RETURNS TABLE (name text, table_name text, value float8)
    LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regclass(format('%I.hermet_check', target)) IS NOT NULL THEN
    RETURN QUERY EXECUTE format(
      'SELECT m.name, q.table_name, m.value '
      '  FROM (SELECT DISTINCT ON (c.table_name) c.table_name, c.checked_at, c.problems '
      '          FROM %I.hermet_check c ORDER BY c.table_name, c.id DESC) q, '
      '       LATERAL (VALUES (''hermet_last_check_timestamp_seconds'', q.checked_at / 1000.0), '
      '                       (''hermet_last_check_problems'', q.problems::float8)) m (name, value)', target);
  END IF;
  IF to_regclass(format('%I.hermet_incident', target)) IS NOT NULL THEN
    RETURN QUERY EXECUTE format('SELECT ''hermet_open_incidents'', NULL::text, count(*)::float8 FROM %I.hermet_incident', target);
  END IF;
  RETURN QUERY SELECT 'hermet_missing_partitions', NULL::text, hermet.missing_partitions(target)::float8;
  RETURN QUERY SELECT m.name, m.table_name, m.value FROM hermet.event_metrics(target) m;
  RETURN QUERY SELECT m.name, m.table_name, m.value FROM hermet.node_metrics(target) m;
  RETURN QUERY SELECT 'hermet_instance_readable', NULL::text, 1::float8;
EXCEPTION WHEN others THEN
  RETURN QUERY SELECT 'hermet_instance_readable', NULL::text, 0::float8;
END
$$;
COMMENT ON FUNCTION hermet.instance_metrics(name) IS 'of metrics(): the state of an instance, as its own tables tell it';

CREATE FUNCTION hermet.metrics() RETURNS TABLE (name text, labels jsonb, value float8)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_metrics';
COMMENT ON FUNCTION hermet.metrics() IS
    'what hermet has counted in this database, and the state of its instances; for members of pg_monitor and owners of instances';

CREATE FUNCTION hermet.metrics_text() RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_metrics_text';
COMMENT ON FUNCTION hermet.metrics_text() IS 'the same in the text format of Prometheus';

CREATE FUNCTION hermet.reset_metrics() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_reset_metrics';
COMMENT ON FUNCTION hermet.reset_metrics() IS 'sets the counters of this database back to 0; for the owner of the extension';
REVOKE ALL ON FUNCTION hermet.reset_metrics() FROM PUBLIC;
