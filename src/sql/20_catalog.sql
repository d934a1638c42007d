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
    ('state', 'hermet_incident', ARRAY['id'], 'stored rows that could not take a change and were recomputed; a full repair clears it'),
    ('state', 'hermet_large_inbox', ARRAY['user_id'], 'users whose inbox is kept in order of time; hermet.order_inboxes() adds them'),
    ('state', 'hermet_rebuild', ARRAY['id'], 'rebuilds: how far they are, so that one that was interrupted goes on'),
    ('state', 'hermet_bulk_load', ARRAY['id'], 'bulk loads, and whether the read side was seen to be right since'),
    ('state', 'hermet_rollout', ARRAY['changed_at'], 'whose lists come from the read side; hermet.set_rollout() writes it'),
    ('state', 'hermet_mismatch', ARRAY['id'], 'the last lists that read side and write side gave differently, under set_rollout''s shadow; a full repair clears it'),
    ('state', 'change_event', ARRAY['event_offset'], 'what happened to the write side since hermet.enable_events(); kept by hermet'),
    ('state', 'hermet_migration', ARRAY['id'], 'migrations of legacy tables: how far each is, and what it carried'),
    ('state', 'hermet_migration_row', ARRAY['migration_id', 'id'], 'the legacy rows that a migration did not carry, or not as they were, and why'),
    ('state', 'hermet_node', ARRAY['nodes'], 'whose read side this read node keeps; empty where it is none: hermet.follow() and unfollow() write it')
$$;
COMMENT ON FUNCTION hermet.catalog_tables() IS
    'the tables of an instance: write side, read side, and its own state; key is the primary key';

-- A message of a negative channel is nobody's, as there is no such channel; and a CHECK of a partition is parsed for each INSERT.
CREATE FUNCTION hermet.catalog_shards(OUT table_name text, OUT spread_by text, OUT shard_key text, OUT not_negative text[])
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  VALUES
    ('channel', 'channel', 'id', ARRAY['id']),
    ('channel_member', 'channel', 'channel_id', ARRAY['channel_id', 'user_id']),
    ('message', 'channel', 'channel_id', NULL),
    ('friendship', 'user', 'user_id', ARRAY['user_id', 'friend_id']),
    ('channel_read_record', 'user', 'user_id', ARRAY['user_id']),
    ('conversation_setting', 'user', 'user_id', ARRAY['user_id']),
    ('channel_application', 'user', 'target_id', ARRAY['target_id']),
    ('user_conversation_view', 'user', 'user_id', NULL),
    ('user_contact_view', 'user', 'user_id', NULL),
    ('conversation_reverse_index', 'user', 'peer_user_id', NULL),
    ('contact_reverse_index', 'user', 'contact_user_id', NULL)
