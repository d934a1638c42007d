-- conversation_list(), contact_list(), unread_totals(): what they show, in which order, in which pages,
-- to whom.
SELECT hermet.create_tables('lists');
SET search_path = lists;
\set clean 'SELECT testing.clean(''lists'');'

INSERT INTO biz_user (id, nickname, avatar, mobile) VALUES (1, 'Ann', 'a.png', '1'), (2, 'Bob', 'b.png', '2'), (3, 'Cai', '', ''), (4, 'Dee', '', '');
INSERT INTO channel (id, channel_type, channel_name, channel_avatar) VALUES
    (10, 'single', '', ''), (20, 'group', 'Picnic', 'p.png'), (30, 'group', 'Chess', ''), (40, 'group', 'Closed', ''),
    (50, 'group', 'Hidden', ''), (60, 'group', 'Quiet', ''), (70, 'group', 'Empty', '');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at) VALUES
    (101, 10, 1, 100, 1), (102, 10, 2, 100, 2), (201, 20, 1, 100, 3), (203, 20, 3, 100, 4), (301, 30, 1, 100, 5), (303, 30, 3, 100, 6),
    (401, 40, 1, 100, 7), (403, 40, 3, 100, 8), (501, 50, 1, 100, 9), (503, 50, 3, 100, 10), (601, 60, 1, 100, 11), (603, 60, 3, 100, 12),
    (701, 70, 1, 1600, 13);
INSERT INTO message (id, channel_id, sender_id, content, mention_user_ids, sent_at) VALUES
    (1, 10, 2, 'one', '{}', 1000), (2, 20, 3, 'two', '{1}', 1500), (3, 30, 3, 'three', '{}', 1500), (4, 40, 3, 'four', '{}', 1700),
    (5, 50, 3, 'five', '{1}', 1800), (6, 60, 3, 'six', '{}', 1400);
INSERT INTO conversation_setting (user_id, channel_id, is_muted, is_pinned, is_hidden, closed_at, marked_unread) VALUES
    (1, 10, false, true, false, 0, false), (1, 40, false, false, false, 5000, true), (1, 50, false, true, true, 0, true),
    (1, 60, true, false, false, 0, false), (1, 70, false, false, false, 0, true);
INSERT INTO friendship (id, user_id, friend_id, remark_name, is_starred, is_blocked, tags, added_at, created_at) VALUES
    (601, 1, 2, '', false, false, '{x,"y z"}', 5, 6), (602, 1, 3, 'Zoe', false, true, '{}', 5, 6), (603, 1, 4, '', true, false, '{}', 5, 6),
    (604, 1, 5, '', false, false, '{}', 5, 6), (605, 2, 1, 'Annie', false, false, '{}', 5, 6);

-- Pinned first, then by the last message or by joining, then by channel; all descending.
SELECT channel_id, is_pinned, last_message_time, opened_at, unread_count, cursor FROM hermet.conversation_list(1, target => 'lists');
SELECT channel_id, is_hidden, is_pinned FROM hermet.conversation_list(1, include_hidden => true, target => 'lists');
SELECT messages, unmuted_messages, mentions, conversations FROM hermet.unread_totals(1, 'lists');
-- By the bytes of the displayed name; blocked ones are listed, a friend without a name comes first.
SELECT contact_id, is_starred, is_blocked, remark_name, contact_nickname, source, tags, cursor FROM hermet.contact_list(1, target => 'lists');
INSERT INTO biz_user (id, nickname) VALUES (5, 'bob'), (6, 'Bob'), (7, 'Émile'), (8, '张伟');
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (607, 1, 7, ''), (608, 1, 8, ''), (606, 1, 6, '');
SELECT contact_id, id, cursor ->> 'name' AS name FROM hermet.contact_list(1, target => 'lists');

-- Every column of the row, in the contract's order.
SELECT to_jsonb(l) - 'cursor' = to_jsonb(v) - 'list_hour' AS same
  FROM hermet.conversation_list(1, target => 'lists') l JOIN user_conversation_view v USING (user_id, channel_id);
SELECT to_jsonb(l) - 'cursor' = to_jsonb(v) AS same
  FROM hermet.contact_list(1, target => 'lists') l JOIN user_contact_view v USING (user_id, contact_id);
