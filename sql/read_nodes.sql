-- A read node without a primary: what replication would apply is written under session_replication_role = replica, which fires
-- the same triggers. test/tap/040_read_nodes.pl has the real thing.
CREATE SCHEMA node_test;
SELECT hermet.create_tables('node');
SET search_path = node, node_test;

-- What is stored and not what the rules make of the write side for users with odd ids, or the other way round; and what a check finds.
CREATE FUNCTION node_test.wrong() RETURNS TABLE (table_name text, side text, row_image text) LANGUAGE plpgsql AS $$
DECLARE
  t text;
  owner text;
BEGIN
  FOR t, owner IN VALUES ('user_conversation_view', 'user_id'), ('user_contact_view', 'user_id'),
                         ('conversation_reverse_index', 'owner_user_id'), ('contact_reverse_index', 'owner_user_id') LOOP
    RETURN QUERY EXECUTE format(
      'SELECT %1$L::text, q.side, left(q.d::text, 200) FROM ('
      '  (SELECT ''surplus'' AS side, s AS d FROM (SELECT %2$s FROM node.%1$I EXCEPT ALL SELECT %2$s FROM (%3$s) r WHERE abs(%4$I %% 2) = 1) s)'
      '  UNION ALL'
      '  (SELECT ''lacking'', s FROM (SELECT %2$s FROM (%3$s) r WHERE abs(%4$I %% 2) = 1 EXCEPT ALL SELECT %2$s FROM node.%1$I) s)) q ORDER BY 2, 3',
      t, testing.columns(t, 'node'), testing.rules(t, 'node'), owner);
  END LOOP;
  -- The columns of channel come from the primary, which is not there.
  RETURN QUERY SELECT c.table_name, c.problem, c.key::text FROM hermet.check_consistency('node') c WHERE c.table_name <> 'channel';
END
$$;

-- Not without a subscription, and not published without logical WAL.
SELECT code, message FROM testing.error($$SELECT hermet.follow('node')$$);
SELECT code, message FROM testing.error($$SELECT hermet.unfollow('node')$$);
SELECT code, message FROM testing.error($$SELECT hermet.publish('node', 2, 0)$$) WHERE current_setting('wal_level') <> 'logical';
SELECT code, message, hint FROM testing.error($$SELECT hermet.publish('node', 0, 0)$$);
SELECT code, message, hint FROM testing.error($$SELECT hermet.publish('node', 2, 2)$$);
SELECT code, message FROM testing.error($$SELECT hermet.unpublish('node', 2, 1)$$);
SELECT code, message FROM testing.error($$SELECT hermet.publish('node', 1000001, 0)$$);
-- Whatever the schema is called, follow() reads the share from the name.
SELECT length(x) AS length, regexp_match(x, '_(\d+)_of_(\d+)$') FROM hermet.publication_name(repeat('ü', 31)::name, 1000000, 999999) x;
SELECT hermet.publication_name('im', 4, 1), length(hermet.publication_name(repeat('x', 60)::name, 4, 1));
SELECT table_name, definition LIKE '%WHERE%' AS filtered, definition LIKE '%passwd%' AS secret FROM hermet.published_tables('Odd "name"', 4, 1);

-- What follow() does when the copy is there.
INSERT INTO hermet_node (nodes, node, subscription) VALUES (2, 1, 'none');
SELECT hermet.make_triggers('node', false);
SELECT hermet.make_triggers('node', false);
SELECT problem, object FROM hermet.health('node');
SELECT code, message, detail, hint FROM testing.error($$INSERT INTO node.biz_user (id) VALUES (1)$$);
SELECT code, message FROM testing.error($$TRUNCATE node.message$$);
SELECT code, message FROM testing.error($$SELECT hermet.enable_events('node')$$);
SELECT code, message FROM testing.error($$SELECT hermet.publish('node', 2, 0)$$);

