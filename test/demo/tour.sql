-- Ann, Ben and Cleo, step by step. What is echoed is plain SQL on the tables that applications
-- write; the tables shown are the ones that hermet keeps beside them.
SET client_min_messages = warning;
\pset border 2
\pset linestyle unicode
\pset footer off

-- :sql opens a step's statements, :inboxes or :quiet closes them. Left to do by hand are the headlines.
\set sql '\\echo -n ' :dim '\n\\set ECHO ' :echo_sql '\n'
\set quiet '\\set ECHO none\n\\echo -n ' :off '\n'
\set inboxes '\\set ECHO none\n\\echo -n ' :off '\\\\ TABLE show.inbox;\n'

\echo :bold'\nhermet: applications write plain rows, inboxes and address books follow in the same transaction.':off
:sql
CREATE EXTENSION hermet;
SELECT hermet.create_tables('im') \g /dev/null
SET search_path = im;
:quiet

CREATE SCHEMA show;

-- What a person's conversation list looks like: closed and hidden conversations left out.
CREATE VIEW show.inbox AS
SELECT CASE WHEN row_number() OVER list = 1 THEN u.nickname ELSE '' END AS "inbox of",
       coalesce(v.conversation_name, '(nothing)') AS conversation,
       coalesce(nullif(v.unread_count, 0)::text, '') AS unread,
       coalesce(nullif(v.mention_count, 0)::text, '') AS mentions,
       CASE WHEN v.last_message_id <> 0
            THEN v.last_message_sender_name || ': ' || left(v.last_message_content, 44) ELSE '' END AS "last message",
       concat_ws(' ', CASE WHEN v.is_pinned THEN 'pinned' END, CASE WHEN v.is_muted THEN 'muted' END,
                 CASE WHEN v.is_starred THEN 'starred' END, CASE WHEN v.marked_unread THEN 'marked' END,
                 CASE WHEN v.peer_status = 'deleted' THEN 'account deleted' END) AS flags
  FROM im.biz_user u
  LEFT JOIN im.user_conversation_view v ON v.user_id = u.id AND v.closed_at = 0 AND NOT v.is_hidden
WINDOW list AS (PARTITION BY u.id
                ORDER BY v.is_pinned DESC, greatest(v.last_message_time, v.opened_at) DESC, v.channel_id DESC)
 ORDER BY u.id, row_number() OVER list;

CREATE VIEW show.contacts AS
SELECT CASE WHEN row_number() OVER book = 1 THEN u.nickname ELSE '' END AS "address book of",
       coalesce(nullif(v.remark_name, ''), v.contact_nickname, '(empty)') AS contact,
       coalesce(v.contact_nickname, '') AS nickname, coalesce(v.mobile, '') AS mobile,
       coalesce(array_to_string(v.tags, ', '), '') AS tags,
       CASE WHEN v.is_starred THEN 'starred' ELSE '' END AS flags
  FROM im.biz_user u
  LEFT JOIN im.user_contact_view v ON v.user_id = u.id
WINDOW book AS (PARTITION BY u.id ORDER BY v.is_starred DESC, v.contact_nickname)
 ORDER BY u.id, row_number() OVER book;

\echo :bold'\n1. Three people sign up.':off
:sql
INSERT INTO biz_user (id, nickname, mobile) VALUES
    (1, 'Ann', '+1 555 1'), (2, 'Ben', '+1 555 2'), (3, 'Cleo', '+1 555 3');
:inboxes

\echo :bold'2. Ann and Ben become friends: a channel, two members, two friendships.':off
:sql
BEGIN;
INSERT INTO channel (id, channel_type) VALUES (10, 'single');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (101, 10, 1), (102, 10, 2);
INSERT INTO friendship (id, user_id, friend_id) VALUES (201, 1, 2), (202, 2, 1);
COMMIT;
:quiet
TABLE show.contacts;
TABLE show.inbox;

\echo :bold'3. Ann writes to Ben, twice.':off
:sql
INSERT INTO message (id, channel_id, sender_id, content) VALUES (1001, 10, 1, 'Hi Ben!');
INSERT INTO message (id, channel_id, sender_id, content) VALUES (1002, 10, 1, 'Rome in May?');
:inboxes

\echo :bold'4. Ben answers and reads what was there.':off
:sql
BEGIN;
INSERT INTO message (id, channel_id, sender_id, content) VALUES (1003, 10, 2, 'Yes, please');
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES
    (301, 2, 10, 1003);
COMMIT;
:inboxes

\echo :bold'5. Ann calls him Benny and stars him; he renames himself, and she still sees her name for him.':off
:sql
UPDATE friendship SET remark_name = 'Benny', is_starred = true, tags = '{travel}'
 WHERE user_id = 1 AND friend_id = 2;
UPDATE biz_user SET nickname = 'Benjamin' WHERE id = 2;
:quiet
TABLE show.contacts;
TABLE show.inbox;

\echo :bold'6. A group of three.':off
:sql
INSERT INTO channel (id, channel_type, channel_name, creator_id) VALUES (20, 'group', 'Trip', 1);
INSERT INTO channel_member (id, channel_id, user_id, role) VALUES
    (103, 20, 1, 'owner'), (104, 20, 2, 'member'), (105, 20, 3, 'member');