SELECT p.proname, string_agg(a.name || ' ' || format_type(a.type, NULL), ', ' ORDER BY a.n) AS columns
  FROM pg_proc p, unnest(p.proargnames, p.proallargtypes, p.proargmodes) WITH ORDINALITY a (name, type, mode, n)
 WHERE p.pronamespace = 'hermet'::regnamespace AND p.proname IN ('conversation_list', 'contact_list', 'unread_totals') AND a.mode = 't'
 GROUP BY 1 ORDER BY 1;

-- How many rows.
SELECT n, (SELECT count(*) FROM hermet.conversation_list(1, n, target => 'lists')) AS conversations,
       (SELECT count(*) FROM hermet.contact_list(1, n, target => 'lists')) AS contacts
  FROM (VALUES (0), (1), (2), (2147483647), (NULL)) AS x (n);
INSERT INTO channel (id, channel_type) SELECT c, 'group' FROM generate_series(1000, 1059) c;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT c * 10, c, 9, c FROM generate_series(1000, 1059) c;
INSERT INTO friendship (id, user_id, friend_id) SELECT c * 10, 9, c FROM generate_series(1000, 1059) c;
SELECT (SELECT count(*) FROM hermet.conversation_list(9, target => 'lists')) AS by_default, (SELECT count(*) FROM hermet.conversation_list(9, NULL, target => 'lists')) AS by_null,
       (SELECT count(*) FROM hermet.contact_list(9, target => 'lists')) AS by_default, (SELECT count(*) FROM hermet.contact_list(9, NULL, target => 'lists')) AS by_null;
SELECT * FROM testing.error($$SELECT hermet.conversation_list(1, -1, target => 'lists')$$);
SELECT * FROM testing.error($$SELECT hermet.contact_list(1, -1, target => 'lists')$$);
-- Nobody, and somebody unknown.
SELECT count(*) FROM hermet.conversation_list(NULL, target => 'lists');
SELECT count(*) FROM hermet.conversation_list(404, target => 'lists');
SELECT count(*) FROM hermet.contact_list(NULL, target => 'lists');
SELECT * FROM hermet.unread_totals(404, 'lists');
SELECT * FROM hermet.unread_totals(NULL, 'lists');
SELECT code, message FROM testing.error($$SELECT hermet.conversation_list(1, target => 'no such')$$);
-- A set wherever a set may be.
SELECT u, (hermet.conversation_list(u, 1, target => 'lists')).channel_id FROM (VALUES (1), (3), (404)) AS x (u);
SELECT u, t.* FROM (VALUES (1), (3), (404)) AS x (u), hermet.unread_totals(u, 'lists') t;

-- What is no cursor.
SELECT c AS after, e.code, e.message FROM (VALUES ('null'), ('1'), ('"x"'), ('[]'), ('[false, 1, 2]'), ('{}'), ('{"is_pinned": false, "moved_at": 1}'),
    ('{"is_pinned": false, "moved_at": 1, "channel_id": 2, "x": 1}'), ('{"is_pinned": false, "moved_at": 1, "channel": 2}'),
    ('{"is_pinned": null, "moved_at": 1, "channel_id": 2}'), ('{"is_pinned": false, "moved_at": null, "channel_id": 2}'),
    ('{"is_pinned": 0, "moved_at": 1, "channel_id": 2}'), ('{"is_pinned": false, "moved_at": "1", "channel_id": 2}'),
    ('{"is_pinned": false, "moved_at": 1.5, "channel_id": 2}'), ('{"is_pinned": false, "moved_at": 9223372036854775808, "channel_id": 2}'),
    ('{"is_pinned": false, "moved_at": 1e400, "channel_id": 2}'), ('{"is_pinned": false, "moved_at": [1], "channel_id": 2}'),
    ('{"is_starred": false, "name": "x", "id": 1, "contact_id": 2}')) AS x (c),
    LATERAL testing.error(format('SELECT hermet.conversation_list(1, 1, %L, false, ''lists'')', c)) e;
