\set u random(11, :users)
INSERT INTO im.friendship (id, user_id, friend_id) SELECT i, 1000000000 + i, :u FROM nextval('bench.id') i;
