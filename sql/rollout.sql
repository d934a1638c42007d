-- set_rollout(): whom the read side serves, whom the join; shadow, which computes both. In a database of its
-- own, whose only instance needs no name.
SELECT current_database() AS main \gset
CREATE DATABASE regress_hermet_rollout;
\c regress_hermet_rollout
CREATE EXTENSION hermet;
SELECT hermet.set_rollout(50);
SELECT * FROM hermet.conversation_list(1);
SELECT hermet.create_tables('im');
SET search_path = im;

-- Without a call everybody is in.
SELECT percent, shadow, changed_at, mismatches, last_mismatch FROM hermet.rollout();
SELECT count(*) FILTER (WHERE hermet.rollout_includes(u)) FROM generate_series(1, 10000) u;
-- So many of ten thousand, by the id alone; whoever is in stays in when the percentage rises.
CREATE TABLE included (percent float8, user_id bigint);
DO $$
DECLARE
    p float8;
BEGIN
    FOREACH p IN ARRAY '{100,0,0.01,1,12.5,50,99,99.99}'::float8[] LOOP
        PERFORM hermet.set_rollout(p);
        INSERT INTO included SELECT p, u FROM generate_series(-5000, 4999) u WHERE hermet.rollout_includes(u);
    END LOOP;
END
$$;
SELECT p AS percent, (SELECT count(*) FROM included i WHERE i.percent = p) AS users,
       (SELECT count(*) FROM (SELECT user_id FROM included i WHERE i.percent = p EXCEPT SELECT user_id FROM included i WHERE i.percent > p) x) AS lost
  FROM unnest('{0,0.01,1,12.5,50,99,99.99,100}'::float8[]) p;
-- The same users on every server: where a user's id has his place among the hundred.
SELECT count(*) AS otherwise FROM unnest('{0,0.01,1,12.5,50,99,99.99,100}'::float8[]) p, generate_series(-5000, 4999) u
 WHERE (((hashint8extended(u, 0) >> 11) & 9007199254740991) / 9007199254740992.0::float8 * 100 < p) <> EXISTS (SELECT FROM included i WHERE i.percent = p AND i.user_id = u);
SELECT hermet.set_rollout(25, true);
SELECT percent, shadow, changed_at > 1700000000000 AS changed FROM hermet.rollout();
SELECT count(*) FROM hermet_rollout;
-- One call, in a transaction like any other.
BEGIN;
SELECT hermet.set_rollout(0);
SELECT percent, shadow FROM hermet.rollout();
ROLLBACK;
SELECT percent, shadow FROM hermet.rollout();
-- What is no percentage.
SELECT hermet.set_rollout(-0.1);
SELECT hermet.set_rollout(100.1);
SELECT hermet.set_rollout('NaN');
SELECT hermet.set_rollout('infinity');
SELECT hermet.set_rollout(NULL);
SELECT hermet.set_rollout(1, NULL);
SELECT percent, shadow FROM hermet.rollout();
SELECT hermet.rollout_includes(NULL);
-- For the owner.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_hermet_roller;
RESET client_min_messages;
CREATE ROLE regress_hermet_roller;
GRANT USAGE ON SCHEMA im TO regress_hermet_roller;
GRANT SELECT ON user_conversation_view, user_contact_view TO regress_hermet_roller;
SET ROLE regress_hermet_roller;
SELECT hermet.set_rollout(0);
SELECT hermet.rollout();
SELECT hermet.rollout_includes(1) IS NOT NULL AS everybody_may_ask;
RESET ROLE;

