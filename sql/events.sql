-- Events: what they say of each kind of change, who may write and read them, replay onto a read side that is
-- damaged, pruning.
SELECT hermet.create_tables('log');
SET search_path = log;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set events 'SELECT event_offset - :since AS n, table_name, key, operation, new_values ->> \'updated_at\' IS NOT NULL AS has_row FROM change_event WHERE event_offset > :since ORDER BY event_offset;'
\set since 0

-- Nothing is written before it is asked for.
INSERT INTO biz_user (id, nickname, email, passwd) VALUES (1, 'Ann', 'ann@example.org', 'secret of Ann'), (2, 'Bob', '', 'secret of Bob');
SELECT count(*) FROM change_event;
SELECT count(*) FROM pg_trigger WHERE tgfoid = 'hermet.append_events()'::regprocedure AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'log'::regnamespace);
SELECT hermet.event_horizon('log');
SELECT hermet.enable_events('log');
SELECT hermet.enable_events('log');
SELECT count(*) FROM change_event;
SELECT testing.table_of(tgrelid::regclass::text) AS tgrelid, string_agg(DISTINCT tgname, ', ' ORDER BY tgname) FROM pg_trigger
 WHERE tgfoid = 'hermet.append_events()'::regprocedure AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'log'::regnamespace)
 GROUP BY 1 ORDER BY testing.table_of(tgrelid::regclass::text) COLLATE "C";

-- Each table: insert, update, key change, delete; several rows in one statement; no row.
INSERT INTO biz_user (id, nickname, passwd) VALUES (3, 'Cai', 'secret of Cai');
UPDATE biz_user SET nickname = 'Annie' WHERE id = 1;
UPDATE biz_user SET passwd = 'new secret of Bob' WHERE id = 2;
INSERT INTO channel (id, channel_type) VALUES (10, 'single'), (20, 'group');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (101, 10, 1), (102, 10, 2), (201, 20, 1), (202, 20, 2), (203, 20, 3);
INSERT INTO message (id, channel_id, sender_id, content, mention_user_ids) VALUES (1000, 20, 1, 'first', ARRAY[2, NULL]), (1001, 20, 2, 'second', '{}');
UPDATE message SET deleted_at = 5 WHERE id = 1001;
UPDATE message SET channel_id = 10 WHERE id = 1000;
DELETE FROM message WHERE id = 1001;
DELETE FROM message WHERE id = 9999;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 1, 10, 1000)
    ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = 1000;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (2, 1, 10, 1), (3, 2, 10, 1)
    ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (1, 20, true);
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (601, 1, 2, 'Bobby'), (602, 2, 1, '');
INSERT INTO channel_application (id, applicant_id, application_type, target_id) VALUES (1, 3, 'contact', 1);
UPDATE channel_application SET application_status = 'approved' WHERE id = 1;
:events
-- An UPDATE of keys: those that are gone come before those that are new.
SELECT max(event_offset) AS since FROM change_event \gset
INSERT INTO message (id, channel_id, sender_id) SELECT m, 20, 3 FROM generate_series(2000, 2002) m;
UPDATE message SET id = id - 1 WHERE id >= 2000;
MERGE INTO message m USING (VALUES (1999::bigint), (2000), (3000)) v (id) ON m.channel_id = 20 AND m.id = v.id
    WHEN MATCHED AND m.id = 1999 THEN DELETE
    WHEN MATCHED THEN UPDATE SET content = 'merged'
    WHEN NOT MATCHED THEN INSERT (id, channel_id, sender_id) VALUES (v.id, 20, 1);
:events
-- The whole row, as it was written: triggers of the user's own and defaults included, and of columns of his own.
ALTER TABLE message ADD COLUMN own_note jsonb DEFAULT '{"a": [1, 2]}';
SELECT max(event_offset) AS since FROM change_event \gset
INSERT INTO message (id, channel_id, sender_id, content, sent_at, created_at, updated_at) VALUES (4000, 20, 1, E'with "quotes", \\ and 中文', 5, 6, 7);
UPDATE biz_user SET nickname = 'Ann', updated_at = 8 WHERE id = 1;
SELECT key, operation, new_values FROM change_event WHERE event_offset > :since AND table_name = 'message';
SELECT operation, new_values - 'created_at' AS new_values FROM change_event WHERE event_offset > :since AND table_name = 'biz_user';
-- Every event holds what the row held, but passwd; which is nowhere at all.
SELECT count(*) FROM change_event e WHERE e.event_offset > :since AND NOT CASE e.table_name
    WHEN 'message' THEN EXISTS (SELECT FROM message m WHERE to_jsonb(m) = e.new_values)
    WHEN 'biz_user' THEN EXISTS (SELECT FROM biz_user u WHERE to_jsonb(u) - 'passwd' = e.new_values) END;