SELECT c AS after, e.code, e.message FROM (VALUES ('null'), ('{}'), ('{"is_starred": false, "name": null, "id": 1, "contact_id": 2}'), ('{"is_starred": false, "name": 1, "id": 1, "contact_id": 2}'),
    ('{"is_starred": "false", "name": "x", "id": 1, "contact_id": 2}'), ('{"is_starred": false, "name": "x", "id": 1.5, "contact_id": 2}'),
    ('{"is_pinned": false, "moved_at": 1, "channel_id": 2}')) AS x (c),
    LATERAL testing.error(format('SELECT hermet.contact_list(1, 1, %L, ''lists'')', c)) e;
SELECT hint FROM testing.error($$SELECT hermet.contact_list(1, 1, '[]', 'lists')$$);
-- A place in the order where no row is; the ends of it; a cursor of one's own.
SELECT channel_id FROM hermet.conversation_list(1, 2, '{"channel_id": 5, "moved_at": 1500, "is_pinned": false}', target => 'lists');
SELECT channel_id FROM hermet.conversation_list(1, 2, hermet.conversation_cursor(true, 9223372036854775807, 9223372036854775807), target => 'lists');
SELECT channel_id FROM hermet.conversation_list(1, 2, hermet.conversation_cursor(false, -9223372036854775808, 0), target => 'lists');
SELECT contact_id FROM hermet.contact_list(1, 2, hermet.contact_cursor(false, '', 0, 0), target => 'lists');
SELECT contact_id FROM hermet.contact_list(1, 2, hermet.contact_cursor(false, E'odd "\\ \u0001 name', 0, 0), target => 'lists');

---------------------------------------------------------------------------------------------------
-- Pages of every size, one after the other, are the list: of random rows with many ties. What the list
-- should be is said once more here, from the table itself.
CREATE FUNCTION whole_list(u bigint, hidden boolean) RETURNS SETOF jsonb LANGUAGE sql AS $$
SELECT to_jsonb(v) - 'list_hour' FROM lists.user_conversation_view v
 WHERE user_id = u AND closed_at = 0 AND (hidden OR NOT is_hidden)
 ORDER BY is_pinned DESC, greatest(last_message_time, opened_at) DESC, channel_id DESC
$$;
CREATE FUNCTION whole_contacts(u bigint) RETURNS SETOF jsonb LANGUAGE sql AS $$
SELECT to_jsonb(v) FROM lists.user_contact_view v WHERE user_id = u
 ORDER BY is_starred DESC, coalesce(nullif(remark_name, ''), contact_nickname) COLLATE "C", id, contact_id
$$;
CREATE FUNCTION paged_list(u bigint, size int, hidden boolean, target name) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
DECLARE
    place jsonb;
    r record;
BEGIN
    LOOP
        FOR r IN SELECT * FROM hermet.conversation_list(u, size, place, hidden, target) LOOP
            RETURN NEXT to_jsonb(r) - 'cursor';
        END LOOP;
        EXIT WHEN NOT FOUND;
        ASSERT place IS DISTINCT FROM r.cursor, 'the pages do not end';
        place := r.cursor;
    END LOOP;
END
$$;
CREATE FUNCTION paged_contacts(u bigint, size int, target name) RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
DECLARE
    place jsonb;
    r record;
BEGIN
    LOOP
        FOR r IN SELECT * FROM hermet.contact_list(u, size, place, target) LOOP
            RETURN NEXT to_jsonb(r) - 'cursor';
        END LOOP;
        EXIT WHEN NOT FOUND;
        ASSERT place IS DISTINCT FROM r.cursor, 'the pages do not end';
        place := r.cursor;
    END LOOP;
END
$$;
-- For every user and size: whether the pages are the list; totals too.
CREATE FUNCTION wrong_lists() RETURNS TABLE (endpoint text, who bigint, size int) LANGUAGE sql AS $$
SELECT CASE WHEN hidden THEN 'conversation_list, hidden too' ELSE 'conversation_list' END, u, size
  FROM generate_series(100, 107) u, unnest('{1,2,3,7,50,1000}'::int[]) size, unnest('{f,t}'::boolean[]) hidden
 WHERE ARRAY(SELECT lists.whole_list(u, hidden)) <> ARRAY(SELECT lists.paged_list(u, size, hidden, 'lists'))
UNION ALL
SELECT 'contact_list', u, size FROM generate_series(100, 107) u, unnest('{1,2,3,7,50,1000}'::int[]) size
 WHERE ARRAY(SELECT lists.whole_contacts(u)) <> ARRAY(SELECT lists.paged_contacts(u, size, 'lists'))
