-- Migration of a legacy user_contact table: what becomes of each column, the forms that values may have, sources of
-- every kind, errors. The dirty table of 100,000 rows is in test/tap/012_migrate.pl.
SET client_min_messages = warning;
SELECT hermet.create_tables('mig "im"');
SET search_path = 'mig "im"';
\set clean 'SELECT testing.clean(\'mig "im"\') AS drift;'
\set inbox 'SELECT CASE WHEN id < 1000 THEN id END AS id, user_id, channel_id, conversation_type AS type, conversation_name AS name, peer_user_id AS peer, is_muted AS m, is_pinned AS p, is_hidden AS h, last_message_id AS msg, last_message_content AS content, last_message_sender_name AS sender, unread_count AS unread, last_read_message_id AS mark, opened_at, created_at FROM user_conversation_view ORDER BY channel_id, user_id;'
CREATE SCHEMA mig_legacy;
CREATE TABLE mig_legacy."user contact" (id bigint PRIMARY KEY, user_id bigint, channel_id bigint, contact_type text, contact_name text, contact_avatar text, peer_user_id bigint,
    last_message_id bigint, last_message_type text, last_message_content text, last_message_sender_id bigint, last_message_sender_name text, last_message_time bigint,
    unread_count int, is_muted boolean, is_pinned boolean, is_hidden boolean, joined_at bigint, left_at bigint, created_at bigint, updated_at bigint);
