-- Drift of every kind is planted past the triggers, found exactly, and mended exactly.
SELECT hermet.create_tables('check_repair');
SET search_path = check_repair;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set check 'SELECT table_name, key, problem, column_name, left(expected, 30) AS expected, left(actual, 30) AS actual FROM hermet.check_consistency(\'check_repair\') ORDER BY table_name, key, column_name;'
\set summary 'SELECT * FROM hermet.consistency_summary(\'check_repair\') ORDER BY table_name;'
\set repair 'SELECT * FROM hermet.repair(\'check_repair\') ORDER BY table_name;'
\pset null '(null)'

INSERT INTO biz_user (id, nickname, avatar, mobile) VALUES (101, 'Ann', 'ann.png', '111'), (102, 'Bob', 'bob.png', '222'), (103, 'Cid', 'cid.png', '333');
INSERT INTO channel (id, channel_type, channel_name) VALUES (1, 'single', ''), (2, 'group', 'two'), (3, 'single', '');
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)
VALUES (11, 1, 101, 0, 1), (12, 1, 102, 0, 2), (21, 2, 101, 0, 3), (22, 2, 102, 0, 4), (23, 2, 103, 0, 5), (31, 3, 101, 0, 6), (33, 3, 103, 0, 7);
INSERT INTO friendship (id, user_id, friend_id, remark_name, tags, added_at, created_at)
VALUES (1, 101, 102, 'Bobby', '{a,b}', 8, 9), (2, 102, 101, '', '{}', 10, 11), (3, 101, 103, '', '{}', 12, 13);
INSERT INTO message (id, channel_id, sender_id, content, sent_at, mention_user_ids)
SELECT 100 * c + i, c, 100 + i, 'message ' || i, 1000 * i, '{101}' FROM generate_series(1, 3) c, generate_series(1, 3) i WHERE c = 2 OR i <> 5 - c;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (1, 101, 1, 101), (2, 102, 2, 202);
INSERT INTO conversation_setting (user_id, channel_id, is_pinned, closed_at) VALUES (101, 1, true, 9000);

-- A clean instance: nothing found, nothing written by any repair, not a row in a new place.
:check
:summary
SELECT testing.fingerprint('check_repair') AS before \gset
:repair
SELECT * FROM hermet.repair_conversation_view(101, 'check_repair') ORDER BY 1;
SELECT * FROM hermet.repair_contact_view(101, 'check_repair') ORDER BY 1;
SELECT * FROM hermet.repair_channel(2, 'check_repair') ORDER BY 1;
SELECT testing.fingerprint('check_repair') = :'before' AS untouched;

-- Each column of each table by itself: changed in one row, found as that column of that row and
-- nothing else, mended in that row and nothing else.
CREATE FUNCTION drift(IN victim text, IN victim_key text,
    OUT column_name text, OUT finding text, OUT expected text, OUT actual text, OUT repaired text, OUT left_over bigint)
RETURNS SETOF record LANGUAGE plpgsql AS $body$
DECLARE
    a record;