UNION ALL
SELECT 'unread_totals', u, 0 FROM generate_series(100, 107) u, hermet.unread_totals(u, 'lists') t
 WHERE to_jsonb(t) <> (SELECT jsonb_build_object('messages', coalesce(sum(unread_count), 0), 'unmuted_messages', coalesce(sum(unread_count) FILTER (WHERE NOT is_muted), 0),
                              'mentions', coalesce(sum(mention_count), 0), 'conversations', count(*) FILTER (WHERE unread_count > 0 OR marked_unread))
                         FROM lists.user_conversation_view WHERE user_id = u AND closed_at = 0 AND NOT is_hidden)
$$;

SELECT setseed(0.25);
INSERT INTO biz_user (id, nickname, user_status) SELECT u, chr(97 + (random() * 3)::int), CASE WHEN random() < 0.1 THEN 'deleted' ELSE 'active' END::user_status_enum
  FROM generate_series(100, 115) u WHERE u % 7 > 0;
INSERT INTO channel (id, channel_type, channel_name, channel_status)
SELECT c, CASE WHEN c % 3 = 0 THEN 'single' ELSE 'group' END::channel_type_enum, 'c' || c, CASE WHEN random() < 0.1 THEN 'archived' ELSE 'active' END::channel_status_enum
  FROM generate_series(2000, 2119) c;
INSERT INTO channel_member (id, channel_id, user_id, joined_at, left_at)
SELECT c * 1000 + u, c, u, (random() * 4)::int * 3000000, CASE WHEN random() < 0.1 THEN 9 ELSE 0 END
  FROM generate_series(2000, 2119) c, generate_series(100, 115) u
 WHERE CASE WHEN c % 3 = 0 THEN u IN (100 + c % 16, 100 + (c / 3) % 16) ELSE random() < 0.4 END;
INSERT INTO message (id, channel_id, sender_id, sent_at, mention_all, deleted_at)
SELECT 10000 + m, 2000 + (random() * 119)::int, 100 + (random() * 15)::int, (random() * 12)::int * 1800000, random() < 0.1, CASE WHEN random() < 0.1 THEN 1 ELSE 0 END
  FROM generate_series(1, 400) m;
INSERT INTO conversation_setting (user_id, channel_id, is_muted, is_pinned, is_hidden, closed_at, marked_unread)
SELECT user_id, channel_id, random() < 0.3, random() < 0.3, random() < 0.2, CASE WHEN random() < 0.2 THEN 10000000 ELSE 0 END, random() < 0.2
  FROM channel_member WHERE channel_id >= 2000 AND random() < 0.6;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) SELECT id, user_id, channel_id, 10000 + (random() * 400)::int
  FROM channel_member WHERE channel_id >= 2000 AND random() < 0.5;
INSERT INTO friendship (id, user_id, friend_id, remark_name, is_starred)
SELECT 100000 - u * 100 - f, u, f, CASE WHEN random() < 0.3 THEN chr(97 + (random() * 3)::int) ELSE '' END, random() < 0.2
  FROM generate_series(100, 115) u, generate_series(98, 117) f;
:clean
SELECT count(*) > 300 AS conversations, count(*) FILTER (WHERE is_pinned AND NOT is_hidden) > 30 AS pinned, count(*) FILTER (WHERE is_hidden) > 30 AS hidden,
       count(*) FILTER (WHERE closed_at > 0) > 20 AS closed, count(*) - 100 > count(DISTINCT (user_id, is_pinned, greatest(last_message_time, opened_at))) AS ties
  FROM user_conversation_view WHERE user_id >= 100;
SELECT * FROM wrong_lists();
-- Large inboxes are the same lists, read in the order of the index.
SELECT hermet.order_inboxes('lists', 20) > 5 AS large;
SELECT count(DISTINCT list_hour) > 3 AS hours FROM user_conversation_view;
SELECT * FROM wrong_lists();
-- So is what the join gives, updated_at and all.
SELECT hermet.set_rollout(0, target => 'lists');
SELECT * FROM wrong_lists();
DELETE FROM hermet_large_inbox;
SELECT count(*) > 0 AS repaired FROM hermet.repair('lists') WHERE updated > 0;
SELECT * FROM wrong_lists();
SELECT hermet.set_rollout(100, target => 'lists');
SELECT * FROM wrong_lists();

