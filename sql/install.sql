-- Installing: create_tables, what it makes, several instances, and the end of the extension.
-- In a database of its own.
SELECT current_database() AS main \gset
CREATE DATABASE regress_hermet_install;
\c regress_hermet_install
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
\set clean 'SELECT testing.clean(\'im\') AS drift;'
\pset null '(null)'

-- The extension makes no application table, and none of what it makes is an instance's.
SELECT count(*) AS tables FROM pg_class WHERE relnamespace = 'hermet'::regnamespace AND relkind IN ('r', 'v', 'm', 'p');
SELECT target FROM hermet.instances();
-- Without an instance.
SELECT * FROM testing.error('SELECT * FROM hermet.check_consistency()');
SELECT code, message FROM testing.error('SELECT * FROM hermet.repair()');
SELECT code, message FROM testing.error('SELECT * FROM hermet.health()');
SELECT code, message FROM testing.error($$SELECT hermet.definition('channel')$$);

-- One call, one transaction: undone, nothing stays.
BEGIN;
SELECT hermet.create_tables('im');
SELECT target FROM hermet.instances();
ROLLBACK;
SELECT count(*) FROM pg_namespace WHERE nspname = 'im';
SELECT target FROM hermet.instances();
SELECT hermet.create_tables('im');
SELECT target, owner = current_user AS own FROM hermet.instances();
-- A schema of any name, one that exists with other things in it, and by default the current one.
CREATE SCHEMA "Odd ""Name"" 1";
CREATE TABLE "Odd ""Name"" 1".other (id int);
SELECT hermet.create_tables('Odd "Name" 1');
INSERT INTO "Odd ""Name"" 1".channel (id, channel_type) VALUES (1, 'group');
INSERT INTO "Odd ""Name"" 1".channel_member (id, channel_id, user_id) VALUES (1, 1, 1);
SELECT testing.clean('Odd "Name" 1') AS drift;
CREATE SCHEMA here;
SET search_path = here;
SELECT hermet.create_tables();
RESET search_path;
SELECT target FROM hermet.instances();
-- What cannot be.
SELECT * FROM testing.error($$SELECT hermet.create_tables('im')$$);
SELECT * FROM testing.error($$SELECT hermet.create_tables('sharded', 64, 255)$$);
SELECT * FROM testing.error($$SELECT hermet.create_tables('sharded', channel_shards => -1, user_shards => 2)$$);
SELECT * FROM testing.error($$SELECT hermet.create_tables('sharded', 4, NULL)$$);
SELECT count(*) FROM pg_namespace WHERE nspname = 'sharded';
SELECT code, message FROM testing.error($$SELECT hermet.create_tables('pg_catalog')$$);
SELECT code, message FROM testing.error($$SELECT hermet.create_tables('pg_mine')$$);
SELECT code, message FROM testing.error($$SELECT hermet.create_tables('hermet')$$);
SELECT code, message FROM testing.error($$SELECT hermet.create_tables('information_schema')$$);
SELECT code, message FROM testing.error($$SELECT hermet.create_tables(NULL)$$);
-- A schema with a part of the tables is a case for attach; and nothing is changed there.
CREATE SCHEMA part;
CREATE TABLE part.message (id int);
SELECT code, message, detail, hint FROM testing.error($$SELECT hermet.create_tables('part')$$);
SELECT count(*) FROM pg_class WHERE relnamespace = 'part'::regnamespace;
DROP TABLE part.message;
DROP SCHEMA part;

-- Several instances: which one must be said, and the list is given.
SELECT * FROM testing.error('SELECT * FROM hermet.check_consistency()');
SELECT code FROM testing.error('SELECT * FROM hermet.consistency_summary()');
SELECT code FROM testing.error('SELECT * FROM hermet.repair()');
SELECT code FROM testing.error('SELECT * FROM hermet.repair_conversation_view(1)');
SELECT code FROM testing.error('SELECT * FROM hermet.repair_contact_view(1)');
SELECT code FROM testing.error('SELECT * FROM hermet.repair_channel(1)');
SELECT code FROM testing.error('SELECT * FROM hermet.explain_conversation(1, 1)');
SELECT code FROM testing.error('SELECT * FROM hermet.health()');
SELECT code FROM testing.error('SELECT hermet.upgrade()');
SELECT code FROM testing.error($$SELECT hermet.definition('channel')$$);
SELECT * FROM testing.error($$SELECT * FROM hermet.check_consistency('nowhere')$$);
-- They have nothing to do with each other.
INSERT INTO im.channel (id, channel_type) VALUES (1, 'group');
INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (1, 1, 1), (2, 1, 2);
INSERT INTO here.message (id, channel_id, sender_id, sent_at) VALUES (1, 1, 1, 1000);
INSERT INTO here.channel_member (id, channel_id, user_id) VALUES (1, 1, 3);
WITH a AS (INSERT INTO here.channel (id, channel_type) VALUES (1, 'group')),
     b AS (INSERT INTO im.message (id, channel_id, sender_id) VALUES (5, 1, 2))
