-- What every spec starts from: two groups (10, 30) and one single chat (20).
INSERT INTO biz_user (id, email, mobile, passwd, nickname, avatar)
VALUES (1, 'ann@x', '+1', 'p', 'ann', 'a.png'), (2, 'bob@x', '+2', 'p', 'bob', 'b.png'),
       (3, 'cid@x', '+3', 'p', 'cid', 'c.png'), (4, 'dan@x', '+4', 'p', 'dan', 'd.png');
INSERT INTO channel (id, channel_name, channel_type, created_at)
VALUES (10, 'team', 'group', 1000), (20, '', 'single', 1000), (30, 'crew', 'group', 1000);
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)
VALUES (1001, 10, 1, 1000, 1000), (1002, 10, 2, 1000, 1000), (2001, 20, 1, 1000, 1000),
       (2002, 20, 2, 1000, 1000), (3001, 30, 1, 1000, 1000), (3003, 30, 3, 1000, 1000);
INSERT INTO message (id, channel_id, sender_id, content, mention_user_ids, sent_at)
VALUES (100, 10, 1, 'hello', ARRAY[]::bigint[], 2000), (101, 10, 2, 'hi ann', ARRAY[1]::bigint[], 2001),
       (200, 20, 2, 'psst', ARRAY[]::bigint[], 2000), (300, 30, 3, 'ahoy', ARRAY[1]::bigint[], 2000);
INSERT INTO friendship (id, user_id, friend_id, remark_name, added_at, created_at)
VALUES (12, 1, 2, 'bobby', 1000, 1000), (21, 2, 1, '', 1000, 1000);
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (110, 1, 10, 100);
INSERT INTO conversation_setting (user_id, channel_id, is_pinned) VALUES (2, 10, true);
