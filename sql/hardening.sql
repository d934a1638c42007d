-- Misuse, odd values and torn-down tables: an error or an empty result, and the server lives.
-- In a database of its own, where one instance is the only one.
SELECT current_database() AS main \gset
CREATE DATABASE regress_hermet_hardening;
\c regress_hermet_hardening
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT hermet.create_tables('im');
SET search_path = im;
\set clean 'SELECT testing.clean(\'im\') AS drift;'
\set inbox 'SELECT user_id AS u, channel_id AS c, conversation_name AS name, last_message_id AS last, unread_count AS unread, mention_count AS mentions FROM im.user_conversation_view ORDER BY 2, 1;'
INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann'), (102, 'Bob');
INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'single', ''), (2, 'group', 'two');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 0), (12, 1, 102, 0), (21, 2, 101, 0), (22, 2, 102, 0);
INSERT INTO friendship (id, user_id, friend_id) VALUES (1, 101, 102);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (10, 1, 101, 10), (20, 2, 102, 20);
:clean

-- Every trigger function called by plain SELECT.
SELECT p.proname, e.code, e.message, e.hint IS NOT NULL AS hint
  FROM pg_proc p, testing.error(format('SELECT hermet.%I()', p.proname)) e
 WHERE p.pronamespace = 'hermet'::regnamespace AND p.prorettype = 'trigger'::regtype ORDER BY 1;
-- ... and in a trigger of another kind: another level, time, event, table, or without its transition tables.
CREATE TABLE elsewhere (id bigint, channel_id bigint, user_id bigint);
INSERT INTO elsewhere VALUES (1, 1, 1);
CREATE FUNCTION misuse(how text, target text DEFAULT 'im.elsewhere') RETURNS TABLE (function name, code text, message text) LANGUAGE plpgsql AS $$
DECLARE
    f name;
BEGIN
    FOR f IN SELECT proname FROM pg_proc WHERE pronamespace = 'hermet'::regnamespace AND prorettype = 'trigger'::regtype ORDER BY 1 LOOP
        RETURN QUERY
        SELECT f, e.code, e.message
          FROM testing.error(format('CREATE TRIGGER misuse %s EXECUTE FUNCTION hermet.%I();'
              ' UPDATE %s SET id = id; INSERT INTO %3$s (id, channel_id, user_id) VALUES (77, 77, 77); DELETE FROM %3$s WHERE id = 77; TRUNCATE %3$s; DO $x$ BEGIN ASSERT false, ''it went through''; END $x$', how, f, target)) e;
    END LOOP;
END
$$;
SELECT * FROM misuse('BEFORE INSERT OR UPDATE ON im.elsewhere FOR EACH ROW');
SELECT * FROM misuse('AFTER INSERT OR UPDATE ON im.elsewhere FOR EACH ROW');
SELECT * FROM misuse('BEFORE UPDATE ON im.elsewhere FOR EACH STATEMENT');
SELECT * FROM misuse('AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON im.elsewhere FOR EACH STATEMENT');
SELECT * FROM misuse('AFTER UPDATE ON im.elsewhere REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT');
SELECT * FROM misuse('BEFORE INSERT OR UPDATE OR DELETE ON im.channel_member FOR EACH ROW', 'im.channel_member') WHERE function <> 'complete_channel_member';
SELECT * FROM misuse('AFTER UPDATE ON im.channel_member REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT', 'im.channel_member');
CREATE VIEW elsewhere_view AS SELECT * FROM elsewhere;
SELECT * FROM misuse('INSTEAD OF UPDATE ON im.elsewhere_view FOR EACH ROW', 'im.elsewhere_view');
DROP VIEW elsewhere_view;
DROP TABLE elsewhere;
:clean

-- Every other function with NULL for every argument, and with all its defaults.
CREATE FUNCTION call_all(argument text) RETURNS TABLE (call text, code text, message text) LANGUAGE plpgsql AS $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT proname, (SELECT string_agg(format('%s::%s', argument, format_type(t, NULL)), ', ') FROM unnest(proargtypes) t) AS arguments
          FROM pg_proc WHERE pronamespace = 'hermet'::regnamespace AND prorettype <> 'trigger'::regtype AND prokind = 'f'
           AND proname NOT IN ('detach') AND proname NOT LIKE 'catalog%' AND pronargs > 0
         ORDER BY 1
    LOOP
        RETURN QUERY SELECT format('%s(%s)', f.proname, f.arguments), e.code, e.message
          FROM testing.error(format('SELECT * FROM hermet.%I(%s)', f.proname, f.arguments)) e;
    END LOOP;
