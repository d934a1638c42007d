/* hermet 0.1.0: installed by CREATE EXTENSION hermet. Joined by make from src/sql. */
\echo Use "CREATE EXTENSION hermet" to load this file. \quit
/* Ids: 41 bits of milliseconds since 2025-01-01 UTC, 10 bits of shard, 12 bits of sequence. */

-- The shared part of an id (time and sequence, 53 bits); next_id() moves it on to the clock.
CREATE SEQUENCE hermet.id_sequence AS bigint MINVALUE 0 START 0 MAXVALUE 9007199254740991;
COMMENT ON SEQUENCE hermet.id_sequence IS 'time and sequence of the last id given out by next_id()';
SELECT pg_catalog.pg_extension_config_dump('hermet.id_sequence', '');

CREATE FUNCTION hermet.next_id(shard_value bigint DEFAULT 0) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hermet_next_id';
COMMENT ON FUNCTION hermet.next_id(bigint) IS
    'a new id, unique across sessions and rising in time; shard_value mod 1024 goes into its middle bits';

CREATE FUNCTION hermet.id_shard(id bigint) RETURNS integer
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_id_shard';
COMMENT ON FUNCTION hermet.id_shard(bigint) IS 'the shard value (0 to 1023) that an id of next_id() carries';

CREATE FUNCTION hermet.id_time(id bigint) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_id_time';
COMMENT ON FUNCTION hermet.id_time(bigint) IS 'when an id of next_id() was made, in Unix milliseconds';

CREATE FUNCTION hermet.now_ms() RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_now_ms';
COMMENT ON FUNCTION hermet.now_ms() IS
    'the wall clock in Unix milliseconds, as the column defaults and updated_at use it';
/*
 * What an instance consists of, said once: create_tables builds from it, attach and health compare
 * with it. A type that ends in _enum lives in the instance's schema. In defaults, "now" stands for
 * the clock: a built-in expression, so that the column keeps it when the extension is dropped.
 */

CREATE FUNCTION hermet.catalog_enums(OUT type_name text, OUT labels text[]) RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  VALUES ('user_status_enum', ARRAY['active', 'disabled', 'deleted']),
         ('gender_enum', ARRAY['unknown', 'male', 'female']),
         ('channel_type_enum', ARRAY['single', 'group']),
         ('channel_status_enum', ARRAY['creating', 'active', 'failed', 'archived']),
         ('channel_member_role_enum', ARRAY['owner', 'admin', 'member']),
         ('friendship_source_enum', ARRAY['search', 'qrcode', 'group']),
         ('application_type_enum', ARRAY['contact', 'channel']),
         ('application_status_enum', ARRAY['pending', 'approved', 'rejected'])
$$;
COMMENT ON FUNCTION hermet.catalog_enums() IS 'the enum types of an instance, with their labels in order';

