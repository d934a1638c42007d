-- Attaching tables that exist: an earlier deployment's, with data; what does not fit is said precisely.
-- In a database of its own.
SELECT current_database() AS main \gset
CREATE DATABASE regress_hermet_attach;
\c regress_hermet_attach
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
\set clean 'SELECT testing.clean(\'old\') AS drift;'

-- The shape of an earlier deployment: the same tables without message, conversation_setting and the
-- applications' later columns; plain numbers for the times; keys of its own kind; and a column more.
CREATE SCHEMA old;
SET search_path = old;
CREATE TYPE user_status_enum AS ENUM ('active', 'disabled', 'deleted');
CREATE TYPE gender_enum AS ENUM ('unknown', 'male', 'female');
CREATE TYPE channel_type_enum AS ENUM ('single', 'group');
CREATE TYPE channel_status_enum AS ENUM ('creating', 'active', 'failed', 'archived');
CREATE TYPE channel_member_role_enum AS ENUM ('owner', 'admin', 'member');
CREATE TYPE friendship_source_enum AS ENUM ('search', 'qrcode', 'group');
CREATE TABLE biz_user (id bigint PRIMARY KEY, email varchar(128) NOT NULL DEFAULT '', mobile varchar(16) NOT NULL DEFAULT '', passwd varchar(128) NOT NULL DEFAULT '',
    nickname varchar(64) NOT NULL, avatar varchar(256) NOT NULL DEFAULT '', gender gender_enum NOT NULL DEFAULT 'unknown', region varchar(64) NOT NULL DEFAULT '',
    birthday bigint NOT NULL DEFAULT 0, tagline varchar(256) NOT NULL DEFAULT '', info_ver int NOT NULL DEFAULT 1, user_status user_status_enum NOT NULL DEFAULT 'active',
    deleted_at bigint NOT NULL DEFAULT 0, created_at bigint NOT NULL, updated_at bigint NOT NULL, legacy_id text);
CREATE TABLE channel (id bigint PRIMARY KEY, channel_name varchar(128), channel_type channel_type_enum NOT NULL, channel_avatar varchar(256),
    channel_status channel_status_enum NOT NULL DEFAULT 'active', channel_info_ver int NOT NULL DEFAULT 1, channel_member_count int NOT NULL DEFAULT 0,
    last_message_at bigint NOT NULL DEFAULT 0, creator_id bigint NOT NULL, created_at bigint NOT NULL, updated_at bigint NOT NULL);
CREATE TABLE channel_member (id bigint PRIMARY KEY, channel_id bigint NOT NULL, user_id bigint NOT NULL, role channel_member_role_enum NOT NULL DEFAULT 'member',
    nickname varchar(64) NOT NULL DEFAULT '', joined_at bigint NOT NULL, left_at bigint NOT NULL DEFAULT 0, created_at bigint NOT NULL, updated_at bigint NOT NULL);
CREATE UNIQUE INDEX uk_member ON channel_member (channel_id, user_id);
CREATE TABLE channel_read_record (id bigint PRIMARY KEY, user_id bigint NOT NULL, channel_id bigint NOT NULL, last_read_message_id bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL, updated_at bigint NOT NULL);
CREATE TABLE friendship (id bigint PRIMARY KEY, user_id bigint NOT NULL, friend_id bigint NOT NULL, remark_name varchar(64) NOT NULL DEFAULT '',
    source friendship_source_enum NOT NULL DEFAULT 'search', tags varchar(128)[] NOT NULL DEFAULT '{}', group_name varchar(32) NOT NULL DEFAULT 'friends',
    is_starred boolean NOT NULL DEFAULT false, is_blocked boolean NOT NULL DEFAULT false, added_at bigint NOT NULL, deleted_at bigint NOT NULL DEFAULT 0,
    created_at bigint NOT NULL, updated_at bigint NOT NULL, UNIQUE (user_id, friend_id));