END
$$;
SELECT * FROM call_all('NULL');
:clean
-- Ids that nobody has, targets that are not there.
SELECT count(*) FROM hermet.explain_conversation(-1, 9223372036854775807);
SELECT sum(inserted + updated + deleted) FROM hermet.repair_channel(9223372036854775807);
SELECT sum(inserted + updated + deleted) FROM hermet.repair_conversation_view(-9223372036854775808);
SELECT sum(inserted + updated + deleted) FROM hermet.repair_contact_view(0);
SELECT count(*) FROM hermet.check_consistency(user_id => 9223372036854775807);
SELECT * FROM testing.error($$SELECT hermet.repair('nowhere')$$);
SELECT code, message FROM testing.error($$SELECT hermet.check_consistency('pg_catalog')$$);
SELECT code, message FROM testing.error($$SELECT hermet.explain_conversation(1, 1, '')$$);
SELECT code, message FROM testing.error($$SELECT hermet.health('IM')$$);
SELECT code, message FROM testing.error($$SELECT hermet.definition('nonsense')$$);
SELECT code, message FROM testing.error($$SELECT hermet.definition('user_contact_view', 'nowhere')$$);

-- A read-only transaction may check and explain, and write nothing.
BEGIN READ ONLY;
SELECT count(*) FROM hermet.check_consistency();
SELECT count(*) FROM hermet.consistency_summary();
SELECT count(*) > 30 AS explained FROM hermet.explain_conversation(101, 1);
SELECT count(*) FROM hermet.health();
SELECT length(hermet.definition('user_conversation_view')) > 0 AS definition;
COMMIT;

-- Values at their limits: characters of four bytes, the widest texts, ids and times from end to end.
INSERT INTO biz_user (id, nickname, avatar, mobile) VALUES (9223372036854775807, repeat('𝔘', 64), repeat('𝔙', 256), repeat('9', 16));
INSERT INTO biz_user (id, nickname) VALUES (-9223372036854775808, repeat('x', 64));
INSERT INTO channel (id, channel_type) VALUES (9223372036854775807, 'single'), (-9223372036854775808, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at, nickname)
VALUES (9223372036854775807, 9223372036854775807, 9223372036854775807, -9223372036854775808, 9223372036854775807, repeat('𝔚', 64)),
       (-9223372036854775808, 9223372036854775807, -9223372036854775808, -9223372036854775808, -9223372036854775808, ''),
       (0, -9223372036854775808, -9223372036854775808, 9223372036854775807, 0, ''), (1, -9223372036854775808, 0, -9223372036854775808, 0, '');
INSERT INTO friendship (id, user_id, friend_id, remark_name, group_name, tags, added_at)
VALUES (9223372036854775807, 9223372036854775807, -9223372036854775808, repeat('𝔛', 64), repeat('𝔜', 32), ARRAY[repeat('𝔷', 128), NULL, ''], -9223372036854775808),
       (-9223372036854775808, -9223372036854775808, 9223372036854775807, '', '', '{}', 9223372036854775807);
INSERT INTO message (id, channel_id, sender_id, content, message_type, sent_at, mention_user_ids)
VALUES (9223372036854775807, 9223372036854775807, 9223372036854775807, repeat('𝔘', 512), repeat('𝔱', 32), 9223372036854775807, '{9223372036854775807,-9223372036854775808,0}'),
       (9223372036854775806, 9223372036854775807, -9223372036854775808, repeat('𝔘', 100000), '', -9223372036854775808, '{9223372036854775807,NULL}'),
       (-9223372036854775808, -9223372036854775808, 5, '', 'text', -9223372036854775808, '{0}'), (0, -9223372036854775808, 5, '', 'text', 0, '{0}');
:clean
SELECT user_id, channel_id, length(conversation_name) AS name, length(last_message_content) AS content, octet_length(last_message_content) AS bytes, length(last_message_type) AS type,
       last_message_id, last_message_time, unread_count AS unread, mention_count AS mentions FROM user_conversation_view WHERE abs(channel_id::numeric) > 100 ORDER BY 2, 1;
