/*
 * hermet.replay_events(): refreshes what events name. Not their values: the write side has those,
 * and newer ones. So any event may be replayed at any time, and again.
 */
#include "events/events.h"
#include "pg/function.h"
#include "read/wrong.h"

namespace hermet {

namespace {

constexpr int64 events_at_once = 50000; /* are read by one statement */
constexpr size_t users_at_once = 200;   /* have the keys of their conversations in memory */
constexpr size_t friends_at_once = 2000;

using Pair = std::pair<int64, int64>;

/* What events name, once each. */
struct Named {
    bool everything = false;        /* a table was truncated */
    pg::Vector<int64> channels;     /* with their members and messages */
    pg::Vector<Pair> conversations; /* channel, user: read marks and settings */
    pg::Vector<Pair> friendships;   /* user, friend */
    pg::Vector<int64> users;
};

const pg::Statement select_end = {R"(
SELECT max(e.event_offset), count(*)
  FROM (SELECT e.event_offset FROM {s}.change_event e
         WHERE e.event_offset >= $1 AND e.event_offset <= $2 ORDER BY e.event_offset LIMIT $3) e)",
                                  {INT8OID, INT8OID, INT8OID}};

/* 0 everything, 1 a channel, 2 a conversation, 3 a friendship, 4 a user. */
const pg::Statement select_named = {R"(
SELECT DISTINCT k.kind,
       CASE WHEN k.kind > 0 THEN coalesce(e.key ->> 'channel_id', e.key ->> 'user_id', e.key ->> 'id')::bigint END,
       CASE k.kind WHEN 2 THEN (e.key ->> 'user_id')::bigint WHEN 3 THEN (e.key ->> 'friend_id')::bigint END
  FROM {s}.change_event e
 CROSS JOIN LATERAL (
       SELECT CASE WHEN e.operation = 'truncate' THEN 0
                   WHEN e.table_name IN ('channel', 'channel_member', 'message') THEN 1
                   WHEN e.table_name IN ('channel_read_record', 'conversation_setting') THEN 2
                   WHEN e.table_name = 'friendship' THEN 3
                   ELSE 4 END AS kind) k
 WHERE e.event_offset >= $1 AND e.event_offset <= $2 AND e.table_name <> 'channel_application')",
                                    {INT8OID, INT8OID}};

/* Single conversations of a user with a friend, who shows there by remark and star. */
const pg::Statement select_conversations_of_friendships = {R"(
SELECT a.user_id, a.channel_id
  FROM unnest($1::bigint[], $2::bigint[]) k (user_id, friend_id)
  JOIN {s}.channel_member a ON a.user_id = k.user_id
  JOIN {s}.channel_member b ON b.channel_id = a.channel_id AND b.user_id = k.friend_id
  JOIN {s}.channel c ON c.id = a.channel_id AND c.channel_type = 'single')",
                                                           {INT8ARRAYOID, INT8ARRAYOID}};

/* Where a user shows: as the peer, as the last sender, and where the reverse index says so. */
const pg::Statement select_conversations_of_users = {R"(
SELECT o.user_id, o.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.channel_member cm ON cm.user_id = u.id
  JOIN {s}.channel c ON c.id = cm.channel_id
  {last_message}
  JOIN {s}.channel_member o ON o.channel_id = cm.channel_id
 WHERE c.channel_type = 'single' OR lm.sender_id = u.id
UNION
SELECT r.owner_user_id, r.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.conversation_reverse_index r ON r.peer_user_id = u.id)",
                                                     {INT8ARRAYOID}};

/* The write side has no index by friend: planned for what there is, which may be the owner's. */
const char *const select_contacts_of_users = R"(
SELECT f.user_id, f.friend_id FROM {s}.friendship f WHERE f.friend_id = ANY ($1) AND f.deleted_at = 0
UNION
SELECT r.owner_user_id, r.contact_user_id FROM {s}.contact_reverse_index r WHERE r.contact_user_id = ANY ($1))";

void read_named(const pg::Result &rows, Named &named)
{
    for (uint64 i = 0; i < rows.count; i++) {
        int64 first = rows.int8(i, 1);
        int64 second = rows.int8(i, 2);
        switch (DatumGetInt32(rows.value(i, 0))) {
            case 0:
                named.everything = true;
                break;
            case 1:
                named.channels.push_back(first);
                break;
            case 2:
                named.conversations.push_back({first, second});
                break;
            case 3:
                named.friendships.push_back({first, second});
                break;
            default:
                named.users.push_back(first);
        }
    }
}

