-- Partitions themselves: where rows lie, writes aimed at one, one that is taken away and brought back, other numbers of them.
SELECT hermet.create_tables('shards', 2, 4);
SET search_path = shards;
\set clean 'SELECT testing.clean(\'shards\') AS drift;'
\set missing 'SELECT value AS missing FROM hermet.instance_metrics(\'shards\') WHERE name = \'hermet_missing_partitions\';'
\set health 'SELECT problem, object, detail FROM hermet.health(\'shards\') ORDER BY problem COLLATE "C", object COLLATE "C", detail COLLATE "C";'
:health
-- What cannot be.
SELECT n AS shards, testing.error(format('SELECT hermet.create_tables(%L, %s, 0)', 'no_' || n, n)) FROM unnest('{3,-1,512,2147483647}'::int[]) n;
SELECT code, message FROM testing.error('SELECT hermet.create_tables($$no$$, 2, -4)');
SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'no%';
BEGIN;
ALTER FUNCTION hermet.create_shard_operators(name) SECURITY INVOKER;
CREATE ROLE regress_hermet_shards;
CREATE SCHEMA his AUTHORIZATION regress_hermet_shards;
GRANT USAGE ON SCHEMA testing TO regress_hermet_shards;
SET ROLE regress_hermet_shards;
SELECT * FROM testing.error('SELECT hermet.create_tables($$his$$, 2, 2)');
RESET ROLE;
SELECT hermet.create_shard_operators('his');
SET ROLE regress_hermet_shards;
SELECT hermet.create_tables('his', 2, 2);
INSERT INTO his.message (id, channel_id, sender_id) VALUES (1, 5, 1);
SELECT count(*) FROM his.message_1;
SELECT * FROM hermet.health('his');
-- His own policies, if forced upon him, do not hide what is to be moved.
CREATE POLICY nothing ON his.message USING (false);
ALTER TABLE his.message ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT * FROM hermet.reshard('his', 4, 2);
SELECT count(*) FROM his.message;
RESET ROLE;
SELECT count(*), min(tableoid::regclass::text) FROM his.message;
SELECT polname, pg_get_expr(polqual, polrelid), relrowsecurity, relforcerowsecurity FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.oid = 'his.message'::regclass;
ROLLBACK;