SELECT user_id, contact_id, length(contact_nickname), length(contact_avatar), length(remark_name), added_at FROM user_contact_view WHERE abs(user_id::numeric) > 1000 ORDER BY 1;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)
VALUES (1, 9223372036854775807, 9223372036854775807, -9223372036854775808), (2, 0, -9223372036854775808, -9223372036854775808), (3, -9223372036854775808, 9223372036854775807, 9223372036854775806);
INSERT INTO conversation_setting (user_id, channel_id, closed_at) VALUES (9223372036854775807, 9223372036854775807, 9223372036854775807), (0, -9223372036854775808, -9223372036854775808);
:clean
SELECT user_id, last_read_message_id, unread_count, closed_at FROM user_conversation_view WHERE abs(channel_id::numeric) > 100 ORDER BY channel_id, user_id;
UPDATE channel_read_record SET last_read_message_id = 9223372036854775807;
UPDATE message SET deleted_at = -9223372036854775808 WHERE id = 9223372036854775807;
:clean
UPDATE channel_member SET user_id = 7 WHERE user_id = 9223372036854775807;
:clean
DELETE FROM channel WHERE abs(id::numeric) > 100;
DELETE FROM channel_member WHERE abs(channel_id::numeric) > 100;
DELETE FROM message WHERE abs(channel_id::numeric) > 100;
:clean
SELECT code, message FROM testing.error($$INSERT INTO im.message (id, channel_id, sender_id, message_type) VALUES (11, 1, 101, repeat('x', 33))$$);
SELECT code, message FROM testing.error($$UPDATE im.biz_user SET nickname = repeat('x', 65)$$);
SELECT code FROM testing.error($$INSERT INTO im.message (id, channel_id, sender_id, mention_user_ids) VALUES (11, 1, 101, NULL)$$);
-- Trailing blanks beyond the width are cut by the type, and the copies agree.
UPDATE biz_user SET nickname = rpad('Ann', 70) WHERE id = 101;
:clean
UPDATE biz_user SET nickname = 'Ann' WHERE id = 101;
-- A hundred thousand mentions, many dimensions, one and the same a thousand times, a text of 5 MB.
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids) SELECT 30, 2, 102, 30, array_agg(i) FROM generate_series(100000, 1, -1) i;
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_user_ids) VALUES (31, 2, 102, 31, '[0:1][5:5][-1:0]={{{101,NULL}},{{101,102}}}'), (32, 2, 102, 32, array_fill(101::bigint, ARRAY[1000]));
INSERT INTO message (id, channel_id, sender_id, sent_at, content) SELECT 33, 2, 102, 33, string_agg(md5(i::text), '') FROM generate_series(1, 160000) i;
:inbox
:clean
DELETE FROM message WHERE id IN (30, 31, 32, 33);
:inbox
:clean

