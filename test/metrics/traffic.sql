-- Something of everything that is counted.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hermet;
SELECT NOT EXISTS (SELECT FROM hermet.instances()) AS first_time \gset
\if :first_time
SELECT hermet.create_tables('im');
SET search_path = im;
CREATE SEQUENCE ids;
SELECT hermet.enable_events('im');
INSERT INTO biz_user (id, nickname) SELECT u, 'user ' || u FROM generate_series(1, 50) u;
INSERT INTO channel (id, channel_type, channel_name) SELECT c, 'group', 'group ' || c FROM generate_series(1, 10) c;
INSERT INTO channel (id, channel_type) SELECT 100 + c, 'single' FROM generate_series(1, 20) c;
INSERT INTO channel_member (id, channel_id, user_id) SELECT nextval('ids'), c, u FROM generate_series(1, 10) c, generate_series(1, 5 * c) u;
INSERT INTO channel_member (id, channel_id, user_id) SELECT nextval('ids'), 100 + c, c + side FROM generate_series(1, 20) c, generate_series(0, 1) side;
INSERT INTO friendship (id, user_id, friend_id) SELECT nextval('ids'), u, u + 1 FROM generate_series(1, 49) u;
-- A read node, with nobody to follow.
SELECT hermet.create_tables('node');
INSERT INTO node.hermet_node (nodes, node, subscription) VALUES (2, 1, 'none');
SELECT hermet.make_triggers('node', false);
\endif
SET search_path = im;
INSERT INTO message (id, channel_id, sender_id, content) SELECT nextval('ids'), 1 + i % 10, 1, 'hello' FROM generate_series(1, 20) i;
INSERT INTO message (id, channel_id, sender_id, content) VALUES (nextval('ids'), 101, 1, 'you'), (nextval('ids'), 102, 2, 'me');
INSERT INTO channel_read_record AS r (id, user_id, channel_id, last_read_message_id) VALUES (nextval('ids'), 1, 101, currval('ids'))
    ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
INSERT INTO conversation_setting AS s (user_id, channel_id, is_pinned) VALUES (1, 101, true)
    ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = NOT s.is_pinned;
UPDATE biz_user SET nickname = 'user ' || currval('ids') WHERE id = 2;
UPDATE channel SET channel_name = 'group ' || currval('ids') WHERE id = 3;
UPDATE channel_member SET left_at = 1 - sign(left_at) WHERE channel_id = 4 AND user_id = 7;
UPDATE friendship SET remark_name = 'friend ' || currval('ids') WHERE user_id = 1;
SELECT count(*) FROM hermet.check_consistency('im');
SELECT count(*) FROM hermet.repair('im');
SELECT count(*) FROM hermet.conversation_list(1, target => 'im');
SELECT count(*) FROM hermet.contact_list(1, target => 'im');
SELECT * FROM hermet.unread_totals(1, 'im');