BEGIN
    FOR a IN
        SELECT attname, format_type(atttypid, NULL) AS type, atttypid
          FROM pg_attribute
         WHERE attrelid = victim::regclass AND attnum > 0 AND attname <> 'updated_at'
           AND NOT attname = ANY (CASE victim WHEN 'channel' THEN '{id,channel_name,channel_type,channel_avatar,channel_status,channel_info_ver,creator_id,created_at}'::name[]
                                  WHEN 'user_conversation_view' THEN '{user_id,channel_id}'
                                  WHEN 'user_contact_view' THEN '{user_id,contact_id}'
                                  ELSE '{peer_user_id,contact_user_id,owner_user_id,channel_id}' END)
         ORDER BY attnum
    LOOP
        PERFORM testing.plant(format('UPDATE check_repair.%I SET %I = %s%s WHERE %s', victim, a.attname,
            CASE WHEN a.type IN ('bigint', 'integer') THEN a.attname || ' + 1'
                 WHEN a.type = 'boolean' THEN 'NOT ' || a.attname
                 WHEN a.type LIKE '%[]' THEN format('%I || ''drift''::varchar', a.attname)
                 WHEN a.type LIKE '%varying' THEN format('%I || ''+''', a.attname)
                 ELSE (SELECT quote_literal(max(enumlabel)) FROM pg_enum WHERE enumtypid = a.atttypid AND enumlabel NOT IN ('search', 'active', 'group')) END,
            -- A row that says it is a group has no peer: the check constraint would not have it otherwise.
            CASE WHEN a.attname = 'conversation_type'
                 THEN ', peer_user_id = 102, peer_nickname = $x$$x$, peer_avatar = $x$$x$, peer_status = $x$active$x$, remark_name = $x$$x$' ELSE '' END,
            CASE WHEN a.attname = 'conversation_type' THEN 'user_id = 103 AND channel_id = 2' ELSE victim_key END));
        column_name := a.attname;
        SELECT string_agg(concat_ws(' ', c.problem, c.table_name, c.key, c.column_name), ', ' ORDER BY c.column_name), min(c.expected), min(c.actual)
          INTO finding, expected, actual
          FROM hermet.check_consistency('check_repair') c;
        SELECT string_agg(format('%s: %s %s %s', r.table_name, r.inserted, r.updated, r.deleted), ', ')
          INTO repaired
          FROM hermet.repair('check_repair') r WHERE r.inserted + r.updated + r.deleted > 0;
        SELECT count(*) INTO left_over FROM testing.clean('check_repair');
        RETURN NEXT;
    END LOOP;
END
$body$;
SELECT * FROM drift('user_conversation_view', 'user_id = 101 AND channel_id = 1');
SELECT * FROM drift('user_contact_view', 'user_id = 101 AND contact_id = 102');
SELECT * FROM drift('conversation_reverse_index', 'owner_user_id = 101 AND channel_id = 1');
SELECT * FROM drift('contact_reverse_index', 'owner_user_id = 101 AND contact_user_id = 102');
SELECT * FROM drift('channel', 'id = 2');
:clean
-- Columns of a group's row that have no value, given one; and those of a single chat's, taken away.
SELECT testing.plant($$UPDATE check_repair.user_conversation_view SET conversation_type = 'group', peer_user_id = NULL, peer_nickname = NULL,
    peer_avatar = NULL, peer_status = NULL, remark_name = NULL WHERE user_id = 101 AND channel_id = 1$$);
:check
:repair
:clean
-- Differences that an equality would not see: case, trailing blanks.
SELECT testing.plant($$UPDATE check_repair.user_conversation_view SET peer_nickname = 'bob', last_message_content = last_message_content || ' ' WHERE user_id = 101 AND channel_id = 1$$);
:check
:repair
:clean

-- Missing rows.
SELECT testing.plant('DELETE FROM check_repair.user_conversation_view WHERE user_id = 101 AND channel_id IN (1, 2)');
:check
:summary
:repair
:clean
SELECT testing.plant('DELETE FROM check_repair.user_contact_view WHERE user_id = 101 AND contact_id = 103');
:check
:repair
:clean
SELECT testing.plant('DELETE FROM check_repair.conversation_reverse_index WHERE owner_user_id = 103');
:check
:repair
:clean
SELECT testing.plant('DELETE FROM check_repair.contact_reverse_index WHERE owner_user_id = 101');
:check
:repair
:clean
-- A row and its reverse row.
SELECT testing.plant('DELETE FROM check_repair.user_conversation_view WHERE user_id = 103 AND channel_id = 3');
SELECT testing.plant('DELETE FROM check_repair.conversation_reverse_index WHERE owner_user_id = 103');
:check
:repair
:clean

-- Unexpected rows: of nobody, of one who left, of a channel that is archived or gone, of a deleted friend.
SELECT testing.plant($$INSERT INTO check_repair.user_conversation_view
    SELECT id + 900, 999, channel_id, conversation_type, conversation_name, conversation_avatar, conversation_info_ver, peer_user_id, peer_nickname, peer_avatar, peer_status, remark_name,
           is_muted, is_pinned, is_hidden, is_starred, marked_unread, last_message_id, last_message_type, last_message_content, last_message_sender_id, last_message_sender_name, last_message_time,
           last_read_message_id, unread_count, mention_count, opened_at, closed_at, created_at, updated_at
      FROM check_repair.user_conversation_view WHERE user_id = 101 AND channel_id = 1$$);
