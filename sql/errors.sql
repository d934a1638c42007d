-- Errors, not guesses: SQLSTATE, message, detail and hint; the statement fails as a whole, nothing else is lost.
SELECT hermet.create_tables('errors');
SET search_path = errors;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\pset format unaligned
\pset fieldsep ' | '
\pset expanded on

INSERT INTO biz_user (id, nickname, info_ver) VALUES (101, 'Ann', 5), (102, 'Bob', 5), (103, 'Cid', 5);
INSERT INTO channel (id, channel_type, channel_name, channel_info_ver) VALUES (1, 'single', '', 3), (2, 'group', 'two', 3), (3, 'single', '', 1);
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
VALUES (11, 1, 101, 0), (12, 1, 102, 0), (21, 2, 101, 0), (22, 2, 102, 0), (23, 2, 103, 0), (31, 3, 101, 0);
INSERT INTO friendship (id, user_id, friend_id) VALUES (1, 101, 102);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (10, 1, 101, 10), (20, 2, 103, 20);
:clean

-- A third member of a single channel, active, left, by any statement.
SELECT * FROM testing.error('INSERT INTO channel_member (id, channel_id, user_id) VALUES (13, 1, 103)');
SELECT * FROM testing.error('INSERT INTO channel_member (id, channel_id, user_id, left_at) VALUES (13, 1, 103, 5)');
SELECT * FROM testing.error('INSERT INTO channel_member (id, channel_id, user_id) VALUES (32, 3, 102), (33, 3, 103)');
SELECT code, message FROM testing.error('UPDATE channel_member SET channel_id = 1 WHERE id = 23');
SELECT code, message FROM testing.error($$UPDATE channel SET channel_type = 'single' WHERE id = 2$$);
SELECT code, message FROM testing.error($$UPDATE channel SET channel_type = 'single', channel_status = 'archived' WHERE id = 2$$);
:clean
-- One who left counts still.
UPDATE channel_member SET left_at = 5 WHERE id = 12;
SELECT code, message FROM testing.error('INSERT INTO channel_member (id, channel_id, user_id) VALUES (13, 1, 103)');
UPDATE channel_member SET left_at = 0, joined_at = 0 WHERE id = 12;
-- In a channel of any status.
UPDATE channel SET channel_status = 'archived' WHERE id = 1;
SELECT code, message FROM testing.error('INSERT INTO channel_member (id, channel_id, user_id) VALUES (13, 1, 103)');
UPDATE channel SET channel_status = 'active' WHERE id = 1;
-- By COPY and MERGE, and in a CTE.
COPY channel_member (id, channel_id, user_id) FROM stdin;
24	2	104
13	1	103
\.
MERGE INTO channel_member m USING (VALUES (13, 1, 103)) v (id, c, u) ON m.id = v.id
 WHEN NOT MATCHED THEN INSERT (id, channel_id, user_id) VALUES (v.id, v.c, v.u);
WITH m AS (INSERT INTO message (id, channel_id, sender_id) VALUES (11, 1, 103))
INSERT INTO channel_member (id, channel_id, user_id) VALUES (13, 1, 103);
:clean
-- Judged at the end of the statement: exchanging a member in one statement is fine, in either order of the parts.
WITH d AS (DELETE FROM channel_member WHERE id = 12)
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (13, 1, 103, 0);
:clean
UPDATE channel_member SET user_id = 102 WHERE id = 13;
UPDATE channel_member SET id = 12 WHERE id = 13;
:clean
-- Judged once the channel is there: three members may be waiting for a channel; then it cannot be a single one.
INSERT INTO channel_member (id, channel_id, user_id) VALUES (41, 4, 101), (42, 4, 102), (43, 4, 103);
SELECT * FROM testing.error($$INSERT INTO channel (id, channel_type) VALUES (4, 'single')$$);
SELECT code, message FROM testing.error('UPDATE channel SET id = 4 WHERE id = 3');
SELECT code, message FROM testing.error($$WITH c AS (INSERT INTO channel (id, channel_type) VALUES (5, 'single'))
    INSERT INTO channel_member (id, channel_id, user_id) VALUES (51, 5, 101), (52, 5, 102), (53, 5, 103)$$);
INSERT INTO channel (id, channel_type) VALUES (4, 'group');
SELECT code, message FROM testing.error($$UPDATE channel SET channel_type = 'single' WHERE id = 4$$);
DELETE FROM channel_member WHERE id = 43;
UPDATE channel SET channel_type = 'single' WHERE id = 4;
:clean

-- A version that goes backwards.
SELECT * FROM testing.error('UPDATE biz_user SET info_ver = 4 WHERE id = 101');
SELECT * FROM testing.error($$UPDATE channel SET channel_info_ver = 2, channel_name = 'new' WHERE id = 2$$);
SELECT code, message FROM testing.error('UPDATE biz_user SET info_ver = info_ver - 1');
SELECT code, message FROM testing.error($$INSERT INTO biz_user (id, info_ver) VALUES (102, 1) ON CONFLICT (id) DO UPDATE SET info_ver = excluded.info_ver$$);
SELECT code, message FROM testing.error($$MERGE INTO channel c USING (VALUES (2)) v (id) ON c.id = v.id WHEN MATCHED THEN UPDATE SET channel_info_ver = 0$$);
UPDATE biz_user SET info_ver = 5 WHERE id = 101;
SELECT id, info_ver FROM biz_user ORDER BY 1;
SELECT id, channel_info_ver FROM channel ORDER BY 1;
:clean