SELECT 1;
SELECT 'im' AS target, user_id, last_message_id, unread_count FROM im.user_conversation_view
UNION ALL SELECT 'here', user_id, last_message_id, unread_count FROM here.user_conversation_view ORDER BY 1, 2;
SELECT t AS target, testing.clean(t) AS drift FROM unnest('{im,here}'::name[]) t;
SET client_min_messages = warning;
DROP SCHEMA "Odd ""Name"" 1" CASCADE;
DROP SCHEMA here CASCADE;
RESET client_min_messages;
-- Only one left: it need not be said.
SELECT count(*) FROM hermet.check_consistency();
SELECT sum(updated) FROM hermet.repair();
SELECT count(*) FROM hermet.health();
DELETE FROM im.channel_member;
DELETE FROM im.channel;
DELETE FROM im.message;

-- The tables: columns in order, types, what is required, and the defaults (a clock is not printed).
SELECT a.attrelid::regclass AS table, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       CASE WHEN pg_get_expr(d.adbin, d.adrelid) ~ 'clock_timestamp' THEN 'now' WHEN a.attidentity <> '' THEN 'identity'
            ELSE regexp_replace(pg_get_expr(d.adbin, d.adrelid), '::.*', '') END AS default
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'im'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition) AND a.attnum > 0
 ORDER BY array_position('{biz_user,channel,channel_member,channel_read_record,friendship,channel_application,message,conversation_setting,
                           user_conversation_view,user_contact_view,conversation_reverse_index,contact_reverse_index,
                           hermet_instance,hermet_check,hermet_incident}'::text[], (SELECT relname::text FROM pg_class WHERE oid = a.attrelid)), a.attrelid::regclass::text COLLATE "C", a.attnum;
SELECT t.typname AS type, string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) AS labels
  FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid WHERE t.typnamespace = 'im'::regnamespace GROUP BY 1 ORDER BY 1;
-- The keys.
SELECT i.indrelid::regclass AS table, i.indisprimary AS primary, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') AS key
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'im'::regnamespace AND NOT c.relispartition AND i.indisunique
 ORDER BY c.relname, i.indisprimary DESC, i.indkey::text COLLATE "C";
-- A target's pending list has an index of its own.
SELECT count(*) > 0 AS pending FROM pg_index i WHERE i.indrelid = 'im.channel_application'::regclass AND NOT i.indisunique
   AND pg_get_indexdef(i.indexrelid) LIKE '%(target_id%';
-- No index holds a column that changes with a message.
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'im.user_conversation_view'::regclass AND pg_get_indexdef(indexrelid) ~ 'last_|unread|mention|closed|updated';
-- No foreign keys; a check that single has a peer and a group none.
SELECT count(*) AS foreign_keys FROM pg_constraint WHERE connamespace = 'im'::regnamespace AND contype = 'f';
SELECT conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'im'::regnamespace AND contype = 'c' AND conname NOT LIKE '%\_shard\_check' AND coninhcount = 0;
-- Every table, column and type has its comment, but for the types.
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'im'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND obj_description(c.oid) IS NULL;
SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = 'im'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NULL;
-- ... and so has every function.
SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'hermet'::regnamespace AND obj_description(p.oid) IS NULL;

