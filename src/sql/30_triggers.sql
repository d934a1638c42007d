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

CREATE FUNCTION hermet.follow_row() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_follow_row';
COMMENT ON FUNCTION hermet.follow_row() IS 'AFTER ROW on the write side of a read node: notes what replication changes; the read side follows when the transaction commits';
CREATE FUNCTION hermet.follow_truncate() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_follow_truncate';
COMMENT ON FUNCTION hermet.follow_truncate() IS 'AFTER TRUNCATE on the write side of a read node: derives everything anew';
CREATE FUNCTION hermet.forbid_node_write() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_forbid_node_write';
COMMENT ON FUNCTION hermet.forbid_node_write() IS 'BEFORE STATEMENT on the write side of a read node: only replication writes it';

CREATE FUNCTION hermet.forbid_write() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'hermet_forbid_write';
COMMENT ON FUNCTION hermet.forbid_write() IS 'BEFORE STATEMENT on the read side: only hermet writes it';
