-- The read side derived anew from the write side alone, in batches that commit: damaged, emptied, interrupted, in ranges.
SELECT hermet.create_tables('rebuild');
SET search_path = rebuild;
\set SHOW_CONTEXT never
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set progress 'SELECT target, operation, from_key, to_key, phase, done, total, changed, state, pid IS NOT NULL AS has_pid, time_left IS NOT NULL AS has_time FROM hermet.progress(\'rebuild\');'
\set brief 'SELECT problem, object FROM hermet.health(\'rebuild\') ORDER BY problem COLLATE "C", object COLLATE "C";'
\set touched 'SELECT view, count(*) FROM testing.touched(\'rebuild\') GROUP BY 1 ORDER BY 1;'
INSERT INTO biz_user (id, nickname) SELECT u, 'user ' || u FROM generate_series(1, 20) u;
INSERT INTO channel (id, channel_type, channel_name) SELECT c, 'group', 'group ' || c FROM generate_series(1, 10) c;
INSERT INTO channel (id, channel_type) SELECT 100 + u, 'single' FROM generate_series(1, 20) u;
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
SELECT c * 1000 + u, c, u, 0 FROM generate_series(1, 10) c, generate_series(1, 20) u WHERE (u + c) % 2 = 0
UNION ALL SELECT 900000 + 2 * u, 100 + u, u, 0 FROM generate_series(1, 20) u
UNION ALL SELECT 900001 + 2 * u, 100 + u, u % 20 + 1, 0 FROM generate_series(1, 20) u;
-- Keys at both ends of what a bigint holds.
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
VALUES (1, 1, -400000000000000000, 0), (2, 2, 9223372036854775807, 0), (3, 3, 9223372036854775807, 0);
INSERT INTO channel (id, channel_type) VALUES (-400000000000000000, 'group'), (9223372036854775807, 'single');
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
VALUES (4, -400000000000000000, -400000000000000000, 0), (5, 9223372036854775807, -400000000000000000, 0), (6, 9223372036854775807, 9223372036854775807, 0);
INSERT INTO friendship (id, user_id, friend_id) SELECT u * 100 + f, u, f FROM generate_series(1, 20) u, generate_series(1, 20) f WHERE (u + f) % 4 = 0;
INSERT INTO friendship (id, user_id, friend_id) VALUES (1, -400000000000000000, 9223372036854775807), (2, 9223372036854775807, -400000000000000000);
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT m, m % 10 + 1, m % 20 + 1, 'message ' || m, m FROM generate_series(1, 300) m;
INSERT INTO conversation_setting (user_id, channel_id, is_pinned, closed_at) SELECT user_id, channel_id, true, 9000 FROM channel_member WHERE id % 3 = 0;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) SELECT id, user_id, channel_id, 100 FROM channel_member WHERE id % 4 = 0;
:clean

-- A clean instance: not a row is written, whatever the batches. (However slow the machine, there is one notice at the end.)
SELECT testing.fingerprint('rebuild') AS before \gset
CALL hermet.rebuild_conversation_view('rebuild');
CALL hermet.rebuild_contact_view('rebuild');
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 1, notice_seconds => 1000);
CALL hermet.rebuild_contact_view('rebuild', batch_size => 1, notice_seconds => 1000);
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 7, notice_seconds => 0);
CALL hermet.rebuild_contact_view('rebuild', batch_size => 10000, notice_seconds => 0);
SELECT testing.fingerprint('rebuild') = :'before' AS untouched;
:progress
:brief