SET session_replication_role = replica;
BEGIN;
INSERT INTO biz_user (id, nickname) SELECT u, 'user ' || u FROM generate_series(1, 12) u;
INSERT INTO channel (id, channel_type, channel_name) SELECT c, 'group', 'group ' || c FROM generate_series(1, 5) c;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT c * 100 + u, c, u, 1000 FROM generate_series(1, 5) c, generate_series(1, 12) u;
INSERT INTO channel (id, channel_type) VALUES (20, 'single'), (21, 'single');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (2001, 20, 1, 1000), (2002, 20, 2, 1000), (2101, 21, 3, 1000), (2102, 21, 5, 1000);
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (1, 1, 2, 'two'), (3, 3, 5, ''), (5, 5, 3, 'three'), (7, 7, -1, 'nobody');
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT m, 1 + m % 5, 1 + m % 12, 'message ' || m, 2000 + m FROM generate_series(1, 100) m;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (201, 20, 2, 'hi', 3000), (211, 21, 3, 'there', 3000);
-- Nothing is derived before the end.
SELECT count(*) FROM user_conversation_view;
COMMIT;
SELECT * FROM node_test.wrong();
SELECT user_id % 2 AS odd, count(*) FROM user_conversation_view GROUP BY 1;

-- Deltas over rows that are there; with marks, settings and members of the same transaction.
INSERT INTO message (id, channel_id, sender_id, content, sent_at, mention_user_ids) VALUES (301, 1, 2, 'to seven', 4000, '{7,8}');
SELECT unread_count, mention_count, last_message_content FROM user_conversation_view WHERE (user_id, channel_id) = (7, 1);
BEGIN;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 7, 1, 301), (2, 9, 1, 50);
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (302, 1, 4, 'one more', 4001), (303, 2, 4, 'elsewhere', 4001);
UPDATE message SET deleted_at = 9 WHERE id IN (302, 100);
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (304, 1, 4, 'and another', 4002);
INSERT INTO conversation_setting (user_id, channel_id, closed_at, is_pinned) VALUES (3, 1, 4001, true), (5, 2, 9000, false);
UPDATE channel_member SET left_at = 5 WHERE channel_id = 1 AND user_id IN (11, 12);
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (113, 1, 13, 4001);
UPDATE channel SET channel_name = 'renamed' WHERE id = 2;
UPDATE friendship SET remark_name = 'deux' WHERE id = 1;
UPDATE biz_user SET nickname = 'new ' || id WHERE id IN (2, 4, 5);
COMMIT;
SELECT * FROM node_test.wrong();

-- Users below zero: -3 is this node's, -4 the other one's.
BEGIN;
INSERT INTO biz_user (id, nickname) VALUES (-3, 'minus three'), (-4, 'minus four');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (91, 1, -3, 1000), (92, 1, -4, 1000);
INSERT INTO friendship (id, user_id, friend_id) VALUES (93, -3, -4), (94, 3, -3);
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (95, -3, 1, 301);
COMMIT;
SELECT * FROM node_test.wrong();
SELECT user_id, unread_count FROM user_conversation_view WHERE user_id < 0;

-- Who spoke last is a user whose own rows are another node's, and leaves.
UPDATE biz_user SET nickname = 'again ' || id, avatar = 'a.png' WHERE id = 4;
SELECT * FROM node_test.wrong();
UPDATE channel_member SET nickname = 'in the group' WHERE channel_id = 1 AND user_id = 4;
SELECT * FROM node_test.wrong();
SELECT DISTINCT last_message_sender_name FROM user_conversation_view WHERE channel_id = 1;
DELETE FROM channel_member WHERE channel_id = 1 AND user_id = 4;
SELECT * FROM node_test.wrong();

-- Keys change hands: from a user of this node to another's and back.
UPDATE channel_member SET user_id = user_id + 100 WHERE channel_id = 3 AND user_id IN (1, 2, 3);
UPDATE channel_member SET user_id = user_id + 1 WHERE channel_id = 3 AND user_id IN (101, 102, 103) AND user_id = 103;
UPDATE message SET channel_id = 4 WHERE channel_id = 5;
UPDATE channel SET id = 6 WHERE id = 4;
SELECT * FROM node_test.wrong();

-- What a savepoint takes back was never added.
BEGIN;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (401, 2, 4, 'stays', 5000);
SAVEPOINT a;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (402, 2, 4, 'goes', 5001), (403, 3, 4, 'goes', 5001);
ROLLBACK TO a;
COMMIT;
SELECT * FROM node_test.wrong();
SELECT DISTINCT last_message_content FROM user_conversation_view WHERE channel_id IN (2, 3) ORDER BY 1;

