-- An application role with DML on the write side and SELECT on the read side, and one that means harm.
SELECT current_database() AS db \gset
CREATE ROLE regress_hermet_owner;
CREATE ROLE regress_hermet_app;
GRANT CREATE ON DATABASE :"db" TO regress_hermet_owner;
-- The owner needs no superuser to make an instance.
SET ROLE regress_hermet_owner;
SELECT hermet.create_tables('security');
RESET ROLE;
SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relnamespace = 'security'::regnamespace;
\set clean 'SELECT testing.clean(\'security\') AS drift;'
\set inbox 'SELECT user_id AS u, channel_id AS c, conversation_name AS name, remark_name AS remark, is_pinned AS pinned, last_message_content AS content, last_message_sender_name AS sender, unread_count AS unread, mention_count AS mentions FROM security.user_conversation_view ORDER BY 2, 1;'
SET ROLE regress_hermet_owner;
GRANT USAGE ON SCHEMA security TO regress_hermet_app;
GRANT INSERT, UPDATE, DELETE, SELECT ON security.biz_user, security.channel, security.channel_member, security.channel_read_record, security.friendship,
    security.channel_application, security.message, security.conversation_setting TO regress_hermet_app;
GRANT SELECT ON security.user_conversation_view, security.user_contact_view TO regress_hermet_app;
RESET ROLE;

-- Every flow, as the application.
SET ROLE regress_hermet_app;
SET search_path = security;
INSERT INTO biz_user (id, nickname) VALUES (101, 'Ann'), (102, 'Bob'), (103, 'Cid');
INSERT INTO channel_application (id, applicant_id, application_type, target_id) VALUES (1, 101, 'contact', 102);
INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'single', ''), (2, 'group', 'two');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 0), (12, 1, 102, 0), (21, 2, 101, 0), (22, 2, 102, 0), (23, 2, 103, 0);
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (1, 101, 102, 'Bobby'), (2, 102, 101, '');
INSERT INTO message (id, channel_id, sender_id, content, sent_at, mention_all) VALUES (10, 1, 101, 'hello', 10, false), (20, 2, 102, 'all', 20, true);
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 102, 1, 10)
ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (101, 1, true);
UPDATE biz_user SET nickname = 'Robert' WHERE id = 102;
UPDATE channel SET channel_name = 'TWO' WHERE id = 2;
UPDATE channel_member SET left_at = 1 WHERE id = 23;
UPDATE channel_member SET left_at = 0, joined_at = 0 WHERE id = 23;
DELETE FROM message WHERE id = 10;
:inbox
SELECT hermet.next_id() > 0 AS id, hermet.now_ms() > 0 AS clock, hermet.id_shard(5) AS shard;
RESET ROLE;
:clean
-- It cannot write the read side, with the guard or without.
SET ROLE regress_hermet_app;
UPDATE user_conversation_view SET unread_count = 0;
INSERT INTO user_contact_view SELECT * FROM user_contact_view;
DELETE FROM user_conversation_view;
TRUNCATE user_contact_view;
SELECT * FROM conversation_reverse_index;
INSERT INTO contact_reverse_index VALUES (1, 2, 3);
TRUNCATE message;
SET session_replication_role = replica;
ALTER TABLE message DISABLE TRIGGER ALL;
DROP TRIGGER hermet_after_insert ON message;
-- Nor call what is the owner's.
SELECT count(*) FROM hermet.check_consistency('security');
SELECT count(*) FROM hermet.consistency_summary('security');
SELECT count(*) FROM hermet.repair('security');
SELECT count(*) FROM hermet.repair_conversation_view(101, 'security');
SELECT count(*) FROM hermet.repair_contact_view(101, 'security');
SELECT count(*) FROM hermet.repair_channel(1, 'security');
SELECT count(*) FROM hermet.explain_conversation(101, 1, 'security');
SELECT count(*) FROM hermet.health('security');
SELECT hermet.upgrade('security');
SELECT hermet.detach('security');
SELECT hermet.attach('security');
SELECT hermet.create_tables('security');
\set VERBOSITY sqlstate
SELECT hermet.create_tables('security_of_mine');
\set VERBOSITY default
SELECT length(hermet.definition('channel', 'security')) > 0 AS definition;
RESET ROLE;
-- The owner can, though he is no superuser.
SET ROLE regress_hermet_owner;
SELECT count(*) FROM hermet.check_consistency('security');
SELECT sum(updated) FROM hermet.repair('security');
SELECT count(*) FROM hermet.health('security');
SELECT count(*) > 0 AS explained FROM hermet.explain_conversation(101, 1, 'security');
UPDATE user_conversation_view SET unread_count = 0;
RESET ROLE;
-- Trigger functions do nothing for whoever attaches them to a table of his own.
CREATE SCHEMA security_hostile AUTHORIZATION regress_hermet_app;
SET ROLE regress_hermet_app;
CREATE TABLE security_hostile.message (id bigint, channel_id bigint, sender_id bigint);
CREATE TRIGGER mine AFTER INSERT ON security_hostile.message REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION hermet.sync_message();
INSERT INTO security_hostile.message VALUES (1, 2, 3);
DROP TABLE security_hostile.message;
CREATE TABLE security_hostile.user_conversation_view (id bigint);
CREATE TRIGGER mine BEFORE INSERT ON security_hostile.user_conversation_view FOR EACH STATEMENT EXECUTE FUNCTION hermet.forbid_write();
INSERT INTO security_hostile.user_conversation_view VALUES (1);
DROP TABLE security_hostile.user_conversation_view;
CREATE TABLE security_hostile.biz_user (id text, nickname int);
CREATE TRIGGER mine BEFORE UPDATE ON security_hostile.biz_user FOR EACH ROW EXECUTE FUNCTION hermet.complete_biz_user();
INSERT INTO security_hostile.biz_user VALUES ('x', 1);
UPDATE security_hostile.biz_user SET nickname = 2;
DROP TABLE security_hostile.biz_user;
RESET ROLE;