/* 16 bytes a key, however many events name it. */
Named &collect(Instance &instance, int64 from, int64 to)
{
    Named &named = pg::make<Named>();
    while (from <= to && !named.everything) {
        pg::Result end =
            run(instance, select_end,
                {Int64GetDatum(from), Int64GetDatum(to), Int64GetDatum(events_at_once)});
        int64 last = end.int8(0, 0);
        bool any = end.int8(0, 1) > 0;
        end.free();
        if (!any)
            break;
        pg::Result rows = run(instance, select_named, {Int64GetDatum(from), Int64GetDatum(last)});
        read_named(rows, named);
        rows.free();
        pg::make_unique(named.channels);
        pg::make_unique(named.conversations);
        pg::make_unique(named.friendships);
        pg::make_unique(named.users);
        from = last + 1;
    }
    return named;
}

/* Calls each(first, second) with the columns of pairs, `size` pairs at a time. */
template <class Each> void by_columns(const pg::Vector<Pair> &pairs, size_t size, Each each)
{
    for (size_t at = 0; at < pairs.size(); at += size) {
        pg::Vector<int64> &first = pg::make<pg::Vector<int64>>();
        pg::Vector<int64> &second = pg::make<pg::Vector<int64>>();
        for (size_t i = at; i < Min(at + size, pairs.size()); i++) {
            first.push_back(pairs[i].first);
            second.push_back(pairs[i].second);
        }
        each(first, second);
    }
}

template <class Keys> Keys &keys_from(const pg::Result &rows)
{
    Keys &keys = pg::make<Keys>();
    for (uint64 i = 0; i < rows.count; i++)
        keys.add(rows.int8(i, 0), rows.int8(i, 1));
    rows.free();
    return keys;
}

void look_at_friendships(Instance &instance, const pg::Vector<Pair> &friendships, Wrong &wrong)
{
    by_columns(friendships, friends_at_once,
               [&](const pg::Vector<int64> &users, const pg::Vector<int64> &friends) {
                   ContactKeys &keys = pg::make<ContactKeys>();
                   keys.users = users;
                   keys.contacts = friends;
                   wrong.look_at_contacts(keys);
                   wrong.look_at_conversations(keys_from<ConversationKeys>(
                       run(instance, select_conversations_of_friendships,
                           {pg::int8_array(users), pg::int8_array(friends)})));
               });
}

void look_at_users(Instance &instance, const pg::Vector<int64> &users, Wrong &wrong)
{
    static const Oid types[] = {INT8ARRAYOID};
    for (size_t at = 0; at < users.size(); at += users_at_once)
        wrong.look_at_conversations(keys_from<ConversationKeys>(
            run(instance, select_conversations_of_users,
                {pg::int8_array(users, at, Min(at + users_at_once, users.size()))})));
    const char *sql = expand(instance, select_contacts_of_users);
    for (size_t at = 0; at < users.size(); at += friends_at_once) {
        Datum values[] = {pg::int8_array(users, at, Min(at + friends_at_once, users.size()))};
        wrong.look_at_contacts(keys_from<ContactKeys>(
            pg::execute_once(sql, {1, types, values, " "}, pg::Sight::fresh)));
    }
}

void replay(Instance &instance, const Named &named)
{
    if (named.everything) {
        repair_all(instance);
        return;
    }
    Wrong &wrong = pg::make<Wrong>(instance);
    wrong.look_at_channels(named.channels);
    by_columns(named.conversations, batch_size,
               [&](const pg::Vector<int64> &channels, const pg::Vector<int64> &users) {
                   ConversationKeys &keys = pg::make<ConversationKeys>();
                   keys.users = users;
                   keys.channels = channels;
                   wrong.look_at_conversations(keys);
               });
    look_at_friendships(instance, named.friendships, wrong);
    look_at_users(instance, named.users, wrong);
    wrong.look_at_reverse();
    Repaired repaired;
    wrong.mend(repaired);
}

} // namespace

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(replay_events)
{
    if (PG_ARGISNULL(0))
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("from_offset must not be NULL"));
    Oid schema =
        require_events(find_own_instance(PG_ARGISNULL(2) ? nullptr : PG_GETARG_NAME(2))).schema;
    pg::Session session;
    session.begin(find_instance(schema).owner);
    Instance &instance = lock_instance(schema);
    int64 to = find_last_known(instance);
    if (!PG_ARGISNULL(1))
        to = Min(to, PG_GETARG_INT64(1));
    replay(instance, collect(instance, PG_GETARG_INT64(0), to));
    session.end();
    return Int64GetDatum(to);
}