:check
:repair
:clean
SELECT testing.plant($$UPDATE check_repair.channel_member SET left_at = 5 WHERE id = 23$$);
SELECT testing.plant($$UPDATE check_repair.channel SET channel_status = 'archived' WHERE id = 3$$);
SELECT testing.plant($$UPDATE check_repair.biz_user SET deleted_at = 5 WHERE id = 102$$);
:check
:summary
:repair
:clean
SELECT testing.plant($$INSERT INTO check_repair.conversation_reverse_index VALUES (101, 102, 2, 5), (555, 556, 557, 558)$$);
SELECT testing.plant($$INSERT INTO check_repair.contact_reverse_index VALUES (102, 103, 5), (555, 556, 557)$$);
:check
:repair
:clean
SELECT testing.plant('DELETE FROM check_repair.channel WHERE id = 2');
SELECT testing.plant('DELETE FROM check_repair.friendship WHERE id = 3');
:check
:repair
:clean
-- Everything gone: the read side is derived anew from the write side alone.
UPDATE channel SET channel_status = 'active';
UPDATE biz_user SET deleted_at = 0;
INSERT INTO channel (id, channel_type, channel_name) VALUES (2, 'group', 'two');
SELECT testing.plant('TRUNCATE check_repair.user_conversation_view, check_repair.user_contact_view, check_repair.conversation_reverse_index, check_repair.contact_reverse_index');
SELECT testing.plant('UPDATE check_repair.channel SET channel_member_count = 0, last_message_id = 0, last_message_at = 0');
:summary
:repair
:clean
:summary

-- The arguments: one table, one user; what a user's inbox and address book are, and a part of the rows.
SELECT testing.plant('UPDATE check_repair.user_conversation_view SET unread_count = 77');
SELECT testing.plant('UPDATE check_repair.user_contact_view SET mobile = $$77$$');
SELECT testing.plant('DELETE FROM check_repair.conversation_reverse_index');
SELECT testing.plant('UPDATE check_repair.contact_reverse_index SET created_at = 77');
SELECT testing.plant('UPDATE check_repair.channel SET channel_member_count = 77');
SELECT table_name, key, problem FROM hermet.check_consistency('check_repair', 'user_contact_view') ORDER BY 1, 2;
SELECT table_name, key, problem FROM hermet.check_consistency('check_repair', 'channel') ORDER BY 1, 2;
SELECT table_name, key, problem FROM hermet.check_consistency('check_repair', 'conversation_reverse_index', 101) ORDER BY 1, 2;
SELECT table_name, key, problem FROM hermet.check_consistency('check_repair', NULL, 102) ORDER BY 1, 2;
SELECT table_name, key, problem FROM hermet.check_consistency(target => 'check_repair', user_id => 12345) ORDER BY 1, 2;
SELECT count(*) FROM hermet.check_consistency('check_repair', sample => 0);
SELECT count(*) < 23 FROM hermet.check_consistency('check_repair', sample => 0.5);
SELECT count(*) FROM hermet.check_consistency('check_repair', sample => 1);
:summary
SELECT * FROM hermet.consistency_summary('check_repair', 'user_contact_view', 101);
SELECT * FROM testing.error($$SELECT hermet.check_consistency('check_repair', 'message')$$);
SELECT * FROM testing.error($$SELECT hermet.consistency_summary('check_repair', sample => 2)$$);
SELECT * FROM testing.error($$SELECT hermet.consistency_summary('check_repair', sample => 'NaN')$$);
-- One user's inbox, one user's contacts, one channel: the others stay as they are.
SELECT * FROM hermet.repair_conversation_view(102, 'check_repair') ORDER BY 1;
SELECT table_name, key FROM hermet.check_consistency('check_repair') WHERE table_name LIKE 'conv%' OR table_name LIKE 'user_conv%' ORDER BY 1, 2;
SELECT * FROM hermet.repair_contact_view(102, 'check_repair') ORDER BY 1;
SELECT table_name, key FROM hermet.check_consistency('check_repair') WHERE table_name LIKE '%contact%' ORDER BY 1, 2;
SELECT * FROM hermet.repair_channel(3, 'check_repair') ORDER BY 1;
SELECT table_name, key FROM hermet.check_consistency('check_repair') WHERE table_name NOT LIKE '%contact%' ORDER BY 1, 2;
SELECT * FROM hermet.repair_channel(12345, 'check_repair') ORDER BY 1;
SELECT * FROM hermet.repair_conversation_view(12345, 'check_repair') ORDER BY 1;
:repair
:clean
-- A transaction that is undone leaves the drift; what was found is remembered by table.
BEGIN;
SELECT testing.plant('DELETE FROM check_repair.user_contact_view');
SELECT sum(inserted) FROM hermet.repair('check_repair');
:clean
ROLLBACK;
:clean
SELECT DISTINCT ON (table_name) table_name, user_id, sample, problems FROM hermet_check ORDER BY table_name, id DESC;