---------------------------------------------------------------------------------------------------
-- Some people who talk.
INSERT INTO biz_user (id, nickname, avatar) SELECT u, 'user ' || u, u || '.png' FROM generate_series(1, 20) u WHERE u <> 11;
INSERT INTO channel (id, channel_name, channel_type, channel_status)
SELECT c, 'group ' || c, 'group', CASE WHEN c = 30 THEN 'archived' ELSE 'active' END::channel_status_enum FROM generate_series(1, 30) c;
INSERT INTO channel (id, channel_type) SELECT 100 + u, 'single' FROM generate_series(1, 20) u;
INSERT INTO channel_member (id, channel_id, user_id, joined_at, left_at)
SELECT c * 1000 + u, c, u, 1000, CASE WHEN (u + c) % 11 = 0 THEN 5000 ELSE 0 END FROM generate_series(1, 30) c, generate_series(1, 20) u WHERE (u * c) % 3 <> 0;
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
SELECT 900000 + u * 2 + side, 100 + u, CASE side WHEN 0 THEN u ELSE u % 20 + 1 END, 1000 FROM generate_series(1, 20) u, generate_series(0, 1) side;
INSERT INTO friendship (id, user_id, friend_id, remark_name, tags, is_starred)
SELECT u * 2 + side, CASE side WHEN 0 THEN u ELSE u % 20 + 1 END, CASE side WHEN 1 THEN u ELSE u % 20 + 1 END,
       CASE WHEN u % 4 = 0 THEN 'my friend ' || u ELSE '' END, ARRAY['a, b', 'c"d'], u % 5 = 0 FROM generate_series(1, 20) u, generate_series(0, 1) side;
INSERT INTO message (id, channel_id, sender_id, message_type, content, mention_user_ids, mention_all, sent_at)
SELECT m, m % 30 + 1, m % 20 + 1, CASE WHEN m % 17 = 0 THEN 'system' ELSE 'text' END, repeat('word ', m % 200),
       CASE WHEN m % 7 = 0 THEN ARRAY[m % 19 + 1, NULL] ELSE '{}' END, m % 50 = 0, 2000 + m FROM generate_series(1, 400) m;
UPDATE message SET deleted_at = 9000 WHERE id % 13 = 0;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) SELECT id, user_id, channel_id, 100 + user_id * 10 FROM channel_member WHERE id % 2 = 0;
INSERT INTO conversation_setting (user_id, channel_id, is_muted, is_pinned, is_hidden, closed_at, marked_unread)
SELECT user_id, channel_id, id % 2 = 0, id % 3 = 0, id % 4 = 0, CASE WHEN id % 5 = 0 THEN 9000 ELSE 0 END, id % 6 = 0 FROM channel_member WHERE id % 7 < 3;
UPDATE biz_user SET user_status = 'disabled' WHERE id = 7;
UPDATE biz_user SET user_status = 'deleted', deleted_at = 9000 WHERE id = 13;

-- What everybody is shown, at any percentage: the same rows, columns and order.
CREATE FUNCTION shown(size int) RETURNS TABLE (lists jsonb) LANGUAGE sql AS $$
SELECT jsonb_build_object('user', u,
         'first', ARRAY(SELECT l FROM hermet.conversation_list(u, size) l),
         'second', ARRAY(SELECT l FROM hermet.conversation_list(u, size, (SELECT cursor FROM hermet.conversation_list(u, size) OFFSET size - 1), true) l),
         'contacts', ARRAY(SELECT l FROM hermet.contact_list(u, size) l),
         'more', ARRAY(SELECT l FROM hermet.contact_list(u, size, (SELECT cursor FROM hermet.contact_list(u, size) OFFSET size - 1)) l),
         'totals', ARRAY(SELECT t FROM hermet.unread_totals(u) t))
  FROM generate_series(0, 21) u
$$;
SELECT hermet.set_rollout(100);
CREATE TABLE served AS SELECT size, lists FROM unnest('{1,3,50}'::int[]) size, shown(size);
SELECT sum(jsonb_array_length(lists -> 'first')) AS first, sum(jsonb_array_length(lists -> 'second')) AS second, sum(jsonb_array_length(lists -> 'contacts')) AS contacts FROM served;
SELECT hermet.set_rollout(0);
SELECT size, count(*) FROM unnest('{1,3,50}'::int[]) size, shown(size) j WHERE NOT EXISTS (SELECT FROM served s WHERE s.size = size AND s.lists = j) GROUP BY 1;
-- The join it is: it does not mind what the read side says; and shows no time of change where there is no row.
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM user_conversation_view;
DELETE FROM user_contact_view;
SELECT count(*) > 5 AS rows, max(updated_at) FROM hermet.conversation_list(1);
SELECT count(*) > 1 AS rows, max(updated_at) FROM hermet.contact_list(1);
SELECT hermet.set_rollout(100);
SELECT count(*) FROM hermet.conversation_list(1);
SELECT count(*) FROM hermet.contact_list(1);
SELECT * FROM hermet.unread_totals(1);
-- In between, everybody has either the one or the other.
SELECT hermet.set_rollout(50);
SELECT count(*) FILTER (WHERE i) BETWEEN 5 AND 15 AS some_in, count(*) FILTER (WHERE i = (n > 0)) AS wrongly_served
  FROM generate_series(1, 20) u, hermet.rollout_includes(u) i, LATERAL (SELECT count(*) AS n FROM hermet.conversation_list(u)) x;
