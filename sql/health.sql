-- hermet.health(): each thing that could let the read side drift unseen is planted, seen, and gone after mending.
SELECT hermet.create_tables('health');
SET search_path = health;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set health 'SELECT problem, testing.table_of(object) AS object, testing.table_of(detail) AS detail FROM hermet.health(\'health\') GROUP BY 1, 2, 3 ORDER BY problem COLLATE "C", testing.table_of(object) COLLATE "C";'
-- Without the parts that hold a time.
\set brief 'SELECT problem, testing.table_of(object) AS object FROM hermet.health(\'health\') GROUP BY 1, 2 ORDER BY problem COLLATE "C", testing.table_of(object) COLLATE "C";'
INSERT INTO channel (id, channel_type) VALUES (1, 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (11, 1, 101, 0), (12, 1, 102, 0);
INSERT INTO friendship (id, user_id, friend_id) VALUES (1, 101, 102);
:health

-- A trigger is missing: of the write side, of the read side's guard.
DROP TRIGGER hermet_after_insert ON message;
DROP TRIGGER hermet_guard ON user_contact_view;
:health
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (10, 1, 101, 10);
SELECT count(*) > 0 AS drifted FROM testing.clean('health');
SELECT hermet.upgrade('health');
:brief
:clean
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (11, 1, 101, 11);
:clean
-- Every trigger there is (but those of partitions), dropped one by one, is missed, and nothing else.
SELECT count(*) FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
 WHERE f.pronamespace = 'hermet'::regnamespace AND t.tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'health'::regnamespace AND NOT relispartition);
CREATE FUNCTION try_each(what text, OUT table_name text, OUT trigger_name name, OUT seen text) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    g record;
BEGIN
    FOR g IN
        SELECT t.tgrelid::regclass::text AS tab, t.tgname FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
         WHERE f.pronamespace = 'hermet'::regnamespace AND t.tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'health'::regnamespace AND NOT relispartition)
         ORDER BY t.tgrelid::regclass::text COLLATE "C", t.tgname
    LOOP
        BEGIN
            EXECUTE format(what, g.tab, g.tgname);
            SELECT g.tab, g.tgname, string_agg(h.problem || ' ' || h.object, ', ') INTO table_name, trigger_name, seen FROM hermet.health('health') h;
            RAISE query_canceled;
        EXCEPTION WHEN query_canceled THEN
            RETURN NEXT;
        END;
    END LOOP;
END
$$;
SELECT * FROM try_each('DROP TRIGGER %2$I ON %1$s');
SELECT * FROM try_each('ALTER TABLE %1$s DISABLE TRIGGER %2$I');
:health
-- All of the write side, made again at once.
ALTER TABLE message DISABLE TRIGGER ALL;
ALTER TABLE channel_member DISABLE TRIGGER ALL;
DROP TRIGGER hermet_after_truncate ON channel;
SELECT count(DISTINCT testing.table_of(object)) FROM hermet.health('health');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (13, 1, 101, 13);
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (13, 1, 103, 0);
SELECT hermet.upgrade('health');
:health
:clean
-- Disabled in other ways.
ALTER TABLE channel DISABLE TRIGGER USER;
:health
ALTER TABLE channel ENABLE TRIGGER USER;
:health
ALTER TABLE biz_user ENABLE REPLICA TRIGGER hermet_after_update;
:health
ALTER TABLE biz_user ENABLE TRIGGER hermet_after_update;
-- ALWAYS fires in every session, so that is no problem.
ALTER TABLE biz_user ENABLE ALWAYS TRIGGER hermet_after_update;
:health
ALTER TABLE biz_user ENABLE TRIGGER hermet_after_update;
-- Altered: another function, another time, a condition, another name.
DROP TRIGGER hermet_after_update ON friendship;
CREATE TRIGGER hermet_after_update AFTER UPDATE ON friendship REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION hermet.sync_message();
DROP TRIGGER hermet_guard ON user_conversation_view;
CREATE TRIGGER hermet_guard BEFORE INSERT ON user_conversation_view FOR EACH STATEMENT EXECUTE FUNCTION hermet.forbid_write();
DROP TRIGGER zzz_hermet_complete ON biz_user;
CREATE TRIGGER zzz_hermet_complete BEFORE UPDATE ON biz_user FOR EACH ROW WHEN (new.id = 1) EXECUTE FUNCTION hermet.complete_biz_user();
ALTER TRIGGER hermet_after_delete ON channel_member RENAME TO renamed;
:health
SELECT hermet.upgrade('health');
:health
:clean