-- Damage of every kind. What is written is what differs, and no more.
CREATE FUNCTION damage() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM testing.plant(s) FROM unnest(ARRAY[
        'UPDATE rebuild.user_conversation_view SET unread_count = 77, updated_at = 1 WHERE user_id = 5',
        'DELETE FROM rebuild.user_conversation_view WHERE user_id = 7',
        'DELETE FROM rebuild.user_conversation_view WHERE channel_id = 9223372036854775807 OR user_id = -400000000000000000',
        'UPDATE rebuild.user_conversation_view SET channel_id = 12345 WHERE channel_id = 1 AND user_id = 9',
        'UPDATE rebuild.user_conversation_view SET user_id = 777 WHERE channel_id = 2 AND user_id = 6',
        'UPDATE rebuild.user_conversation_view SET peer_user_id = 555, updated_at = 1 WHERE user_id = 12 AND channel_id = 112',
        'DELETE FROM rebuild.conversation_reverse_index WHERE owner_user_id = 3',
        'UPDATE rebuild.conversation_reverse_index SET created_at = 77 WHERE owner_user_id = 4',
        'INSERT INTO rebuild.conversation_reverse_index VALUES (1, 2, 3, 4), (-400000000000000000, 2, 3, 4), (9223372036854775807, 2, 3, 4), (1, 5, 101, 4), (555, 12, 112, 1)',
        'UPDATE rebuild.channel SET channel_member_count = 77 WHERE id = 3',
        'UPDATE rebuild.channel SET last_message_id = 77, last_message_at = 1 WHERE id IN (4, -400000000000000000)',
        'UPDATE rebuild.user_contact_view SET contact_nickname = ''x'', updated_at = 1 WHERE user_id = 5',
        'DELETE FROM rebuild.user_contact_view WHERE user_id = 8 OR user_id = 9223372036854775807',
        'UPDATE rebuild.user_contact_view SET contact_id = 4711 WHERE user_id = 4 AND contact_id = 4',
        'DELETE FROM rebuild.contact_reverse_index WHERE owner_user_id = 3',
        'UPDATE rebuild.contact_reverse_index SET created_at = 77 WHERE owner_user_id = 4 AND contact_user_id > 4',
        'INSERT INTO rebuild.contact_reverse_index VALUES (1, 2, 3), (-400000000000000000, 2, 3), (9223372036854775807, 2, 3)']) s;
END
$$;
SELECT testing.forget_touches('rebuild');
SELECT damage();
SELECT table_name, fail FROM hermet.consistency_summary('rebuild');
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10);
CALL hermet.rebuild_contact_view('rebuild', batch_size => 10);
:clean
:progress
-- 7 had 6 rows, 5 as many; the others are the single ones above.
:touched
SELECT table_name, fail FROM hermet.consistency_summary('rebuild');
-- Settings survive.
SELECT count(*), bool_and(v.closed_at = 9000) FROM user_conversation_view v JOIN conversation_setting s USING (user_id, channel_id, is_pinned);

-- Emptied: by any size of batch.
CREATE FUNCTION empty() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS
$$ BEGIN TRUNCATE rebuild.user_conversation_view, rebuild.conversation_reverse_index, rebuild.user_contact_view, rebuild.contact_reverse_index; END $$;
CREATE FUNCTION empty_inbox() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS
$$ BEGIN TRUNCATE rebuild.user_conversation_view, rebuild.conversation_reverse_index; END $$;
SELECT empty();
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 1, notice_seconds => 1000);
CALL hermet.rebuild_contact_view('rebuild', batch_size => 1, notice_seconds => 1000);
:clean
SELECT empty();
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 8);
CALL hermet.rebuild_contact_view('rebuild', batch_size => 8);
:clean
SELECT empty();
CALL hermet.rebuild_conversation_view('rebuild');
CALL hermet.rebuild_contact_view('rebuild');
:clean
-- Nothing on the write side: then nothing is to be on the read side.
BEGIN;
SELECT testing.plant('TRUNCATE rebuild.channel_member, rebuild.friendship');
COMMIT;
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 5);
CALL hermet.rebuild_contact_view('rebuild', batch_size => 5);
SELECT (SELECT count(*) FROM user_conversation_view) AS conversations, (SELECT count(*) FROM user_contact_view) AS contacts,
       (SELECT count(*) FROM conversation_reverse_index) AS peers, (SELECT count(*) FROM contact_reverse_index) AS friends;
:clean
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
SELECT c * 1000 + u, c, u, 0 FROM generate_series(1, 10) c, generate_series(1, 20) u WHERE (u + c) % 2 = 0
UNION ALL SELECT 900000 + 2 * u, 100 + u, u, 0 FROM generate_series(1, 20) u
UNION ALL SELECT 900001 + 2 * u, 100 + u, u % 20 + 1, 0 FROM generate_series(1, 20) u;
INSERT INTO friendship (id, user_id, friend_id) SELECT u * 100 + f, u, f FROM generate_series(1, 20) u, generate_series(1, 20) f WHERE (u + f) % 4 = 0;
:clean