-- A stored row that cannot take a change is recomputed in the same statement, and counted; the write goes through.
SELECT count(*) FROM hermet_incident;
-- ... its counter would go below zero
SELECT testing.plant('UPDATE check_repair.user_conversation_view SET unread_count = 0, mention_count = 0 WHERE user_id = 101 AND channel_id = 2');
DELETE FROM message WHERE id = 202;
:clean
SELECT table_name, key FROM hermet_incident ORDER BY id;
-- ... only mentions would
SELECT testing.plant('UPDATE check_repair.user_conversation_view SET mention_count = 0 WHERE user_id = 101 AND channel_id = 2');
UPDATE message SET deleted_at = 1 WHERE id = 203;
:clean
SELECT table_name, count(*) FROM hermet_incident GROUP BY 1;
-- ... it is not there: for a message,
SELECT testing.plant('DELETE FROM check_repair.user_conversation_view WHERE user_id = 101 AND channel_id = 2');
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (210, 2, 102, 5000);
:clean
SELECT table_name, count(*) FROM hermet_incident GROUP BY 1;
-- ... for a read mark,
SELECT testing.plant('DELETE FROM check_repair.user_conversation_view WHERE user_id = 101 AND channel_id = 2');
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (3, 101, 2, 210);
:clean
-- ... for a setting,
SELECT testing.plant('DELETE FROM check_repair.user_conversation_view WHERE user_id = 101 AND channel_id = 2');
INSERT INTO conversation_setting (user_id, channel_id, is_muted) VALUES (101, 2, true);
:clean
-- ... for a group's name, and for the name of the last sender in the group,
SELECT testing.plant('DELETE FROM check_repair.user_conversation_view WHERE user_id = 101 AND channel_id = 2');
UPDATE channel SET channel_name = 'two!' WHERE id = 2;
:clean
SELECT testing.plant('DELETE FROM check_repair.user_conversation_view WHERE user_id = 101 AND channel_id = 2');
UPDATE channel_member SET nickname = 'Bob of two' WHERE channel_id = 2 AND user_id = 102;
:clean
-- ... for a friendship and for a user, in the address book.
SELECT testing.plant('DELETE FROM check_repair.user_contact_view WHERE user_id = 101 AND contact_id = 102');
UPDATE friendship SET tags = '{c}' WHERE id = 1;
:clean
SELECT testing.plant('DELETE FROM check_repair.user_contact_view WHERE user_id = 102 AND contact_id = 101');
UPDATE biz_user SET nickname = 'Anna' WHERE id = 101;
:clean
-- Friendships and users change their own columns of inbox rows and never make one: such a row stays missing.
SELECT testing.plant('DELETE FROM check_repair.user_conversation_view WHERE channel_id = 1');
UPDATE friendship SET remark_name = 'B.' WHERE id = 1;
UPDATE biz_user SET nickname = 'Anne' WHERE id = 101;
:check
SELECT count(*) > 0 AS incidents FROM hermet_incident;
SELECT problem, object FROM hermet.health('check_repair') ORDER BY problem COLLATE "C", object COLLATE "C";
-- A full repair mends the rest and closes the incidents.
:repair
:clean
SELECT count(*) FROM hermet_incident;
SELECT count(*) FROM hermet.check_consistency('check_repair');
SELECT * FROM hermet.health('check_repair');

SET client_min_messages = warning;
DROP SCHEMA check_repair CASCADE;