INSERT INTO mig_legacy."user contact" VALUES
    (1, 1, 10, 'single', 'Bob', 'b.png', 2, 1002, 'text', 'hello', 2, 'Bob', 5000, 1, true, false, false, 1000, 0, 900, 6000),
    (2, 2, 10, 'single', 'Ann', 'a.png', 1, 1002, 'text', 'hello', 2, 'Bob', 5000, 0, false, false, false, 1000, 0, 900, 6000),
    (3, 1, 20, 'group', 'Picnic', 'p.png', NULL, 2001, 'image', '[image]', 2, 'Bob', 7000, 0, false, true, true, 2000, 0, 1900, 7000),
    (4, 2, 20, 'group', 'Picnic', 'p.png', NULL, 2001, 'image', '[image]', 2, 'Bob', 7000, 0, false, false, false, 2100, 0, 1900, 7000),
    (5, 3, 20, 'group', 'Picnic', 'p.png', NULL, 1999, 'text', 'old', 2, 'Bob', 3000, 9, false, false, false, 2100, 8000, 1900, 7000),
    (6, 3, 30, 'single', 'Nobody', '', NULL, 0, '', '', 0, '', 0, 0, false, false, false, 3000, 0, 2900, 6000),
    (7, 3, 40, 'single', 'Dora', '', 4, 4001, 'text', 'never arrived', 4, '', 4100, 0, false, false, false, 4000, 0, 3900, 6000),
    (8, 9, 40, 'single', 'Dora', '', 4, 0, '', '', 0, '', 0, 0, false, false, false, 4000, 0, 3900, 5000),
    (11, 5, 60, 'group', 'Quiet', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, false, false, false, 4000, 0, 3900, 5000),
    (9, NULL, NULL, 'single', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO message (id, channel_id, sender_id, sent_at, created_at) VALUES (3001, 40, 4, 4050, 4050);
SELECT * FROM hermet.migrate_user_contact('mig_legacy."user contact"', 'mig "im"');
:inbox
SELECT CASE WHEN id < 1000 THEN id END AS id, channel_id, user_id, role, nickname, joined_at, left_at, created_at, updated_at FROM channel_member ORDER BY channel_id, user_id;
SELECT id, channel_type, channel_name, channel_avatar, channel_status, creator_id, created_at, updated_at FROM channel ORDER BY id;
SELECT user_id, channel_id, is_muted, is_pinned, is_hidden, closed_at > 0 AS closed FROM conversation_setting ORDER BY 2, 1;
SELECT id, channel_id, sender_id, message_type, content, sent_at, created_at FROM message ORDER BY id;
SELECT id, nickname, avatar FROM biz_user ORDER BY id;
SELECT legacy_id, user_id, channel_id, outcome, reason, detail FROM hermet_migration_row ORDER BY id;
SELECT source, finished_at > 0 AS finished, last_channel_id, legacy_rows, done_rows, left_out, carried, not_carried, users, messages, settings, read_marks, channels, members FROM hermet_migration;
:clean

-- Again: nothing changes, but for a row that came, and one that was mended. What was carried is the applications' now.
INSERT INTO message (id, channel_id, sender_id) VALUES (6001, 60, 6);
SELECT testing.fingerprint('mig "im"') AS before \gset
SELECT count(*) FROM hermet.migrate_user_contact('mig_legacy."user contact"', 'mig "im"');
SELECT testing.fingerprint('mig "im"') = :'before' AS unchanged;
UPDATE mig_legacy."user contact" SET peer_user_id = 1, is_pinned = true WHERE id = 6;
UPDATE mig_legacy."user contact" SET is_muted = true, unread_count = 1 WHERE id = 4;
INSERT INTO mig_legacy."user contact" SELECT 10, 4, channel_id, contact_type, 'Outing', contact_avatar, peer_user_id, last_message_id, last_message_type, last_message_content, last_message_sender_id, last_message_sender_name,
    last_message_time, 1, true, is_pinned, is_hidden, joined_at, left_at, created_at, updated_at FROM mig_legacy."user contact" WHERE id = 4;
SELECT * FROM hermet.migrate_user_contact('mig_legacy."user contact"', 'mig "im"');
SELECT user_id, channel_id, conversation_name, is_muted, is_pinned, unread_count, closed_at > 0 AS closed FROM user_conversation_view WHERE channel_id IN (20, 30, 60) ORDER BY 2, 1;
SELECT legacy_id, reason, detail FROM hermet_migration_row WHERE migration_id = (SELECT max(id) FROM hermet_migration) ORDER BY id;
:clean

-- Where messages are there, the read mark stands before the n-th last that counts.
INSERT INTO message (id, channel_id, sender_id, message_type, sent_at, deleted_at)
VALUES (5001, 50, 6, 'text', 100, 0), (5002, 50, 6, 'text', 200, 0), (5003, 50, 5, 'text', 300, 0), (5004, 50, 6, 'system', 400, 0), (5005, 50, 6, 'text', 500, 9), (5006, 50, 6, 'text', 600, 0), (5007, 50, 5, 'text', 700, 0);
CREATE TABLE mig_legacy.marks AS
SELECT 500 + u AS id, CASE u WHEN 0 THEN 6 ELSE u END::bigint AS user_id, 50::bigint AS channel_id, 'group'::text AS contact_type, 'Marks'::text AS contact_name, ''::text AS contact_avatar, NULL::bigint AS peer_user_id, n AS unread_count,
       false AS is_muted, false AS is_pinned, false AS is_hidden, CASE u WHEN 19 THEN 550 ELSE 50 END::bigint AS joined_at, 0::bigint AS left_at, 50::bigint AS created_at, 50::bigint AS updated_at
  FROM (VALUES (11, 0), (12, 1), (13, 2), (14, 3), (15, 5), (16, 6), (17, -1), (18, NULL), (19, 3), (0, 1)) v (u, n);
SELECT * FROM hermet.migrate_user_contact('mig_legacy.marks', 'mig "im"');
SELECT v.user_id, l.unread_count AS legacy, v.unread_count, v.last_read_message_id FROM user_conversation_view v JOIN mig_legacy.marks l USING (user_id, channel_id) ORDER BY 1;
SELECT user_id, detail FROM hermet_migration_row WHERE reason = 'unread_count differs' AND channel_id = 50 ORDER BY 1;
:clean

-- Other forms of the same: numbers, an enum, domains, small and large integers, timestamps; tables of every kind.
CREATE TYPE mig_legacy.kind AS ENUM ('single', 'group');
CREATE DOMAIN mig_legacy.number AS bigint CHECK (value > 0);
CREATE TABLE mig_legacy.forms (id numeric(20), user_id mig_legacy.number, channel_id int, contact_type smallint, contact_name varchar(10), contact_avatar char(10), peer_user_id numeric,
    unread_count smallint, is_muted smallint, is_pinned int, is_hidden numeric, joined_at timestamptz, left_at timestamp, created_at timestamp, updated_at numeric, extra point) PARTITION BY RANGE (channel_id);
CREATE TABLE mig_legacy.forms_1 PARTITION OF mig_legacy.forms FOR VALUES FROM (0) TO (65);
CREATE TABLE mig_legacy.forms_2 PARTITION OF mig_legacy.forms FOR VALUES FROM (65) TO (1000);
SET timezone = 'UTC';
INSERT INTO mig_legacy.forms VALUES
    (61, 1, 61, 1, 'Bob', 'b', 2, 0, 1, 0, 0, '2024-01-01 00:00:00.123456+00', NULL, '2024-01-01', 1704067200123),
    (62, 2, 61, 1, 'Ann', 'a', 1, 0, 0, 1, 2, '-infinity', NULL, '2024-01-01', 'NaN'),
    (99999999999999999999, 1, 66, 2, 'Six', '', NULL, 0, 0, 0, 0, '2024-01-01', NULL, '2024-01-01', 1704067200000.5),
    (67, 2, 66, 2, 'Six', '', NULL, 0, 0, 0, 0, '2024-01-01', '2024-02-01', '2024-01-01', 0),
    (68, 3, 66, 3, 'Six', '', NULL, 0, 0, 0, 0, '2024-01-01', NULL, '2024-01-01', 0);
SELECT * FROM hermet.migrate_user_contact('mig_legacy.forms', 'mig "im"');
SELECT id BETWEEN 1 AND 99 AS kept, user_id, channel_id, conversation_type, conversation_name, peer_user_id, is_muted, is_pinned, is_hidden, opened_at, created_at FROM user_conversation_view WHERE channel_id IN (61, 66) ORDER BY 3, 2;
SELECT legacy_id, user_id, reason, regexp_replace(detail, 'now \d+', 'now ...') FROM hermet_migration_row WHERE channel_id IN (61, 66) AND outcome <> 'not carried' ORDER BY id;
CREATE VIEW mig_legacy.seen AS SELECT id + 10000 AS id, user_id, channel_id + 700 AS channel_id, CASE contact_type WHEN 1 THEN 'single' ELSE 'group' END::mig_legacy.kind AS contact_type, contact_name, contact_avatar, peer_user_id,
    unread_count, is_muted, is_pinned, is_hidden, joined_at, left_at, created_at, updated_at FROM mig_legacy.forms;
CREATE MATERIALIZED VIEW mig_legacy.kept AS SELECT * FROM mig_legacy.seen WHERE channel_id > 761;
CALL hermet.migrate_user_contact_in_batches('mig_legacy.kept', 'mig "im"', 1);
CALL hermet.migrate_user_contact_in_batches(source => 'mig_legacy.seen', target => 'mig "im"', batch_rows => 1, notice_seconds => NULL);
SELECT user_id, channel_id, conversation_type FROM user_conversation_view WHERE channel_id > 700 ORDER BY 2, 1;
:clean

-- What is refused.
SELECT * FROM testing.error($$SELECT * FROM hermet.migrate_user_contact(NULL, 'mig "im"')$$);
SELECT code, message FROM testing.error($$SELECT * FROM hermet.migrate_user_contact('mig_legacy.marks', 'mig')$$);
SELECT * FROM testing.error($$SELECT * FROM hermet.migrate_user_contact('"mig ""im""".channel', 'mig "im"')$$);
SELECT * FROM testing.error($$SELECT * FROM hermet.migrate_user_contact(1::regclass, 'mig "im"')$$);
SELECT * FROM testing.error($$SELECT * FROM hermet.migrate_user_contact('"mig ""im""".channel_pkey', 'mig "im"')$$);
CREATE TABLE mig_legacy.unfit (LIKE mig_legacy."user contact");
ALTER TABLE mig_legacy.unfit DROP peer_user_id, DROP last_message_id, DROP updated_at;
SELECT * FROM testing.error($$SELECT * FROM hermet.migrate_user_contact('mig_legacy.unfit', 'mig "im"')$$);
ALTER TABLE mig_legacy.unfit ADD peer_user_id text, ADD last_message_id xid8, ADD updated_at text, ALTER is_muted TYPE text, ALTER contact_type TYPE boolean USING NULL, ALTER contact_name TYPE bytea USING NULL;
SELECT * FROM testing.error($$SELECT * FROM hermet.migrate_user_contact('mig_legacy.unfit', 'mig "im"')$$);
SELECT code, message FROM testing.error($$SELECT hermet.migrate_step(0, 'mig "im"', 10)$$);
SELECT code, message FROM testing.error($$SELECT hermet.migrate_step(1, 'mig "im"', 0)$$);
SELECT hermet.migrate_step(1, 'mig "im"', 10), hermet.migrate_progress(0, 'mig "im"');
CALL hermet.migrate_user_contact_in_batches('mig_legacy.marks', 'mig "im"', batch_rows => 0);
SELECT count(*) FROM hermet_migration WHERE finished_at = 0;
BEGIN;
CALL hermet.migrate_user_contact_in_batches('mig_legacy.marks', 'mig "im"');
ROLLBACK;
CREATE ROLE regress_hermet_migrate;
GRANT USAGE ON SCHEMA testing, mig_legacy, "mig ""im""" TO regress_hermet_migrate;
GRANT SELECT ON ALL TABLES IN SCHEMA mig_legacy TO regress_hermet_migrate;
SET ROLE regress_hermet_migrate;
SELECT code, message FROM testing.error($$SELECT * FROM hermet.migrate_user_contact('mig_legacy.marks', 'mig "im"')$$);
RESET ROLE;
-- ... rows that row security would hide from the owner, and a table that he may not read.
SELECT hermet.create_tables('mig_own');
DO $$ DECLARE t text; BEGIN
  FOR t IN SELECT name FROM hermet.relations('mig_own') LOOP EXECUTE format('ALTER TABLE %s OWNER TO regress_hermet_migrate', t); END LOOP;
END $$;
GRANT ALL ON SCHEMA mig_own TO regress_hermet_migrate;
ALTER TABLE mig_legacy.marks ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON mig_legacy.forms FROM regress_hermet_migrate;
SET ROLE regress_hermet_migrate;
SELECT code, message FROM testing.error($$SELECT * FROM hermet.migrate_user_contact('mig_legacy.marks', 'mig_own')$$);
SELECT code, message FROM testing.error($$SELECT * FROM hermet.migrate_user_contact('mig_legacy.forms', 'mig_own')$$);
SELECT count(*) FROM hermet.migrate_user_contact('mig_legacy."user contact"', 'mig_own');
RESET ROLE;
SELECT user_id, channel_id FROM mig_own.user_conversation_view ORDER BY 2, 1;
SELECT testing.clean('mig_own');
REVOKE USAGE ON SCHEMA testing FROM regress_hermet_migrate;
-- Unfinished, it is in the report on the instance's health.
INSERT INTO mig_own.hermet_migration (source, legacy_rows, done_rows) VALUES ('legacy.t', 9, 3);
SELECT * FROM hermet.health('mig_own');
DROP SCHEMA "mig ""im""", mig_own, mig_legacy CASCADE;
DROP ROLE regress_hermet_migrate;
