-- What hermet counts of itself. The library is not preloaded here, so this session counts for itself, from the
-- moment that it first used the library.
-- In a database of its own: metrics are of all instances of one.
SELECT current_database() AS main \gset
CREATE DATABASE regress_hermet_metrics;
\c regress_hermet_metrics
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
\set VERBOSITY terse
SELECT value AS shared FROM hermet.metrics() WHERE name = 'hermet_metrics_shared';
SELECT name, labels ->> 'version' = hermet.version() AS this_version, value FROM hermet.metrics() WHERE name = 'hermet_info';
SELECT hermet.create_tables('metrics');
SELECT hermet.create_tables(E'metrics "of" \\ two\nlines');
SET search_path = metrics;

-- The names, and which labels each has.
SELECT name, string_agg(DISTINCT k.keys, ' | ') AS labels
  FROM hermet.metrics() m, LATERAL (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(m.labels) k) k (keys)
 GROUP BY name ORDER BY name COLLATE "C";

-- What moved since the last look: all but times.
CREATE TEMP TABLE seen (name text, labels jsonb, value float8);
CREATE FUNCTION pg_temp.moved() RETURNS TABLE (name text, labels jsonb, more float8) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH now AS MATERIALIZED (SELECT * FROM hermet.metrics()),
         moved AS (
           SELECT n.name, n.labels, n.value - coalesce(s.value, 0) AS more
             FROM now n LEFT JOIN seen s ON s.name = n.name AND s.labels = n.labels)
    SELECT m.name, m.labels, m.more FROM moved m
     WHERE m.more <> 0 AND m.name !~ '_(bucket|timestamp_seconds)$' AND m.name !~ 'seconds(_total|_sum)$'
     ORDER BY m.name COLLATE "C", m.labels::text COLLATE "C";
  DELETE FROM seen;
  INSERT INTO seen SELECT * FROM hermet.metrics();
END
$$;
\set moved 'SELECT * FROM pg_temp.moved();'
SELECT count(*) > 0 AS looked FROM pg_temp.moved();

INSERT INTO biz_user (id, nickname) SELECT u, 'user ' || u FROM generate_series(1, 12) u;
INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'group', 'dozen'), (2, 'single', ''), (3, 'group', 'empty');
:moved
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT 100 + u, 1, u, 0 FROM generate_series(1, 12) u;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (201, 2, 1, 0), (202, 2, 2, 0);
:moved

-- Messages: a statement counts once, by the rows it went to; one that changes nothing not at all.
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (11, 1, 1, 1), (12, 2, 1, 1);
:moved
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (13, 1, 2, 2);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (14, 77, 2, 2);
UPDATE message SET updated_at = 1;
UPDATE message SET content = 'x' WHERE false;
:moved
SELECT labels ->> 'le' AS le, value FROM hermet.metrics() WHERE name = 'hermet_fanout_rows_bucket';

-- Columns, and rows.
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 1, 1, 13), (2, 2, 1, 13);
UPDATE channel SET channel_name = 'twelve' WHERE id = 1;
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (1, 1, true);
:moved
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (1, 1, 2, 'Bob'), (2, 3, 2, '');
UPDATE biz_user SET avatar = 'new.png' WHERE id = 2;
DELETE FROM friendship WHERE id = 2;
:moved

-- What is rolled back was done, and stays counted; what failed on the way was not.
BEGIN;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (15, 2, 2, 3);
ROLLBACK;
INSERT INTO channel_member (id, channel_id, user_id) VALUES (203, 2, 3);
:moved

-- Checks and repairs: right and wrong rows.
SELECT * FROM hermet.consistency_summary('metrics', 'user_conversation_view');
:moved
SELECT testing.plant('UPDATE metrics.user_conversation_view SET unread_count = 99, is_muted = true WHERE channel_id = 2');
SELECT testing.plant('DELETE FROM metrics.user_conversation_view WHERE channel_id = 1 AND user_id = 12');
SELECT testing.plant('UPDATE metrics.channel SET channel_member_count = 5 WHERE id = 3');
SELECT count(*) AS lines FROM hermet.check_consistency('metrics');
:moved
SELECT name, labels, value FROM hermet.metrics() WHERE name = 'hermet_last_check_problems' AND labels ->> 'schema' = 'metrics' ORDER BY 2;
SELECT * FROM hermet.repair('metrics') ORDER BY 1;
:moved
SELECT count(*) AS lines FROM hermet.check_consistency('metrics', 'channel', sample => 1);
SELECT count(*) AS lines FROM hermet.check_consistency('metrics', 'user_contact_view', 1);
:moved

-- An incident: a stored row could not take a change.
SELECT testing.plant('UPDATE metrics.user_conversation_view SET unread_count = 0 WHERE channel_id = 2 AND user_id = 2');
DELETE FROM message WHERE id = 12;
:moved
SELECT name, labels, value FROM hermet.metrics() WHERE name = 'hermet_open_incidents' ORDER BY 2;
SELECT * FROM hermet.repair('metrics') WHERE inserted + updated + deleted > 0;
:moved

-- TRUNCATE counts as its table's.
TRUNCATE friendship;
:moved

-- Nothing is counted while it is switched off, and only superusers switch.
SET hermet.track = off;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (16, 1, 1, 3);
SELECT count(*) AS lines FROM hermet.check_consistency('metrics', 'channel');
:moved
RESET hermet.track;

-- Partitions that are detached; see also shards.
SELECT name, labels, value FROM hermet.metrics() WHERE name = 'hermet_missing_partitions' AND labels ->> 'schema' = 'metrics';