CREATE FUNCTION hermet.catalog_tables(OUT side text, OUT table_name text, OUT key text[], OUT description text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  VALUES
    ('write', 'biz_user', ARRAY['id'], 'people; applications write it'),
    ('write', 'channel', ARRAY['id'], 'conversations of two or of many; applications write it'),
    ('write', 'channel_member', ARRAY['channel_id', 'user_id'], 'who is, or was, in a channel; applications write it'),
    ('write', 'channel_read_record', ARRAY['user_id', 'channel_id'], 'how far a user has read a channel; applications write it'),
    ('write', 'friendship', ARRAY['user_id', 'friend_id'], 'one direction of a friendship; applications write it'),
    ('write', 'channel_application', ARRAY['target_id', 'id'], 'requests to become a contact or to join a channel; applications write it'),
    ('write', 'message', ARRAY['channel_id', 'id'], 'messages; applications write it'),
    ('write', 'conversation_setting', ARRAY['user_id', 'channel_id'], 'a user''s own switches for a conversation; applications write it'),
    ('read', 'user_conversation_view', ARRAY['channel_id', 'user_id'], 'the inbox, one row a user and conversation; kept by hermet, applications only read it'),
    ('read', 'user_contact_view', ARRAY['user_id', 'contact_id'], 'the address book, one row a user and contact; kept by hermet, applications only read it'),
    ('read', 'conversation_reverse_index', ARRAY['peer_user_id', 'owner_user_id', 'channel_id'], 'in whose single conversations a user is the peer; kept by hermet'),
    ('read', 'contact_reverse_index', ARRAY['contact_user_id', 'owner_user_id'], 'whose friend a user is; kept by hermet'),
    ('state', 'hermet_instance', ARRAY['version'], 'the version that this instance was made or upgraded by'),
    ('state', 'hermet_check', ARRAY['id'], 'what the latest consistency checks found'),
    ('state', 'hermet_incident', ARRAY['id'], 'stored rows that could not take a change and were recomputed; a full repair clears it')
$$;
COMMENT ON FUNCTION hermet.catalog_tables() IS
    'the tables of an instance: write side, read side, and its own state; key is the primary key';

CREATE FUNCTION hermet.catalog_columns(OUT table_name text, OUT ordinal int, OUT column_name text, OUT type_name text,
                                       OUT default_value text, OUT nullable boolean, OUT description text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.t, row_number() OVER (PARTITION BY c.t ORDER BY c.n)::int, c.col, c.typ, c.def, c.nul, c.d
    FROM (VALUES
    (101, 'biz_user', 'id', 'bigint', NULL, false, 'the user, chosen by the application'),
    (102, 'biz_user', 'email', 'varchar(128)', '''''', false, 'unique among users not deleted, when not empty'),
    (103, 'biz_user', 'mobile', 'varchar(16)', '''''', false, 'unique among users not deleted, when not empty; shown to friends'),
    (104, 'biz_user', 'passwd', 'varchar(128)', '''''', false, 'the password hash; never copied anywhere'),
    (105, 'biz_user', 'nickname', 'varchar(64)', '''''', false, 'the displayed name'),
    (106, 'biz_user', 'avatar', 'varchar(256)', '''''', false, 'address of the picture'),
    (107, 'biz_user', 'gender', 'gender_enum', '''unknown''', false, 'gender'),
    (108, 'biz_user', 'region', 'varchar(64)', '''''', false, 'where the user lives'),
    (109, 'biz_user', 'birthday', 'bigint', '0', false, 'Unix milliseconds, 0 = not given'),
    (110, 'biz_user', 'tagline', 'varchar(256)', '''''', false, 'a sentence about oneself'),
    (111, 'biz_user', 'info_ver', 'int', '1', false, 'version of the displayed fields; rises with each change of one, never goes back'),
    (112, 'biz_user', 'user_status', 'user_status_enum', '''active''', false, 'active, disabled or deleted'),
    (113, 'biz_user', 'deleted_at', 'bigint', '0', false, 'when the user was deleted, Unix milliseconds, 0 = not'),
    (114, 'biz_user', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (115, 'biz_user', 'updated_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (201, 'channel', 'id', 'bigint', NULL, false, 'the channel, chosen by the application'),
    (202, 'channel', 'channel_name', 'varchar(128)', '''''', false, 'the name of a group'),
    (203, 'channel', 'channel_type', 'channel_type_enum', NULL, false, 'single (two people) or group'),
    (204, 'channel', 'channel_avatar', 'varchar(256)', '''''', false, 'address of a group''s picture'),
    (205, 'channel', 'channel_status', 'channel_status_enum', '''active''', false, 'only active channels are in inboxes'),
    (206, 'channel', 'channel_info_ver', 'int', '1', false, 'version of name and avatar; rises with each change of one, never goes back'),
    (207, 'channel', 'channel_member_count', 'int', '0', false, 'active members; kept by hermet'),
    (208, 'channel', 'last_message_at', 'bigint', '0', false, 'sent_at of the last message, 0 = none; kept by hermet'),
    (209, 'channel', 'creator_id', 'bigint', '0', false, 'who made the channel, 0 = unknown'),
    (210, 'channel', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (211, 'channel', 'updated_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (212, 'channel', 'last_message_id', 'bigint', '0', false, 'id of the last message, 0 = none; kept by hermet'),

    (301, 'channel_member', 'id', 'bigint', NULL, false, 'the membership; also the id of the inbox row'),
    (302, 'channel_member', 'channel_id', 'bigint', NULL, false, 'the channel'),
    (303, 'channel_member', 'user_id', 'bigint', NULL, false, 'the member'),
    (304, 'channel_member', 'role', 'channel_member_role_enum', '''member''', false, 'owner, admin or member'),
    (305, 'channel_member', 'nickname', 'varchar(64)', '''''', false, 'the member''s name in this channel, empty = the user''s own'),
    (306, 'channel_member', 'joined_at', 'bigint', 'now', false, 'earlier messages do not count as unread; becomes now when a member comes back'),
    (307, 'channel_member', 'left_at', 'bigint', '0', false, 'when the member left, Unix milliseconds, 0 = still here'),
    (308, 'channel_member', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (309, 'channel_member', 'updated_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (401, 'channel_read_record', 'id', 'bigint', NULL, false, 'the read mark'),
    (402, 'channel_read_record', 'user_id', 'bigint', NULL, false, 'the reader'),
    (403, 'channel_read_record', 'channel_id', 'bigint', NULL, false, 'the channel'),
    (404, 'channel_read_record', 'last_read_message_id', 'bigint', '0', false, 'messages with a higher id are unread'),
    (405, 'channel_read_record', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (406, 'channel_read_record', 'updated_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (501, 'friendship', 'id', 'bigint', NULL, false, 'the friendship; also the id of the contact row'),
    (502, 'friendship', 'user_id', 'bigint', NULL, false, 'whose address book'),
    (503, 'friendship', 'friend_id', 'bigint', NULL, false, 'the friend'),
    (504, 'friendship', 'remark_name', 'varchar(64)', '''''', false, 'what the user calls the friend'),
    (505, 'friendship', 'source', 'friendship_source_enum', '''search''', false, 'how they met'),
    (506, 'friendship', 'tags', 'varchar(128)[]', '''{}''', false, 'the user''s labels for the friend'),
    (507, 'friendship', 'group_name', 'varchar(32)', '''friends''', false, 'the user''s group for the friend'),
    (508, 'friendship', 'is_starred', 'boolean', 'false', false, 'shown first'),
    (509, 'friendship', 'is_blocked', 'boolean', 'false', false, 'blocked; changes nothing in the inbox'),
    (510, 'friendship', 'added_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (511, 'friendship', 'deleted_at', 'bigint', '0', false, 'when the friend was removed, Unix milliseconds, 0 = not'),
    (512, 'friendship', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (513, 'friendship', 'updated_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (601, 'channel_application', 'id', 'bigint', NULL, false, 'the application'),
    (602, 'channel_application', 'applicant_id', 'bigint', NULL, false, 'who asks'),
    (603, 'channel_application', 'application_type', 'application_type_enum', NULL, false, 'to become a contact, or to join a channel'),
    (604, 'channel_application', 'target_id', 'bigint', NULL, false, 'the user or the channel asked'),
    (605, 'channel_application', 'target_name', 'varchar(128)', '''''', false, 'the target''s name as it was'),
    (606, 'channel_application', 'target_avatar', 'varchar(256)', '''''', false, 'the target''s picture as it was'),
    (607, 'channel_application', 'application_status', 'application_status_enum', '''pending''', false, 'pending, approved or rejected'),
    (608, 'channel_application', 'application_message', 'varchar(256)', '''''', false, 'a word of introduction'),
    (609, 'channel_application', 'source', 'friendship_source_enum', '''search''', false, 'how they met'),
    (610, 'channel_application', 'reviewer_id', 'bigint', '0', false, 'who answered, 0 = nobody yet'),
    (611, 'channel_application', 'reviewed_at', 'bigint', '0', false, 'when, Unix milliseconds, 0 = not yet'),
    (612, 'channel_application', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (613, 'channel_application', 'updated_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (701, 'message', 'id', 'bigint', NULL, false, 'the message; a higher id is a later message'),
    (702, 'message', 'channel_id', 'bigint', NULL, false, 'the channel'),
    (703, 'message', 'sender_id', 'bigint', NULL, false, 'who sent it'),
    (704, 'message', 'message_type', 'varchar(32)', '''text''', false, 'text, image, ...; system messages never count as unread'),
    (705, 'message', 'content', 'text', '''''', false, 'what was said'),
    (706, 'message', 'mention_user_ids', 'bigint[]', '''{}''', false, 'users mentioned; NULL elements mention nobody'),
    (707, 'message', 'mention_all', 'boolean', 'false', false, 'mentions everyone in the channel'),
    (708, 'message', 'sent_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (709, 'message', 'deleted_at', 'bigint', '0', false, 'when it was recalled, Unix milliseconds, 0 = not'),
    (710, 'message', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (711, 'message', 'updated_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (801, 'conversation_setting', 'user_id', 'bigint', NULL, false, 'whose setting'),
    (802, 'conversation_setting', 'channel_id', 'bigint', NULL, false, 'of which conversation'),
    (803, 'conversation_setting', 'is_muted', 'boolean', 'false', false, 'no notifications; changes no counter'),
    (804, 'conversation_setting', 'is_pinned', 'boolean', 'false', false, 'shown first'),
    (805, 'conversation_setting', 'is_hidden', 'boolean', 'false', false, 'not shown, until shown again'),
    (806, 'conversation_setting', 'closed_at', 'bigint', '0', false, 'when the user removed the conversation from the list; it comes back with the next message'),
    (807, 'conversation_setting', 'marked_unread', 'boolean', 'false', false, 'marked as unread by hand'),
    (808, 'conversation_setting', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (809, 'conversation_setting', 'updated_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (901, 'user_conversation_view', 'id', 'bigint', NULL, false, 'id of the membership'),
    (902, 'user_conversation_view', 'user_id', 'bigint', NULL, false, 'whose inbox'),
    (903, 'user_conversation_view', 'channel_id', 'bigint', NULL, false, 'the channel'),
    (904, 'user_conversation_view', 'conversation_type', 'channel_type_enum', NULL, false, 'single or group'),
    (905, 'user_conversation_view', 'conversation_name', 'varchar(128)', NULL, false, 'the group''s name; in a single chat the remark name, else the peer''s nickname'),
    (906, 'user_conversation_view', 'conversation_avatar', 'varchar(256)', NULL, false, 'the group''s or the peer''s picture'),
    (907, 'user_conversation_view', 'conversation_info_ver', 'int', NULL, false, 'version of the group''s or the peer''s displayed fields'),
    (908, 'user_conversation_view', 'peer_user_id', 'bigint', NULL, true, 'the other one in a single chat; NULL in a group'),
    (909, 'user_conversation_view', 'peer_nickname', 'varchar(64)', NULL, true, 'the peer''s nickname; NULL in a group'),
    (910, 'user_conversation_view', 'peer_avatar', 'varchar(256)', NULL, true, 'the peer''s picture; NULL in a group'),
    (911, 'user_conversation_view', 'peer_status', 'user_status_enum', NULL, true, 'the peer''s status; NULL in a group'),
    (912, 'user_conversation_view', 'remark_name', 'varchar(64)', NULL, true, 'what the user calls the peer; NULL in a group'),
    (913, 'user_conversation_view', 'is_muted', 'boolean', NULL, false, 'from conversation_setting'),
    (914, 'user_conversation_view', 'is_pinned', 'boolean', NULL, false, 'from conversation_setting'),
    (915, 'user_conversation_view', 'is_hidden', 'boolean', NULL, false, 'from conversation_setting'),
    (916, 'user_conversation_view', 'is_starred', 'boolean', NULL, false, 'from the friendship with the peer; false in a group'),
    (917, 'user_conversation_view', 'marked_unread', 'boolean', NULL, false, 'from conversation_setting'),
    (918, 'user_conversation_view', 'last_message_id', 'bigint', NULL, false, 'the last message not recalled, 0 = none'),
    (919, 'user_conversation_view', 'last_message_type', 'varchar(32)', NULL, false, 'its type'),
    (920, 'user_conversation_view', 'last_message_content', 'varchar(512)', NULL, false, 'its first 512 characters'),
    (921, 'user_conversation_view', 'last_message_sender_id', 'bigint', NULL, false, 'its sender'),
    (922, 'user_conversation_view', 'last_message_sender_name', 'varchar(64)', NULL, false, 'its sender''s name today'),
    (923, 'user_conversation_view', 'last_message_time', 'bigint', NULL, false, 'its sent_at'),
    (924, 'user_conversation_view', 'last_read_message_id', 'bigint', NULL, false, 'how far the user has read'),
    (925, 'user_conversation_view', 'unread_count', 'int', NULL, false, 'unread messages of others since the user joined'),
    (926, 'user_conversation_view', 'mention_count', 'int', NULL, false, 'those of them that mention the user or everyone'),
    (927, 'user_conversation_view', 'opened_at', 'bigint', NULL, false, 'when the user joined'),
    (928, 'user_conversation_view', 'closed_at', 'bigint', NULL, false, 'when the user removed it from the list, 0 = it is there'),
    (929, 'user_conversation_view', 'created_at', 'bigint', NULL, false, 'of the membership'),
    (930, 'user_conversation_view', 'updated_at', 'bigint', NULL, false, 'last change of this row, Unix milliseconds'),

    (1001, 'user_contact_view', 'id', 'bigint', NULL, false, 'id of the friendship'),
    (1002, 'user_contact_view', 'user_id', 'bigint', NULL, false, 'whose address book'),
    (1003, 'user_contact_view', 'contact_id', 'bigint', NULL, false, 'the friend'),
    (1004, 'user_contact_view', 'contact_nickname', 'varchar(64)', NULL, false, 'the friend''s nickname'),
    (1005, 'user_contact_view', 'contact_avatar', 'varchar(256)', NULL, false, 'the friend''s picture'),
    (1006, 'user_contact_view', 'contact_info_ver', 'int', NULL, false, 'version of the friend''s displayed fields'),
    (1007, 'user_contact_view', 'remark_name', 'varchar(64)', NULL, false, 'what the user calls the friend'),
    (1008, 'user_contact_view', 'group_name', 'varchar(32)', NULL, false, 'the user''s group for the friend'),
    (1009, 'user_contact_view', 'tags', 'varchar(128)[]', NULL, false, 'the user''s labels for the friend'),
    (1010, 'user_contact_view', 'is_starred', 'boolean', NULL, false, 'shown first'),
    (1011, 'user_contact_view', 'is_blocked', 'boolean', NULL, false, 'blocked by the user'),
    (1012, 'user_contact_view', 'mobile', 'varchar(16)', NULL, false, 'the friend''s telephone number'),
    (1013, 'user_contact_view', 'source', 'friendship_source_enum', NULL, false, 'how they met'),
    (1014, 'user_contact_view', 'added_at', 'bigint', NULL, false, 'when the friend was added'),
    (1015, 'user_contact_view', 'deleted_at', 'bigint', NULL, false, 'of the friendship; always 0 here'),
    (1016, 'user_contact_view', 'created_at', 'bigint', NULL, false, 'of the friendship'),
    (1017, 'user_contact_view', 'updated_at', 'bigint', NULL, false, 'last change of this row, Unix milliseconds'),

    (1101, 'conversation_reverse_index', 'peer_user_id', 'bigint', NULL, false, 'the peer'),
    (1102, 'conversation_reverse_index', 'owner_user_id', 'bigint', NULL, false, 'whose inbox shows the peer'),
    (1103, 'conversation_reverse_index', 'channel_id', 'bigint', NULL, false, 'in which single channel'),
    (1104, 'conversation_reverse_index', 'created_at', 'bigint', NULL, false, 'of the conversation row'),

    (1201, 'contact_reverse_index', 'contact_user_id', 'bigint', NULL, false, 'the friend'),
    (1202, 'contact_reverse_index', 'owner_user_id', 'bigint', NULL, false, 'whose friendship it is'),
    (1203, 'contact_reverse_index', 'created_at', 'bigint', NULL, false, 'of the friendship'),

    (1301, 'hermet_instance', 'version', 'text', NULL, false, 'version of the library that made or upgraded this instance'),
    (1302, 'hermet_instance', 'created_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (1401, 'hermet_check', 'id', 'bigint', 'identity', false, 'order of the checks'),
    (1402, 'hermet_check', 'checked_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (1403, 'hermet_check', 'table_name', 'text', NULL, false, 'what was checked'),
    (1404, 'hermet_check', 'user_id', 'bigint', NULL, true, 'NULL = all users'),
    (1405, 'hermet_check', 'sample', 'float8', '1', false, 'share of the rows that were looked at'),
    (1406, 'hermet_check', 'problems', 'bigint', NULL, false, 'what it found; 0 = consistent'),

    (1501, 'hermet_incident', 'id', 'bigint', 'identity', false, 'order of the incidents'),
    (1502, 'hermet_incident', 'happened_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (1503, 'hermet_incident', 'table_name', 'text', NULL, false, 'the read-side table'),
    (1504, 'hermet_incident', 'key', 'jsonb', NULL, false, 'the row or rows'),
    (1505, 'hermet_incident', 'detail', 'text', NULL, false, 'what was wrong with it')
    ) AS c (n, t, col, typ, def, nul, d)
$$;
COMMENT ON FUNCTION hermet.catalog_columns() IS
    'the columns of an instance''s tables: order, type, default, whether NULL is allowed, meaning';

CREATE FUNCTION hermet.catalog_indexes(OUT table_name text, OUT index_name text, OUT is_unique boolean,
                                       OUT key text[], OUT predicate text, OUT description text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  VALUES
    ('biz_user', 'biz_user_email_key', true, ARRAY['email'], 'deleted_at = 0 AND email <> ''''', 'one live user an e-mail address'),
    ('biz_user', 'biz_user_mobile_key', true, ARRAY['mobile'], 'deleted_at = 0 AND mobile <> ''''', 'one live user a telephone number'),
    ('channel_member', 'channel_member_id_key', true, ARRAY['id'], NULL, 'ids are unique'),
    ('channel_member', 'channel_member_user_id_idx', false, ARRAY['user_id'], NULL, 'the channels of a user'),
    ('channel_read_record', 'channel_read_record_id_key', true, ARRAY['id'], NULL, 'ids are unique'),
    ('friendship', 'friendship_id_key', true, ARRAY['id'], NULL, 'ids are unique'),
    ('channel_application', 'channel_application_id_key', true, ARRAY['id'], NULL, 'ids are unique'),
    ('channel_application', 'channel_application_pending_idx', false, ARRAY['target_id', 'application_type', 'created_at'],
     'application_status = ''pending''', 'a target''s pending list'),
    ('message', 'message_id_key', true, ARRAY['id'], NULL, 'ids are unique'),
    ('user_conversation_view', 'user_conversation_view_user_id_idx', false, ARRAY['user_id'], NULL, 'the inbox of a user')
$$;
COMMENT ON FUNCTION hermet.catalog_indexes() IS
    'the indexes of an instance beside the primary keys; no column that changes with a message is in one';

CREATE FUNCTION hermet.catalog_triggers(OUT table_name text, OUT trigger_name text, OUT event text, OUT definition text)
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.table_name, 'hermet_after_' || lower(e.event), e.event,
         format('AFTER %s ON %%I.%I %sFOR EACH STATEMENT EXECUTE FUNCTION hermet.sync_%s()',
                e.event, t.table_name, e.referencing, t.table_name)
    FROM hermet.catalog_tables() t,
         (VALUES ('INSERT', 'REFERENCING NEW TABLE AS new_rows '),
                 ('UPDATE', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows '),
                 ('DELETE', 'REFERENCING OLD TABLE AS old_rows '),
                 ('TRUNCATE', '')) AS e (event, referencing)
   WHERE t.side = 'write' AND t.table_name <> 'channel_application'
  UNION ALL
  -- Named to run after a user's own BEFORE triggers, on the row as it will be stored.
  SELECT c.table_name, 'zzz_hermet_complete', c.event,
         format('BEFORE %s ON %%I.%I FOR EACH ROW EXECUTE FUNCTION hermet.complete_%s()',
                c.event, c.table_name, c.table_name)
    FROM (VALUES ('biz_user', 'UPDATE'), ('channel', 'INSERT OR UPDATE'), ('channel_member', 'UPDATE')) AS c (table_name, event)
  UNION ALL
  SELECT t.table_name, 'hermet_guard', 'INSERT OR DELETE OR UPDATE OR TRUNCATE',
         format('BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON %%I.%I FOR EACH STATEMENT EXECUTE FUNCTION hermet.forbid_write()',
                t.table_name)
    FROM hermet.catalog_tables() t
   WHERE t.side = 'read'
$$;
COMMENT ON FUNCTION hermet.catalog_triggers() IS
    'the triggers of an instance; definition is as pg_get_triggerdef() writes it, %I standing for the schema';
/* Trigger functions. PUBLIC may execute them, as a trigger's creator must; called otherwise they refuse. */

CREATE FUNCTION hermet.sync_biz_user() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_sync_biz_user';
COMMENT ON FUNCTION hermet.sync_biz_user() IS 'AFTER STATEMENT on biz_user: names, pictures and states of peers, senders and contacts';
CREATE FUNCTION hermet.sync_channel() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_sync_channel';
COMMENT ON FUNCTION hermet.sync_channel() IS 'AFTER STATEMENT on channel: conversations come, go and change their names';
CREATE FUNCTION hermet.sync_channel_member() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_sync_channel_member';
COMMENT ON FUNCTION hermet.sync_channel_member() IS 'AFTER STATEMENT on channel_member: conversations of who joins, leaves, comes back';
CREATE FUNCTION hermet.sync_channel_read_record() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_sync_channel_read_record';
COMMENT ON FUNCTION hermet.sync_channel_read_record() IS 'AFTER STATEMENT on channel_read_record: read cursor and counters';
CREATE FUNCTION hermet.sync_friendship() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_sync_friendship';
COMMENT ON FUNCTION hermet.sync_friendship() IS 'AFTER STATEMENT on friendship: contacts, and remark names and stars in single conversations';
CREATE FUNCTION hermet.sync_message() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_sync_message';
COMMENT ON FUNCTION hermet.sync_message() IS 'AFTER STATEMENT on message: last message and counters of every member';
CREATE FUNCTION hermet.sync_conversation_setting() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_sync_conversation_setting';
COMMENT ON FUNCTION hermet.sync_conversation_setting() IS 'AFTER STATEMENT on conversation_setting: the user''s switches';

CREATE FUNCTION hermet.complete_biz_user() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_complete_biz_user';
COMMENT ON FUNCTION hermet.complete_biz_user() IS 'BEFORE UPDATE ROW on biz_user: raises info_ver, refuses to lower it';
CREATE FUNCTION hermet.complete_channel() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_complete_channel';
COMMENT ON FUNCTION hermet.complete_channel() IS 'BEFORE INSERT OR UPDATE ROW on channel: raises channel_info_ver, refuses to lower it, keeps the columns that hermet owns';
CREATE FUNCTION hermet.complete_channel_member() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_complete_channel_member';
COMMENT ON FUNCTION hermet.complete_channel_member() IS 'BEFORE UPDATE ROW on channel_member: a member who comes back joins anew';

CREATE FUNCTION hermet.forbid_write() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_forbid_write';
COMMENT ON FUNCTION hermet.forbid_write() IS 'BEFORE STATEMENT on the read side: only hermet writes it';
/* The life of an instance: create, attach, upgrade, detach. All of it is plain DDL by the caller. */

CREATE FUNCTION hermet.instances(OUT target name, OUT owner name) RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT n.nspname, pg_get_userbyid(c.relowner)
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_proc f ON f.oid = t.tgfoid
   WHERE NOT t.tgisinternal
     AND f.pronamespace = 'hermet'::regnamespace
     AND c.relname IN (SELECT table_name FROM hermet.catalog_tables())
   ORDER BY 1, 2
$$;
COMMENT ON FUNCTION hermet.instances() IS 'the instances in this database, found by their triggers, and who owns their tables';

CREATE FUNCTION hermet.resolve_target(target name) RETURNS name
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found name[] := ARRAY(SELECT DISTINCT i.target FROM hermet.instances() i ORDER BY 1);
BEGIN
  IF target IS NOT NULL THEN
    IF target = ANY (found) THEN
      RETURN target;
    END IF;
    RAISE EXCEPTION 'there is no hermet instance in schema "%"', target
      USING ERRCODE = 'undefined_object',
            DETAIL = CASE WHEN cardinality(found) = 0 THEN 'This database has no instance.'
                          ELSE 'Instances: ' || array_to_string(found, ', ') || '.' END,
            HINT = 'Make one with hermet.create_tables() or hermet.attach().';
  END IF;
  IF cardinality(found) = 1 THEN
    RETURN found[1];
  END IF;
  IF cardinality(found) = 0 THEN
    RAISE EXCEPTION 'this database has no hermet instance'
      USING ERRCODE = 'undefined_object', HINT = 'Make one with hermet.create_tables() or hermet.attach().';
  END IF;
  RAISE EXCEPTION 'this database has several hermet instances'
    USING ERRCODE = 'ambiguous_parameter',
          DETAIL = 'Instances: ' || array_to_string(found, ', ') || '.',
          HINT = 'Name one of them as the argument "target".';
END
$$;
COMMENT ON FUNCTION hermet.resolve_target(name) IS
    'the instance that "target" names; without a name the only one, else an error that lists them';

CREATE FUNCTION hermet.type_sql(target name, type_name text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN type_name LIKE '%\_enum' THEN format('%I.%I', target, type_name)
              WHEN type_name = 'int' THEN 'integer'
              WHEN type_name = 'float8' THEN 'double precision'
              ELSE replace(type_name, 'varchar', 'character varying') END
$$;
COMMENT ON FUNCTION hermet.type_sql(name, text) IS 'a type of the catalog as format_type() writes it';

CREATE FUNCTION hermet.default_sql(default_value text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE default_value
           WHEN 'now' THEN ' DEFAULT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
           WHEN 'identity' THEN ' GENERATED ALWAYS AS IDENTITY'
           ELSE coalesce(' DEFAULT ' || default_value, '') END
$$;
COMMENT ON FUNCTION hermet.default_sql(text) IS 'a default of the catalog as a clause of CREATE TABLE, built-in functions only';

/* What of the schema does not fit the catalog and cannot be made to fit by adding. */
CREATE FUNCTION hermet.misfits(target name) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  n bigint;
BEGIN
  FOR r IN
    SELECT e.type_name, e.labels, t.typtype,
           ARRAY(SELECT l.enumlabel::text FROM pg_enum l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder) AS found
      FROM hermet.catalog_enums() e
      JOIN pg_type t ON t.typname = e.type_name AND t.typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
  LOOP
    IF r.typtype <> 'e' OR r.found <> r.labels THEN
      RETURN NEXT format('type %s is not an enum of (%s)', r.type_name, array_to_string(r.labels, ', '));
    END IF;
  END LOOP;

  FOR r IN
    SELECT t.side, t.table_name, t.key, c.oid, c.relkind, c.relpersistence, c.relowner
      FROM hermet.catalog_tables() t
      JOIN pg_class c ON c.relname = t.table_name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
  LOOP
    IF r.relkind <> 'r' THEN
      RETURN NEXT format('%s is not a plain table', r.table_name);
      CONTINUE;
    END IF;
    IF EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = r.oid OR i.inhrelid = r.oid) THEN
      RETURN NEXT format('table %s inherits or is inherited from: rows of a child fire no trigger', r.table_name);
    END IF;
    IF r.relpersistence <> 'p' THEN
      RETURN NEXT format('table %s is unlogged or temporary', r.table_name);
    END IF;
    RETURN QUERY
      SELECT format('column %s.%s is %s, expected %s', r.table_name, k.column_name,
                    format_type(a.atttypid, a.atttypmod), hermet.type_sql(target, k.type_name))
        FROM hermet.catalog_columns() k
        JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = k.column_name AND NOT a.attisdropped
       WHERE k.table_name = r.table_name
         AND format_type(a.atttypid, a.atttypmod) <> hermet.type_sql(target, k.type_name)
       ORDER BY k.ordinal;
    RETURN QUERY
      SELECT format('column %s.%s has a nondeterministic collation', r.table_name, a.attname)
        FROM hermet.catalog_columns() k
        JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = k.column_name AND NOT a.attisdropped
        JOIN pg_collation l ON l.oid = a.attcollation AND NOT l.collisdeterministic
       WHERE k.table_name = r.table_name
       ORDER BY k.ordinal;
    IF r.side = 'read' THEN
      RETURN QUERY
        SELECT format('column %s.%s is not one of hermet''s and must have a default or allow NULL', r.table_name, a.attname)
          FROM pg_attribute a
         WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef
           AND a.attname NOT IN (SELECT k.column_name FROM hermet.catalog_columns() k WHERE k.table_name = r.table_name);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.misfits(name) IS
    'what of the existing types and tables of a schema contradicts the catalog, a line each';

/* The rows that stand against a NOT NULL or a key that attach has to add. */
CREATE FUNCTION hermet.misfit_rows(target name) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  n bigint;
BEGIN
  FOR r IN
    SELECT c.oid, k.table_name, k.column_name, k.default_value, k.nullable, a.attnum, a.attnotnull
      FROM hermet.catalog_columns() k
      JOIN hermet.catalog_tables() t ON t.table_name = k.table_name
      JOIN pg_class c ON c.relname = k.table_name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = k.column_name AND NOT a.attisdropped
     WHERE t.side = 'write' OR a.attnum IS NOT NULL -- what the read side lacks is added and derived
     ORDER BY k.table_name, k.ordinal
  LOOP
    IF r.attnum IS NULL AND r.default_value IS NULL AND NOT r.nullable THEN
      EXECUTE format('SELECT count(*) FROM (SELECT FROM %I.%I LIMIT 1) x', target, r.table_name) INTO n;
      IF n > 0 THEN
        RETURN NEXT format('column %s.%s is missing, has no default, and the table has rows', r.table_name, r.column_name);
      END IF;
    ELSIF r.attnum IS NOT NULL AND NOT r.attnotnull AND NOT r.nullable THEN
      EXECUTE format('SELECT count(*) FROM %I.%I WHERE %I IS NULL', target, r.table_name, r.column_name) INTO n;
      IF n > 0 THEN
        RETURN NEXT format('column %s.%s is NULL in %s row(s)', r.table_name, r.column_name, n);
      END IF;
    END IF;
  END LOOP;

  FOR r IN
    SELECT k.table_name, k.key, k.predicate FROM hermet.missing_keys(target) k
  LOOP
    CONTINUE WHEN EXISTS (SELECT FROM unnest(r.key) col
                           WHERE NOT EXISTS (SELECT FROM pg_attribute a
                                              WHERE a.attrelid = format('%I.%I', target, r.table_name)::regclass
                                                AND a.attname = col AND NOT a.attisdropped));
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I.%I WHERE %s GROUP BY %s HAVING count(*) > 1) x',
                   target, r.table_name, coalesce(r.predicate, 'true'),
                   (SELECT string_agg(quote_ident(col), ', ') FROM unnest(r.key) col)) INTO n;
    IF n > 0 THEN
      RETURN NEXT format('%s value(s) of (%s) occur more than once in table %s', n, array_to_string(r.key, ', '), r.table_name);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.misfit_rows(name) IS 'rows of existing tables that contradict a NOT NULL or a key of the catalog, a line each';

CREATE FUNCTION hermet.missing_keys(target name, OUT table_name text, OUT key text[], OUT predicate text, OUT is_primary boolean)
    RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH wanted AS (
    SELECT t.table_name, t.key, NULL AS predicate, true AS is_primary FROM hermet.catalog_tables() t
    UNION ALL
    SELECT i.table_name, i.key, i.predicate, false FROM hermet.catalog_indexes() i WHERE i.is_unique)
  SELECT w.table_name, w.key, w.predicate, w.is_primary
    FROM wanted w
    JOIN pg_class c ON c.relname = w.table_name AND c.relkind = 'r'
     AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
   WHERE NOT EXISTS (
     SELECT FROM pg_index x
      WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indexprs IS NULL
        AND (x.indpred IS NULL) = (w.predicate IS NULL)
        AND ARRAY(SELECT a.attname::text FROM unnest(x.indkey[0:x.indnkeyatts - 1]) WITH ORDINALITY u(attnum, o)
                    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum ORDER BY u.o) = w.key)
$$;
COMMENT ON FUNCTION hermet.missing_keys(name) IS 'unique keys of the catalog that a schema''s existing tables do not have';

/* Adds to a schema whatever of the catalog it lacks; changes nothing that is there. */
CREATE FUNCTION hermet.complete_schema(target name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
  any_value text;
  misfits text[] := ARRAY(SELECT hermet.misfits(target));
BEGIN
  IF misfits = '{}' THEN
    misfits := ARRAY(SELECT hermet.misfit_rows(target));
  END IF;
  IF misfits <> '{}' THEN
    RAISE EXCEPTION 'the tables in schema "%" do not fit', target
      USING ERRCODE = 'datatype_mismatch', DETAIL = array_to_string(misfits, E'\n'),
            HINT = 'Change what is listed and call the function again; tables of the read side may simply be dropped or renamed, they are derived anew.';
  END IF;

  FOR r IN SELECT e.* FROM hermet.catalog_enums() e
            WHERE NOT EXISTS (SELECT FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
                               WHERE n.nspname = target AND t.typname = e.type_name)
  LOOP
    EXECUTE format('CREATE TYPE %I.%I AS ENUM (%s)', target, r.type_name,
                   (SELECT string_agg(quote_literal(l), ', ') FROM unnest(r.labels) l));
  END LOOP;

  FOR r IN SELECT t.* FROM hermet.catalog_tables() t WHERE to_regclass(format('%I.%I', target, t.table_name)) IS NULL
  LOOP
    EXECUTE format('CREATE TABLE %I.%I (%s)%s', target, r.table_name,
      (SELECT string_agg(format('%I %s%s%s', k.column_name, hermet.type_sql(target, k.type_name),
                                CASE WHEN k.nullable THEN '' ELSE ' NOT NULL' END, hermet.default_sql(k.default_value)),
                         ', ' ORDER BY k.ordinal)
         FROM hermet.catalog_columns() k WHERE k.table_name = r.table_name),
      -- Room on each page, so that updates by messages stay on it (HOT).
      CASE r.table_name WHEN 'user_conversation_view' THEN ' WITH (fillfactor = 70)'
                        WHEN 'channel' THEN ' WITH (fillfactor = 80)' ELSE '' END);
  END LOOP;

  FOR r IN
    SELECT k.*, a.attnum, a.atthasdef, a.attnotnull
      FROM hermet.catalog_columns() k
      LEFT JOIN pg_attribute a ON a.attrelid = format('%I.%I', target, k.table_name)::regclass
                              AND a.attname = k.column_name AND NOT a.attisdropped
     ORDER BY k.table_name, k.ordinal
  LOOP
    IF r.attnum IS NULL THEN
      -- A read side that has rows takes any value for now: repair derives the right one.
      any_value := CASE WHEN r.nullable OR r.default_value IS NOT NULL THEN NULL
                        WHEN r.type_name LIKE '%\_enum' THEN (SELECT e.labels[1] FROM hermet.catalog_enums() e WHERE e.type_name = r.type_name)
                        WHEN r.type_name LIKE '%[]' THEN '{}'
                        WHEN r.type_name LIKE 'varchar%' THEN ''
                        WHEN r.type_name = 'boolean' THEN 'false'
                        ELSE '0' END;
      EXECUTE format('ALTER TABLE %I.%I ADD COLUMN %I %s%s%s', target, r.table_name, r.column_name,
                     hermet.type_sql(target, r.type_name),
                     CASE WHEN r.nullable THEN '' ELSE ' NOT NULL' END,
                     CASE WHEN any_value IS NULL THEN hermet.default_sql(r.default_value)
                          ELSE format(' DEFAULT %L', any_value) END);
      IF any_value IS NOT NULL THEN
        EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I DROP DEFAULT', target, r.table_name, r.column_name);
      END IF;
      CONTINUE;
    END IF;
    IF NOT r.attnotnull AND NOT r.nullable THEN
      EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I SET NOT NULL', target, r.table_name, r.column_name);
    END IF;
    IF NOT r.atthasdef AND r.default_value IS NOT NULL AND r.default_value <> 'identity' THEN
      EXECUTE format('ALTER TABLE %I.%I ALTER COLUMN %I SET%s', target, r.table_name, r.column_name,
                     hermet.default_sql(r.default_value));
    END IF;
  END LOOP;

  IF NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conname = 'user_conversation_view_peer_check'
                    AND k.conrelid = format('%I.user_conversation_view', target)::regclass) THEN
    -- NOT VALID: rows that were there before are derived anew in a moment.
    EXECUTE format('ALTER TABLE %I.user_conversation_view ADD CONSTRAINT user_conversation_view_peer_check CHECK ('
                   '(conversation_type = ''single'') = (peer_user_id IS NOT NULL) AND '
                   'num_nulls(peer_user_id, peer_nickname, peer_avatar, peer_status, remark_name) IN (0, 5)) NOT VALID', target);
  END IF;

  FOR r IN SELECT k.* FROM hermet.missing_keys(target) k WHERE k.is_primary
  LOOP
    EXECUTE format('ALTER TABLE %I.%I ADD %s (%s)', target, r.table_name,
      CASE WHEN EXISTS (SELECT FROM pg_index x WHERE x.indisprimary
                           AND x.indrelid = format('%I.%I', target, r.table_name)::regclass)
           THEN 'UNIQUE' ELSE 'PRIMARY KEY' END,
      (SELECT string_agg(quote_ident(col), ', ' ORDER BY o) FROM unnest(r.key) WITH ORDINALITY u(col, o)));
  END LOOP;

  FOR r IN
    SELECT i.* FROM hermet.catalog_indexes() i
     WHERE CASE WHEN i.is_unique
                THEN EXISTS (SELECT FROM hermet.missing_keys(target) k WHERE k.table_name = i.table_name AND k.key = i.key)
                -- Any index that begins with the same columns serves as well.
                ELSE NOT EXISTS (
                  SELECT FROM pg_index x
                   WHERE x.indrelid = format('%I.%I', target, i.table_name)::regclass AND x.indisvalid
                     AND (x.indpred IS NULL) = (i.predicate IS NULL)
                     AND ARRAY(SELECT a.attname::text FROM unnest(x.indkey[0:cardinality(i.key) - 1]) WITH ORDINALITY u(attnum, o)
                                 JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.attnum ORDER BY u.o) = i.key)
           END
  LOOP
    EXECUTE format('CREATE %s INDEX %s ON %I.%I (%s)%s', CASE WHEN r.is_unique THEN 'UNIQUE' ELSE '' END,
      CASE WHEN to_regclass(format('%I.%I', target, r.index_name)) IS NULL THEN quote_ident(r.index_name) ELSE '' END,
      target, r.table_name,
      (SELECT string_agg(quote_ident(col), ', ' ORDER BY o) FROM unnest(r.key) WITH ORDINALITY u(col, o)),
      coalesce(' WHERE ' || r.predicate, ''));
  END LOOP;

  FOR r IN
    SELECT t.trigger_name, t.table_name, t.definition FROM hermet.catalog_triggers() t
     WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgname = t.trigger_name
                          AND g.tgrelid = format('%I.%I', target, t.table_name)::regclass)
  LOOP
    EXECUTE format('CREATE TRIGGER %I ', r.trigger_name) || format(r.definition, target, r.table_name);
  END LOOP;

  FOR r IN
    SELECT format('TABLE %I.%I', target, t.table_name) AS object, t.description
      FROM hermet.catalog_tables() t
     WHERE obj_description(format('%I.%I', target, t.table_name)::regclass, 'pg_class') IS NULL
    UNION ALL
    SELECT format('COLUMN %I.%I.%I', target, k.table_name, k.column_name), k.description
      FROM hermet.catalog_columns() k
      JOIN pg_attribute a ON a.attrelid = format('%I.%I', target, k.table_name)::regclass AND a.attname = k.column_name
     WHERE col_description(a.attrelid, a.attnum) IS NULL
  LOOP
    EXECUTE format('COMMENT ON %s IS %L', r.object, r.description);
  END LOOP;

  EXECUTE format('DELETE FROM %I.hermet_instance', target);
  EXECUTE format('INSERT INTO %I.hermet_instance (version) VALUES (%L)', target, hermet.version());
END
$$;
COMMENT ON FUNCTION hermet.complete_schema(name) IS
    'adds the types, tables, columns, keys, indexes, triggers and comments of the catalog that a schema lacks';

CREATE FUNCTION hermet.validate_schema(target name) RETURNS void
    LANGUAGE plpgsql STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('ALTER TABLE %I.user_conversation_view VALIDATE CONSTRAINT user_conversation_view_peer_check', target);
END
$$;
COMMENT ON FUNCTION hermet.validate_schema(name) IS 'makes the read side''s check hold for rows that were there before it';

CREATE FUNCTION hermet.version() RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_version';
COMMENT ON FUNCTION hermet.version() IS 'the version of the loaded library';

CREATE FUNCTION hermet.require_owner(target name) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  SELECT c.relname, c.relowner INTO r
    FROM hermet.catalog_tables() t
    JOIN pg_class c ON c.relname = t.table_name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = target)
   WHERE NOT pg_has_role(c.relowner, 'USAGE') LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'must be owner of table %', r.relname
      USING ERRCODE = 'insufficient_privilege',
            HINT = format('The instance in schema "%s" belongs to role "%s".', target, pg_get_userbyid(r.relowner));
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.require_owner(name) IS 'an error unless the caller owns the tables of the instance';

CREATE FUNCTION hermet.create_tables(target name DEFAULT current_schema(), channel_shards int DEFAULT 0, user_shards int DEFAULT 0)
    RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  existing text;
BEGIN
  IF target IS NULL OR channel_shards IS NULL OR user_shards IS NULL THEN
    RAISE EXCEPTION 'the arguments of hermet.create_tables() must not be NULL'
      USING ERRCODE = 'null_value_not_allowed',
            HINT = 'Name the schema; current_schema() is NULL where the search_path has no existing schema.';
  END IF;
  IF channel_shards <> 0 OR user_shards <> 0 THEN
    RAISE EXCEPTION 'sharded instances are not supported yet'
      USING ERRCODE = 'feature_not_supported', HINT = 'Leave channel_shards and user_shards at 0 for plain tables.';
  END IF;
  IF target LIKE 'pg\_%' OR target IN ('hermet', 'information_schema') THEN
    RAISE EXCEPTION 'schema "%" cannot hold an instance', target
      USING ERRCODE = 'invalid_schema_name', HINT = 'Choose a schema of your own.';
  END IF;
  SELECT string_agg(t.table_name, ', ') INTO existing
    FROM hermet.catalog_tables() t
   WHERE to_regclass(format('%I.%I', target, t.table_name)) IS NOT NULL;
  IF existing IS NOT NULL THEN
    RAISE EXCEPTION 'schema "%" already has tables of an instance', target
      USING ERRCODE = 'duplicate_table', DETAIL = format('Tables: %s.', existing),
            HINT = 'Use hermet.attach() to take over tables that exist.';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = target) THEN
    EXECUTE format('CREATE SCHEMA %I', target);
  END IF;
  PERFORM hermet.complete_schema(target);
  PERFORM hermet.validate_schema(target);
END
$$;
COMMENT ON FUNCTION hermet.create_tables(name, int, int) IS
    'makes an instance in a schema (created when missing): tables, read side and triggers, owned by the caller';

CREATE FUNCTION hermet.attach(target name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF target IS NULL OR NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = target) THEN
    RAISE EXCEPTION 'schema "%" does not exist', target USING ERRCODE = 'invalid_schema_name';
  END IF;
  IF EXISTS (SELECT FROM hermet.instances() i WHERE i.target = attach.target) THEN
    RAISE EXCEPTION 'schema "%" already is a hermet instance', target
      USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'hermet.upgrade() completes it, hermet.detach() takes the triggers away.';
  END IF;
  IF NOT EXISTS (SELECT FROM hermet.catalog_tables() t
                  WHERE t.side = 'write' AND to_regclass(format('%I.%I', target, t.table_name)) IS NOT NULL) THEN
    RAISE EXCEPTION 'schema "%" has no table of the write side', target
      USING ERRCODE = 'undefined_table', HINT = 'Use hermet.create_tables() to make an instance anew.';
  END IF;
  PERFORM hermet.require_owner(target);
  PERFORM hermet.complete_schema(target);
  PERFORM hermet.repair(target);
  PERFORM hermet.validate_schema(target);
END
$$;
COMMENT ON FUNCTION hermet.attach(name) IS
    'makes an instance of write-side tables that exist already: checks them, adds what is missing, fills the read side';

CREATE FUNCTION hermet.detach(target name) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  FOR r IN
    SELECT t.tgname, c.relname
      FROM pg_trigger t
      JOIN pg_class c ON c.oid = t.tgrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_proc f ON f.oid = t.tgfoid
     WHERE n.nspname = target AND f.pronamespace = 'hermet'::regnamespace AND NOT t.tgisinternal
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %I.%I', r.tgname, target, r.relname);
  END LOOP;
END
$$;
COMMENT ON FUNCTION hermet.detach(name) IS 'takes hermet''s triggers away from an instance; all data stays';

CREATE FUNCTION hermet.upgrade(target name DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  r record;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  -- A table of the write side made anew would be empty, and so would the read side be.
  FOR r IN SELECT t.table_name FROM hermet.catalog_tables() t
            WHERE t.side = 'write' AND to_regclass(format('%I.%I', target, t.table_name)) IS NULL
  LOOP
    RAISE EXCEPTION 'table "%.%" of the hermet instance does not exist', target, r.table_name
      USING ERRCODE = 'undefined_table',
            HINT = 'Bring it back, or call hermet.detach() and hermet.attach(), which makes an empty one.';
  END LOOP;
  -- Triggers of ours that are not as the catalog says go, and are made anew.
  FOR r IN
    SELECT g.tgname, c.relname
      FROM pg_trigger g
      JOIN pg_class c ON c.oid = g.tgrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_proc f ON f.oid = g.tgfoid
     WHERE n.nspname = target AND f.pronamespace = 'hermet'::regnamespace AND NOT g.tgisinternal
       AND (g.tgenabled <> 'O' OR NOT EXISTS (
             SELECT FROM hermet.catalog_triggers() t
              WHERE t.table_name = c.relname AND t.trigger_name = g.tgname
                AND pg_get_triggerdef(g.oid) = format('CREATE TRIGGER %I ', t.trigger_name) || format(t.definition, target, t.table_name)))
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %I.%I', r.tgname, target, r.relname);
  END LOOP;
  PERFORM hermet.complete_schema(target);
  PERFORM hermet.repair(target);
  PERFORM hermet.validate_schema(target);
END
$$;
COMMENT ON FUNCTION hermet.upgrade(name) IS
    'brings an instance to the library''s version: adds what is missing, makes altered triggers anew, repairs the read side';
/* Check, repair, explain. The rules themselves are in the library, once: hermet.definition() shows them. */

CREATE FUNCTION hermet.definition(table_name text, target name DEFAULT NULL) RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'hermet_definition';
COMMENT ON FUNCTION hermet.definition(text, name) IS
    'the query that derives a table of the read side (or channel''s own columns) from the write side: the rules, to read and to run';

CREATE FUNCTION hermet.check_consistency(target name DEFAULT NULL, table_name text DEFAULT NULL, user_id bigint DEFAULT NULL,
                                         sample float8 DEFAULT 1.0)
    RETURNS TABLE (table_name text, key jsonb, problem text, column_name text, expected text, actual text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_check_consistency';
COMMENT ON FUNCTION hermet.check_consistency(name, text, bigint, float8) IS
    'every difference between the read side and the rules: missing and unexpected rows, stale columns; none = consistent';

CREATE FUNCTION hermet.consistency_summary(target name DEFAULT NULL, table_name text DEFAULT NULL, user_id bigint DEFAULT NULL,
                                           sample float8 DEFAULT 1.0)
    RETURNS TABLE (table_name text, rows bigint, ok bigint, fail bigint, ratio float8)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_consistency_summary';
COMMENT ON FUNCTION hermet.consistency_summary(name, text, bigint, float8) IS
    'the same check, a line a table: rows looked at, right, wrong, and the share that is right';

CREATE FUNCTION hermet.repair(target name DEFAULT NULL)
    RETURNS TABLE (table_name text, inserted bigint, updated bigint, deleted bigint)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_repair';
COMMENT ON FUNCTION hermet.repair(name) IS
    'recomputes what differs from the rules, everywhere, and writes nothing else; says how many rows it changed';

CREATE FUNCTION hermet.repair_conversation_view(user_id bigint, target name DEFAULT NULL)
    RETURNS TABLE (table_name text, inserted bigint, updated bigint, deleted bigint)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_repair_conversation_view';
COMMENT ON FUNCTION hermet.repair_conversation_view(bigint, name) IS 'repairs the inbox of one user and its reverse index';

CREATE FUNCTION hermet.repair_contact_view(user_id bigint, target name DEFAULT NULL)
    RETURNS TABLE (table_name text, inserted bigint, updated bigint, deleted bigint)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_repair_contact_view';
COMMENT ON FUNCTION hermet.repair_contact_view(bigint, name) IS 'repairs the address book of one user and its reverse index';

CREATE FUNCTION hermet.repair_channel(channel_id bigint, target name DEFAULT NULL)
    RETURNS TABLE (table_name text, inserted bigint, updated bigint, deleted bigint)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_repair_channel';
COMMENT ON FUNCTION hermet.repair_channel(bigint, name) IS
    'repairs the conversation rows of one channel, their reverse index, and the columns of channel that hermet owns';

CREATE FUNCTION hermet.explain_conversation(user_id bigint, channel_id bigint, target name DEFAULT NULL)
    RETURNS TABLE (section text, item text, expected text, stored text, reason text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_explain_conversation';
COMMENT ON FUNCTION hermet.explain_conversation(bigint, bigint, name) IS
    'why an inbox row says what it says: its sources, the messages counted and left out, stored beside expected';
/* Health: what could let the read side drift, or has. */

CREATE FUNCTION hermet.health(target name DEFAULT NULL)
    RETURNS TABLE (problem text, object text, detail text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  n bigint;
  newest bigint;
  found text;
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);

  RETURN QUERY
    SELECT 'table missing', format('%I.%I', target, t.table_name),
           CASE WHEN t.side = 'write' THEN 'bring it back: the read side derives from it' ELSE 'hermet.upgrade() makes it anew' END
      FROM hermet.catalog_tables() t
     WHERE to_regclass(format('%I.%I', target, t.table_name)) IS NULL;
  RETURN QUERY
    SELECT 'column missing', format('%I.%I.%I', target, k.table_name, k.column_name), 'hermet.upgrade() adds it where it can, and repairs'
      FROM hermet.catalog_columns() k
      JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', target, k.table_name))
     WHERE NOT EXISTS (SELECT FROM pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attname = k.column_name AND NOT a.attisdropped);
  RETURN QUERY
    SELECT 'table altered', quote_ident(target), m FROM hermet.misfits(target) m;
  RETURN QUERY
    SELECT 'owners differ', quote_ident(target),
           format('tables belong to %s: give all of them one owner', string_agg(DISTINCT pg_get_userbyid(c.relowner)::text, ', '))
      FROM hermet.catalog_tables() t
      JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', target, t.table_name))
    HAVING count(DISTINCT c.relowner) > 1;
  RETURN QUERY
    SELECT 'key missing', format('%I.%I', target, k.table_name), format('(%s) is not unique', array_to_string(k.key, ', '))
      FROM hermet.missing_keys(target) k;

  RETURN QUERY
    SELECT CASE WHEN g.oid IS NULL THEN 'trigger missing'
                WHEN g.tgenabled NOT IN ('O', 'A') THEN 'trigger disabled'
                ELSE 'trigger altered' END,
           format('%I.%I.%I', target, t.table_name, t.trigger_name),
           CASE WHEN g.oid IS NULL THEN 'hermet.upgrade() makes it anew, and repairs'
                WHEN g.tgenabled = 'R' THEN 'fires in replication only'
                WHEN g.tgenabled = 'D' THEN 'ALTER TABLE ... ENABLE TRIGGER switches it on again; then hermet.repair()'
                ELSE pg_get_triggerdef(g.oid) END
      FROM hermet.catalog_triggers() t
      JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', target, t.table_name))
      LEFT JOIN pg_trigger g ON g.tgrelid = c.oid AND g.tgname = t.trigger_name AND NOT g.tgisinternal
     WHERE g.oid IS NULL OR g.tgenabled NOT IN ('O', 'A')
        OR pg_get_triggerdef(g.oid) <> format('CREATE TRIGGER %I ', t.trigger_name) || format(t.definition, target, t.table_name);
  RETURN QUERY
    SELECT 'trigger on the read side', format('%I.%I.%I', target, t.table_name, g.tgname),
           'a BEFORE ROW trigger may change what hermet writes'
      FROM hermet.catalog_tables() t
      JOIN pg_trigger g ON g.tgrelid = to_regclass(format('%I.%I', target, t.table_name))
     WHERE t.side = 'read' AND NOT g.tgisinternal AND g.tgtype & 3 = 3 AND g.tgenabled <> 'D';
  RETURN QUERY
    SELECT 'rule on a table', format('%I.%I', target, t.table_name), format('rule %I may turn writes elsewhere', r.rulename)
      FROM hermet.catalog_tables() t
      JOIN pg_rewrite r ON r.ev_class = to_regclass(format('%I.%I', target, t.table_name))
     WHERE t.side <> 'state';

  RETURN QUERY
    SELECT 'direct writes allowed', format('%I.%I', target, t.table_name),
           format('role %s has %s', CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                  string_agg(DISTINCT a.privilege_type, ', '))
      FROM hermet.catalog_tables() t
      JOIN pg_class c ON c.oid = to_regclass(format('%I.%I', target, t.table_name))
     CROSS JOIN LATERAL (
           SELECT x.grantee, x.privilege_type FROM aclexplode(c.relacl) x
           UNION ALL
           SELECT x.grantee, x.privilege_type FROM pg_attribute b, aclexplode(b.attacl) x WHERE b.attrelid = c.oid) a
     WHERE t.side <> 'write' AND a.grantee <> c.relowner
       AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
     GROUP BY t.table_name, a.grantee;

  IF current_setting('session_replication_role') = 'replica' THEN
    RETURN QUERY SELECT 'triggers switched off', 'this session', 'session_replication_role is replica';
  END IF;
  RETURN QUERY
    SELECT 'triggers switched off',
           concat_ws(' ', CASE WHEN s.setrole <> 0 THEN 'role ' || quote_ident(pg_get_userbyid(s.setrole)) END,
                          CASE WHEN s.setdatabase <> 0 THEN 'database ' || quote_ident((SELECT datname FROM pg_database WHERE oid = s.setdatabase)) END),
           'session_replication_role is set to replica'
      FROM pg_db_role_setting s
     WHERE 'session_replication_role=replica' = ANY (s.setconfig)
       AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()));

  IF to_regclass(format('%I.hermet_instance', target)) IS NOT NULL THEN
    EXECUTE format('SELECT version FROM %I.hermet_instance', target) INTO found;
    IF found IS DISTINCT FROM hermet.version() THEN
      RETURN QUERY SELECT 'instance of another version', quote_ident(target),
        format('made by %s, the library is %s: call hermet.upgrade()', coalesce(found, 'an unknown version'), hermet.version());
    END IF;
  END IF;
  SELECT extversion INTO found FROM pg_extension WHERE extname = 'hermet';
  IF found IS DISTINCT FROM hermet.version() THEN
    RETURN QUERY SELECT 'extension of another version', 'hermet',
      format('installed is %s, the library is %s: ALTER EXTENSION hermet UPDATE', found, hermet.version());
  END IF;

  IF to_regclass(format('%I.hermet_incident', target)) IS NOT NULL THEN
    EXECUTE format('SELECT count(*), max(happened_at) FROM %I.hermet_incident', target) INTO n, newest;
    IF n > 0 THEN
      RETURN QUERY SELECT 'rows were recomputed', format('%I.hermet_incident', target),
        format('%s time(s), last at %s: a stored row could not take a change; hermet.repair() mends the rest', n, to_timestamp(newest / 1000.0));
    END IF;
  END IF;
  IF to_regclass(format('%I.hermet_check', target)) IS NOT NULL THEN
    -- A narrower check later on does not take back what a wider one found.
    FOR found, n, newest IN
      EXECUTE format('SELECT DISTINCT ON (table_name) table_name, problems, checked_at FROM %1$I.hermet_check c '
                     'WHERE problems > 0 AND NOT EXISTS (SELECT FROM %1$I.hermet_check l '
                     ' WHERE l.table_name = c.table_name AND l.id > c.id AND l.user_id IS NULL AND l.sample = 1) '
                     'ORDER BY table_name, id DESC', target)
    LOOP
      RETURN QUERY SELECT 'last check found problems', format('%I.%I', target, found),
        format('%s at %s: hermet.check_consistency() lists them, hermet.repair() mends them', n, to_timestamp(newest / 1000.0));
    END LOOP;
  END IF;

  RETURN QUERY
    SELECT 'prepared transaction', x.gid,
           format('prepared at %s by %s: its rows and channels stay locked until COMMIT PREPARED or ROLLBACK PREPARED', x.prepared, x.owner)
      FROM pg_prepared_xacts x
     WHERE x.database = current_database() AND x.prepared < clock_timestamp() - interval '5 minutes'
       AND EXISTS (SELECT FROM pg_locks l
                    WHERE l.pid IS NULL AND l.locktype = 'relation' AND l.virtualtransaction = '-1/' || x.transaction::text
                      AND l.relation IN (SELECT to_regclass(format('%I.%I', target, t.table_name)) FROM hermet.catalog_tables() t));
END
$$;
COMMENT ON FUNCTION hermet.health(name) IS
    'what could let the read side drift unseen, or has: triggers, rights, versions, incidents, the last check; none = healthy';
/*
 * Rights. The functions that read or change an instance ask for its owner themselves; the catalog is
 * open to all. What an application role needs: USAGE here, DML on the write side, SELECT on the read side.
 */
GRANT USAGE ON SCHEMA hermet TO PUBLIC;