-- One of hermet's functions in a trigger too many counts nothing twice; upgrade takes it away.
CREATE TRIGGER too_many AFTER INSERT ON message REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION hermet.sync_message();
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (14, 1, 101, 14);
:clean
SELECT hermet.upgrade('health');
SELECT count(*) FROM pg_trigger WHERE tgname = 'too_many';

-- Direct writes allowed: by a grant, to all, on a column; a grant on the write side is as it should be.
CREATE ROLE regress_hermet_health;
GRANT INSERT, UPDATE, DELETE ON biz_user, channel, channel_member, message, friendship, channel_read_record, conversation_setting TO regress_hermet_health;
GRANT SELECT ON user_conversation_view, user_contact_view TO regress_hermet_health;
:health
GRANT UPDATE, DELETE ON user_conversation_view TO regress_hermet_health;
GRANT INSERT ON contact_reverse_index TO PUBLIC;
GRANT UPDATE (mobile) ON user_contact_view TO regress_hermet_health;
GRANT TRUNCATE ON conversation_reverse_index TO regress_hermet_health;
:health
REVOKE ALL ON user_conversation_view, user_contact_view, conversation_reverse_index FROM regress_hermet_health;
REVOKE UPDATE (mobile) ON user_contact_view FROM regress_hermet_health;
REVOKE ALL ON contact_reverse_index FROM PUBLIC;
:health
DROP OWNED BY regress_hermet_health;
DROP ROLE regress_hermet_health;
-- A rule that turns writes elsewhere.
CREATE RULE elsewhere AS ON INSERT TO message DO INSTEAD NOTHING;
:health
DROP RULE elsewhere ON message;
-- The triggers are switched off in this session.
SET session_replication_role = replica;
:health
RESET session_replication_role;
-- Tables, columns, keys that are not there, or not what they were.
ALTER TABLE contact_reverse_index RENAME TO contact_reverse_index_away;
:health
ALTER TABLE contact_reverse_index_away RENAME TO contact_reverse_index;
ALTER TABLE message RENAME COLUMN mention_all TO mention_everyone;
:health
ALTER TABLE message RENAME COLUMN mention_everyone TO mention_all;
ALTER TABLE user_contact_view ALTER COLUMN contact_nickname TYPE text;
:health
ALTER TABLE user_contact_view ALTER COLUMN contact_nickname TYPE varchar(64);
ALTER TABLE channel_read_record DROP CONSTRAINT channel_read_record_pkey;
:health
SELECT hermet.upgrade('health');
:health
-- What the read side lacks is added and derived, however many rows it has.
SELECT peer_user_id, mention_count, last_message_type FROM user_conversation_view ORDER BY user_id, channel_id;
ALTER TABLE user_conversation_view DROP COLUMN peer_user_id, DROP COLUMN mention_count, DROP COLUMN last_message_type;
:health
SELECT hermet.upgrade('health');
:health
SELECT peer_user_id, mention_count, last_message_type FROM user_conversation_view ORDER BY user_id, channel_id;
SELECT convalidated FROM pg_constraint WHERE conname = 'user_conversation_view_peer_check' AND conrelid = 'user_conversation_view'::regclass;
SELECT count(*) FROM hermet.check_consistency('health');
-- A column or an index of one's own is none of it.
ALTER TABLE message ADD COLUMN own_text text;
ALTER TABLE user_conversation_view ADD COLUMN own_text text DEFAULT 'x';
CREATE INDEX ON message (own_text);
:health
INSERT INTO message (id, channel_id, sender_id, sent_at, own_text) VALUES (12, 1, 101, 12, 'y');
SELECT count(*) FROM hermet.check_consistency('health');
-- An instance of another version.
UPDATE hermet_instance SET version = '0.0.1';
:health
SELECT hermet.upgrade('health');
:health
DELETE FROM hermet_instance;
:health
SELECT hermet.upgrade('health');
:health
-- What the last check found, by table; a later clean check clears it.
SELECT testing.plant('UPDATE health.user_conversation_view SET unread_count = 9');
SELECT count(*) FROM hermet.check_consistency('health');
:brief
SELECT sum(updated) FROM hermet.repair('health');
SELECT count(*) FROM hermet.check_consistency('health');
:health
-- Rows that had to be recomputed; a full repair clears it.
SELECT testing.plant('DELETE FROM health.user_conversation_view WHERE user_id = 102');
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 102, 1, 11);
:brief
SELECT sum(inserted) + sum(updated) + sum(deleted) AS changed FROM hermet.repair('health');
:health
SELECT count(*) FROM hermet.check_consistency('health');

SET client_min_messages = warning;
DROP SCHEMA health CASCADE;