-- A list of more rows than a batch comes back at once.
INSERT INTO channel (id, channel_type) SELECT c, 'group' FROM generate_series(1001, 2500) c;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT 500000 + c, c, CASE WHEN c <= 1900 THEN 30 ELSE 31 END, 0 FROM generate_series(1001, 2500) c;
CREATE TABLE sizes (batch serial, user_id bigint, rows bigint);
CREATE FUNCTION note_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rebuild.sizes (user_id, rows) SELECT user_id, count(*) FROM rebuild.user_conversation_view WHERE user_id IN (5, 6, 30) GROUP BY 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER UPDATE OF done ON hermet_rebuild FOR EACH STATEMENT EXECUTE FUNCTION note_batch();
SELECT empty_inbox();
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 3, notice_seconds => 1000);
SELECT user_id, array_agg(DISTINCT rows) AS seen FROM sizes GROUP BY 1 ORDER BY 1;
DROP TRIGGER note ON hermet_rebuild;
:clean
-- One that is longer than any batch is taken apart.
UPDATE channel_member SET user_id = 30 WHERE user_id = 31;
SELECT empty_inbox();
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 3, notice_seconds => 1000);
:clean

-- Ranges, and nothing beyond them.
SELECT testing.plant('UPDATE rebuild.user_conversation_view SET unread_count = 88');
CALL hermet.rebuild_conversation_view('rebuild', from_key => 6, to_key => 8);
SELECT DISTINCT user_id FROM user_conversation_view WHERE unread_count <> 88 ORDER BY 1;
CALL hermet.rebuild_conversation_view('rebuild', to_key => 5);
CALL hermet.rebuild_conversation_view('rebuild', from_key => 9, notice_seconds => 1000);
CALL hermet.rebuild_contact_view('rebuild');
:clean
:progress

-- Interrupted: what is done stays done, and the next call goes on from there.
ALTER TABLE hermet_rebuild ADD CONSTRAINT stop CHECK (done < 1600 OR view_name = 'user_contact_view') NOT VALID;
\set VERBOSITY terse
SELECT empty_inbox();
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10);
:progress
:brief
SELECT count(*) FROM user_conversation_view;
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10);
ALTER TABLE hermet_rebuild DROP CONSTRAINT stop;
\set VERBOSITY default
-- ... by whom it was asked for, with that range; another range is another rebuild, a wider one takes its place
CALL hermet.rebuild_conversation_view('rebuild', from_key => 3, to_key => 4);
SELECT from_key, to_key, state FROM hermet.progress('rebuild') WHERE operation = 'rebuild_conversation_view';
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10);
SELECT from_key, to_key, done, changed, state FROM hermet.progress('rebuild') WHERE operation = 'rebuild_conversation_view';
SELECT count(*) FROM hermet.check_consistency('rebuild', 'user_conversation_view');
CALL hermet.rebuild_contact_view('rebuild');
:clean
:brief
-- ... or begins anew, when it is told to
ALTER TABLE hermet_rebuild ADD CONSTRAINT stop CHECK (done < 1600) NOT VALID;
\set VERBOSITY terse
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10);
ALTER TABLE hermet_rebuild DROP CONSTRAINT stop;
\set VERBOSITY default
SELECT testing.plant('UPDATE rebuild.user_conversation_view SET unread_count = 88 WHERE user_id = 1');
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10, restart => true);
:clean
-- ... or when there has been a bulk load
ALTER TABLE hermet_rebuild ADD CONSTRAINT stop CHECK (done < 1600) NOT VALID;
\set VERBOSITY terse
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10);
ALTER TABLE hermet_rebuild DROP CONSTRAINT stop;
\set VERBOSITY default
SELECT hermet.begin_bulk_load('rebuild');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (1000, 1, 1, 1000);
SELECT hermet.end_bulk_load('rebuild');
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10);
:clean

-- Applications write between the batches, and are maintained from what is stored: the last sender of a channel is renamed whose
-- own row is not mended yet, or who has left; a member goes whose row was missing. In the end all is right, whatever was passed by then.
UPDATE channel_member SET left_at = 9000 WHERE channel_id = 9 AND user_id = 19;
CREATE FUNCTION write_meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rebuild.biz_user SET nickname = 'renamed at ' || NEW.done WHERE id IN (19, 20) AND NEW.phase = 2 AND NEW.next_first < 19;
    DELETE FROM rebuild.channel_member WHERE channel_id = 120 AND user_id = 20 AND NEW.phase > 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER meanwhile AFTER UPDATE OF done ON hermet_rebuild FOR EACH ROW EXECUTE FUNCTION write_meanwhile();