-- More deltas than are kept: the channels are derived instead.
SET maintenance_work_mem = '1MB';
INSERT INTO message (id, channel_id, sender_id, content, sent_at) SELECT 10000 + m, 1 + m % 3, 1 + m % 12, 'm', 6000 FROM generate_series(1, 25000) m;
RESET maintenance_work_mem;
SELECT * FROM node_test.wrong();
SELECT user_id, unread_count FROM user_conversation_view WHERE channel_id = 2 AND user_id IN (3, 5) ORDER BY 1;

-- The rules that raise errors are the primary's.
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (2003, 20, 3, 1000);
UPDATE biz_user SET info_ver = 0, nickname = 'older' WHERE id = 2;
UPDATE channel SET channel_info_ver = 0, channel_member_count = 77 WHERE id = 1;
SELECT channel_member_count, channel_info_ver FROM channel WHERE id = 1;
SELECT * FROM node_test.wrong();

-- TRUNCATE, between changes of the table and of others; a savepoint may take it back.
BEGIN;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (50001, 2, 3, 7000);
UPDATE biz_user SET nickname = 'truncated' WHERE id = 1;
TRUNCATE message, conversation_setting;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (50002, 2, 4, 'the only one', 7001);
COMMIT;
SELECT * FROM node_test.wrong();
SELECT DISTINCT last_message_content, unread_count FROM user_conversation_view WHERE channel_id = 2 ORDER BY 1, 2;
BEGIN;
SAVEPOINT a;
TRUNCATE friendship;
ROLLBACK TO a;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (50003, 2, 4, 'another', 7002);
COMMIT;
SELECT * FROM node_test.wrong();

-- A prepared transaction is derived before it is prepared, and keeps the read side to itself.
BEGIN;
INSERT INTO message (id, channel_id, sender_id, content, sent_at) VALUES (50004, 2, 4, 'prepared', 7003);
PREPARE TRANSACTION 'node';
SET lock_timeout = '50ms';
SELECT code, message FROM testing.error($$SELECT * FROM hermet.repair('node')$$);
RESET lock_timeout;
COMMIT PREPARED 'node';
SELECT DISTINCT last_message_content FROM user_conversation_view WHERE channel_id = 2;
RESET session_replication_role;

-- The definition, repair, rebuild, explain and lists know whose rows these are.
SELECT testing.plant('DELETE FROM node.user_conversation_view WHERE user_id IN (3, 5)');
SELECT testing.plant('INSERT INTO node.conversation_reverse_index VALUES (1, 2, 20, 1)');
SELECT c.table_name, c.problem, count(*) FROM hermet.check_consistency('node') c WHERE c.table_name <> 'channel' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT r.table_name, inserted, updated, deleted FROM hermet.repair('node') r WHERE inserted + deleted > 0;
SELECT * FROM node_test.wrong();
SELECT testing.plant('TRUNCATE node.user_conversation_view, node.user_contact_view, node.conversation_reverse_index, node.contact_reverse_index');
SET client_min_messages = warning;
CALL hermet.rebuild_conversation_view('node', batch_size => 7);
CALL hermet.rebuild_contact_view('node');
SELECT * FROM node_test.wrong();
SELECT testing.plant('TRUNCATE node.user_conversation_view, node.user_contact_view, node.conversation_reverse_index, node.contact_reverse_index');
SELECT r.table_name, inserted FROM hermet.repair('node') r WHERE inserted > 0;
RESET client_min_messages;
SELECT * FROM node_test.wrong();
SELECT item, expected, reason FROM hermet.explain_conversation(2, 1, 'node') WHERE item = 'read node';
SELECT count(*) FROM hermet.explain_conversation(1, 1, 'node') WHERE item = 'read node';
SELECT count(*) FROM hermet.explain_conversation(2, 1, 'node') WHERE reason LIKE 'MISSING%';
SELECT hermet.set_rollout(0, target => 'node');
SELECT (SELECT count(*) FROM hermet.conversation_list(3, target => 'node')) > 0 AS own, count(*) AS others FROM hermet.conversation_list(2, target => 'node');
SELECT hermet.set_rollout(100, target => 'node');