-- The shortest sensible inserts, and what the defaults make of them.
INSERT INTO im.biz_user (id) VALUES (1);
INSERT INTO im.channel (id, channel_type) VALUES (1, 'group');
INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (1, 1, 1);
INSERT INTO im.channel_read_record (id, user_id, channel_id) VALUES (1, 1, 1);
INSERT INTO im.friendship (id, user_id, friend_id) VALUES (1, 1, 1);
INSERT INTO im.channel_application (id, applicant_id, application_type, target_id) VALUES (1, 1, 'contact', 1);
INSERT INTO im.message (id, channel_id, sender_id) VALUES (1, 1, 2);
INSERT INTO im.conversation_setting (user_id, channel_id) VALUES (1, 1);
SELECT to_jsonb(u) - 'created_at' - 'updated_at' AS biz_user, created_at > 1700000000000 AND updated_at > 1700000000000 AS clock FROM im.biz_user u;
SELECT to_jsonb(c) - 'created_at' - 'updated_at' - 'last_message_at' AS channel, created_at > 1700000000000 AND updated_at > 1700000000000 AS clock FROM im.channel c;
SELECT to_jsonb(m) - 'created_at' - 'updated_at' - 'joined_at' AS channel_member, joined_at > 1700000000000 AS clock FROM im.channel_member m;
SELECT to_jsonb(r) - 'created_at' - 'updated_at' AS channel_read_record FROM im.channel_read_record r;
SELECT to_jsonb(f) - 'created_at' - 'updated_at' - 'added_at' AS friendship, added_at > 1700000000000 AS clock FROM im.friendship f;
SELECT to_jsonb(a) - 'created_at' - 'updated_at' AS channel_application FROM im.channel_application a;
SELECT to_jsonb(m) - 'created_at' - 'updated_at' - 'sent_at' AS message, sent_at > 1700000000000 AS clock FROM im.message m;
SELECT to_jsonb(s) - 'created_at' - 'updated_at' AS conversation_setting FROM im.conversation_setting s;
SELECT to_jsonb(v) - 'created_at' - 'updated_at' - 'last_message_time' - 'opened_at' AS user_conversation_view, opened_at > 1700000000000 AS clock FROM im.user_conversation_view v;
SELECT to_jsonb(v) - 'created_at' - 'updated_at' - 'added_at' AS user_contact_view FROM im.user_contact_view v;
:clean
-- What has no natural default is required.
SELECT code, message FROM testing.error('INSERT INTO im.biz_user DEFAULT VALUES');
SELECT code, message FROM testing.error('INSERT INTO im.channel (id) VALUES (2)');
SELECT code, message FROM testing.error('INSERT INTO im.channel_member (id, user_id) VALUES (2, 1)');
SELECT code, message FROM testing.error('INSERT INTO im.channel_application (id, applicant_id, target_id) VALUES (2, 1, 1)');
SELECT code, message FROM testing.error('INSERT INTO im.friendship (id, user_id, friend_id, tags) VALUES (2, 1, 2, NULL)');
-- The keys that the applications name in ON CONFLICT, and those that refuse.
INSERT INTO im.biz_user (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET nickname = 'upserted';
INSERT INTO im.channel (id, channel_type) VALUES (1, 'group') ON CONFLICT (id) DO UPDATE SET channel_name = 'upserted';
INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (2, 1, 1) ON CONFLICT (channel_id, user_id) DO UPDATE SET nickname = 'upserted';
INSERT INTO im.channel_read_record (id, user_id, channel_id) VALUES (2, 1, 1) ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = 1;
INSERT INTO im.friendship (id, user_id, friend_id) VALUES (2, 1, 1) ON CONFLICT (user_id, friend_id) DO UPDATE SET remark_name = 'upserted';
INSERT INTO im.channel_application (id, applicant_id, application_type, target_id) VALUES (1, 1, 'contact', 1) ON CONFLICT (target_id, id) DO UPDATE SET application_status = 'approved';
INSERT INTO im.message (id, channel_id, sender_id) VALUES (1, 1, 2) ON CONFLICT (channel_id, id) DO UPDATE SET content = 'upserted';
INSERT INTO im.conversation_setting (user_id, channel_id) VALUES (1, 1) ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = true;
SELECT conversation_name, last_message_content, is_pinned, unread_count, last_read_message_id FROM im.user_conversation_view;
:clean
SELECT code, message FROM testing.error('INSERT INTO im.message (id, channel_id, sender_id) VALUES (1, 2, 2)');
SELECT code, message FROM testing.error('INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (1, 2, 2)');
SELECT code, message FROM testing.error('INSERT INTO im.friendship (id, user_id, friend_id) VALUES (1, 2, 2)');
SELECT code, message FROM testing.error('INSERT INTO im.channel_read_record (id, user_id, channel_id) VALUES (1, 2, 2)');
SELECT code, message FROM testing.error($$INSERT INTO im.channel_application (id, applicant_id, application_type, target_id) VALUES (1, 1, 'contact', 2)$$);
-- E-mail and mobile are unique among those who are not deleted, when not empty.
INSERT INTO im.biz_user (id, email, mobile) VALUES (2, 'a@x', '1'), (3, '', ''), (4, '', '');
SELECT code, message FROM testing.error($$INSERT INTO im.biz_user (id, email) VALUES (5, 'a@x')$$);
SELECT code, message FROM testing.error($$INSERT INTO im.biz_user (id, mobile) VALUES (5, '1')$$);
INSERT INTO im.biz_user (id, email, mobile, deleted_at) VALUES (5, 'a@x', '1', 9);
UPDATE im.biz_user SET deleted_at = 9 WHERE id = 2;
INSERT INTO im.biz_user (id, email, mobile) VALUES (6, 'a@x', '1');
:clean

-- The tables are no members of the extension, and depend on nothing of it but by their triggers.
SELECT count(*) FROM pg_depend d WHERE d.deptype = 'e' AND d.classid = 'pg_class'::regclass AND d.objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'im'::regnamespace);
SELECT DISTINCT d.classid::regclass, d.deptype FROM pg_depend d
 WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'hermet'::regnamespace) AND d.deptype = 'n' AND d.classid <> 'pg_proc'::regclass;