INSERT INTO biz_user (id, nickname, created_at, updated_at, legacy_id) VALUES (101, 'Ann', 1, 1, 'a'), (102, 'Bob', 1, 1, 'b'), (103, 'Cid', 1, 1, 'c');
UPDATE biz_user SET deleted_at = 5, info_ver = 7 WHERE id = 103;
INSERT INTO channel (id, channel_type, channel_name, channel_avatar, channel_member_count, last_message_at, creator_id, created_at, updated_at)
VALUES (1, 'single', '', '', 9, 99, 0, 1, 1), (2, 'group', 'two', '2.png', 9, 99, 101, 1, 1), (3, 'single', '', '', 9, 99, 0, 1, 1);
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at, updated_at, left_at)
VALUES (11, 1, 101, 10, 11, 1, 0), (12, 1, 102, 12, 13, 1, 0), (21, 2, 101, 14, 15, 1, 0), (22, 2, 102, 16, 17, 1, 5), (23, 2, 103, 18, 19, 1, 0), (31, 3, 101, 20, 21, 1, 0);
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id, created_at, updated_at) VALUES (1, 101, 1, 50, 1, 1);
INSERT INTO friendship (id, user_id, friend_id, remark_name, added_at, created_at, updated_at) VALUES (1, 101, 102, 'Bobby', 22, 23, 1), (2, 102, 101, '', 24, 25, 1), (3, 101, 103, '', 26, 27, 1);
SELECT hermet.attach('old');
-- All data is as it was, the columns of its own included; what was missing is there.
SELECT id, nickname, info_ver, deleted_at, legacy_id FROM biz_user ORDER BY 1;
SELECT id, channel_name, channel_member_count, last_message_at, last_message_id FROM channel ORDER BY 1;
SELECT count(*) FROM friendship;
SELECT count(*) FROM channel_application;
SELECT user_id, channel_id, conversation_name, conversation_info_ver, peer_user_id, last_read_message_id, opened_at, created_at FROM user_conversation_view ORDER BY 2, 1;
SELECT user_id, contact_id, contact_nickname, remark_name, added_at, created_at FROM user_contact_view ORDER BY 1, 2;
SELECT * FROM conversation_reverse_index ORDER BY 1, 2, 3;
SELECT * FROM contact_reverse_index ORDER BY 1, 2;
:clean
SELECT * FROM hermet.health('old');
-- It is an instance like any other: short inserts, upserts, flows.
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (60, 1, 102, 'hello', 60);
INSERT INTO channel_member (id, channel_id, user_id) VALUES (32, 3, 102);
INSERT INTO channel_read_record (id, user_id, channel_id) VALUES (2, 102, 1) ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = 60;
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (101, 1, true);
INSERT INTO channel_application (id, applicant_id, application_type, target_id) VALUES (1, 101, 'channel', 2) ON CONFLICT (target_id, id) DO NOTHING;
UPDATE channel SET channel_name = 'TWO' WHERE id = 2;
SELECT user_id, channel_id, conversation_name, is_pinned, last_message_content, unread_count FROM user_conversation_view ORDER BY 2, 1;
:clean
SELECT code, message FROM testing.error($$SELECT hermet.attach('old')$$);

-- Detached: the data stays, nothing is kept any more; attached again, the drift is gone.
SELECT hermet.detach('old');
SELECT count(*) FROM hermet.instances();
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (61, 1, 101, 'while detached', 61);
UPDATE biz_user SET nickname = 'Robert' WHERE id = 102;
UPDATE friendship SET deleted_at = 5 WHERE id = 2;
UPDATE channel_member SET left_at = 5 WHERE id = 21;
INSERT INTO channel (id, channel_type, channel_name) VALUES (4, 'group', 'four');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (41, 4, 103);
UPDATE user_conversation_view SET unread_count = 77;
DELETE FROM conversation_reverse_index;
INSERT INTO contact_reverse_index VALUES (1, 2, 3);
SELECT user_id, channel_id, conversation_name, last_message_content, unread_count FROM user_conversation_view ORDER BY 2, 1;
SELECT hermet.attach('old');
SELECT user_id, channel_id, conversation_name, last_message_content, unread_count FROM user_conversation_view ORDER BY 2, 1;
:clean
SELECT count(*) FROM hermet.health('old');
SELECT hermet.detach('old');
DROP TABLE user_contact_view, hermet_check, conversation_setting;
ALTER TABLE message DROP COLUMN mention_all;
DROP INDEX biz_user_email_key;
SELECT hermet.attach('old');
:clean
SELECT count(*) FROM hermet.health('old');
SELECT hermet.detach('old');

