\set c random(:first, :first + :count - 1)
INSERT INTO im.channel_member (id, channel_id, user_id) SELECT i, :c, 1000000000 + i FROM nextval('bench.id') i;