$$;
COMMENT ON FUNCTION hermet.catalog_shards() IS
    'the tables that a sharded instance partitions: into channel_shards or user_shards, by which column; columns of ids that must not be negative then';

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
    (931, 'user_conversation_view', 'list_hour', 'bigint', '0', false, 'in a large inbox the hour of the last message or of joining, counted from 1970 on and from 1, by which its index is ordered; else 0'),

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
    (1406, 'hermet_check', 'problems', 'bigint', NULL, false, 'rows that were wrong; 0 = consistent'),
    (1407, 'hermet_check', 'begun_at', 'bigint', '0', false, 'when its transaction began, Unix milliseconds'),
    (1408, 'hermet_check', 'rows_checked', 'bigint', '0', false, 'rows that were looked at'),
    (1409, 'hermet_check', 'from_key', 'bigint', NULL, true, 'only users, or channels, from this id on; NULL = from the lowest'),
    (1410, 'hermet_check', 'to_key', 'bigint', NULL, true, 'only up to this id; NULL = up to the highest'),

    (1501, 'hermet_incident', 'id', 'bigint', 'identity', false, 'order of the incidents'),
    (1502, 'hermet_incident', 'happened_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (1503, 'hermet_incident', 'table_name', 'text', NULL, false, 'the read-side table'),
    (1504, 'hermet_incident', 'key', 'jsonb', NULL, false, 'the row or rows'),
    (1505, 'hermet_incident', 'detail', 'text', NULL, false, 'what was wrong with it'),

    (1601, 'hermet_large_inbox', 'user_id', 'bigint', NULL, false, 'the user'),
    (1602, 'hermet_large_inbox', 'since', 'bigint', 'now', false, 'Unix milliseconds'),

    (1701, 'hermet_rebuild', 'id', 'bigint', 'identity', false, 'order of the rebuilds'),
    (1702, 'hermet_rebuild', 'view_name', 'text', NULL, false, 'user_conversation_view or user_contact_view'),
    (1703, 'hermet_rebuild', 'from_key', 'bigint', NULL, true, 'the range; NULL = from the lowest key'),
    (1704, 'hermet_rebuild', 'to_key', 'bigint', NULL, true, 'the range; NULL = up to the highest key'),
    (1705, 'hermet_rebuild', 'phase', 'int', '1', false, 'which of its tables it is at'),
    (1706, 'hermet_rebuild', 'next_first', 'bigint', NULL, false, 'where its next batch begins: first column of the key'),
    (1707, 'hermet_rebuild', 'next_second', 'bigint', '-9223372036854775808', false, 'second column of the key'),
    (1708, 'hermet_rebuild', 'done', 'bigint', '0', false, 'rows looked at'),
    (1709, 'hermet_rebuild', 'total', 'bigint', '0', false, 'rows there were when it began'),
    (1710, 'hermet_rebuild', 'changed', 'bigint', '0', false, 'rows written'),
    (1711, 'hermet_rebuild', 'started_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (1712, 'hermet_rebuild', 'resumed_at', 'bigint', 'now', false, 'when its last call began, Unix milliseconds'),
    (1713, 'hermet_rebuild', 'resumed_done', 'bigint', '0', false, 'rows looked at by then'),
    (1714, 'hermet_rebuild', 'updated_at', 'bigint', 'now', false, 'when its last batch ended, Unix milliseconds'),
    (1715, 'hermet_rebuild', 'finished_at', 'bigint', '0', false, 'Unix milliseconds, 0 = not yet'),
    (1716, 'hermet_rebuild', 'pid', 'int', '0', false, 'the server process of its last call'),

    (1801, 'hermet_bulk_load', 'id', 'bigint', 'identity', false, 'order of the loads'),
    (1802, 'hermet_bulk_load', 'role_name', 'text', NULL, false, 'who began it'),
    (1803, 'hermet_bulk_load', 'pid', 'int', NULL, false, 'the server process of the session'),
    (1804, 'hermet_bulk_load', 'backend_start', 'timestamptz', NULL, false, 'when that process started'),
    (1805, 'hermet_bulk_load', 'began_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (1806, 'hermet_bulk_load', 'ended_at', 'bigint', '0', false, 'Unix milliseconds, 0 = still open'),
    (1807, 'hermet_bulk_load', 'verified', 'text[]', '''{}''', false, 'tables that a whole check has seen right since'),

    (2101, 'hermet_rollout', 'percent', 'float8', '100', false, 'so many of 100 users are served from the read side; without a row all are'),
    (2102, 'hermet_rollout', 'shadow', 'boolean', 'false', false, 'whether lists are computed both ways and compared'),
    (2103, 'hermet_rollout', 'changed_at', 'bigint', 'now', false, 'Unix milliseconds'),

    (2201, 'hermet_mismatch', 'id', 'bigint', 'identity', false, 'order of the mismatches'),
    (2202, 'hermet_mismatch', 'happened_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (2203, 'hermet_mismatch', 'endpoint', 'text', NULL, false, 'the function that was called'),
    (2204, 'hermet_mismatch', 'user_id', 'bigint', NULL, false, 'for whom'),
    (2205, 'hermet_mismatch', 'key', 'jsonb', NULL, true, 'the first row that differed; NULL = there are only totals'),
    (2206, 'hermet_mismatch', 'read_side', 'jsonb', NULL, true, 'what differed as the read side has it; NULL = no such row'),
    (2207, 'hermet_mismatch', 'write_side', 'jsonb', NULL, true, 'the same as the write side has it; NULL = no such row'),

    (2301, 'change_event', 'event_offset', 'bigint', 'identity', false, 'order of the events; of one row''s it is the order of commits'),
    (2302, 'change_event', 'table_name', 'text', NULL, false, 'the table of the write side'),
    (2303, 'change_event', 'key', 'jsonb', NULL, true, 'the row, by the columns of its key; NULL = the whole table'),
    (2304, 'change_event', 'operation', 'text', NULL, false, 'insert, update, delete or truncate'),
    (2305, 'change_event', 'new_values', 'jsonb', NULL, true, 'the row as it was written, without passwd; NULL = it is gone'),
    (2306, 'change_event', 'transaction_time', 'bigint', NULL, false, 'when the transaction began, Unix milliseconds'),
    (2307, 'change_event', 'transaction_id', 'xid8', NULL, false, 'the transaction, as pg_current_xact_id() gives it'),

    (2401, 'hermet_migration', 'id', 'bigint', 'identity', false, 'order of the migrations'),
    (2402, 'hermet_migration', 'source', 'text', NULL, false, 'the legacy table, with its schema'),
    (2403, 'hermet_migration', 'started_at', 'bigint', 'now', false, 'Unix milliseconds'),
    (2404, 'hermet_migration', 'finished_at', 'bigint', '0', false, 'Unix milliseconds, 0 = not yet: the next call goes on'),
    (2405, 'hermet_migration', 'last_channel_id', 'bigint', NULL, true, 'channels up to this one are done; NULL = none yet'),
    (2406, 'hermet_migration', 'legacy_rows', 'bigint', '0', false, 'rows of the legacy table'),
    (2407, 'hermet_migration', 'done_rows', 'bigint', '0', false, 'those of them that were looked at'),
    (2408, 'hermet_migration', 'left_out', 'bigint', '0', false, 'those with left_at <> 0'),
    (2409, 'hermet_migration', 'carried', 'bigint', '0', false, 'those that are on the write side now'),
    (2410, 'hermet_migration', 'not_carried', 'bigint', '0', false, 'those that are not; hermet_migration_row says why'),
    (2411, 'hermet_migration', 'users', 'bigint', '0', false, 'rows added to biz_user'),
    (2412, 'hermet_migration', 'messages', 'bigint', '0', false, 'rows added to message'),
    (2413, 'hermet_migration', 'settings', 'bigint', '0', false, 'rows added to conversation_setting'),
    (2414, 'hermet_migration', 'read_marks', 'bigint', '0', false, 'rows added to channel_read_record'),
    (2415, 'hermet_migration', 'channels', 'bigint', '0', false, 'rows added to channel'),
    (2416, 'hermet_migration', 'members', 'bigint', '0', false, 'rows added to channel_member'),

    (2501, 'hermet_migration_row', 'migration_id', 'bigint', NULL, false, 'the migration'),
    (2502, 'hermet_migration_row', 'id', 'bigint', 'identity', false, 'order of the report'),
    (2503, 'hermet_migration_row', 'legacy_id', 'bigint', NULL, true, 'id of the legacy row'),
    (2504, 'hermet_migration_row', 'user_id', 'bigint', NULL, true, 'its user'),
    (2505, 'hermet_migration_row', 'channel_id', 'bigint', NULL, true, 'its channel'),
    (2506, 'hermet_migration_row', 'outcome', 'text', NULL, false, 'not carried, or carried in part'),
    (2507, 'hermet_migration_row', 'reason', 'text', NULL, false, 'why, in a few words that are always the same'),
    (2508, 'hermet_migration_row', 'detail', 'text', '''''', false, 'the values concerned'),

    (2601, 'hermet_node', 'nodes', 'int', NULL, false, 'so many read nodes share the users'),
    (2602, 'hermet_node', 'node', 'int', NULL, false, 'this one has those whose id modulo nodes is this number'),
    (2603, 'hermet_node', 'subscription', 'text', NULL, false, 'the subscription that it follows'),
    (2604, 'hermet_node', 'followed_at', 'bigint', 'now', false, 'when it began to, Unix milliseconds')
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
    ('user_conversation_view', 'user_conversation_view_list_idx', false, ARRAY['user_id', 'is_pinned', 'list_hour'], NULL,
     'the inbox of a user, a large one in order')
$$;
COMMENT ON FUNCTION hermet.catalog_indexes() IS
    'the indexes of an instance beside the primary keys; no column that changes with every message is in one';

CREATE FUNCTION hermet.catalog_retired_indexes(OUT table_name text, OUT index_name text, OUT key text[])
    RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  VALUES ('user_conversation_view', 'user_conversation_view_user_id_idx', ARRAY['user_id'])
$$;
COMMENT ON FUNCTION hermet.catalog_retired_indexes() IS
    'indexes that earlier versions made and that others stand in for: hermet.upgrade() drops them, if nobody changed them';

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