SELECT channel_id, last_message_sender_id FROM user_conversation_view WHERE channel_id IN (9, 10) GROUP BY 1, 2 ORDER BY 1;
SELECT testing.plant(s) FROM unnest(ARRAY[
    'UPDATE rebuild.channel SET last_message_id = 0, last_message_at = 0',
    'UPDATE rebuild.user_conversation_view SET last_message_id = 1, last_message_sender_id = 0',
    'DELETE FROM rebuild.user_conversation_view WHERE user_id = 20 AND channel_id = 120']) s;
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 3, notice_seconds => 0);
DROP TRIGGER meanwhile ON hermet_rebuild;
SELECT count(DISTINCT last_message_sender_name) FROM user_conversation_view WHERE last_message_sender_name LIKE 'renamed at %';
:clean
UPDATE channel_member SET left_at = 0 WHERE channel_id = 9 AND user_id = 19;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (900040, 120, 20, 0);

-- A batch that cannot go on is tried again some times, and then says so.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not now' USING ERRCODE = 'lock_not_available', DETAIL = 'Somebody is in the way.';
END
$$;
CREATE TRIGGER refuse BEFORE UPDATE ON hermet_rebuild FOR EACH ROW WHEN (NEW.done > 1650) EXECUTE FUNCTION refuse();
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10);
DROP TRIGGER refuse ON hermet_rebuild;
CALL hermet.rebuild_conversation_view('rebuild');

-- What cannot be.
BEGIN;
CALL hermet.rebuild_conversation_view('rebuild');
ROLLBACK;
SELECT code, message, hint FROM testing.error('CALL hermet.rebuild_contact_view(''rebuild'')');
\set VERBOSITY terse
CALL hermet.rebuild_conversation_view('nowhere');
\set VERBOSITY default
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 0);
CALL hermet.rebuild_conversation_view('rebuild', batch_size => 10001);
CALL hermet.rebuild_conversation_view('rebuild', batch_size => NULL);
CALL hermet.rebuild_contact_view('rebuild', from_key => 2, to_key => 1);
CALL hermet.rebuild_contact_view('rebuild', pause_ms => -1);
CALL hermet.rebuild_contact_view('rebuild', restart => NULL);
SELECT * FROM testing.error($$SELECT hermet.rebuild_batch('rebuild'::regnamespace, 'message', 0, 0, 0, 10, false)$$);
SELECT * FROM testing.error($$SELECT hermet.rebuild_batch('rebuild'::regnamespace, 'channel', 0, 0, 0, 0, false)$$);
SELECT * FROM testing.error($$SELECT hermet.rebuild_step('rebuild', 4711, 10, 0, 0, false)$$);
CREATE ROLE rebuild_other;
GRANT USAGE ON SCHEMA rebuild TO rebuild_other;
SET ROLE rebuild_other;
CALL hermet.rebuild_conversation_view('rebuild');
SELECT hermet.rebuild_batch('rebuild'::regnamespace, 'channel', 0, 0, 0, 10, false);
SELECT * FROM hermet.progress('rebuild');
SELECT * FROM hermet.progress WHERE target = 'rebuild';
RESET ROLE;
-- Who may read hermet_rebuild sees the progress.
GRANT SELECT ON hermet_rebuild TO rebuild_other;
SET ROLE rebuild_other;
SELECT target, operation, state FROM hermet.progress WHERE target = 'rebuild' ORDER BY 2;
RESET ROLE;
DROP OWNED BY rebuild_other;
DROP ROLE rebuild_other;

-- Nobody's search_path and settings lead it astray.
CREATE SCHEMA rebuild_trap;
CREATE FUNCTION rebuild_trap.caught(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$;
CREATE OPERATOR rebuild_trap.> (FUNCTION = rebuild_trap.caught, LEFTARG = bigint, RIGHTARG = bigint);
CREATE OPERATOR rebuild_trap.= (FUNCTION = rebuild_trap.caught, LEFTARG = bigint, RIGHTARG = bigint);
CREATE FUNCTION rebuild_trap.coalesce(float8, float8) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN RAISE 'caught'; END $$;
SELECT damage();
SET search_path = rebuild_trap, pg_catalog;
SET default_transaction_isolation = serializable;
CALL hermet.rebuild_conversation_view('rebuild', pause_ms => 1);
CALL hermet.rebuild_contact_view('rebuild', pause_ms => 1);
RESET default_transaction_isolation;
SET search_path = rebuild;
:clean
DROP SCHEMA rebuild_trap CASCADE;
