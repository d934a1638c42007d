-- Checks of a part: samples, ranges; what they cost, and what is kept of them.
SELECT hermet.create_tables('check_scale');
SET search_path = check_scale;
\set clean 'SELECT count(*) AS problems FROM hermet.check_consistency(\'check_scale\');'
\set last 'SELECT DISTINCT ON (table_name COLLATE "C") table_name, user_id, sample, from_key, to_key, rows_checked, problems, begun_at <= checked_at AS in_order FROM hermet_check ORDER BY table_name COLLATE "C", id DESC;'
SET client_min_messages = warning;
INSERT INTO channel (id, channel_type) SELECT c, 'group' FROM generate_series(1, 100) c;
INSERT INTO channel (id, channel_type) SELECT 1000 + c, 'single' FROM generate_series(1, 500) c;
INSERT INTO channel_member (id, channel_id, user_id, joined_at, nickname)
SELECT c * 1000 + u, c, u, 0, '' FROM generate_series(1, 100) c, generate_series(1, 200) u
UNION ALL SELECT 900000 + 2 * c, 1000 + c, c % 200 + 1, 0, '' FROM generate_series(1, 500) c
UNION ALL SELECT 900001 + 2 * c, 1000 + c, (c * 7) % 200 + 301, 0, '' FROM generate_series(1, 500) c;
INSERT INTO friendship (id, user_id, friend_id) SELECT u * 1000 + f, u, f FROM generate_series(1, 100) u, generate_series(1, 100) f;
INSERT INTO message (id, channel_id, sender_id, sent_at) SELECT m, m % 100 + 1, 1, m FROM generate_series(1, 1000) m;
ANALYZE;
SELECT * FROM hermet.consistency_summary('check_scale');
SELECT count(*) FROM hermet.check_consistency('check_scale');
:last

-- Ranges: of users, and of channels where it is about these.
SELECT * FROM hermet.consistency_summary('check_scale', from_key => 101, to_key => 150);
SELECT * FROM hermet.consistency_summary('check_scale', from_key => 401);
SELECT * FROM hermet.consistency_summary('check_scale', to_key => 0);
SELECT * FROM hermet.consistency_summary('check_scale', 'user_contact_view', from_key => 3, to_key => 3);
SELECT * FROM hermet.consistency_summary('check_scale', 'user_contact_view', 3);
SELECT sum(rows) FROM generate_series(0, 500, 100) f, hermet.consistency_summary('check_scale', 'user_conversation_view', from_key => f, to_key => f + 99);
:last
-- Drift in the range, and beside it.
SELECT testing.plant('DELETE FROM check_scale.user_conversation_view WHERE user_id IN (5, 105)');
SELECT testing.plant('UPDATE check_scale.user_contact_view SET user_id = user_id + 10000 WHERE user_id IN (6, 7)');
SELECT testing.plant('INSERT INTO check_scale.contact_reverse_index SELECT 1, 100 + o, 1 FROM generate_series(1, 5) o');
SELECT table_name, problem, count(*) FROM hermet.check_consistency('check_scale', from_key => 1, to_key => 6) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT table_name, problem, count(*) FROM hermet.check_consistency('check_scale', from_key => 100) GROUP BY 1, 2 ORDER BY 1, 2;
:last
SELECT count(*) FROM hermet.repair('check_scale');
:clean

-- A sample is a share of the keys, of all tables, from both sides. 22,000 keys: one in ten thousand draws is off by more.
CREATE FUNCTION off(rows bigint, whole bigint, sample float8) RETURNS boolean LANGUAGE sql RETURN abs(rows - whole * sample) > 5 * sqrt(whole * sample);
SELECT s.table_name, off(s.rows, w.rows, 0.25) AS off, s.fail
  FROM hermet.consistency_summary('check_scale', sample => 0.25) s JOIN hermet.consistency_summary('check_scale') w USING (table_name) ORDER BY 1;
SELECT testing.plant('UPDATE check_scale.user_conversation_view SET user_id = user_id + 10000');
SELECT testing.plant('UPDATE check_scale.contact_reverse_index SET created_at = 1');
SELECT w.table_name, w.rows, w.fail, off(s.rows, w.rows, 0.25) AS off, off(s.fail, w.fail, 0.25) AS fail_off, s.rows - s.fail = s.ok AS sum
  FROM hermet.consistency_summary('check_scale', sample => 0.25) s JOIN hermet.consistency_summary('check_scale') w USING (table_name) ORDER BY 1;
SELECT table_name, problem, off(count(*), 21000, 0.25) AS off FROM hermet.check_consistency('check_scale', 'user_conversation_view', sample => 0.25) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT off(rows_checked, 42000, 0.25) AS off, rows_checked = problems AS all_wrong, sample FROM hermet_check ORDER BY id DESC LIMIT 1;
SELECT count(*) FROM hermet.repair('check_scale');
:clean

