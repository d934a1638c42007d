/* Check, repair, explain. The rules themselves are in the library, once: hermet.definition() shows them. */

CREATE FUNCTION hermet.definition(table_name text, target name DEFAULT NULL) RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'hermet_definition';
COMMENT ON FUNCTION hermet.definition(text, name) IS
    'the query that derives a table of the read side (or channel''s own columns) from the write side: the rules, to read and to run';

CREATE FUNCTION hermet.check_consistency(target name DEFAULT NULL, table_name text DEFAULT NULL, user_id bigint DEFAULT NULL,
                                         sample float8 DEFAULT 1.0, from_key bigint DEFAULT NULL, to_key bigint DEFAULT NULL)
    RETURNS TABLE (table_name text, key jsonb, problem text, column_name text, expected text, actual text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_check_consistency';
COMMENT ON FUNCTION hermet.check_consistency(name, text, bigint, float8, bigint, bigint) IS
    'every difference between the read side and the rules: missing and unexpected rows, stale columns; none = consistent';

CREATE FUNCTION hermet.consistency_summary(target name DEFAULT NULL, table_name text DEFAULT NULL, user_id bigint DEFAULT NULL,
                                           sample float8 DEFAULT 1.0, from_key bigint DEFAULT NULL, to_key bigint DEFAULT NULL)
    RETURNS TABLE (table_name text, rows bigint, ok bigint, fail bigint, ratio float8)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_consistency_summary';
COMMENT ON FUNCTION hermet.consistency_summary(name, text, bigint, float8, bigint, bigint) IS
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

CREATE FUNCTION hermet.order_inboxes(target name DEFAULT NULL, conversations int DEFAULT 200) RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_order_inboxes';
COMMENT ON FUNCTION hermet.order_inboxes(name, int) IS
    'from now on keeps the inboxes of more conversations than that in order of time, so that a page of one reads a page of rows; returns how many were added';

CREATE FUNCTION hermet.explain_conversation(user_id bigint, channel_id bigint, target name DEFAULT NULL)
    RETURNS TABLE (section text, item text, expected text, stored text, reason text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hermet_explain_conversation';
COMMENT ON FUNCTION hermet.explain_conversation(bigint, bigint, name) IS
    'why an inbox row says what it says: its sources, the messages counted and left out, stored beside expected';
