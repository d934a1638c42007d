-- What keeps rows from being read or written without the executor, reason by reason: the same work, and its result is right.
SELECT hermet.create_tables('direct');
SET search_path = direct;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
INSERT INTO biz_user (id, nickname, avatar, mobile) SELECT u, 'user ' || u, 'pic ' || u, '+' || u FROM generate_series(1, 20) u;
INSERT INTO channel (id, channel_name, channel_type) VALUES (1, 'group', 'group');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (1, 1, 1, 0), (2, 1, 2, 0);

-- Everything that is written row by row, for another user each time.
CREATE FUNCTION work(u bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO channel (id, channel_type) VALUES (100 + u, 'single');
    INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (100 + u, 100 + u, 1, 0), (200 + u, 100 + u, u, 0), (300 + u, 1, u, 0);
    INSERT INTO message (id, channel_id, sender_id, mention_user_ids, sent_at) VALUES (100 + u, 100 + u, u, '{1,NULL,1}', u), (200 + 2 * u, 1, u, '{1}', u);
    INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (100 + u, 1, u, 'dear ' || u), (200 + u, u, 1, '');
    INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (100 + u, 1, 1, 100), (200 + u, u, 1, 0)
        ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = 200 + 2 * u;
    INSERT INTO conversation_setting (user_id, channel_id, is_pinned, closed_at) VALUES (1, 100 + u, true, u + 1), (u, 100 + u, true, u - 1);
    UPDATE channel SET channel_name = 'group of ' || u WHERE id = 1;
    UPDATE biz_user SET nickname = 'new ' || u, avatar = '' WHERE id IN (1, u);
    UPDATE channel_member SET nickname = 'nick ' || u WHERE channel_id = 1 AND user_id = u;
    UPDATE friendship SET deleted_at = 1 WHERE id = 100 + u;
    UPDATE friendship SET deleted_at = 0, remark_name = '' WHERE id = 100 + u;
    UPDATE biz_user SET user_status = 'deleted' WHERE id = u;
    UPDATE biz_user SET user_status = 'active' WHERE id = u;
    UPDATE channel_member SET left_at = 5 WHERE channel_id = 100 + u AND user_id = u;
    UPDATE message SET deleted_at = 1 WHERE channel_id = 1 AND id = 200 + 2 * u;
    INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (201 + 2 * u, 1, 1, u);
    UPDATE channel_member SET left_at = 5 WHERE channel_id = 1 AND user_id = 1;
    UPDATE biz_user SET nickname = 'gone at ' || u WHERE id = 1;
    UPDATE channel_member SET left_at = 0 WHERE channel_id = 1 AND user_id = 1;
END
$$;
SELECT work(3);
:clean
-- Columns of the owner's: one that needs a value, one that is generated, one that is only there.
ALTER TABLE user_contact_view ADD note text NOT NULL DEFAULT 'a default';
ALTER TABLE conversation_reverse_index ADD since bigint GENERATED ALWAYS AS (created_at + 1) STORED;
ALTER TABLE user_conversation_view ADD label text;
SELECT work(4);
SELECT contact_id, note FROM user_contact_view WHERE user_id = 1 ORDER BY 1;
SELECT owner_user_id, since - created_at AS one FROM conversation_reverse_index WHERE peer_user_id = 4;
ALTER TABLE user_contact_view DROP note;
ALTER TABLE conversation_reverse_index DROP since;
ALTER TABLE user_conversation_view ADD CHECK (label IS NULL), ADD COLUMN colour text DEFAULT 'blue';
SELECT work(5);
SELECT user_id, label, colour FROM user_conversation_view WHERE channel_id = 105 ORDER BY 1;
ALTER TABLE user_conversation_view DROP label, DROP colour;
:clean
-- Triggers of the owner's see every row that comes, changes and goes.
CREATE TABLE seen (what text, op text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql SET search_path = direct, pg_temp AS $$
BEGIN
    INSERT INTO seen VALUES (testing.table_of(TG_TABLE_NAME), TG_OP);
    RETURN NULL;
END
$$;
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON user_conversation_view FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON user_contact_view FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON contact_reverse_index FOR EACH ROW EXECUTE FUNCTION see();
SELECT work(6);
SELECT what, op, count(*) FROM seen GROUP BY 1, 2 ORDER BY 1, 2;
:clean
DROP TRIGGER see ON user_conversation_view;
DROP TRIGGER see ON user_contact_view;
DROP TRIGGER see ON contact_reverse_index;
-- Constraints of the owner's hold for what hermet writes.
ALTER TABLE user_conversation_view ADD CONSTRAINT no_swearing CHECK (conversation_name <> 'damn' AND remark_name <> 'damn') NOT VALID;
ALTER TABLE user_contact_view ADD CONSTRAINT no_strangers CHECK (contact_id < 20);
INSERT INTO channel (id, channel_name, channel_type) VALUES (7, 'damn', 'group');
SELECT code, message FROM testing.error('INSERT INTO direct.channel_member (id, channel_id, user_id) VALUES (7, 7, 7)');
SELECT code, message FROM testing.error('UPDATE direct.channel SET channel_name = $$damn$$ WHERE id = 1');
SELECT code, message FROM testing.error('UPDATE direct.biz_user SET nickname = $$damn$$ WHERE id = 4');
SELECT code, message FROM testing.error('INSERT INTO direct.friendship (id, user_id, friend_id) VALUES (7, 1, 20)');
SELECT work(8);
:clean
ALTER TABLE user_conversation_view DROP CONSTRAINT no_swearing;
ALTER TABLE user_contact_view DROP CONSTRAINT no_strangers;
-- Other types than the contract's are refused, before anything is written.
ALTER TABLE biz_user ALTER avatar TYPE text;
SELECT code, message FROM testing.error('SELECT direct.work(9)');
ALTER TABLE biz_user ALTER avatar TYPE varchar(256);
SELECT work(9);
:clean
-- Data that should not be: several members in a single channel. Who has not left is the peer, then the lowest id.
SELECT testing.plant('INSERT INTO direct.channel (id, channel_type, channel_member_count) VALUES (70, ''single'', 3)');
SELECT testing.plant('INSERT INTO direct.channel_member (id, channel_id, user_id, joined_at, left_at) VALUES (700, 70, 1, 0, 0), (701, 70, 2, 0, 9), (702, 70, 3, 0, 0), (703, 70, 4, 0, 0)');
UPDATE channel SET channel_status = 'archived' WHERE id = 70;
UPDATE channel SET channel_status = 'active' WHERE id = 70;
SELECT user_id, peer_user_id FROM user_conversation_view WHERE channel_id = 70 ORDER BY 1;
SELECT owner_user_id, peer_user_id FROM conversation_reverse_index WHERE channel_id = 70 ORDER BY 1;
-- A conversation that comes back shows no remark of a friendship that has ended.
UPDATE friendship SET remark_name = 'dear', is_starred = true, deleted_at = 7 WHERE user_id = 1 AND friend_id = 3;
UPDATE channel SET channel_status = 'archived' WHERE id = 70;
UPDATE channel SET channel_status = 'active' WHERE id = 70;
SELECT remark_name, is_starred, conversation_name FROM user_conversation_view WHERE channel_id = 70 AND user_id = 1;
:clean
-- A channel that is wrong about its last message keeps no rename from the rows, which are right.
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (1000, 1, 2, 1000);
SELECT testing.plant('UPDATE direct.channel SET last_message_id = 0 WHERE id = 1');
UPDATE biz_user SET nickname = 'spoke last' WHERE id = 2;
SELECT last_message_sender_name, count(*) > 1 AS many FROM user_conversation_view WHERE channel_id = 1 GROUP BY 1;
SELECT table_name, updated FROM hermet.repair_channel(1, 'direct') WHERE updated > 0;
DELETE FROM message WHERE id = 1000;
:clean
-- A NULL where there should be none: the definition says what follows.
ALTER TABLE message ALTER sent_at DROP NOT NULL;
ALTER TABLE conversation_setting ALTER is_muted DROP NOT NULL;
UPDATE conversation_setting SET is_muted = true WHERE user_id = 1 AND channel_id = 109;
SELECT code, message FROM testing.error('UPDATE direct.conversation_setting SET is_muted = NULL WHERE user_id = 1 AND channel_id = 109');
SELECT testing.plant('UPDATE direct.message SET sent_at = NULL WHERE id = 109');
UPDATE channel_read_record SET last_read_message_id = 5 WHERE user_id = 1 AND channel_id = 1;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (999, 1, 109, 5);
SELECT unread_count FROM user_conversation_view WHERE user_id = 1 AND channel_id = 109;
SELECT testing.plant('UPDATE direct.message SET sent_at = 9 WHERE id = 109');
SELECT table_name FROM hermet.repair('direct') WHERE updated > 0 ORDER BY 1;
:clean
-- A child, on one table at a time; a partitioned table can have none. (The mark that it leaves on its parent stays until the next ANALYZE.)
CREATE FUNCTION each_table(first bigint, before text, after text) RETURNS TABLE (drifted text) LANGUAGE plpgsql AS $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY '{biz_user,channel,channel_member,channel_read_record,friendship,message,conversation_setting,user_conversation_view,user_contact_view,conversation_reverse_index,contact_reverse_index,hermet_large_inbox}'::text[] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_class c WHERE c.oid = t::regclass AND c.relkind = 'p');
        EXECUTE format(before, t);
        INSERT INTO biz_user (id, nickname) VALUES (first, 'user');
        PERFORM work(first);
        RETURN QUERY SELECT t FROM testing.clean('direct');
        EXECUTE format(after, t);
        first := first + 1;
    END LOOP;
END
$$;
SELECT * FROM each_table(30, 'CREATE TABLE child () INHERITS (%I)', 'DROP TABLE child');
