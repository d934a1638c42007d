-- The data set: at scale 1 some 50,000 users, 545,000 channels, 2 million conversations, 5 million messages in ten
-- days. Everything is computed, so that every run has the same rows. Users 1 to 4 have 40, 1,000, 5,000 and 200
-- single chats, spread over all channels, so that their inbox rows lie scattered.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
\o /dev/null
SET synchronous_commit = off;
SET maintenance_work_mem = '1GB';
CREATE EXTENSION hermet;
CREATE SCHEMA bench;

CREATE TABLE bench.size AS
SELECT (50000 * greatest(s, 0.1))::int AS users, greatest(6250, (500000 * s)::int) AS singles, (5000000 * s)::int AS messages,
       (864000000 / (5000000 * s)::numeric)::float8 AS ms_apart, 1760000000000 AS first_ms
  FROM (SELECT :scale::numeric AS s) x;
-- Groups by size: ids follow those of the single chats, in this order.
CREATE TABLE bench.groups AS
SELECT members, n, (SELECT singles FROM bench.size) + sum(n) OVER (ORDER BY members) - n AS before
  FROM (SELECT members, greatest(least, (of_one * :scale)::int) AS n
          FROM (VALUES (10, 42000, 20), (100, 2800, 20), (500, 400, 10), (2000, 50, 5)) v (members, of_one, least)) g;
CREATE TABLE bench.channels AS
SELECT c AS id, 2 AS members FROM bench.size, generate_series(1, singles) c
UNION ALL
SELECT before + i, members FROM bench.groups, generate_series(1, n) i;
ALTER TABLE bench.channels ADD PRIMARY KEY (id);
CREATE INDEX ON bench.channels (members, id);

-- The k-th member (from 0) of a channel of n, never one of the first ten users, but for the single chats of users 1 to 4.
SELECT users - 10 AS users, singles / 6250 AS step FROM bench.size \gset
CREATE FUNCTION bench.owner(j bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
RETURN CASE WHEN j < 40 THEN 1 WHEN j < 1040 THEN 2 WHEN j < 6040 THEN 3 WHEN j < 6240 THEN 4 END;
CREATE FUNCTION bench.member(c bigint, k int, n int) RETURNS bigint LANGUAGE sql IMMUTABLE
RETURN coalesce(CASE WHEN n = 2 AND k = 0 AND c % :step = 0 THEN bench.owner(c / :step * 7919 % 6250) END,
                11 + (c * 7919 + k * CASE WHEN n = 2 THEN 1 + c % 4099 ELSE 1 END) % :users);

SELECT hermet.create_tables('im');
SET search_path = im;

-- Which triggers keep the read side: hermet's, the peer's, or nobody's.
CREATE FUNCTION bench.mode(mode text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT tgrelid::regclass AS rel, tgname, tgname LIKE 'peer\_%' AS peer, tgenabled <> 'D' AS enabled FROM pg_trigger
              WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'im'::regnamespace)
    LOOP
        IF t.enabled <> (mode = CASE WHEN t.peer THEN 'plpgsql' ELSE 'hermet' END) THEN
            EXECUTE format('ALTER TABLE %s %s TRIGGER %I', t.rel, CASE WHEN t.enabled THEN 'DISABLE' ELSE 'ENABLE' END, t.tgname);
        END IF;
    END LOOP;
END
$$;
SELECT bench.mode('none');

INSERT INTO biz_user (id, nickname, avatar, mobile, created_at, updated_at)
SELECT u, 'user ' || u, 'https://img.example/' || u || '.png', '+49' || u, 0, 0 FROM bench.size, generate_series(1, users) u;
INSERT INTO channel (id, channel_name, channel_type, channel_avatar, channel_member_count, created_at, updated_at)
SELECT id, CASE WHEN members > 2 THEN 'group ' || id ELSE '' END, CASE WHEN members > 2 THEN 'group' ELSE 'single' END::channel_type_enum, '', members, 0, 0
  FROM bench.channels;
INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at, updated_at)
SELECT row_number() OVER (), id, bench.member(id, k, members), 0, 0, 0 FROM bench.channels, generate_series(0, members - 1) k ORDER BY id, k;