ROLLBACK;

---------------------------------------------------------------------------------------------------
-- Shadow: both are computed. Nothing to report, wherever the lists come from.
SELECT hermet.set_rollout(100, true);
SELECT count(*) FROM shown(3);
SELECT hermet.set_rollout(0, true);
SELECT count(*) FROM shown(50);
-- A transaction sees its own writes on both sides.
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO message (id, channel_id, sender_id, content) VALUES (5001, 1, 2, 'in a transaction');
SELECT count(*) FROM shown(50);
SAVEPOINT s;
UPDATE biz_user SET nickname = 'another';
SELECT count(*) FROM shown(50);
ROLLBACK TO SAVEPOINT s;
SELECT count(*) FROM shown(50);
COMMIT;
SELECT mismatches FROM hermet.rollout();
SELECT problem FROM hermet.health();

-- Planted drift of every kind is reported, with what differs; who is served sees what he is to see.
CREATE FUNCTION plant(statement text) RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS 'BEGIN EXECUTE statement; END';
CREATE FUNCTION report(OUT endpoint text, OUT user_id bigint, OUT key jsonb, OUT read_side jsonb, OUT write_side jsonb) RETURNS SETOF record LANGUAGE sql AS $$
WITH gone AS (DELETE FROM im.hermet_mismatch RETURNING *)
SELECT endpoint, user_id, key, read_side - '{id,opened_at,created_at,tags,added_at,source,mobile}'::text[], write_side - '{id,opened_at,created_at,tags,added_at,source,mobile}'::text[] FROM gone ORDER BY id
$$;
SELECT plant('UPDATE im.user_conversation_view SET unread_count = 777 WHERE user_id = 1 AND channel_id = 101');
SELECT sum(unread_count) > 770 AS wrong FROM hermet.conversation_list(1);
SELECT messages > 770 AS wrong FROM hermet.unread_totals(1);
SELECT * FROM report();
SELECT hermet.set_rollout(100, true);
SELECT sum(unread_count) > 770 AS wrong FROM hermet.conversation_list(1);
SELECT messages > 770 AS wrong FROM hermet.unread_totals(1);
SELECT count(*) FROM hermet.conversation_list(2);
SELECT endpoint, user_id, key, read_side -> 'unread_count' AS read_side FROM report();
SELECT plant('UPDATE im.user_conversation_view SET conversation_name = ''stale'' WHERE user_id = 2 AND channel_id = 101');
SELECT plant('DELETE FROM im.user_contact_view WHERE user_id = 3');
SELECT plant('INSERT INTO im.user_contact_view SELECT 999, 11, 5, contact_nickname, contact_avatar, contact_info_ver, ''zzz'', group_name, tags, is_starred, is_blocked, mobile, source, added_at, deleted_at, created_at, updated_at FROM im.user_contact_view WHERE user_id = 4 LIMIT 1');
SELECT plant('UPDATE im.user_conversation_view SET list_hour = 5 WHERE user_id = 5 AND channel_id = 2');
SELECT plant('UPDATE im.user_contact_view SET updated_at = 5 WHERE user_id = 6');
SELECT count(*) FROM hermet.conversation_list(2);
SELECT count(*) FROM hermet.contact_list(3);
SELECT count(*) FROM hermet.contact_list(11);
SELECT count(*) FROM hermet.conversation_list(5);
SELECT count(*) FROM hermet.contact_list(6);
SELECT endpoint, user_id, key, read_side, write_side FROM report();
-- It is told in rollout() and health(), until a full repair.
SELECT count(*) FROM hermet.conversation_list(2);
SELECT mismatches, last_mismatch ->> 'endpoint' AS endpoint, last_mismatch -> 'read_side' AS read_side FROM hermet.rollout();
SELECT problem, object, regexp_replace(detail, 'at .*: ', 'at ...: ') AS detail FROM hermet.health();
SELECT sum(inserted + updated + deleted) AS repaired FROM hermet.repair();
SELECT mismatches FROM hermet.rollout();
SELECT problem FROM hermet.health();
SELECT count(*) FROM shown(50);
SELECT mismatches FROM hermet.rollout();