-- A hostile search_path: operators, functions, types, tables and casts of the same names, in a schema of
-- the role's own and in pg_temp, all of which fail or tell on whoever uses them.
SET ROLE regress_hermet_app;
CREATE TABLE security_hostile.heist (loot text);
GRANT ALL ON security_hostile.heist TO PUBLIC;
GRANT USAGE ON SCHEMA security_hostile TO PUBLIC;
CREATE FUNCTION security_hostile.steal(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO security_hostile.heist VALUES (current_user);
    RETURN true;
END
$$;
CREATE FUNCTION security_hostile.steal(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT security_hostile.steal(1::bigint, 2::bigint)';
CREATE FUNCTION security_hostile.steal(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT security_hostile.steal(1::bigint, 2::bigint)';
CREATE FUNCTION security_hostile.steal(boolean, boolean) RETURNS boolean LANGUAGE sql AS 'SELECT security_hostile.steal(1::bigint, 2::bigint)';
CREATE OPERATOR security_hostile.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = security_hostile.steal);
CREATE OPERATOR security_hostile.<> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = security_hostile.steal);
CREATE OPERATOR security_hostile.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = security_hostile.steal);
CREATE OPERATOR security_hostile.< (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = security_hostile.steal);
CREATE OPERATOR security_hostile.>= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = security_hostile.steal);
CREATE OPERATOR security_hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = security_hostile.steal);
CREATE OPERATOR security_hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = security_hostile.steal);
CREATE OPERATOR security_hostile.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = security_hostile.steal);
CREATE OPERATOR security_hostile.= (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = security_hostile.steal);
CREATE FUNCTION security_hostile.left(text, integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO security_hostile.heist VALUES ('left ' || current_user);
    RETURN 'stolen';
END
$$;
CREATE FUNCTION security_hostile.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT 666::bigint';
CREATE FUNCTION security_hostile.now_ms() RETURNS bigint LANGUAGE sql AS 'SELECT 666::bigint';
CREATE FUNCTION security_hostile.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT 'epoch'::timestamptz$$;
CREATE TABLE security_hostile.channel (LIKE security.channel);
CREATE TABLE security_hostile.channel_member (LIKE security.channel_member);
CREATE TABLE security_hostile.user_conversation_view (LIKE security.user_conversation_view);
INSERT INTO security_hostile.channel SELECT * FROM security.channel;
CREATE DOMAIN security_hostile.bigint AS text;
SET search_path = pg_temp, security_hostile, pg_catalog, security;
CREATE TEMP TABLE message (LIKE security.message);
CREATE TEMP TABLE channel_member (LIKE security.channel_member);
CREATE TEMP TABLE biz_user (LIKE security.biz_user);
CREATE TEMP TABLE pg_class (LIKE pg_catalog.pg_class);
CREATE FUNCTION pg_temp.coalesced(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
INSERT INTO security.message (id, channel_id, sender_id, content, sent_at, mention_user_ids) VALUES (30, 1, 102, 'under a hostile path', 30, '{101}'), (31, 2, 101, 'here too', 31, '{}');
INSERT INTO security.channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (5, 103, 2, 20);
INSERT INTO security.conversation_setting (user_id, channel_id, is_muted) VALUES (103, 2, true);
INSERT INTO security.channel_member (id, channel_id, user_id, joined_at) VALUES (24, 2, 104, 0);
INSERT INTO security.friendship (id, user_id, friend_id, remark_name) VALUES (3, 103, 101, 'A');
UPDATE security.biz_user SET nickname = 'Anna' WHERE id OPERATOR(pg_catalog.=) 101;
UPDATE security.channel SET channel_name = 'two again' WHERE id OPERATOR(pg_catalog.=) 2;
UPDATE security.channel_member SET left_at = 5 WHERE id OPERATOR(pg_catalog.=) 24;
UPDATE security.channel_member SET left_at = 0 WHERE id OPERATOR(pg_catalog.=) 24;
UPDATE security.message SET deleted_at = 1 WHERE id OPERATOR(pg_catalog.=) 31;
DELETE FROM security.friendship WHERE id OPERATOR(pg_catalog.=) 2;
RESET search_path;
RESET ROLE;
SELECT DISTINCT loot FROM security_hostile.heist;
SELECT joined_at > 1700000000000 AS anew FROM security.channel_member WHERE id = 24;
UPDATE security.channel_member SET joined_at = 0 WHERE id = 24;
:inbox
:clean
-- The owner's functions under such a path; and settings of the caller's.
SET search_path = security_hostile, pg_catalog, security;
SET ROLE regress_hermet_owner;
SELECT pg_catalog.count(*) FROM hermet.check_consistency('security');
SELECT pg_catalog.count(*) FROM hermet.repair('security');
SELECT pg_catalog.count(*) FROM hermet.health('security');
SELECT pg_catalog.count(*) FROM hermet.consistency_summary('security');
RESET ROLE;
RESET search_path;
SELECT DISTINCT loot FROM security_hostile.heist;
SET ROLE regress_hermet_app;
SET row_security = off;
SET default_transaction_isolation = 'serializable';
SET enable_indexscan = off;
SET enable_seqscan = off;
SET transform_null_equals = on;
SET backslash_quote = off;
SET escape_string_warning = off;
SET DateStyle = 'German';
SET array_nulls = off;
SET quote_all_identifiers = on;
SET extra_float_digits = -15;
SET bytea_output = 'escape';
SET default_table_access_method = heap;
SET check_function_bodies = off;
SET plan_cache_mode = force_generic_plan;
INSERT INTO security.message (id, channel_id, sender_id, content, sent_at) VALUES (40, 2, 103, 'odd settings \ here', 40);
UPDATE security.biz_user SET nickname = 'Bo\b' WHERE id = 102;
INSERT INTO security.channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (6, 101, 2, 40);
UPDATE security.friendship SET remark_name = 'it''s "him"' WHERE id = 1;
RESET ALL;
RESET ROLE;
:inbox
:clean

-- Row security, forced upon the owner as well: maintenance is not hindered, nor helped around it.
SET ROLE regress_hermet_owner;
DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY '{biz_user,channel,channel_member,channel_read_record,friendship,message,conversation_setting,
                         user_conversation_view,user_contact_view,conversation_reverse_index,contact_reverse_index}'::text[]
    LOOP
        EXECUTE format('ALTER TABLE security.%I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE security.%I FORCE ROW LEVEL SECURITY', t);
    END LOOP;
END
$$;
-- The example policies: a user reads his own rows, and writes what is his.
CREATE POLICY own_inbox ON security.user_conversation_view FOR SELECT USING (user_id = nullif(current_setting('app.user_id', true), '')::bigint);
CREATE POLICY own_contacts ON security.user_contact_view FOR SELECT USING (user_id = nullif(current_setting('app.user_id', true), '')::bigint);
CREATE POLICY own_messages ON security.message FOR INSERT WITH CHECK (sender_id = nullif(current_setting('app.user_id', true), '')::bigint);
CREATE POLICY own_marks ON security.channel_read_record USING (user_id = nullif(current_setting('app.user_id', true), '')::bigint);
CREATE POLICY own_name ON security.biz_user USING (id = nullif(current_setting('app.user_id', true), '')::bigint);
RESET ROLE;
SET ROLE regress_hermet_app;
SET app.user_id = 101;
:inbox
SELECT user_id, contact_id FROM security.user_contact_view ORDER BY 1, 2;
SELECT count(*) FROM security.message;
INSERT INTO security.message (id, channel_id, sender_id, content, sent_at, mention_all) VALUES (50, 1, 101, 'behind policies', 50, true), (51, 2, 101, 'too', 51, true);
INSERT INTO security.message (id, channel_id, sender_id, content, sent_at) VALUES (52, 1, 102, 'as somebody else', 52);
UPDATE security.biz_user SET nickname = 'everybody';
UPDATE security.channel_read_record SET last_read_message_id = 1000;
INSERT INTO security.channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (7, 101, 1, 30);
:inbox
SET app.user_id = 102;
:inbox
SET app.user_id = 103;
:inbox
SET app.user_id = 999;
:inbox
RESET app.user_id;
RESET ROLE;
SELECT id, nickname, info_ver FROM security.biz_user ORDER BY 1;
:inbox
:clean
-- The owner's own tools see everything, though row security is forced upon him.
SET ROLE regress_hermet_owner;
SELECT count(*) FROM security.user_conversation_view;
SELECT table_name, rows, fail FROM hermet.consistency_summary('security') ORDER BY 1;
SELECT count(*) > 30 AS explained FROM hermet.explain_conversation(101, 1, 'security');
SELECT sum(inserted + updated + deleted) AS changed FROM hermet.repair('security');
RESET ROLE;
:clean

SET client_min_messages = warning;
DROP SCHEMA security, security_hostile CASCADE;
DROP OWNED BY regress_hermet_app, regress_hermet_owner;
DROP ROLE regress_hermet_app, regress_hermet_owner;