-- A few channels have most of the messages (ids go by time, so that hot channels are hot all ten days).
ALTER TABLE message DROP CONSTRAINT message_pkey;
DROP INDEX message_id_key;
SELECT setseed(0.17);
INSERT INTO message (id, channel_id, sender_id, content, sent_at, created_at, updated_at)
SELECT m, id, bench.member(id, (m * 31 % members)::int, members), 'message number ' || m || ', of forty characters', at, at, at
  FROM (SELECT m, first_ms + (m * ms_apart)::bigint AS at, 1 + (floor(n * power(random(), 2.5))::bigint * 7919 + 13) % n AS c
          FROM bench.size, (SELECT count(*) AS n FROM bench.channels) x, generate_series(1, messages) m) s
  JOIN bench.channels ON id = c
 ORDER BY m;
ALTER TABLE message ADD PRIMARY KEY (channel_id, id);
CREATE UNIQUE INDEX message_id_key ON message (id);

CREATE TABLE bench.last AS SELECT channel_id, max(id) AS id FROM message GROUP BY 1;
UPDATE channel c SET last_message_id = m.id, last_message_at = m.sent_at
  FROM bench.last l JOIN message m ON m.id = l.id WHERE c.id = l.channel_id;
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id, created_at, updated_at)
SELECT cm.id, cm.user_id, cm.channel_id, l.id - CASE WHEN cm.id % 10 < 6 THEN 0 ELSE 30000 END, 0, 0
  FROM channel_member cm JOIN bench.last l USING (channel_id) WHERE cm.id % 10 < 8;
INSERT INTO conversation_setting (user_id, channel_id, is_muted, is_pinned, created_at, updated_at)
SELECT user_id, channel_id, id % 40 = 0, id % 200 = 0, 0, 0 FROM channel_member WHERE id % 20 = 0;
-- Friends: who has a single chat with a member of the first users, and half of the others.
INSERT INTO friendship (id, user_id, friend_id, remark_name, tags, added_at, created_at, updated_at)
SELECT row_number() OVER (), a.user_id, b.user_id, CASE WHEN a.channel_id % 3 = 0 THEN 'my ' || b.user_id ELSE '' END, '{work}', 0, 0, 0
  FROM channel_member a JOIN channel_member b USING (channel_id)
  JOIN bench.channels c ON c.id = a.channel_id AND c.members = 2
 WHERE a.user_id <> b.user_id AND (c.id % 2 = 0 OR a.user_id <= 4 OR b.user_id <= 4)
ON CONFLICT DO NOTHING;
VACUUM (FREEZE, ANALYZE) biz_user, channel, channel_member, message, channel_read_record, conversation_setting, friendship;

-- The read side, from the write side.
SELECT bench.mode('hermet');
SELECT hermet.repair();
VACUUM (FREEZE, ANALYZE) user_conversation_view, user_contact_view, conversation_reverse_index, contact_reverse_index;
-- What joins at read time make of it.
SELECT format('CREATE VIEW bench.derived_inbox AS %s', hermet.definition('user_conversation_view')) \gexec
-- list_hour is hermet's own: no peer need derive it.
SELECT format('CREATE VIEW bench.inbox AS SELECT %s FROM bench.derived_inbox', string_agg(quote_ident(column_name), ', '))
  FROM information_schema.columns
 WHERE table_schema = 'bench' AND table_name = 'derived_inbox' AND column_name <> 'list_hour' \gexec
SELECT format('CREATE VIEW bench.inbox_rows AS SELECT %s FROM bench.derived_inbox',
              string_agg(CASE column_name WHEN 'updated_at' THEN '0::bigint AS updated_at' ELSE quote_ident(column_name) END, ', '
                         ORDER BY ordinal_position))
  FROM information_schema.columns
 WHERE table_schema = 'im' AND table_name = 'user_conversation_view' \gexec
SELECT format('CREATE VIEW bench.book_rows AS SELECT %s FROM (%s) d',
              string_agg(CASE column_name WHEN 'updated_at' THEN '0::bigint AS updated_at' ELSE quote_ident(column_name) END, ', '
                         ORDER BY ordinal_position), hermet.definition('user_contact_view'))
  FROM information_schema.columns
 WHERE table_schema = 'im' AND table_name = 'user_contact_view' \gexec
CREATE SEQUENCE bench.message_id START 1000000000;
CREATE SEQUENCE bench.id START 1000000000;
CHECKPOINT;