-- The triggers of partitions fire in replication only, as those of the table do.
CREATE VIEW node_test.triggers AS
  SELECT regexp_replace(r.name, '_\d+$', '') AS name, g.tgname, array_agg(DISTINCT g.tgenabled) AS enabled, count(*) = count(DISTINCT r.relation) AS one_each
    FROM hermet.relations('node') r JOIN pg_trigger g ON g.tgrelid = r.relation
   WHERE g.tgname LIKE 'hermet\_node%' AND r.side = 'write' GROUP BY 1, 2;
CREATE VIEW node_test.trouble AS
  SELECT DISTINCT problem, regexp_replace(object, '_\d+\.', '.') AS object FROM hermet.health('node') WHERE problem <> 'subscription missing';
SELECT tgname, enabled, one_each, count(*) FROM node_test.triggers GROUP BY 1, 2, 3 ORDER BY 1;

-- Triggers that are missing are told, and made anew; so is one of a partition alone.
DROP TRIGGER hermet_node_row ON node.message;
ALTER TABLE node.channel ENABLE ALWAYS TRIGGER hermet_node_truncate;
DO $$
DECLARE
  friendship text := (SELECT name FROM hermet.relations('node') WHERE table_name = 'friendship' ORDER BY is_partition DESC, name LIMIT 1);
BEGIN
  EXECUTE format('ALTER TABLE %s ENABLE TRIGGER hermet_node_row', friendship);
END
$$;
SELECT * FROM node_test.trouble ORDER BY 2;
SELECT hermet.upgrade('node');
SELECT * FROM node_test.trouble ORDER BY 2;
SELECT tgname, enabled, one_each, count(*) FROM node_test.triggers GROUP BY 1, 2, 3 ORDER BY 1;

-- A deferred trigger that somebody has on the read side fires, and what it writes is derived, too.
CREATE FUNCTION node_test.pin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO node.conversation_setting (user_id, channel_id, is_pinned) VALUES (new.user_id, 1, true);
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER own AFTER INSERT ON user_contact_view DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION node_test.pin();
ALTER TABLE user_contact_view ENABLE ALWAYS TRIGGER own;
SET session_replication_role = replica;
INSERT INTO friendship (id, user_id, friend_id) VALUES (96, 9, 10);
RESET session_replication_role;
SELECT user_id, is_pinned FROM user_conversation_view WHERE channel_id = 1 AND is_pinned;
SELECT * FROM node_test.wrong();
DROP TRIGGER own ON user_contact_view;

-- A key that replication cannot find rows by.
ALTER TABLE channel_application DROP CONSTRAINT channel_application_pkey;
SELECT problem, object, regexp_replace(detail, '_\d+ ', ' ') AS detail FROM hermet.health('node') WHERE problem LIKE 'key%' GROUP BY 1, 2, 3;
SELECT hermet.upgrade('node');
SELECT * FROM node_test.trouble ORDER BY 2;

-- A trigger of a node on somebody's own table, or where there is no node.
CREATE TABLE node.mine (id bigint, channel_id bigint);
CREATE TRIGGER mine AFTER INSERT ON node.mine FOR EACH ROW EXECUTE FUNCTION hermet.follow_row();
SELECT code, message, hint FROM testing.error($$INSERT INTO node.mine VALUES (1, 1)$$);
DROP TABLE node.mine;

-- And back: an instance of its own, which derives the rows of all users.
SELECT hermet.unfollow('node');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'hermet_node%' AND tgrelid IN ('node.message'::regclass, 'node.channel'::regclass);
SELECT testing.clean('node');
INSERT INTO message (id, channel_id, sender_id, content) VALUES (60001, 2, 2, 'written here');
SELECT testing.clean('node');
-- Or empty, for another copy.
INSERT INTO hermet_node (nodes, node, subscription) VALUES (2, 1, 'none');
SELECT hermet.make_triggers('node', false);
SELECT hermet.unfollow('node', empty => true);
SELECT count(*) FROM message UNION ALL SELECT count(*) FROM user_conversation_view UNION ALL SELECT count(*) FROM biz_user;
SELECT problem FROM hermet.health('node');

