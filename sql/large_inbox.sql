-- Inboxes of many conversations are kept in order of time, by the hour.
SELECT hermet.create_tables('large_inbox');
SET search_path = large_inbox;
\set clean 'SELECT testing.clean(current_schema()) AS drift;'
\set show 'SELECT user_id AS u, channel_id AS c, last_message_time, opened_at, list_hour FROM user_conversation_view ORDER BY 2, 1;'

INSERT INTO channel (id, channel_type) SELECT c, 'group' FROM generate_series(1, 3) c;
INSERT INTO channel (id, channel_type) VALUES (4, 'single');
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
VALUES (11, 1, 101, 0), (12, 1, 102, 0), (21, 2, 101, 7200000), (31, 3, 101, -7200000), (41, 4, 101, 3599999), (42, 4, 103, 0);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (1, 1, 102, 3600000), (2, 3, 102, -1);
:show
-- Only who has more conversations than that.
SELECT hermet.order_inboxes('large_inbox', 4), hermet.order_inboxes('large_inbox', NULL);
SELECT hermet.order_inboxes('large_inbox', 3);
SELECT hermet.order_inboxes('large_inbox', 3);
SELECT user_id, since > 1700000000000 AS clock FROM hermet_large_inbox;
:show
:clean
-- A message within the hour, later, earlier, long ago, and recalled.
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (3, 1, 102, 3600001);
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (4, 1, 102, 36000000), (5, 2, 101, 7199999), (6, 4, 103, 9223372036854775807);
:show
INSERT INTO message (id, channel_id, sender_id, sent_at) VALUES (7, 1, 102, -9223372036854775808);
:show
UPDATE message SET deleted_at = 1 WHERE id IN (6, 7);
:show
:clean
-- Who comes later to a large inbox, comes back, or comes with the channel.
INSERT INTO channel (id, channel_type, channel_status) VALUES (5, 'group', 'archived');
INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES (51, 5, 101, 10800000), (52, 5, 102, 10800000);
UPDATE channel SET channel_status = 'active' WHERE id = 5;
UPDATE channel_member SET left_at = 1 WHERE id = 21;
UPDATE channel_member SET left_at = 0, joined_at = 18000000 WHERE id = 21;
:show
:clean
-- The page of a large inbox: the order is that of any inbox.
SELECT channel_id FROM user_conversation_view
 WHERE user_id = 101 AND closed_at = 0 AND NOT is_hidden
 ORDER BY is_pinned DESC, list_hour DESC, greatest(last_message_time, opened_at) DESC, channel_id DESC LIMIT 50;
-- Who is taken out by hand has his rows mended by a repair; an inbox that is filled anew keeps its order.
DELETE FROM hermet_large_inbox;
SELECT key, column_name, expected, actual FROM hermet.check_consistency('large_inbox') ORDER BY key;
SELECT table_name, updated FROM hermet.repair('large_inbox') WHERE updated > 0;
:clean
SELECT hermet.order_inboxes('large_inbox', 3);
SELECT testing.plant('TRUNCATE large_inbox.user_conversation_view');
SELECT table_name, inserted FROM hermet.repair('large_inbox') WHERE inserted > 0;
:show
:clean
-- It is the owner's, and needs an instance.
CREATE ROLE large_inbox_other;
SET ROLE large_inbox_other;
SELECT hermet.order_inboxes('large_inbox', 3);
RESET ROLE;
DROP ROLE large_inbox_other;
SELECT code FROM testing.error($$SELECT hermet.order_inboxes('nowhere')$$);