SELECT count(*) FROM change_event e WHERE e::text LIKE '%secret%' OR e.new_values ? 'passwd';
-- Times and transactions.
BEGIN;
SELECT max(event_offset) AS since FROM change_event \gset
INSERT INTO message (id, channel_id, sender_id) VALUES (4001, 20, 1);
SAVEPOINT s;
INSERT INTO message (id, channel_id, sender_id) VALUES (4002, 20, 1);
SELECT count(*), bool_and(transaction_id = pg_current_xact_id()), bool_and(transaction_time = floor(extract(epoch FROM now()) * 1000)) FROM change_event WHERE event_offset > :since;
ROLLBACK TO s;
COMMIT;
SELECT event_offset - :since AS n, key FROM change_event WHERE event_offset > :since;
-- What hermet writes to its own columns of channel is none of these; a row of the application's is, with what it then held.
SELECT max(event_offset) AS since FROM change_event \gset
SELECT testing.plant('UPDATE log.channel SET channel_member_count = 77, last_message_at = 0');
SELECT * FROM hermet.repair_channel(20, 'log') WHERE updated > 0;
SELECT count(*) FROM change_event WHERE event_offset > :since;
-- A statement that fails leaves nothing.
SELECT code FROM testing.error('INSERT INTO log.message (id, channel_id, sender_id) VALUES (4003, 20, 1), (4001, 20, 1)');
UPDATE biz_user SET info_ver = 0 WHERE id = 1;
SELECT count(*) FROM change_event WHERE event_offset > :since;
-- TRUNCATE has an event of its own.
TRUNCATE channel_application, conversation_setting;
SELECT table_name, key, operation, new_values FROM change_event WHERE event_offset > :since ORDER BY 1 COLLATE "C";
:clean

-- Rights on the write side are enough for whoever makes hermet write the log.
CREATE ROLE log_app;
GRANT USAGE ON SCHEMA log TO log_app;
GRANT INSERT ON message TO log_app;
SELECT max(event_offset) AS since FROM change_event \gset
SET ROLE log_app;
-- His own operators and functions are not asked.
CREATE TEMP TABLE change_event (mine text);
INSERT INTO message (id, channel_id, sender_id) VALUES (5000, 20, 1);
SELECT * FROM log.change_event;
INSERT INTO log.change_event (table_name, operation, transaction_time, transaction_id) VALUES ('message', 'insert', 0, '1');
DELETE FROM log.change_event;
SELECT hermet.event_horizon('log');
SELECT * FROM hermet.read_events(0, 10, 'log');
SELECT hermet.enable_events('log');
SELECT hermet.disable_events('log');
SELECT hermet.replay_events(0, NULL, 'log');
SELECT hermet.prune_events(0, 'log');
RESET ROLE;
DROP TABLE pg_temp.change_event;
:events
GRANT SELECT ON change_event TO log_app;
SET ROLE log_app;
SELECT hermet.event_horizon('log') > :since AS allowed;
SELECT key, operation FROM hermet.read_events(:since, 10, 'log');
RESET ROLE;

-- Readers: in order, so many at a time, to the end; not twice, not the own transaction's.
SELECT event_offset, operation FROM hermet.read_events(max_rows => 3, target => 'log');
SELECT count(*) = (SELECT count(*) FROM change_event) AS "all" FROM hermet.read_events(-5, 1000000, 'log');
SELECT max(event_offset) AS since FROM change_event \gset
BEGIN;
INSERT INTO message (id, channel_id, sender_id) VALUES (5001, 20, 1);
SELECT count(*) FROM hermet.read_events(:since, 10, 'log');
SELECT hermet.event_horizon('log') = :since AS before_mine;
COMMIT;
SELECT count(*) FROM hermet.read_events(:since, 10, 'log');
-- The horizon is for statements that begin later.
SELECT count(*) FROM change_event WHERE event_offset <= hermet.event_horizon('log');
SELECT count(*) FROM change_event WHERE event_offset <= (SELECT hermet.event_horizon('log'));
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT hermet.event_horizon('log');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT count(*) FROM hermet.read_events(:since, 10, 'log');
COMMIT;
SELECT * FROM hermet.read_events(0, -1, 'log');
SELECT count(*) > 0 AS some FROM hermet.read_events(NULL, NULL, 'log');