-- Where rows lie: <table>_<key mod n>, each in its own partition and in no other; found by one partition.
INSERT INTO biz_user (id, nickname) SELECT n, 'user ' || n FROM generate_series(100, 120) n;
INSERT INTO friendship (id, user_id, friend_id, added_at) SELECT n, n, 220 - n, 1 FROM generate_series(100, 120) n WHERE n <> 110;
INSERT INTO channel (id, channel_type) SELECT n, 'group' FROM generate_series(1, 9) n;
INSERT INTO channel (id, channel_type) SELECT n, 'single' FROM generate_series(10, 19) n;
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at) SELECT 1000 * c + u, c, u, 0, 0 FROM generate_series(1, 9) c, generate_series(100, 120) u;
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at) SELECT 1000 * c + u, c, u, 0, 0 FROM generate_series(10, 19) c, LATERAL (VALUES (90 + c), (101 + c)) x (u);
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT 100 * n + c, c, CASE WHEN c < 10 THEN 100 + n ELSE 90 + c END, 'message ' || n, n FROM generate_series(1, 19) c, generate_series(1, 4) n;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) SELECT n, n, n % 9 + 1, 200 FROM generate_series(100, 120) n;
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) SELECT n, n % 9 + 1, true FROM generate_series(100, 120) n;
INSERT INTO channel_application (id, applicant_id, application_type, target_id) SELECT n, 1, 'contact', n FROM generate_series(100, 120) n;
:clean
CREATE FUNCTION where_rows_lie(OUT table_name text, OUT partitions bigint, OUT rows bigint, OUT misplaced bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM hermet.catalog_shards() s ORDER BY s.table_name COLLATE "C" LOOP
        table_name := r.table_name;
        SELECT count(*) INTO partitions FROM pg_inherits WHERE inhparent = r.table_name::regclass;
        EXECUTE format('SELECT count(*), count(*) FILTER (WHERE tableoid::regclass::text <> %L || %I %% %s) FROM %I',
                       r.table_name || '_', r.shard_key, partitions, r.table_name) INTO rows, misplaced;
        RETURN NEXT;
    END LOOP;
END
$$;
SELECT * FROM where_rows_lie();
EXPLAIN (COSTS OFF) SELECT * FROM user_conversation_view WHERE user_id = 103;
EXPLAIN (COSTS OFF) SELECT * FROM message WHERE channel_id = 7 AND id > 100;
-- Ids are not negative there. (No such check where the tests themselves have ids below zero.)
SELECT s.table_name, c AS column, CASE WHEN e.code = '23514' THEN testing.table_of(e.message) ELSE e.code END AS error
  FROM (VALUES ('channel', 'id', 'INSERT INTO shards.channel (id, channel_type) VALUES (-1, $$group$$)'),
               ('channel_member', 'user_id', 'INSERT INTO shards.channel_member (id, channel_id, user_id) VALUES (-1, 1, -1)'),
               ('friendship', 'friend_id', 'INSERT INTO shards.friendship (id, user_id, friend_id) VALUES (-1, 1, -1)')) s (table_name, c, statement), testing.error(s.statement) e
 WHERE EXISTS (SELECT FROM hermet.catalog_shards() x WHERE x.not_negative IS NOT NULL) AND e.code <> '23514';

-- Writes aimed at a partition are maintained like those at its table.
INSERT INTO message_1 (id, channel_id, sender_id, content, sent_at) VALUES (901, 1, 101, 'to the partition', 901), (903, 3, 102, 'and another', 903);
UPDATE message_1 SET content = 'edited' WHERE id = 901;
UPDATE channel_1 SET channel_name = 'named' WHERE id = 3;
DELETE FROM channel_member_0 WHERE channel_id = 2 AND user_id = 101;
UPDATE conversation_setting_0 SET is_muted = true;
UPDATE channel_read_record_3 SET last_read_message_id = 901 WHERE user_id = 107;
UPDATE friendship_2 SET remark_name = 'remark';
DELETE FROM friendship_1 WHERE user_id = 101;
COPY message_0 (id, channel_id, sender_id, content, sent_at) FROM stdin;
904	4	104	copied	904
906	6	105	copied	906
\.
MERGE INTO message_0 m USING (VALUES (904::bigint), (908)) v (id) ON m.id = v.id AND m.channel_id = 4
    WHEN MATCHED THEN UPDATE SET content = 'merged' WHEN NOT MATCHED THEN INSERT (id, channel_id, sender_id, sent_at) VALUES (v.id, 4, 106, v.id);
:clean
SELECT channel_id, last_message_content, unread_count FROM user_conversation_view_0 WHERE user_id = 104 AND channel_id IN (1, 3, 4, 6) ORDER BY 1;
-- What does not belong into it, the server refuses; and the read side's partitions are the read side.
SELECT code, message FROM testing.error('INSERT INTO shards.message_0 (id, channel_id, sender_id) VALUES (1, 7, 1)');
SELECT code, message FROM testing.error('UPDATE shards.message_1 SET channel_id = 2 WHERE id = 901');
SELECT code, message, hint FROM testing.error('UPDATE shards.user_conversation_view_0 SET unread_count = 0');
SELECT code, message FROM testing.error('TRUNCATE shards.user_contact_view_1');
-- A row whose key changes moves to another partition.
UPDATE message SET channel_id = 2 WHERE id = 901;
INSERT INTO channel (id, channel_type) VALUES (22, 'group');
UPDATE channel_member SET channel_id = 22 WHERE channel_id = 3 AND user_id = 105;
UPDATE channel_read_record SET user_id = 101 WHERE user_id = 100;
UPDATE conversation_setting SET user_id = 102, channel_id = 5 WHERE user_id = 103;
UPDATE friendship SET user_id = 119 WHERE user_id = 102;
UPDATE channel SET id = 30 WHERE id = 9;
:clean
SELECT sum(misplaced) FROM where_rows_lie();
-- Members and rows of which the indexes have several versions are one row each, few of them or many.
BEGIN;
CREATE INDEX ON channel_member (nickname);
CREATE INDEX ON user_conversation_view (unread_count);
UPDATE channel_member SET nickname = 'first' WHERE channel_id = 1;
UPDATE channel_member SET nickname = 'second' WHERE channel_id = 1 OR channel_id = 12 AND user_id = 102;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (10001, 1, 100, 11), (10002, 12, 102, 11);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (10003, 1, 100, 12), (10004, 12, 102, 12);
SELECT channel_id, unread_count, last_message_sender_name, count(*) FROM user_conversation_view WHERE channel_id IN (1, 12) AND user_id >= 105 GROUP BY 1, 2, 3 ORDER BY 1, 2;
:clean
ROLLBACK;
-- TRUNCATE of one, and of all.
BEGIN;
TRUNCATE channel_read_record_2;
:clean
TRUNCATE message_1, channel_member_0;
:clean
TRUNCATE message;
:clean
SELECT count(*) FROM user_conversation_view WHERE last_message_id <> 0;
ROLLBACK;
:clean
-- Drift in one partition is found there, and repaired; each function by itself.
SELECT testing.plant('UPDATE shards.user_conversation_view_3 SET unread_count = 99 WHERE user_id = 107 AND channel_id = 4');
SELECT testing.plant('DELETE FROM shards.user_contact_view_3 WHERE user_id = 115');
SELECT testing.plant('UPDATE shards.channel_0 SET channel_member_count = 7 WHERE id = 4');
SELECT testing.plant('DELETE FROM shards.conversation_reverse_index_2 WHERE peer_user_id = 106');
SELECT testing.plant('DELETE FROM shards.contact_reverse_index_0 WHERE contact_user_id = 104');
SELECT table_name, key, problem, column_name FROM hermet.check_consistency('shards') ORDER BY 1, 2, 4;
SELECT * FROM hermet.consistency_summary('shards');
SELECT * FROM hermet.repair_channel(4, 'shards');
SELECT * FROM hermet.repair_conversation_view(107, 'shards');
SELECT * FROM hermet.repair('shards');
:clean
SELECT testing.plant('DELETE FROM shards.user_conversation_view_1');
SELECT table_name, inserted, updated, deleted FROM hermet.repair('shards') ORDER BY 1;
:clean
:health

-- A partition is taken away: what has its keys is refused, all else goes on, health says what is missing.
:missing
ALTER TABLE message DETACH PARTITION message_1;
:health
:missing
SELECT * FROM testing.error('INSERT INTO shards.message (id, channel_id, sender_id) VALUES (1001, 1, 101)');
SELECT code, message, hint FROM testing.error('INSERT INTO shards.message_1 (id, channel_id, sender_id) VALUES (1001, 1, 101)');
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (1002, 2, 101, 'goes on', 1002);
SELECT code, message, detail, hint FROM testing.error('UPDATE shards.channel_read_record SET last_read_message_id = 902 WHERE user_id = 107');
SELECT DISTINCT key->>'channel_id' AS channel FROM hermet.check_consistency('shards') WHERE (key->>'channel_id')::bigint % 2 = 0;
SELECT count(*) > 0 AS found FROM hermet.check_consistency('shards');
ALTER TABLE message ATTACH PARTITION message_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT count(*) FROM hermet.check_consistency('shards');
:health
:clean
-- Of the read side.
ALTER TABLE user_conversation_view DETACH PARTITION user_conversation_view_3;
:health
BEGIN;
ALTER TABLE user_conversation_view DETACH PARTITION user_conversation_view_0;
ALTER TABLE message DETACH PARTITION message_0;
ALTER TABLE message DETACH PARTITION message_1;
:missing
ROLLBACK;
:missing
SELECT code, message, detail FROM testing.error('INSERT INTO shards.message (id, channel_id, sender_id) VALUES (1003, 1, 101)');
UPDATE biz_user SET nickname = 'seen nowhere' WHERE id = 118;
ALTER TABLE user_conversation_view ATTACH PARTITION user_conversation_view_3 FOR VALUES WITH (MODULUS 4, REMAINDER 1);
:missing
:clean
:health
-- One comes back with its columns in another order: no row of it is like those of the others.
ALTER TABLE user_conversation_view DETACH PARTITION user_conversation_view_3;
ALTER TABLE user_conversation_view_3 RENAME conversation_name TO dropped;
ALTER TABLE user_conversation_view_3 RENAME unread_count TO dropped_too;
ALTER TABLE user_conversation_view_3 ADD unread_count int NOT NULL DEFAULT 0, ADD conversation_name varchar(128) NOT NULL DEFAULT '', DROP dropped, DROP dropped_too;
ALTER TABLE user_conversation_view ATTACH PARTITION user_conversation_view_3 FOR VALUES WITH (MODULUS 4, REMAINDER 1);
SELECT table_name, updated > 0 AS repaired FROM hermet.repair('shards') WHERE updated > 0;
BEGIN;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT 1020 + n, n, 100 + n, 'to all', 1020 + n FROM generate_series(1, 9) n;
UPDATE channel SET channel_name = 'in all partitions' WHERE id IN (1, 2);
DELETE FROM channel_member WHERE channel_id = 3;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT 4000 + u, 3, u, 0 FROM generate_series(100, 120) u;
:clean
ROLLBACK;
:clean
-- Another name, another schema; one made anew by upgrade().
ALTER TABLE message_0 RENAME TO message_even;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (1004, 2, 101, 1004);
:health
ALTER TABLE message_even RENAME TO message_0;
ALTER TABLE message_0 SET SCHEMA public;
INSERT INTO public.message_0 (id, channel_id, sender_id, sent_at) VALUES (1006, 2, 101, 1006);
:health
:clean
ALTER TABLE public.message_0 SET SCHEMA shards;
-- Triggers of a partition that are missing or switched off are seen, and made anew.
DROP TRIGGER hermet_after_insert ON message_0;
ALTER TABLE channel_1 DISABLE TRIGGER zzz_hermet_complete;
ALTER TABLE friendship_2 DISABLE TRIGGER hermet_after_update;
DROP TRIGGER hermet_guard ON user_contact_view_0;
:health
INSERT INTO message_0 (id, channel_id, sender_id, sent_at) VALUES (1008, 2, 101, 1008);
SELECT hermet.upgrade('shards');
:health
:clean
-- Events of writes aimed at a partition carry the table's name.
SELECT hermet.enable_events('shards');
INSERT INTO message_1 (id, channel_id, sender_id, sent_at) VALUES (1011, 1, 101, 1011);
UPDATE message SET channel_id = 2 WHERE id = 1011;
TRUNCATE channel_read_record_2;
TRUNCATE message;
SELECT table_name, key, operation FROM change_event ORDER BY event_offset;
:clean
SELECT hermet.disable_events('shards');
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT 1100 + n, n % 8 + 1, 104, 'again', 1100 + n FROM generate_series(1, 40) n;
-- Who may read the table need not be let into its partitions; who may not sees no row of hermet's either.
CREATE ROLE regress_hermet_reader;
GRANT USAGE ON SCHEMA shards, testing TO regress_hermet_reader;
GRANT SELECT ON user_conversation_view TO regress_hermet_reader;
SET ROLE regress_hermet_reader;
SELECT count(*) FROM shards.user_conversation_view WHERE user_id = 104;
SELECT code, message FROM testing.error('SELECT FROM shards.user_conversation_view_0');
RESET ROLE;
DROP OWNED BY regress_hermet_reader;
DROP ROLE regress_hermet_reader;

-- Other numbers of partitions: nothing is lost, and what is the owner's stays.
ALTER TABLE user_conversation_view ADD COLUMN own_note text;
CREATE INDEX own_order ON user_conversation_view (user_id, conversation_name);
COMMENT ON TABLE message IS 'our messages';
COMMENT ON INDEX own_order IS 'by name';
ALTER TABLE message ALTER content SET STATISTICS 50;
CREATE TABLE counted AS SELECT s.table_name, n.rows FROM where_rows_lie() n JOIN hermet.catalog_shards() s USING (table_name);
SELECT code, message FROM testing.error('SELECT * FROM hermet.reshard($$shards$$, 3, 4)');
SELECT code, message FROM testing.error('SELECT * FROM hermet.reshard($$shards$$, 4, NULL)');
CREATE VIEW names AS SELECT channel_name FROM channel;
SELECT * FROM testing.error('SELECT * FROM hermet.reshard($$shards$$, 4, 8)');
DROP VIEW names;
CREATE ROLE regress_hermet_shards;
GRANT USAGE ON SCHEMA testing TO regress_hermet_shards;
SET ROLE regress_hermet_shards;
SELECT code, message FROM testing.error('SELECT * FROM hermet.reshard($$shards$$, 4, 8)');
RESET ROLE;
DROP OWNED BY regress_hermet_shards;
DROP ROLE regress_hermet_shards;
BEGIN;
SELECT count(*) FROM hermet.reshard('shards', 1, 1);
ROLLBACK;
SELECT * FROM hermet.shard_counts('shards');
SELECT * FROM hermet.reshard('shards', 4, 8);
SELECT * FROM where_rows_lie();
:clean
:health
SELECT c.table_name FROM counted c JOIN where_rows_lie() n USING (table_name) WHERE c.rows <> n.rows;
SELECT * FROM hermet.reshard('shards', 4, 8);
-- Ids that partitions allow more than once: nothing is moved, and no lock is waited for.
INSERT INTO message (id, channel_id, sender_id, deleted_at) VALUES (3001, 1, 101, 1), (3001, 2, 101, 1), (3002, 1, 101, 1), (3002, 2, 101, 1);
INSERT INTO channel_read_record (id, user_id, channel_id) VALUES (3001, 901, 901), (3001, 902, 901);
SELECT * FROM hermet.reshard_obstacles('shards');
SELECT * FROM hermet.reshard_obstacles('shards', 4, 2);
SELECT * FROM hermet.reshard_obstacles('shards', 4, 0);
SELECT * FROM hermet.reshard_obstacles('shards', 0, 0);
SELECT * FROM testing.error('SELECT * FROM hermet.reshard($$shards$$, 0, 0)');
SELECT * FROM hermet.shard_counts('shards');
DELETE FROM message WHERE id IN (3001, 3002);
DELETE FROM channel_read_record WHERE id = 3001;
SELECT * FROM hermet.reshard_obstacles('shards', 0, 0);
SELECT table_name FROM hermet.reshard('shards', 0, 8);
:clean
:health
SELECT count(*) FROM hermet.reshard('shards', 0, 0);
SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.relnamespace = 'shards'::regnamespace;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (2001, 1, 101, 'plain', 2001);
:clean
:health
SELECT count(*) FROM hermet.reshard('shards', 2, 4);
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (2002, 2, 101, 'spread', 2002);
:clean
:health
SELECT obj_description('message'::regclass) AS "table", obj_description('own_order'::regclass) AS "index",
       (SELECT attstattarget FROM pg_attribute WHERE attrelid = 'message'::regclass AND attname = 'content') AS statistics,
       (SELECT count(*) FROM pg_attribute WHERE attrelid = 'user_conversation_view_3'::regclass AND attname = 'own_note') AS "column";
SELECT c.table_name FROM counted c JOIN where_rows_lie() n USING (table_name) WHERE c.rows <> n.rows - CASE table_name WHEN 'message' THEN 2 ELSE 0 END;
-- What columns are told of their values, and where tables and partitions lie, stays, too.
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE regress_hermet_one LOCATION '';
CREATE TABLESPACE regress_hermet_two LOCATION '';
SELECT hermet.create_tables('kept', 0, 0);
CREATE FUNCTION kept_of(wanted text, OUT relation text, OUT tablespace name, OUT options text) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT c.relname, t.spcname,
         (SELECT string_agg(a.attname || ' ' || o, ', ' ORDER BY a.attname, o)
            FROM pg_attribute a, unnest(a.attoptions || ('statistics=' || nullif(a.attstattarget, -1))) o
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND o !~ '^pg_')
    FROM pg_class c LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
   WHERE c.relnamespace = 'kept'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname ~ ('^' || wanted || '(_\d+)?$') ORDER BY 1
$$;
INSERT INTO kept.message (id, channel_id, sender_id) SELECT n, n, n FROM generate_series(1, 20) n;
ALTER TABLE kept.message SET TABLESPACE regress_hermet_one;
ALTER TABLE kept.message ALTER sender_id SET (n_distinct = 500), ALTER content SET STATISTICS 50;
SELECT count(*) FROM hermet.reshard('kept', 2, 2);
SELECT * FROM kept_of('message');
SELECT * FROM kept_of('friendship');
-- Of partitions: rows stay in their tablespace, of column options those of the first are given to all.
ALTER TABLE kept.message_0 SET TABLESPACE pg_default;
ALTER TABLE kept.message_1 SET TABLESPACE regress_hermet_two;
ALTER TABLE kept.message_0 ALTER channel_id SET (n_distinct = -0.5), ALTER id SET STATISTICS 70;
ALTER TABLE kept.message ALTER sender_id SET (n_distinct_inherited = 700);
ALTER TABLE kept.friendship_0 SET TABLESPACE regress_hermet_two;
SELECT count(*) FROM hermet.reshard('kept', 4, 2);
SELECT * FROM kept_of('message');
SELECT count(*) FROM hermet.reshard('kept', 0, 0);
SELECT * FROM kept_of('message');
SELECT * FROM kept_of('friendship');
-- Protection and rights of one partition, which would be gone, or be of all, are listed; rights of all of them stay.
SELECT count(*) FROM hermet.reshard('kept', 2, 2);
CREATE ROLE regress_hermet_reader;
GRANT SELECT, UPDATE (content) ON kept.message_0, kept.message_1 TO regress_hermet_reader;
SELECT * FROM hermet.reshard_obstacles('kept');
CREATE POLICY nothing ON kept.message_1 USING (false);
ALTER TABLE kept.message_1 ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON kept.friendship_0 USING (user_id = 1);
ALTER TABLE kept.channel_1 FORCE ROW LEVEL SECURITY;
GRANT SELECT ON kept.channel_0 TO regress_hermet_reader;
GRANT UPDATE (sender_id) ON kept.message_1 TO PUBLIC;
GRANT SELECT ON kept.friendship_0, kept.friendship_1 TO regress_hermet_reader;
GRANT SELECT ON kept.friendship_1 TO regress_hermet_reader WITH GRANT OPTION;
ALTER TABLE kept.friendship_0 ADD CONSTRAINT "not 12" CHECK (friend_id <> 12);
SELECT * FROM hermet.reshard_obstacles('kept');
SELECT code, message, detail, hint FROM testing.error('SELECT * FROM hermet.reshard($$kept$$, 4, 2)');
DROP POLICY nothing ON kept.message_1;
ALTER TABLE kept.message_1 DISABLE ROW LEVEL SECURITY;
DROP POLICY own ON kept.friendship_0;
ALTER TABLE kept.channel_1 NO FORCE ROW LEVEL SECURITY;
REVOKE SELECT ON kept.channel_0 FROM regress_hermet_reader;
REVOKE UPDATE (sender_id) ON kept.message_1 FROM PUBLIC;
REVOKE GRANT OPTION FOR SELECT ON kept.friendship_1 FROM regress_hermet_reader;
ALTER TABLE kept.friendship_0 DROP CONSTRAINT "not 12";
SELECT * FROM hermet.reshard_obstacles('kept');
SELECT count(*) FROM hermet.reshard('kept', 4, 2);
SELECT r.table_name, g, count(*) FROM hermet.relations('kept') r, hermet.grants(r.relation, '...') g GROUP BY 1, 2 ORDER BY 1, 2;
SELECT testing.clean('kept') AS drift;
SET client_min_messages = warning;
DROP SCHEMA kept CASCADE;
RESET client_min_messages;
DROP ROLE regress_hermet_reader;
DROP TABLESPACE regress_hermet_one;
DROP TABLESPACE regress_hermet_two;
-- The end: the operator class is the schema's, and the tables work without the extension's help.
SELECT hermet.detach('shards');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (3001, 1, 101, 3001);
SELECT hermet.attach('shards');
:clean
SET client_min_messages = warning;
DROP SCHEMA shards CASCADE;