-- Large tables are sampled by pages: of wider rows, there are enough of them here. The same is found.
UPDATE channel_member SET nickname = repeat('x', 64);
UPDATE friendship SET remark_name = repeat('x', 64), tags = ARRAY[repeat('y', 128)];
VACUUM FULL channel_member, friendship;
SELECT bool_and(x.bytes / 8192 * 0.5 > 100) AS by_pages
  FROM (SELECT (SELECT sum(pg_relation_size(c.oid)) FROM pg_class c WHERE c.oid = t OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = t)) AS bytes
          FROM unnest('{channel_member, friendship}'::regclass[]) t) x;
-- By pages, of which there are some hundred: the share is not as exact.
CREATE OR REPLACE FUNCTION off(rows bigint, whole bigint, sample float8) RETURNS boolean LANGUAGE sql RETURN rows < whole * sample / 2 OR rows > whole * sample * 1.5;
SELECT s.table_name, off(s.rows, w.rows, 0.5) AS off, s.fail
  FROM hermet.consistency_summary('check_scale', sample => 0.5) s JOIN hermet.consistency_summary('check_scale') w USING (table_name)
 WHERE s.table_name NOT IN ('channel', 'conversation_reverse_index') ORDER BY 1;
SELECT count(*) FROM hermet.check_consistency('check_scale', sample => 0.5);
SELECT testing.plant('UPDATE check_scale.user_conversation_view SET user_id = user_id + 10000 WHERE user_id <= 100');
SELECT testing.plant('UPDATE check_scale.user_conversation_view SET unread_count = 77 WHERE user_id BETWEEN 101 AND 150');
SELECT testing.plant('UPDATE check_scale.user_contact_view SET user_id = user_id + 10000');
SELECT testing.plant('DELETE FROM check_scale.contact_reverse_index');
SELECT testing.plant('UPDATE check_scale.conversation_reverse_index SET peer_user_id = 777');
SELECT s.table_name, s.problem, count(*) > 0 AS found FROM hermet.check_consistency('check_scale', sample => 0.5) s GROUP BY 1, 2 ORDER BY 1, 2;
SELECT w.table_name, off(s.rows, w.rows, 0.5) AS off, off(s.fail, w.fail, 0.5) AS fail_off
  FROM hermet.consistency_summary('check_scale', sample => 0.5) s JOIN hermet.consistency_summary('check_scale') w USING (table_name)
 WHERE w.table_name NOT IN ('channel', 'conversation_reverse_index') ORDER BY 1;
-- A sampled row says of itself what the whole check says of it.
SELECT count(*) FROM (SELECT * FROM hermet.check_consistency('check_scale', sample => 0.5)
                      EXCEPT SELECT * FROM hermet.check_consistency('check_scale')) x;
-- What a sample costs: rows read of the tables, by the server's own count.
CREATE FUNCTION cost(sample float8) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    n bigint;
BEGIN
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) INTO before FROM pg_stat_xact_user_tables WHERE schemaname = 'check_scale';
    SELECT count(*) INTO n FROM hermet.check_consistency('check_scale', 'user_conversation_view', sample => cost.sample);
    RETURN (SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables WHERE schemaname = 'check_scale') - before;
END
$$;
SELECT cost(0.5) < cost(1) * 0.9 AS cheaper;
SELECT count(*) FROM hermet.repair('check_scale');
:clean

-- What was found stays known, however many checks of a share come after it, until a whole check finds nothing.
TRUNCATE hermet_check;
SELECT testing.plant('UPDATE check_scale.channel SET channel_member_count = 77 WHERE id = 1');
SELECT count(*) FROM hermet.check_consistency('check_scale', 'channel', from_key => 0);
SELECT count(*) FROM hermet.check_consistency('check_scale', 'user_contact_view');
SELECT count(*) FROM hermet.repair('check_scale');
SELECT sum(n) FROM (SELECT (SELECT count(*) FROM hermet.check_consistency('check_scale', 'channel', sample => 0, user_id => i)) AS n FROM generate_series(1, 1100) i) x;
SELECT problem, object FROM hermet.health('check_scale');
SELECT count(*) BETWEEN 1000 AND 1010 AS pruned, count(*) FILTER (WHERE sample = 1) AS whole FROM hermet_check;
SELECT count(*) FROM hermet.check_consistency('check_scale', 'channel');
SELECT problem, object FROM hermet.health('check_scale');
SELECT count(*) FROM hermet.check_consistency('check_scale', 'channel', sample => 0);
SELECT count(*) FILTER (WHERE problems > 0) AS found FROM hermet_check;
-- Read only: the check works, and leaves no note.
BEGIN READ ONLY;
SELECT count(*) FROM hermet.check_consistency('check_scale', sample => 0.1, from_key => 1);
COMMIT;