INSERT INTO message (id, channel_id, sender_id, content) VALUES (1004, 20, 1, 'Welcome aboard');
:inboxes

\echo :bold'7. Cleo mentions Ben, then everyone.':off
:sql
INSERT INTO message (id, channel_id, sender_id, content, mention_user_ids) VALUES
    (1005, 20, 3, '@Ben, you book the train', '{2}');
INSERT INTO message (id, channel_id, sender_id, content, mention_all) VALUES
    (1006, 20, 3, '@all passports!', true);
:inboxes

\echo :bold'8. Ben reads up to the first mention; Ann reads everything.':off
:sql
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES
    (302, 2, 20, 1005), (303, 1, 20, 1006);
:inboxes

\echo :bold'9. The group gets a better name, and Cleo a nickname in it.':off
:sql
UPDATE channel SET channel_name = 'Rome in May' WHERE id = 20;
UPDATE channel_member SET nickname = 'Captain Cleo' WHERE channel_id = 20 AND user_id = 3;
:inboxes

\echo :bold'10. Cleo leaves, Ann writes, Cleo comes back: what was said meanwhile is not unread for her.':off
:sql
UPDATE channel_member SET left_at = hermet.now_ms() WHERE channel_id = 20 AND user_id = 3;
INSERT INTO message (id, channel_id, sender_id, content) VALUES (1007, 20, 1, 'Where is Cleo?');
:inboxes
-- She comes back in a later millisecond than Ann wrote.
SELECT pg_sleep(0.002) \g /dev/null
:sql
UPDATE channel_member SET left_at = 0 WHERE channel_id = 20 AND user_id = 3;
:inboxes

\echo :bold'11. Ben pins and mutes the group, Cleo hides it, Ann closes the chat with Ben.':off
:sql
INSERT INTO conversation_setting (user_id, channel_id, is_pinned, is_muted) VALUES (2, 20, true, true);
INSERT INTO conversation_setting (user_id, channel_id, is_hidden) VALUES (3, 20, true);
INSERT INTO conversation_setting (user_id, channel_id, closed_at) VALUES (1, 10, hermet.now_ms());
:inboxes

\echo :bold'12. A new message brings the closed chat back; what is hidden stays hidden.':off
:sql
INSERT INTO message (id, channel_id, sender_id, content) VALUES (1008, 10, 2, 'Tickets are bought. Twice, oops');
INSERT INTO message (id, channel_id, sender_id, content) VALUES (1009, 20, 2, 'Tickets!');
:inboxes

\echo :bold'13. Ben recalls it, so the chat is closed for Ann as it was; Cleo shows the group again.':off
:sql
UPDATE message SET deleted_at = hermet.now_ms() WHERE channel_id = 10 AND id = 1008;
UPDATE conversation_setting SET is_hidden = false WHERE user_id = 3 AND channel_id = 20;
:inboxes

\echo :bold'14. Ben says goodbye and deletes his account: address books lose him, the chat with him says so.':off
:sql
INSERT INTO message (id, channel_id, sender_id, content) VALUES (1010, 10, 2, 'Goodbye');
UPDATE biz_user SET user_status = 'deleted', deleted_at = hermet.now_ms() WHERE id = 2;
:quiet
TABLE show.contacts;
TABLE show.inbox;

\echo :bold'15. He thinks better of it, and all is as it was, the name that Ann gave him too.':off
:sql
UPDATE biz_user SET user_status = 'active', deleted_at = 0 WHERE id = 2;
:quiet
TABLE show.contacts;
TABLE show.inbox;

\echo :bold'16. Is all of it right? The check compares each row with the rules.':off
:sql
SELECT * FROM hermet.consistency_summary();
:quiet

\echo :bold'17. Nobody writes the inbox by hand ...':off
\set ON_ERROR_STOP off
:sql
UPDATE user_conversation_view SET unread_count = 0 WHERE user_id = 2;
:quiet
\set ON_ERROR_STOP on

\echo :bold'\n18. ... but its owner can switch the triggers off, and plant an error.':off
:sql
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE user_conversation_view SET unread_count = 7 WHERE user_id = 2 AND channel_id = 20;
DELETE FROM user_contact_view WHERE user_id = 1;
COMMIT;
:inboxes

\echo :bold'19. The check finds exactly that.':off
:sql
SELECT table_name, key, problem, column_name, left(expected, 30) AS expected, actual
  FROM hermet.check_consistency();
:quiet

\echo :bold'20. Why should it be another number? explain counts it out.':off
:sql
SELECT * FROM hermet.explain_conversation(2, 20) WHERE section <> 'row' OR expected <> stored;
:quiet

\echo :bold'21. repair writes what differs, and nothing else.':off
:sql
SELECT * FROM hermet.repair();
:inboxes

\echo :bold'22. And the check is clean.':off
:sql
SELECT * FROM hermet.check_consistency();
:quiet
SELECT count(*) = 0 AS clean FROM hermet.check_consistency() \gset
\if :clean
\echo :bold'Every inbox and every address book equals the rules.':off
\else
\warn 'the check is not clean'
SELECT 1 / 0 AS "not clean";
\endif