-- The read side by hand: every table, every kind of statement, also when no row would change.
SELECT * FROM testing.error('UPDATE user_conversation_view SET unread_count = 0');
SELECT * FROM testing.error('INSERT INTO user_conversation_view SELECT * FROM user_conversation_view');
SELECT * FROM testing.error('DELETE FROM user_conversation_view');
SELECT * FROM testing.error('TRUNCATE user_conversation_view');
SELECT code, message FROM testing.error('UPDATE user_conversation_view SET unread_count = 0 WHERE false');
SELECT code, message FROM testing.error('MERGE INTO user_conversation_view v USING (VALUES (101)) x (u) ON v.user_id = x.u WHEN MATCHED THEN DELETE');
SELECT * FROM testing.error('UPDATE user_contact_view SET remark_name = $$x$$');
SELECT code, message FROM testing.error('INSERT INTO user_contact_view SELECT * FROM user_contact_view ON CONFLICT DO NOTHING');
SELECT code, message FROM testing.error('DELETE FROM user_contact_view');
SELECT code, message FROM testing.error('TRUNCATE user_contact_view');
SELECT * FROM testing.error('INSERT INTO conversation_reverse_index VALUES (1, 2, 3, 4)');
SELECT code, message FROM testing.error('UPDATE conversation_reverse_index SET created_at = 5');
SELECT code, message FROM testing.error('DELETE FROM conversation_reverse_index');
SELECT code, message FROM testing.error('TRUNCATE conversation_reverse_index');
SELECT * FROM testing.error('INSERT INTO contact_reverse_index VALUES (1, 2, 3)');
SELECT code, message FROM testing.error('UPDATE contact_reverse_index SET created_at = 5');
SELECT code, message FROM testing.error('DELETE FROM contact_reverse_index');
SELECT code, message FROM testing.error('TRUNCATE contact_reverse_index');
SELECT code, message FROM testing.error('TRUNCATE message, user_conversation_view');
COPY user_conversation_view FROM stdin;
\.
COPY user_contact_view (id) FROM stdin;
\.
COPY conversation_reverse_index FROM stdin;
\.
COPY contact_reverse_index FROM stdin;
1	2	3
\.
:clean
-- From within a trigger, a function, a data-modifying CTE: by hand all the same.
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE errors.user_conversation_view SET unread_count = 0 WHERE channel_id = new.channel_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER meddle AFTER INSERT ON message FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT code, message FROM testing.error('INSERT INTO message (id, channel_id, sender_id) VALUES (11, 1, 101)');
DROP TRIGGER meddle ON message;
SELECT code, message FROM testing.error('WITH m AS (INSERT INTO message (id, channel_id, sender_id) VALUES (11, 1, 101)) DELETE FROM user_conversation_view');
-- A trigger of one's own on the read side, that writes it: by hand as well, though hermet set it off.
CREATE FUNCTION meddle_there() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE errors.user_contact_view SET remark_name = 'meddled';
    RETURN NULL;
END
$$;
CREATE TRIGGER meddle_there AFTER UPDATE ON user_conversation_view FOR EACH STATEMENT EXECUTE FUNCTION meddle_there();
SELECT code, message FROM testing.error('INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (12, 1, 101, 12)');
DROP TRIGGER meddle_there ON user_conversation_view;
:clean
-- After an error in the middle of maintenance the guard stands as before.
SELECT code, message FROM testing.error('INSERT INTO channel_member (id, channel_id, user_id) VALUES (13, 1, 103)');
SELECT code, message FROM testing.error('UPDATE user_conversation_view SET unread_count = 0');

-- The statement fails as a whole; what the transaction did before stays, when it is asked to.
BEGIN;
UPDATE biz_user SET nickname = 'kept' WHERE id = 101;
SAVEPOINT a;
INSERT INTO channel_member (id, channel_id, user_id) VALUES (24, 2, 104), (13, 1, 103);
ROLLBACK TO a;
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (30, 2, 101, 30);
SAVEPOINT b;
WITH m AS (INSERT INTO message (id, channel_id, sender_id) VALUES (31, 2, 101))
UPDATE biz_user SET info_ver = 1 WHERE id = 102;
ROLLBACK TO b;
SAVEPOINT c;
DELETE FROM user_contact_view;
ROLLBACK TO c;
COMMIT;
SELECT id, nickname, info_ver FROM biz_user ORDER BY 1;
SELECT user_id, channel_id, conversation_name, last_message_id, unread_count FROM user_conversation_view ORDER BY 2, 1;
:clean

SET client_min_messages = warning;
DROP SCHEMA errors CASCADE;