-- What does not fit: each by itself, and nothing is changed meanwhile.
CREATE FUNCTION public.misfit(statement text, OUT code text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE statement;
        SELECT e.* INTO code, message, detail, hint FROM testing.error($q$SELECT hermet.attach('old')$q$) e;
        RAISE query_canceled;
    EXCEPTION WHEN query_canceled THEN
        NULL;
    END;
END
$$;
-- ... a type, several, an array, an enum, one that is wider or narrower
SELECT * FROM public.misfit('ALTER TABLE old.biz_user ALTER COLUMN nickname TYPE text');
SELECT detail FROM public.misfit('ALTER TABLE old.biz_user ALTER COLUMN nickname TYPE text, ALTER COLUMN birthday TYPE numeric');
SELECT detail FROM public.misfit('ALTER TABLE old.friendship ALTER COLUMN tags DROP DEFAULT, ALTER COLUMN tags TYPE text[]');
SELECT detail FROM public.misfit('ALTER TABLE old.channel_member ALTER COLUMN joined_at DROP DEFAULT, ALTER COLUMN joined_at TYPE timestamptz USING to_timestamp(joined_at)');
SELECT detail FROM public.misfit('ALTER TABLE old.channel ALTER COLUMN channel_name TYPE varchar(256)');
SELECT detail FROM public.misfit('ALTER TABLE old.channel ALTER COLUMN channel_status DROP DEFAULT, ALTER COLUMN channel_status TYPE text');
SELECT detail FROM public.misfit('ALTER TABLE old.user_conversation_view ALTER COLUMN unread_count TYPE bigint');
SELECT detail FROM public.misfit($$ALTER TYPE old.gender_enum RENAME VALUE 'male' TO 'man'$$);
SELECT detail FROM public.misfit($$ALTER TYPE old.user_status_enum ADD VALUE 'frozen'$$);
SELECT detail FROM public.misfit('CREATE COLLATION old.loose (provider = icu, locale = $x$und-u-ks-level2$x$, deterministic = false); ALTER TABLE old.biz_user ALTER COLUMN nickname TYPE varchar(64) COLLATE old.loose');
-- ... a column that is not there and has no default (of the read side it is added and derived: see health)
SELECT detail FROM public.misfit('ALTER TABLE old.message DROP COLUMN sender_id');
SELECT code, detail FROM public.misfit('ALTER TABLE old.channel_member DROP COLUMN user_id');
-- ... duplicates where a key is missing, NULLs where none may be
SELECT detail FROM public.misfit('ALTER TABLE old.channel_read_record DROP CONSTRAINT channel_read_record_user_id_channel_id_key; INSERT INTO old.channel_read_record (id, user_id, channel_id) VALUES (90, 101, 1), (91, 102, 1)');
SELECT detail FROM public.misfit('ALTER TABLE old.friendship DROP CONSTRAINT friendship_pkey; UPDATE old.friendship SET id = 1');
SELECT detail FROM public.misfit('ALTER TABLE old.message ALTER COLUMN content DROP NOT NULL; UPDATE old.message SET content = NULL');
SELECT detail FROM public.misfit('ALTER TABLE old.message ALTER COLUMN content DROP NOT NULL, ALTER COLUMN sent_at DROP NOT NULL; UPDATE old.message SET content = NULL, sent_at = NULL WHERE id = 61');
SELECT detail FROM public.misfit('DROP INDEX old.biz_user_mobile_key; UPDATE old.biz_user SET mobile = $x$1$x$ WHERE id IN (101, 102)');
-- ... something else of that name: a view, an unlogged table, a partitioned one, a foreign owner's
SELECT detail FROM public.misfit('ALTER TABLE old.message RENAME TO message_2; CREATE VIEW old.message AS SELECT * FROM old.message_2');
SELECT detail FROM public.misfit('ALTER TABLE old.message SET UNLOGGED');
SELECT detail FROM public.misfit('DROP TABLE old.message; CREATE TABLE old.message (id bigint, channel_id bigint) PARTITION BY HASH (channel_id)');
SELECT code, message, hint FROM public.misfit('CREATE ROLE regress_hermet_attach; ALTER TABLE old.message OWNER TO regress_hermet_attach');
-- ... a third member in a single channel, which no trigger saw: the rules say who the peer is, and nothing stops the attaching
SELECT code, message FROM public.misfit('INSERT INTO old.channel_member (id, channel_id, user_id) VALUES (99, 1, 103)');
-- ... no table at all, no schema
CREATE SCHEMA empty;
SELECT * FROM testing.error($$SELECT hermet.attach('empty')$$);
SELECT * FROM testing.error($$SELECT hermet.attach('nowhere')$$);
SELECT code FROM testing.error('SELECT hermet.attach(NULL)');
-- Nothing of all that has left a trace.
SELECT hermet.attach('old');
:clean
SELECT count(*) FROM hermet.health('old');
-- Missing keys and defaults, NOT NULLs that no row contradicts: they are added.
SELECT hermet.detach('old');
ALTER TABLE channel_read_record DROP CONSTRAINT channel_read_record_pkey;
ALTER TABLE message ALTER COLUMN content DROP NOT NULL, ALTER COLUMN content DROP DEFAULT, ALTER COLUMN sent_at DROP DEFAULT;
ALTER TABLE message DROP CONSTRAINT message_pkey;
SELECT hermet.attach('old');
INSERT INTO message (id, channel_id, sender_id) VALUES (70, 1, 101) ON CONFLICT (channel_id, id) DO NOTHING;
SELECT code, message FROM testing.error('INSERT INTO old.message (id, channel_id, sender_id, content) VALUES (71, 1, 101, NULL)');
SELECT code, message FROM testing.error('INSERT INTO old.channel_read_record (id, user_id, channel_id) VALUES (1, 500, 500)');
:clean
SELECT count(*) FROM hermet.health('old');
-- Only one table there is enough to attach; the rest is made.
CREATE TABLE empty.biz_user (id bigint PRIMARY KEY, nickname varchar(64));
INSERT INTO empty.biz_user VALUES (1, 'only');
SELECT hermet.attach('empty');
SELECT id, nickname, info_ver, user_status FROM empty.biz_user;
SELECT testing.clean('empty') AS drift;
SELECT count(*) FROM hermet.health('empty');
\c :main
DROP DATABASE regress_hermet_attach;