---------------------------------------------------------------------------------------------------
-- Writes between pages. The first page ends behind 1057; then 1050 moves to the top, 1057 itself is
-- closed, 1040 leaves, and the inbox becomes a large one.
SELECT array_agg(channel_id) FROM hermet.conversation_list(9, 3, target => 'lists');
SELECT cursor AS place FROM hermet.conversation_list(9, 3, target => 'lists') OFFSET 2 \gset
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (20001, 1050, 1, 20000000);
INSERT INTO conversation_setting (user_id, channel_id, closed_at) VALUES (9, 1057, 5000);
DELETE FROM channel_member WHERE channel_id = 1040;
SELECT hermet.order_inboxes('lists', 40) > 0 AS large;
-- No row twice, and none is missing but what moved up: that is on a first page now.
SELECT count(*), count(DISTINCT channel_id), min(channel_id), max(channel_id), bool_or(channel_id IN (1040, 1050, 1057)) AS moved
  FROM hermet.conversation_list(9, 1000, :'place', target => 'lists');
SELECT array_agg(channel_id) FROM hermet.conversation_list(9, 3, target => 'lists');
-- What moves down (here: its last message is recalled) may come a second time.
UPDATE message SET deleted_at = 1 WHERE id = 20001;
SELECT bool_or(channel_id = 1050) AS again FROM hermet.conversation_list(9, 1000, :'place', target => 'lists');
-- A contact who gets another name between two pages.
SELECT cursor AS place FROM hermet.contact_list(1, 3, target => 'lists') OFFSET 2 \gset
SELECT contact_id FROM hermet.contact_list(1, 1000, :'place', 'lists');
UPDATE biz_user SET nickname = 'AA' WHERE id = 8;
UPDATE friendship SET deleted_at = 1 WHERE user_id = 1 AND friend_id = (:'place'::jsonb ->> 'contact_id')::bigint;
SELECT contact_id FROM hermet.contact_list(1, 1000, :'place', 'lists');

-- A page of a large inbox reads about a page of rows, the first one and one far below.
INSERT INTO channel (id, channel_type) SELECT c, 'group' FROM generate_series(5000, 5599) c;
INSERT INTO channel_member (id, channel_id, user_id, joined_at) SELECT c * 10, c, 200, c::bigint * 1000000 FROM generate_series(5000, 5599) c;
SELECT hermet.order_inboxes('lists', 500);
ANALYZE user_conversation_view;
\set count_fetched 'SELECT sum(idx_tup_fetch) AS fetched FROM pg_stat_xact_user_tables WHERE schemaname = current_schema() AND relname LIKE ''user\\_conversation\\_view%'''
BEGIN;
:count_fetched \gset
SELECT count(*) FROM hermet.conversation_list(200, 20, target => 'lists');
SELECT x.fetched - :fetched BETWEEN 20 AND 60 AS a_page FROM (:count_fetched) x;
:count_fetched \gset
SELECT min(channel_id), max(channel_id) FROM hermet.conversation_list(200, 20, hermet.conversation_cursor(false, 5100000000, 5100), target => 'lists');
SELECT x.fetched - :fetched BETWEEN 20 AND 60 AS a_page FROM (:count_fetched) x;
COMMIT;
:clean