-- The owner adds what is his own.
ALTER TABLE im.message ADD COLUMN own_reactions jsonb NOT NULL DEFAULT '{}';
ALTER TABLE im.user_contact_view ADD COLUMN own_note text;
CREATE INDEX ON im.user_contact_view (user_id, contact_nickname);
INSERT INTO im.message (id, channel_id, sender_id, own_reactions) VALUES (7, 1, 2, '{"a": 1}');
:clean
SELECT count(*) FROM hermet.health();

-- The end of the extension: refused while an instance is there.
\set VERBOSITY terse
DROP EXTENSION hermet;
\set VERBOSITY default
SELECT hermet.detach('im');
SELECT count(*) FROM hermet.instances();
SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'im'::regnamespace;
SELECT code, message FROM testing.error($$SELECT hermet.detach('im')$$);
SELECT code, message FROM testing.error($$SELECT hermet.detach('nowhere')$$);
SELECT count(*) AS rows FROM im.user_conversation_view;
SELECT hermet.attach('im');
:clean
-- With CASCADE: the triggers go, every row stays, and the tables go on working as they are.
CREATE TABLE public.before AS SELECT t.relname, (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM im.%I', t.relname), false, true, '')))[1]::text AS n
  FROM pg_class t WHERE t.relnamespace = 'im'::regnamespace AND t.relkind IN ('r', 'p') AND NOT t.relispartition AND t.relname NOT LIKE 'hermet%';
SET client_min_messages = warning;
DROP EXTENSION hermet CASCADE;
RESET client_min_messages;
SELECT b.relname, b.n FROM public.before b ORDER BY 1;
SELECT b.relname FROM public.before b WHERE b.n <> (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM im.%I', b.relname), false, true, '')))[1]::text;
SELECT count(*) AS triggers FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'im'::regnamespace;
SELECT count(*) AS types FROM pg_type WHERE typnamespace = 'im'::regnamespace AND typtype = 'e';
INSERT INTO im.biz_user (id) VALUES (10);
INSERT INTO im.channel (id, channel_type) VALUES (10, 'single');
INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (10, 10, 10), (11, 10, 11);
INSERT INTO im.channel_read_record (id, user_id, channel_id) VALUES (10, 10, 10);
INSERT INTO im.friendship (id, user_id, friend_id, remark_name) VALUES (10, 11, 10, 'ten');
INSERT INTO im.channel_application (id, applicant_id, application_type, target_id) VALUES (10, 1, 'channel', 1);
INSERT INTO im.message (id, channel_id, sender_id) VALUES (10, 10, 11);
INSERT INTO im.conversation_setting (user_id, channel_id) VALUES (10, 10);
SELECT min(created_at) > 1700000000000 AS clock FROM im.message WHERE id = 10;
SELECT count(*) FROM im.user_conversation_view WHERE channel_id = 10;
UPDATE im.user_conversation_view SET unread_count = 5;
-- Back again: attached, and right.
CREATE EXTENSION hermet;
SELECT hermet.attach('im');
:clean
SELECT user_id, channel_id, conversation_name, unread_count FROM im.user_conversation_view ORDER BY 2, 1;
SELECT count(*) FROM hermet.health();
INSERT INTO im.message (id, channel_id, sender_id) VALUES (11, 10, 11);
:clean
-- An instance that ends by dropping its schema leaves nothing behind.
SET client_min_messages = warning;
DROP SCHEMA im CASCADE;
SELECT count(*) FROM hermet.instances();
DROP EXTENSION hermet;
SELECT count(*) FROM pg_proc WHERE pronamespace = 'hermet'::regnamespace;
\c :main
DROP DATABASE regress_hermet_install;