-- Cancelled in the middle: nothing stays, and the session goes on.
BEGIN;
SET LOCAL statement_timeout = '20ms';
INSERT INTO message (id, channel_id, sender_id) SELECT i, 2, 102 FROM generate_series(1000, 2000000) i;
ROLLBACK;
:clean
CREATE FUNCTION cancel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE query_canceled USING MESSAGE = format('cancelled in %s', TG_TABLE_NAME);
END
$$;
CREATE FUNCTION cancelled(on_table text, statement text, OUT code text, OUT message text, OUT drift bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER cancel AFTER INSERT OR UPDATE OR DELETE ON im.%I FOR EACH STATEMENT EXECUTE FUNCTION im.cancel()', on_table);
    SELECT e.code, e.message INTO code, message FROM testing.error(statement) e;
    EXECUTE format('DROP TRIGGER cancel ON im.%I', on_table);
    SELECT count(*) INTO drift FROM testing.clean('im');
END
$$;
-- A trigger of the owner's fails while hermet writes: on each table that it writes.
SELECT * FROM cancelled('user_conversation_view', 'UPDATE im.channel_member SET left_at = 5 WHERE id = 11');
SELECT * FROM cancelled('conversation_reverse_index', 'DELETE FROM im.channel WHERE id = 1');
SELECT * FROM cancelled('user_contact_view', 'UPDATE im.biz_user SET nickname = upper(nickname)');
SELECT * FROM cancelled('contact_reverse_index', 'DELETE FROM im.friendship');
SELECT * FROM cancelled('channel', 'INSERT INTO im.message (id, channel_id, sender_id) VALUES (49, 1, 101)');
SELECT * FROM cancelled('user_conversation_view', 'INSERT INTO im.message (id, channel_id, sender_id) VALUES (49, 1, 101)');
SELECT code, message FROM testing.error('DELETE FROM im.user_contact_view');
-- The same within a transaction that goes on.
CREATE TRIGGER cancel AFTER UPDATE ON user_contact_view FOR EACH STATEMENT EXECUTE FUNCTION cancel();
BEGIN;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (50, 1, 101, 50);
SAVEPOINT a;
UPDATE biz_user SET nickname = 'lost';
ROLLBACK TO a;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (51, 1, 102, 51);
SAVEPOINT b;
DELETE FROM user_conversation_view;
ROLLBACK TO b;
UPDATE channel SET channel_name = 'went on' WHERE id = 2;
COMMIT;
DROP TRIGGER cancel ON user_contact_view;
:inbox
:clean

-- Prepared statements, generic plans, and what a session may throw away.
PREPARE send (bigint, bigint, bigint) AS INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES ($1, $2, $3, $1);
EXECUTE send (60, 1, 101);
EXECUTE send (61, 1, 101);
EXECUTE send (62, 1, 102);
EXECUTE send (63, 1, 101);
EXECUTE send (64, 1, 101);
EXECUTE send (65, 2, 101);
EXECUTE send (66, 1, 101);
:inbox
:clean
DISCARD PLANS;
EXECUTE send (67, 1, 101);
DISCARD ALL;
SET search_path = im;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (68, 2, 102, 68);
:inbox
:clean

-- The owner changes the tables: columns of his own, dropped ones, moved ones, rewritten, indexed otherwise.
ALTER TABLE user_conversation_view ADD COLUMN own_note text NOT NULL DEFAULT 'm', ADD COLUMN gone int;
ALTER TABLE user_conversation_view DROP COLUMN gone;
ALTER TABLE message ADD COLUMN gone int, ADD COLUMN reaction text;
ALTER TABLE message DROP COLUMN gone;
ALTER TABLE channel_member DROP COLUMN role;
ALTER TABLE channel_member ADD COLUMN role channel_member_role_enum NOT NULL DEFAULT 'member';
ALTER TABLE biz_user DROP COLUMN nickname;
INSERT INTO biz_user (id) VALUES (103);
SELECT code, message FROM testing.error('UPDATE im.biz_user SET avatar = $$x$$');
ALTER TABLE biz_user ADD COLUMN nickname varchar(64) NOT NULL DEFAULT '';
SELECT updated FROM hermet.repair() WHERE table_name LIKE 'user%' ORDER BY table_name;
UPDATE biz_user SET nickname = 'user ' || id;
INSERT INTO message (id, channel_id, sender_id, sent_at, reaction) VALUES (70, 1, 101, 70, 'r');
UPDATE channel_member SET left_at = 1 WHERE id = 12;
UPDATE channel_member SET left_at = 0, joined_at = 0 WHERE id = 12;
:inbox
:clean
VACUUM FULL user_conversation_view;
CLUSTER user_conversation_view USING user_conversation_view_list_idx;
TRUNCATE channel_read_record;
REINDEX TABLE user_conversation_view;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (71, 1, 101, 71), (72, 2, 102, 72);
:clean
CREATE INDEX ON user_conversation_view (user_id, last_message_time);
CREATE INDEX ON user_conversation_view ((unread_count + 1)) WHERE NOT is_hidden;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (73, 1, 101, 73);
:clean
ALTER TABLE user_conversation_view DROP CONSTRAINT user_conversation_view_pkey;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (74, 1, 101, 74);
SELECT testing.plant('ALTER TABLE im.user_conversation_view ADD PRIMARY KEY (channel_id, user_id)');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (75, 1, 101, 75);
:inbox
:clean
-- A NULL in a stored row: the message derives it anew.
SELECT testing.plant('ALTER TABLE im.user_conversation_view ALTER unread_count DROP NOT NULL; UPDATE im.user_conversation_view SET unread_count = NULL WHERE channel_id = 1');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (76, 1, 101, 76);
:clean
ALTER TABLE user_conversation_view ALTER unread_count SET NOT NULL;
-- What asks for the executor: triggers, children, and keys that no unique index serves.
CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE '% of %', TG_OP, testing.table_of(TG_TABLE_NAME); RETURN NEW; END$$;
CREATE TRIGGER seen BEFORE UPDATE ON channel FOR EACH ROW EXECUTE FUNCTION seen();
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (77, 1, 101, 77);
DROP TRIGGER seen ON channel;
CREATE TRIGGER seen AFTER UPDATE ON user_conversation_view FOR EACH ROW EXECUTE FUNCTION seen();
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (78, 1, 101, 78);
DROP TRIGGER seen ON user_conversation_view;
:clean
CREATE TABLE heir () INHERITS (channel_member);
CREATE TABLE heiress () INHERITS (message);
INSERT INTO message (id, channel_id, sender_id, sent_at, content) VALUES (79, 1, 101, 79, repeat('long ', 1000));
DROP TABLE heir, heiress;
:clean
ALTER TABLE channel DROP CONSTRAINT channel_pkey;
ALTER TABLE message DROP CONSTRAINT message_pkey;
ALTER TABLE channel_member DROP CONSTRAINT channel_member_pkey;
ALTER TABLE biz_user DROP CONSTRAINT biz_user_pkey;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (81, 1, 101, 81);
UPDATE message SET deleted_at = 1 WHERE id = 81;
:inbox
:clean
-- Nothing keeps a channel from being there twice, then.
BEGIN;
INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'group', 'twice');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (80, 1, 101, 80);
UPDATE message SET content = content || '!' WHERE channel_id = 1;
ROLLBACK;
:clean
CREATE UNIQUE INDEX ON channel (id DESC);
CREATE UNIQUE INDEX ON message (channel_id, id) WHERE deleted_at = 0;
ALTER TABLE channel_member ADD PRIMARY KEY (channel_id, user_id) DEFERRABLE;
CREATE INDEX ON biz_user (id);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (82, 1, 101, 82);
UPDATE message SET deleted_at = 1 WHERE id = 82;
:clean
ALTER TABLE channel_member DROP CONSTRAINT channel_member_pkey;
DROP INDEX channel_id_idx, message_channel_id_id_idx, biz_user_id_idx;
ALTER TABLE channel ADD PRIMARY KEY (id);
ALTER TABLE message ADD PRIMARY KEY (channel_id, id);
ALTER TABLE channel_member ADD PRIMARY KEY (channel_id, user_id);
ALTER TABLE biz_user ADD PRIMARY KEY (id);
-- Constraints of his own on what a message writes.
ALTER TABLE channel ADD CONSTRAINT no_thirteen CHECK (last_message_at <> 113);
ALTER TABLE user_conversation_view ADD CONSTRAINT no_fourteen CHECK (last_message_time <> 114);
SELECT code, message FROM testing.error('INSERT INTO im.message (id, channel_id, sender_id, sent_at) VALUES (83, 1, 101, 113)');
SELECT code, message FROM testing.error('INSERT INTO im.message (id, channel_id, sender_id, sent_at) VALUES (83, 1, 101, 114)');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (83, 1, 101, 115);
ALTER TABLE channel DROP CONSTRAINT no_thirteen;
ALTER TABLE user_conversation_view DROP CONSTRAINT no_fourteen;
-- A deferred foreign key looks at the latest version of a row that is new in the transaction.
ALTER TABLE channel ADD CONSTRAINT creator FOREIGN KEY (creator_id) REFERENCES biz_user DEFERRABLE INITIALLY DEFERRED NOT VALID;
BEGIN;
INSERT INTO channel (id, channel_type, creator_id) VALUES (90, 'group', 999);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (90, 90, 101, 90);
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
ALTER TABLE channel DROP CONSTRAINT creator;
ALTER TABLE message ADD CONSTRAINT channel FOREIGN KEY (channel_id) REFERENCES channel;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (84, 1, 101, 116);
ALTER TABLE message DROP CONSTRAINT channel;
:inbox
DELETE FROM message WHERE id > 80 AND channel_id = 1;
:clean
-- Renamed: the schema with everything in it goes on; a table that is not there is an error that says so.
ALTER SCHEMA im RENAME TO "Chat 2";
SELECT target FROM hermet.instances();
INSERT INTO "Chat 2".message (id, channel_id, sender_id, sent_at) VALUES (80, 1, 101, 80);
UPDATE "Chat 2".biz_user SET nickname = 'renamed' WHERE id = 102;
SELECT testing.clean('Chat 2') AS drift;
ALTER SCHEMA "Chat 2" RENAME TO im;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (81, 1, 101, 81);
:clean
ALTER TABLE user_contact_view RENAME TO user_contact_view_away;
SELECT * FROM testing.error('UPDATE im.friendship SET remark_name = $$x$$');
SELECT code, message FROM testing.error('SELECT hermet.check_consistency()');
SELECT code, message FROM testing.error('SELECT hermet.repair()');
ALTER TABLE user_contact_view_away RENAME TO user_contact_view;
UPDATE friendship SET remark_name = 'x';
:clean
ALTER TABLE channel_read_record SET SCHEMA public;
SELECT code, message FROM testing.error('INSERT INTO im.message (id, channel_id, sender_id) VALUES (82, 1, 101)');
SELECT code FROM testing.error('INSERT INTO public.channel_read_record (id, user_id, channel_id) VALUES (90, 101, 1)');
ALTER TABLE public.channel_read_record SET SCHEMA im;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (82, 1, 101, 82);
:clean
-- Every table dropped, one after the other: writing the rest and every function is an error or nothing.
CREATE FUNCTION without(victim text) RETURNS TABLE (dropped text, tried text, code text) LANGUAGE plpgsql AS $$
DECLARE
    s text;