---------------------------------------------------------------------------------------------------
-- Rights: the caller's.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_hermet_reader, regress_hermet_owner_of_nothing;
RESET client_min_messages;
CREATE ROLE regress_hermet_reader;
CREATE ROLE regress_hermet_owner_of_nothing;
GRANT USAGE ON SCHEMA testing TO regress_hermet_reader;
SET ROLE regress_hermet_reader;
SELECT code, message FROM testing.error($$SELECT hermet.conversation_list(1, target => 'lists')$$);
RESET ROLE;
GRANT USAGE ON SCHEMA lists TO regress_hermet_reader;
SET ROLE regress_hermet_reader;
SELECT code, message FROM testing.error($$SELECT hermet.conversation_list(1, target => 'lists')$$);
SELECT code, message FROM testing.error($$SELECT hermet.contact_list(1, target => 'lists')$$);
SELECT code, message FROM testing.error($$SELECT hermet.unread_totals(1, 'lists')$$);
RESET ROLE;
SELECT hermet.set_rollout(0, target => 'lists');
SET ROLE regress_hermet_reader;
SELECT code, message FROM testing.error($$SELECT hermet.conversation_list(1, target => 'lists')$$);
SELECT code, message FROM testing.error($$SELECT hermet.contact_list(1, target => 'lists')$$);
SELECT code, message FROM testing.error($$SELECT hermet.unread_totals(1, 'lists')$$);
RESET ROLE;
GRANT SELECT (user_id, channel_id) ON user_conversation_view TO regress_hermet_reader;
SET ROLE regress_hermet_reader;
SELECT code, message FROM testing.error($$SELECT hermet.conversation_list(1, target => 'lists')$$);
RESET ROLE;
-- SELECT on the two views is enough, by the join as well.
GRANT SELECT ON user_conversation_view, user_contact_view TO regress_hermet_reader;
SET ROLE regress_hermet_reader;
SELECT array_agg(channel_id) FROM hermet.conversation_list(1, target => 'lists');
SELECT array_agg(contact_id) FROM hermet.contact_list(1, target => 'lists');
SELECT * FROM hermet.unread_totals(1, 'lists');
SELECT code, message FROM testing.error('SELECT count(*) FROM lists.message');
RESET ROLE;
SELECT hermet.set_rollout(100, target => 'lists');
SET ROLE regress_hermet_reader;
SELECT array_agg(channel_id) FROM hermet.conversation_list(1, target => 'lists');
RESET ROLE;

-- Row security on the read side: everybody sees his own list. The policy's function finds its table by the
-- caller's search_path, as it does in a plain SELECT.
CREATE SCHEMA lists_app;
CREATE TABLE lists_app.whoami AS SELECT 1::bigint AS id;
CREATE FUNCTION lists_app.me() RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT id FROM whoami); END';
GRANT USAGE ON SCHEMA lists_app TO regress_hermet_reader;
GRANT SELECT ON lists_app.whoami TO regress_hermet_reader;
ALTER TABLE user_conversation_view ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_contact_view ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_inbox ON user_conversation_view FOR SELECT USING (user_id = lists_app.me());
CREATE POLICY own_contacts ON user_contact_view FOR SELECT USING (user_id = nullif(current_setting('app.user_id', true), '')::bigint);
SET ROLE regress_hermet_reader;
SET search_path = lists_app;
SET app.user_id = 1;
SELECT u, ARRAY(SELECT channel_id FROM hermet.conversation_list(u, target => 'lists')) AS conversations,
       ARRAY(SELECT contact_id FROM hermet.contact_list(u, target => 'lists')) AS contacts, (SELECT messages FROM hermet.unread_totals(u, 'lists'))
  FROM (VALUES (1), (3), (9)) AS x (u);
SET app.user_id = 9;
SELECT u, (SELECT count(*) FROM hermet.contact_list(u, target => 'lists')) AS contacts FROM (VALUES (1), (9)) AS x (u);
RESET app.user_id;
SELECT (SELECT count(*) FROM hermet.contact_list(1, target => 'lists')) AS contacts;
-- The join is not for them: no policy can be applied to what it reads.
RESET ROLE;
SELECT hermet.set_rollout(0, true, 'lists');
SET ROLE regress_hermet_reader;
SET app.user_id = 1;
SELECT u, ARRAY(SELECT channel_id FROM hermet.conversation_list(u, target => 'lists')) AS conversations,
       ARRAY(SELECT contact_id FROM hermet.contact_list(u, target => 'lists')) AS contacts, (SELECT messages FROM hermet.unread_totals(u, 'lists'))
  FROM (VALUES (1), (3), (9)) AS x (u);