-- Where nothing may be written.
BEGIN READ ONLY;
SELECT count(*) > 300 AS told FROM hermet.metrics();
COMMIT;

-- The events that an instance keeps.
SELECT name, labels, value FROM hermet.metrics() WHERE name LIKE 'hermet_event%' AND labels ->> 'schema' = 'metrics' ORDER BY 1;
SELECT testing.plant('INSERT INTO metrics.change_event (event_offset, table_name, operation, transaction_time, transaction_id) OVERRIDING SYSTEM VALUE '
                     'SELECT o, ''message'', ''insert'', hermet.now_ms() - 1000 * (300 - o), ''3'' FROM generate_series(101, 140) o WHERE o <> 120');
SELECT name, labels, CASE WHEN name LIKE '%depth' THEN value::text ELSE (value >= 199)::text END AS value FROM hermet.metrics() WHERE name LIKE 'hermet_event%' AND labels ->> 'schema' = 'metrics' ORDER BY 1;

-- The text says the same numbers, labels in order, with what has to be escaped.
SELECT count(*) AS lines,
       count(*) FILTER (WHERE l !~ '^(# (HELP|TYPE) hermet_\w+ \S.*|hermet_\w+(\{(\w+="([^"\\\n]|\\["\\n])*",?)+\})? [0-9.e+-]+)$') AS odd,
       count(*) FILTER (WHERE l LIKE 'hermet_%') = (SELECT count(*) FROM hermet.metrics()) AS same_number,
       bool_and(hermet.metrics_text() LIKE E'%\n') AS ends_in_newline
  FROM regexp_split_to_table(rtrim(hermet.metrics_text(), E'\n'), '\n') l;
SELECT l FROM regexp_split_to_table(hermet.metrics_text(), '\n') l
 WHERE l LIKE '%hermet_consistency_check_total%' OR l LIKE 'hermet_rows_maintained_total{source="message"%'
    OR l LIKE 'hermet_instance_readable%' OR l LIKE '%hermet_fanout_rows%';
SELECT l FROM regexp_split_to_table(hermet.metrics_text(), '\n') l WHERE l LIKE '% hermet_sync_latency_seconds%' OR l LIKE 'hermet_sync_latency_seconds_bucket%source="friendship"%le="+Inf"%';
-- Buckets hold all below them, and the last one everything.
SELECT count(*) AS histograms, bool_and(rising AND complete) AS sound
  FROM (SELECT bool_and(b.value >= b.before) AS rising, max(b.value) = max(c.value) AS complete
          FROM (SELECT m.name, m.labels - 'le' AS labels, m.value,
                       lag(m.value, 1, 0::float8) OVER (PARTITION BY m.name, m.labels - 'le'
                                                ORDER BY replace(m.labels ->> 'le', '+Inf', 'Infinity')::float8) AS before
                  FROM hermet.metrics() m WHERE m.name LIKE '%\_bucket') b
          JOIN hermet.metrics() c ON c.name = replace(b.name, '_bucket', '_count') AND c.labels = b.labels
         GROUP BY b.name, b.labels) h;

-- An instance that is not as it should be does not keep the others from being told.
ALTER TABLE hermet_check RENAME COLUMN problems TO troubles;
SELECT labels, value FROM hermet.metrics() WHERE name = 'hermet_instance_readable' ORDER BY 1;
ALTER TABLE hermet_check RENAME COLUMN troubles TO problems;

-- Rights: those who monitor, and owners, who see the state of their own.
CREATE ROLE regress_metrics_owner;
CREATE ROLE regress_metrics_monitor IN ROLE pg_monitor;
CREATE ROLE regress_metrics_other;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_metrics_owner', current_database()); END $$;
SET ROLE regress_metrics_owner;
SELECT hermet.metrics_text();
SELECT hermet.create_tables('metrics_owned');
SELECT DISTINCT labels ->> 'schema' AS schema FROM hermet.metrics() WHERE labels ? 'schema';
SELECT hermet.reset_metrics();
SET hermet.track = off;
SET ROLE regress_metrics_monitor;
SELECT DISTINCT labels ->> 'schema' AS schema FROM hermet.metrics() WHERE name = 'hermet_instance_readable' AND value = 1 AND labels ->> 'schema' LIKE 'metrics%' ORDER BY 1;
SET ROLE regress_metrics_other;
SELECT * FROM hermet.metrics();
SELECT hermet.reset_metrics();
RESET ROLE;

-- A trap for whoever reads the metrics: what an owner puts in place of his tables runs as himself.
SET ROLE regress_metrics_owner;
CREATE FUNCTION metrics_owned.trap() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'read by %', current_user;
  RETURN 1;
END $$;
DROP TABLE metrics_owned.hermet_check;
CREATE VIEW metrics_owned.hermet_check AS SELECT metrics_owned.trap() AS id, 'channel'::text AS table_name, 1::bigint AS checked_at, 0::bigint AS problems;
RESET ROLE;
SELECT name, value FROM hermet.metrics() WHERE labels ->> 'schema' = 'metrics_owned' AND name LIKE 'hermet_last%' ORDER BY 1;
DROP VIEW metrics_owned.hermet_check;

-- From 0 again.
SELECT hermet.reset_metrics();
SELECT count(*) AS not_zero FROM hermet.metrics() WHERE name ~ '_(total|count|sum|bucket)$' AND value <> 0;
SELECT value > extract(epoch FROM clock_timestamp()) - 60 AS since_now FROM hermet.metrics() WHERE name = 'hermet_metrics_start_time_seconds';

\c :main
DROP DATABASE regress_hermet_metrics;
DROP ROLE regress_metrics_owner, regress_metrics_monitor, regress_metrics_other;