BEGIN
    EXECUTE format('DROP TABLE im.%I', victim);
    FOREACH s IN ARRAY ARRAY['INSERT INTO im.message (id, channel_id, sender_id) VALUES (95, 1, 101)', 'UPDATE im.message SET deleted_at = 1', 'UPDATE im.biz_user SET avatar = $x$y$x$',
        'UPDATE im.channel SET channel_name = $x$y$x$', 'UPDATE im.channel_member SET left_at = 1', 'UPDATE im.friendship SET remark_name = $x$y$x$', 'DELETE FROM im.friendship',
        'INSERT INTO im.channel_read_record (id, user_id, channel_id) VALUES (95, 101, 2)', 'INSERT INTO im.conversation_setting (user_id, channel_id) VALUES (101, 2)', 'TRUNCATE im.message',
        'SELECT hermet.check_consistency()', 'SELECT hermet.consistency_summary()', 'SELECT hermet.repair()', 'SELECT hermet.repair_conversation_view(101)', 'SELECT hermet.repair_contact_view(101)',
        'SELECT hermet.repair_channel(1)', 'SELECT hermet.explain_conversation(101, 1)', 'SELECT hermet.health()']
    LOOP
        dropped := victim;
        tried := s;
        SELECT e.code INTO code FROM testing.error(s) e;
        RETURN NEXT;
    END LOOP;
    RAISE query_canceled;
