-- hermet.next_id(), id_shard(), id_time(), now_ms().
SET search_path = testing;
-- Increasing in a session, no duplicate, none negative; the same for one shard value among others.
CREATE TEMP TABLE made AS SELECT i, hermet.next_id() AS id FROM generate_series(1, 20000) i;
SELECT count(DISTINCT id) AS ids, min(id) > 0 AS positive, bool_and(next > id) IS NOT FALSE AS increasing
  FROM (SELECT id, lead(id) OVER (ORDER BY i) AS next FROM made) x;
CREATE TEMP TABLE mixed AS SELECT i, i % 7 AS shard, hermet.next_id(i % 7) AS id FROM generate_series(1, 20000) i;
SELECT count(DISTINCT id) AS ids, bool_and(hermet.id_shard(id) = shard) AS shards FROM mixed;
SELECT bool_and(next > id) AS increasing FROM (SELECT id, lead(id) OVER (PARTITION BY shard ORDER BY i) AS next FROM mixed) x WHERE next IS NOT NULL;
SELECT count(*) AS twice FROM made JOIN mixed USING (id);
-- The time in it is the clock's.
SELECT hermet.now_ms() AS before \gset
SELECT hermet.next_id(5) AS id \gset
SELECT hermet.now_ms() AS after \gset
SELECT hermet.id_time(:id) - :before >= 0 AS not_before, hermet.id_time(:id) - :after < 60000 AS not_far_after, hermet.id_shard(:id) AS shard;
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS before \gset
SELECT hermet.now_ms() AS now \gset
SELECT :now BETWEEN :before AND floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS same_clock;
-- 41 bits of milliseconds since 2025-01-01 UTC, 10 bits of shard, 12 bits of sequence.
SELECT hermet.id_time(0), hermet.id_shard(0);
SELECT to_timestamp(hermet.id_time(0) / 1000) AT TIME ZONE 'UTC' AS epoch;
SELECT hermet.id_time(1::bigint << 22) - hermet.id_time(0) AS milliseconds, hermet.id_shard(1::bigint << 12) AS shard, hermet.id_shard(4095) AS none;
SELECT hermet.id_time(9223372036854775807) - hermet.id_time(0) = (1::bigint << 41) - 1 AS all_bits, hermet.id_shard(9223372036854775807) AS shard;
-- The shard value counts modulo 1024.
SELECT v, hermet.id_shard(hermet.next_id(v)) FROM (VALUES (0::bigint), (1), (1023), (1024), (1025), (123456789), (9223372036854775807)) x (v);
SELECT v, hermet.id_shard(hermet.next_id(v)) FROM (VALUES (-1::bigint), (-1024), (-9223372036854775808)) x (v);
-- The sequence runs on, so that the low bits spread over the partitions.
SELECT count(DISTINCT id % 64) AS of_64, count(DISTINCT id % 256) AS of_256 FROM made;
-- NULL in, NULL out.
SELECT hermet.next_id(NULL), hermet.id_shard(NULL), hermet.id_time(NULL);
-- It is no part of a transaction: what is rolled back is not given out again.
BEGIN;
SELECT hermet.next_id() AS undone \gset
ROLLBACK;
SELECT hermet.next_id() > :undone AS later;
-- Fit for a default, in any session that may use the schema.
CREATE ROLE regress_hermet_ids;
SET ROLE regress_hermet_ids;
SELECT hermet.next_id() > :undone AS allowed, hermet.id_time(hermet.next_id()) >= :before AS in_time, hermet.now_ms() >= :before AS clock;
RESET ROLE;
DROP ROLE regress_hermet_ids;
CREATE TEMP TABLE with_default (id bigint DEFAULT hermet.next_id() PRIMARY KEY, n int);
INSERT INTO with_default (n) SELECT generate_series(1, 1000);
SELECT count(*) FROM with_default;