-- What is published as one table: nobody would hear that a partition was truncated, or made anew.
SET client_min_messages = error;
SELECT hermet.create_tables('parts', 2, 2);
INSERT INTO parts.channel (id, channel_type) VALUES (1, 'group'), (2, 'group');
INSERT INTO parts.channel_member (id, channel_id, user_id) VALUES (1, 1, 1), (2, 2, 1);
INSERT INTO parts.message (id, channel_id, sender_id, content) VALUES (1, 1, 2, 'odd'), (2, 2, 2, 'even');

-- A node in partitions, each of which may be meant, with triggers of its own; one trigger that is altered is switched back.
INSERT INTO parts.hermet_node (nodes, node, subscription) VALUES (2, 1, 'none');
SELECT hermet.make_triggers('parts', false);
SELECT tgrelid::regclass, tgenabled FROM pg_trigger WHERE tgname = 'hermet_node_row' AND tgrelid::regclass::text LIKE 'parts.message%' ORDER BY 1;
SET session_replication_role = replica;
BEGIN;
INSERT INTO parts.message (id, channel_id, sender_id, content) VALUES (3, 1, 2, 'odd again');
INSERT INTO parts.message_0 (id, channel_id, sender_id, content) VALUES (4, 2, 2, 'even again');
UPDATE parts.message SET channel_id = 2 WHERE id = 1;
COMMIT;
RESET session_replication_role;
SELECT channel_id, last_message_content, unread_count FROM parts.user_conversation_view ORDER BY 1;
ALTER TABLE parts.message_1 ENABLE TRIGGER hermet_node_row;
SELECT problem, object FROM hermet.health('parts') WHERE problem LIKE 'trigger%';
SELECT hermet.upgrade('parts');
SELECT problem, object FROM hermet.health('parts') WHERE problem LIKE 'trigger%';
SET session_replication_role = replica;
TRUNCATE parts.message_0;
RESET session_replication_role;
SELECT channel_id, last_message_content, unread_count FROM parts.user_conversation_view ORDER BY 1;
SELECT code, message FROM testing.error('DELETE FROM parts.message_1');
SELECT hermet.unfollow('parts');
SELECT testing.clean('parts');
INSERT INTO parts.message (id, channel_id, sender_id, content) VALUES (5, 2, 2, 'even');
CREATE FUNCTION node_test.truncated(publication text) RETURNS TABLE (step text, code text, message text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE 'CREATE PUBLICATION read_nodes_test ' || publication;
  RETURN QUERY SELECT 'partition', e.code, e.message FROM testing.error('DO $b$ BEGIN TRUNCATE parts.message_1; RAISE ''done''; END $b$') e;
  RETURN QUERY SELECT 'table', e.code, e.message FROM testing.error('DO $b$ BEGIN TRUNCATE parts.message; RAISE ''done''; END $b$') e;
  RETURN QUERY SELECT 'reshard', e.code, e.detail FROM testing.error('SELECT hermet.reshard(''parts'', 4, 2)') e;
  DROP PUBLICATION read_nodes_test;
END
$$;
SELECT * FROM node_test.truncated('FOR TABLE parts.message WITH (publish_via_partition_root = true)');
SELECT * FROM node_test.truncated('FOR TABLES IN SCHEMA parts WITH (publish_via_partition_root = true)');
SELECT * FROM node_test.truncated('FOR ALL TABLES WITH (publish_via_partition_root = true)');
SELECT * FROM node_test.truncated('FOR TABLE parts.message');
SELECT * FROM node_test.truncated('FOR TABLE parts.message WITH (publish_via_partition_root = true, publish = ''insert, update, delete'')');
SELECT * FROM node_test.truncated('FOR TABLE parts.channel WITH (publish_via_partition_root = true)');
SELECT code, message, detail, hint FROM testing.error($$CREATE PUBLICATION read_nodes_test FOR TABLE parts.message WITH (publish_via_partition_root = true); TRUNCATE parts.message_1$$);
TRUNCATE parts.message_1;
SELECT channel_id, last_message_content FROM parts.user_conversation_view ORDER BY 1;
SELECT testing.clean('parts');
DROP SCHEMA parts CASCADE;
SET client_min_messages = warning;
DROP SCHEMA node, node_test CASCADE;