RESET ROLE;
RESET app.user_id;
-- One that hides nothing does not matter, but beside one that restricts.
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM lists.user_contact_view WHERE user_id = 9;
RESET session_replication_role;
CREATE POLICY everything ON lists.user_contact_view FOR SELECT TO regress_hermet_reader USING (true);
SET LOCAL ROLE regress_hermet_reader;
SELECT count(*) FROM hermet.contact_list(9, target => 'lists');
RESET ROLE;
CREATE POLICY almost ON lists.user_contact_view AS RESTRICTIVE FOR SELECT TO PUBLIC USING (contact_id > 0);
SET LOCAL ROLE regress_hermet_reader;
SELECT count(*) FROM hermet.contact_list(9, target => 'lists');
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM lists.user_contact_view WHERE user_id = 9;
RESET session_replication_role;
CREATE POLICY everything ON lists.user_contact_view FOR SELECT TO regress_hermet_owner_of_nothing USING (true);
CREATE POLICY for_writers ON lists.user_contact_view FOR UPDATE TO regress_hermet_reader USING (true);
SET LOCAL ROLE regress_hermet_reader;
SELECT count(*) FROM hermet.contact_list(9, target => 'lists');
ROLLBACK;
-- What a policy hides is no difference between the two sides.
SELECT percent, shadow, mismatches FROM hermet.rollout('lists');
SELECT hermet.set_rollout(100, target => 'lists');
-- Whom no policy binds sees everything, and one session may be both.
SELECT (SELECT count(*) FROM hermet.conversation_list(9, target => 'lists')) AS conversations;
SET ROLE regress_hermet_reader;
SELECT (SELECT count(*) FROM hermet.conversation_list(9, target => 'lists')) AS conversations;
SET row_security = off;
SELECT code, message FROM testing.error($$SELECT hermet.conversation_list(9, target => 'lists')$$);
RESET row_security;
RESET ROLE;

-- A search_path full of operators and functions of the same names, which all fail.
CREATE SCHEMA lists_hostile;
SET search_path = lists_hostile;
CREATE FUNCTION fail(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'used'; END$$;
CREATE FUNCTION fail(boolean, boolean) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'used'; END$$;
CREATE FUNCTION fail(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'used'; END$$;
CREATE FUNCTION fail(bigint, int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'used'; END$$;
CREATE FUNCTION fail(int, int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'used'; END$$;
DO $$
DECLARE
    o text;
    t text[];
BEGIN
    FOREACH o IN ARRAY '{=,<>,<,>,<=,>=}'::pg_catalog.text[] LOOP
        FOREACH t SLICE 1 IN ARRAY '{{bigint,bigint},{boolean,boolean},{text,text},{bigint,int},{int,int}}'::pg_catalog.text[] LOOP
            EXECUTE format('CREATE OPERATOR lists_hostile.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = lists_hostile.fail)', o, t[1], t[2]);
        END LOOP;
    END LOOP;
END
$$;
CREATE FUNCTION sum(bigint[]) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE 'used'; END$$;
CREATE FUNCTION count() RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE 'used'; END$$;
CREATE FUNCTION sum(int) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE 'used'; END$$;
CREATE DOMAIN text AS int;
-- Of another order, where the server knows one.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_collation WHERE collname = 'en-x-icu') THEN
        CREATE COLLATION lists_hostile."C" FROM pg_catalog."en-x-icu";
    END IF;
END
$$;
GRANT USAGE ON SCHEMA lists_hostile, lists_app TO PUBLIC;
SET search_path = lists_hostile, pg_catalog, lists_app;
SET ROLE regress_hermet_reader;
SET app.user_id = 1;
SELECT ARRAY(SELECT channel_id FROM hermet.conversation_list(1, 3, hermet.conversation_cursor(true, 1000, 10), target => 'lists'));
SELECT ARRAY(SELECT contact_id FROM hermet.contact_list(1, 3, hermet.contact_cursor(false, 'B', 0, 0), 'lists'));
SELECT * FROM hermet.unread_totals(1, 'lists');
RESET ROLE;
SELECT hermet.set_rollout(0, true, 'lists');
SELECT ARRAY(SELECT channel_id FROM hermet.conversation_list(1, 3, hermet.conversation_cursor(true, 1000, 10), target => 'lists'));
SELECT ARRAY(SELECT contact_id FROM hermet.contact_list(1, 3, hermet.contact_cursor(false, 'B', 0, 0), 'lists'));
SELECT * FROM hermet.unread_totals(1, 'lists');
SELECT mismatches FROM hermet.rollout('lists');
RESET search_path;

SET client_min_messages = warning;
DROP SCHEMA lists, lists_app, lists_hostile CASCADE;
DROP OWNED BY regress_hermet_reader;
DROP ROLE regress_hermet_reader, regress_hermet_owner_of_nothing;