-- Somebody's own triggers, rules and columns on the log: then statements write it.
CREATE TABLE own_copy (LIKE change_event);
CREATE FUNCTION own_copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log.own_copy VALUES (new.*);
    RETURN new;
END
$$;
CREATE TRIGGER own_copy BEFORE INSERT ON change_event FOR EACH ROW EXECUTE FUNCTION own_copy();
SELECT max(event_offset) AS since FROM change_event \gset
INSERT INTO message (id, channel_id, sender_id) VALUES (6000, 20, 1), (6001, 10, 2);
UPDATE message SET channel_id = 20 WHERE id = 6001;
DELETE FROM message WHERE id = 6001;
TRUNCATE channel_application;
:events
SELECT * FROM (SELECT * FROM change_event WHERE event_offset > :since EXCEPT SELECT * FROM own_copy) x;
SELECT count(*) FROM own_copy;
DROP TRIGGER own_copy ON change_event;
DROP TABLE own_copy;
-- A column whose type can be cast to json by a function: it finds nothing of the caller's.
CREATE TYPE own_type AS ENUM ('a');
CREATE FUNCTION own_json(own_type) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RETURN to_json(current_setting('search_path')); END $$;
CREATE CAST (own_type AS json) WITH FUNCTION own_json(own_type);
ALTER TABLE message ADD COLUMN own_value own_type DEFAULT 'a';
INSERT INTO message (id, channel_id, sender_id) VALUES (6002, 20, 1);
SELECT new_values -> 'own_value' AS search_path FROM change_event WHERE table_name = 'message' AND key ->> 'id' = '6002';
ALTER TABLE message DROP COLUMN own_value;
INSERT INTO message (id, channel_id, sender_id) VALUES (6003, 20, 1);
SELECT new_values ? 'own_value' AS "there", new_values ? 'own_note' AS "still there" FROM change_event WHERE table_name = 'message' AND key ->> 'id' = '6003';