-- A role that may only read is noted for, too; and nobody fails where nothing can be noted.
SELECT plant('UPDATE im.user_conversation_view SET unread_count = 777 WHERE user_id = 1 AND channel_id = 101');
SET ROLE regress_hermet_roller;
SELECT sum(unread_count) > 770 AS wrong FROM hermet.conversation_list(1);
RESET ROLE;
SELECT endpoint, user_id, key FROM report();
BEGIN READ ONLY;
SELECT sum(unread_count) > 770 AS wrong FROM hermet.conversation_list(1);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT sum(unread_count) > 770 AS wrong FROM hermet.conversation_list(1);
COMMIT;
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM FROM hermet.conversation_list(1); RETURN NULL; END';
CREATE TRIGGER look AFTER INSERT ON channel_application FOR EACH ROW EXECUTE FUNCTION look();
INSERT INTO channel_application (id, applicant_id, application_type, target_id) VALUES (1, 1, 'contact', 5);
DROP TRIGGER look ON channel_application;
SELECT count(*) FROM report();
-- The last thousand are kept, or a few more.
INSERT INTO hermet_mismatch (endpoint, user_id) SELECT 'conversation_list', 1 FROM generate_series(1, 1500);
SELECT count(*) FROM generate_series(1, 10) g, LATERAL (SELECT count(*) FROM hermet.conversation_list(1 + g * 0)) x;
SELECT mismatches FROM hermet.rollout();
SELECT count(*) > 0 AS repaired FROM hermet.repair();

-- Where the write side cannot be read, who is served from the read side does not notice, but it is told.
ALTER TABLE channel_read_record RENAME last_read_message_id TO odd;
SELECT count(*) > 5 AS served FROM hermet.conversation_list(1);
SELECT endpoint, user_id, key, read_side, write_side FROM hermet_mismatch;
SELECT count(*) > 0 AS served FROM hermet.contact_list(1);
ALTER TABLE channel_read_record RENAME odd TO last_read_message_id;
SELECT count(*) FROM report();
-- Nor where nothing can be noted because the table is gone.
ALTER TABLE hermet_mismatch RENAME TO elsewhere;
SELECT plant('UPDATE im.user_conversation_view SET unread_count = 777 WHERE user_id = 1 AND channel_id = 101');
SELECT sum(unread_count) > 770 AS wrong FROM hermet.conversation_list(1);
ALTER TABLE elsewhere RENAME TO hermet_mismatch;
SELECT count(*) FROM report();
-- An instance of an older version has no such tables.
DROP TABLE hermet_rollout, hermet_mismatch;
SELECT sum(unread_count) > 770 AS wrong FROM hermet.conversation_list(1);
SELECT hermet.set_rollout(0);
SELECT percent, shadow, mismatches FROM hermet.rollout();
SELECT count(*) > 0 AS repaired FROM hermet.repair() WHERE updated > 0;
SELECT hermet.upgrade();
SELECT hermet.set_rollout(0);
SELECT percent, shadow, mismatches FROM hermet.rollout();

-- Which instance is meant is remembered, and noticed when it changes.
SELECT count(*) > 5 AS served FROM hermet.conversation_list(1);
SELECT hermet.create_tables('second');
SELECT hermet.conversation_list(1);
SELECT count(*) FROM hermet.conversation_list(1, target => 'second');
ALTER SCHEMA second RENAME TO third;
SELECT hermet.conversation_list(1, target => 'second');
SELECT count(*) FROM hermet.conversation_list(1, target => 'third');
BEGIN;
SET LOCAL client_min_messages = warning;
DROP SCHEMA third CASCADE;
SELECT count(*) > 5 AS served FROM hermet.conversation_list(1);
ROLLBACK;
SELECT hermet.conversation_list(1);
SELECT hermet.detach('im');
SELECT count(*) FROM hermet.conversation_list(1);
SELECT hermet.conversation_list(1, target => 'im');

SET client_min_messages = warning;
DROP OWNED BY regress_hermet_roller;
DROP ROLE regress_hermet_roller;
\c :main
DROP DATABASE regress_hermet_rollout;