EXCEPTION WHEN query_canceled THEN
    NULL;
END
$$;
SELECT tried, code, count(*)
  FROM unnest('{biz_user,channel,channel_member,channel_read_record,friendship,message,conversation_setting,user_conversation_view,user_contact_view,
                conversation_reverse_index,contact_reverse_index,hermet_instance,hermet_check,hermet_incident}'::text[]) t, without(t)
 GROUP BY tried, code ORDER BY tried COLLATE "C", code;
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (99, 1, 101, 99);
:inbox
:clean
-- Tables of different owners.
CREATE ROLE regress_hermet_hardening;
ALTER TABLE message OWNER TO regress_hermet_hardening;
SELECT code, message FROM testing.error('SELECT hermet.check_consistency()');
SELECT code, message FROM testing.error('SELECT hermet.health()');
SELECT code, message FROM testing.error('INSERT INTO im.message (id, channel_id, sender_id) VALUES (110, 1, 101)');
ALTER TABLE message OWNER TO CURRENT_USER;
DROP ROLE regress_hermet_hardening;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (110, 1, 101, 110);
:clean

-- Dropped and made again in one session, twice, and without the extension in between.
SET client_min_messages = warning;
DROP SCHEMA im CASCADE;
SELECT hermet.create_tables('im');
INSERT INTO channel (id, channel_type) VALUES (1, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 0);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (10, 1, 102, 10);
:inbox
:clean
DROP EXTENSION hermet CASCADE;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (11, 1, 102, 11);
CREATE EXTENSION hermet;
SELECT hermet.attach('im');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (12, 1, 102, 12);
:inbox
:clean
\c :main
DROP DATABASE regress_hermet_hardening;