-- Replay. Whatever was done to rows that events name, they are right afterwards.
UPDATE biz_user SET avatar = 'ann.png' WHERE id = 1;
UPDATE biz_user SET avatar = 'bob.png' WHERE id = 2;
INSERT INTO conversation_setting (user_id, channel_id, is_muted) VALUES (1, 10, true), (3, 20, true);
:clean
SELECT hermet.event_horizon('log') AS horizon \gset
CREATE FUNCTION damage(what text) RETURNS TABLE (wrong bigint, replayed boolean, still_wrong bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM testing.plant(what);
    SELECT count(*) INTO wrong FROM testing.diff('log');
    replayed := hermet.replay_events(0, NULL, 'log') = (SELECT max(event_offset) FROM log.change_event);
    SELECT count(*) INTO still_wrong FROM testing.diff('log');
    RETURN NEXT;
    IF still_wrong > 0 THEN
        PERFORM hermet.repair('log');
    END IF;
END
$$;
-- With the TRUNCATE among them all of it is derived anew.
SELECT * FROM damage('TRUNCATE log.user_conversation_view, log.user_contact_view, log.conversation_reverse_index, log.contact_reverse_index');
-- Without it, what the events name.
SELECT hermet.prune_events(event_offset + 1, 'log') > 0 AS pruned FROM (SELECT max(event_offset) AS event_offset FROM change_event WHERE operation = 'truncate') t;
SELECT * FROM damage('TRUNCATE log.user_conversation_view, log.user_contact_view, log.conversation_reverse_index, log.contact_reverse_index');
SELECT * FROM damage('UPDATE log.user_conversation_view SET unread_count = unread_count + 1, peer_avatar = ''x'' WHERE channel_id = 10');
SELECT * FROM damage('DELETE FROM log.user_conversation_view WHERE channel_id = 20');
SELECT * FROM damage('INSERT INTO log.user_conversation_view SELECT (r).* FROM (SELECT jsonb_populate_record(v, ''{"user_id": 99, "id": 99}'') AS r FROM log.user_conversation_view v WHERE channel_id = 20 AND user_id = 1) x');
SELECT * FROM damage('DELETE FROM log.conversation_reverse_index');
SELECT * FROM damage('INSERT INTO log.conversation_reverse_index VALUES (99, 1, 10, 0), (98, 97, 20, 0)');
SELECT * FROM damage('UPDATE log.conversation_reverse_index SET created_at = 3');
SELECT * FROM damage('UPDATE log.user_contact_view SET contact_avatar = ''x'', remark_name = ''y''');
SELECT * FROM damage('DELETE FROM log.user_contact_view');
SELECT * FROM damage('DELETE FROM log.contact_reverse_index');
SELECT * FROM damage('UPDATE log.contact_reverse_index SET created_at = 3');
SELECT * FROM damage('UPDATE log.channel SET channel_member_count = 0, last_message_id = 1, last_message_at = 2 WHERE id = 20');
-- Nothing wrong, nothing written, nothing locked but in intention.
SELECT testing.fingerprint('log') AS before \gset
BEGIN;
SELECT hermet.replay_events(0, NULL, 'log') >= :horizon AS replayed;
SELECT count(*) FROM pg_locks WHERE locktype = 'userlock' AND pid = pg_backend_pid();
COMMIT;
SELECT testing.fingerprint('log') = :'before' AS untouched;
INSERT INTO message (id, channel_id, sender_id) VALUES (6500, 20, 3);
-- Ranges: what is not named stays, an overlap does no harm, and the result says how far it went.
SELECT max(event_offset) FILTER (WHERE table_name = 'biz_user' AND key = '{"id": 1}') AS one, max(event_offset) FILTER (WHERE table_name = 'conversation_setting' AND key @> '{"user_id": 3}') AS two FROM change_event \gset
SELECT testing.plant('UPDATE log.user_conversation_view SET peer_avatar = ''x'' WHERE channel_id = 10; UPDATE log.user_conversation_view SET is_muted = NOT is_muted WHERE channel_id = 20');
SELECT hermet.replay_events(:one, :one, 'log') = :one AS "up to one";
SELECT table_name, row_image ->> 'user_id' AS user_id, row_image ->> 'channel_id' AS channel_id, count(*) FROM testing.diff('log') GROUP BY 1, 2, 3 ORDER BY 2, 3;
SELECT hermet.replay_events(:two, :two, 'log') = :two AS "up to two";
SELECT hermet.replay_events(:two, :two, 'log') = :two AS again;
SELECT table_name, row_image ->> 'user_id' AS user_id, row_image ->> 'channel_id' AS channel_id, count(*) FROM testing.diff('log') GROUP BY 1, 2, 3 ORDER BY 2, 3;
SELECT hermet.replay_events(:one, 9223372036854775807, 'log') = hermet.event_horizon('log') AS "up to the horizon";
SELECT count(*) AS wrong FROM testing.diff('log');
SELECT hermet.replay_events(-9223372036854775808, NULL, 'log') = hermet.event_horizon('log') AS "from the first";
SELECT hermet.replay_events(9223372036854775807, NULL, 'log') = hermet.event_horizon('log') AS "from nowhere";
SELECT hermet.replay_events(5, 3, 'log');
SELECT hermet.replay_events(NULL, NULL, 'log');
SELECT * FROM hermet.repair('log') WHERE inserted + updated + deleted > 0;
:clean
-- A friendship by itself, a user by itself: what shows them, whatever the reverse indexes say.
SELECT hermet.event_horizon('log') AS since \gset
UPDATE friendship SET is_starred = true WHERE user_id = 1 AND friend_id = 2;
SELECT testing.plant('UPDATE log.user_conversation_view SET is_starred = false; UPDATE log.user_contact_view SET is_starred = false; DELETE FROM log.conversation_reverse_index WHERE owner_user_id = 1; DELETE FROM log.contact_reverse_index WHERE owner_user_id = 1');
SELECT hermet.replay_events(:since + 1, NULL, 'log') > :since AS replayed;
:clean
SELECT hermet.event_horizon('log') AS since \gset
UPDATE biz_user SET nickname = 'Bert', user_status = 'disabled' WHERE id = 2;
INSERT INTO message (id, channel_id, sender_id) VALUES (7000, 20, 2);
SELECT hermet.event_horizon('log') AS until \gset
UPDATE biz_user SET nickname = 'Bob', user_status = 'active' WHERE id = 2;
SELECT testing.plant('UPDATE log.user_conversation_view SET peer_nickname = ''x'', conversation_name = ''y'' WHERE peer_user_id = 2; UPDATE log.user_conversation_view SET last_message_sender_name = ''x''; DELETE FROM log.user_contact_view WHERE contact_id = 2; DELETE FROM log.contact_reverse_index WHERE contact_user_id = 2');
SELECT hermet.replay_events(:until + 1, NULL, 'log') > :until AS replayed;
:clean

-- Pruning: the last known event stays, and what is not known yet.
SELECT count(*) AS had FROM change_event \gset
SELECT hermet.prune_events(0, 'log');
SELECT hermet.prune_events(min(event_offset) + 2, 'log') FROM change_event;
SELECT :had - count(*) AS pruned FROM change_event;
SELECT hermet.prune_events(NULL, 'log');
SELECT hermet.event_horizon('log') AS horizon \gset
SELECT hermet.prune_events(9223372036854775807, 'log') > 0 AS pruned;
SELECT count(*), min(event_offset) = :horizon AS "the last" FROM change_event;
SELECT hermet.event_horizon('log') = :horizon AS "as before";
SELECT hermet.prune_events(9223372036854775807, 'log');
BEGIN;
INSERT INTO message (id, channel_id, sender_id) VALUES (8000, 20, 1);
SELECT hermet.prune_events(9223372036854775807, 'log');
COMMIT;
SELECT hermet.prune_events(9223372036854775807, 'log');

-- Health, upgrade, detach.
\set health 'SELECT * FROM hermet.health(\'log\') ORDER BY problem COLLATE "C", object COLLATE "C";'
:health
DROP TRIGGER hermet_event_update ON message;
ALTER TABLE friendship DISABLE TRIGGER hermet_event_insert;
DROP TRIGGER hermet_event_delete ON channel_application;
CREATE TRIGGER hermet_event_delete AFTER INSERT ON channel_application REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION hermet.append_events();
ALTER TABLE change_event ALTER event_offset SET CACHE 20;
GRANT DELETE ON change_event TO log_app;
:health
ALTER TABLE change_event ALTER event_offset SET CACHE 1;
REVOKE DELETE ON change_event FROM log_app;
SELECT hermet.upgrade('log');
:health
ALTER TABLE friendship DISABLE TRIGGER hermet_event_insert;
SELECT hermet.enable_events('log');
:health
-- Every one of them switched off is switched on again by an upgrade.
DO $$ DECLARE t text; BEGIN FOR t IN SELECT c.table_name FROM hermet.catalog_tables() c WHERE side = 'write' LOOP EXECUTE format('ALTER TABLE log.%I DISABLE TRIGGER USER', t); END LOOP; END $$;
SELECT count(DISTINCT testing.table_of(object)) FROM hermet.health('log');
SELECT hermet.upgrade('log');
:health
SELECT hermet.event_horizon('log') AS since \gset
UPDATE channel SET channel_name = 'upgraded' WHERE id = 20;
:events
SELECT hermet.disable_events('log');
SELECT hermet.disable_events('log');
UPDATE channel SET channel_name = 'unheard' WHERE id = 20;
:events
:health
SELECT hermet.upgrade('log');
:health
SELECT hermet.enable_events('log');
SELECT hermet.detach('log');
SELECT count(*) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'log'::regnamespace) AND NOT tgisinternal;
SELECT hermet.attach('log');
UPDATE channel SET channel_name = 'unheard of' WHERE id = 20;
:events
:health
-- Without the table, or the sequence, hermet goes on, and its events say what is wrong.
SELECT hermet.enable_events('log');
ALTER TABLE change_event ALTER event_offset DROP IDENTITY;
:health
UPDATE channel SET channel_name = 'x' WHERE id = 20;
DROP TABLE change_event;
:health
UPDATE channel SET channel_name = 'x' WHERE id = 20;
SELECT hermet.event_horizon('log');
SELECT hermet.disable_events('log');
UPDATE channel SET channel_name = 'x' WHERE id = 20;
SELECT hermet.enable_events('log');
SELECT hermet.upgrade('log');
SELECT hermet.enable_events('log');
UPDATE channel SET channel_name = 'y' WHERE id = 20;
SELECT event_offset, table_name, operation FROM hermet.read_events(target => 'log');
-- On a table that is none of the write side.
CREATE TABLE elsewhere (id bigint);
CREATE TRIGGER e AFTER INSERT ON elsewhere REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION hermet.append_events();
INSERT INTO elsewhere VALUES (1);
DROP TABLE elsewhere;
CREATE TRIGGER e AFTER INSERT ON message FOR EACH ROW EXECUTE FUNCTION hermet.append_events();
SELECT * FROM testing.error('INSERT INTO log.message (id, channel_id, sender_id) VALUES (9000, 20, 1)');
DROP TRIGGER e ON message;
SELECT hermet.append_events();
:clean
REVOKE ALL ON SCHEMA log FROM log_app;
REVOKE ALL ON ALL TABLES IN SCHEMA log FROM log_app;
DROP ROLE log_app;
