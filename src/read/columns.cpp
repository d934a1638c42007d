#include "read/columns.h"

#include "metrics/metrics.h"
#include "read/direct.h"
#include "read/source.h"

namespace hermet {

namespace {

/* Whose conversations are listed at once: bounds the list. */
constexpr size_t users_at_once = 100;

const pg::Statement lock_rows_of_keys = {R"(
SELECT count(*) FROM (
  SELECT FROM unnest($1::bigint[], $2::bigint[]) k (user_id, channel_id)
    JOIN {s}.user_conversation_view v ON v.user_id = k.user_id AND v.channel_id = k.channel_id
   ORDER BY v.channel_id, v.user_id FOR NO KEY UPDATE OF v) x)",
                                         {INT8ARRAYOID, INT8ARRAYOID}};

const pg::Statement lock_rows_of_channels = {R"(
SELECT count(*) FROM (
  SELECT FROM {s}.user_conversation_view v
   WHERE v.channel_id = ANY ($1)
   ORDER BY v.channel_id, v.user_id FOR NO KEY UPDATE) x)",
                                             {INT8ARRAYOID}};

/* Derives a column group of some rows; counts the rows that should be stored and are not. */
#define UPDATE_COLUMN_GROUP(group)                                                                 \
    "WITH d AS MATERIALIZED (SELECT q.user_id, q.channel_id, {columns " group "} "                 \
    "                          FROM ({conversation}) q), "                                         \
    "     u AS (UPDATE {s}.user_conversation_view v SET {set " group "}, updated_at = $3 FROM d "  \
    "            WHERE v.user_id = d.user_id AND v.channel_id = d.channel_id "                     \
    "              AND {differs " group "} RETURNING 1) "                                          \
    "SELECT count(*), (SELECT count(*) FROM u) FROM d "                                            \
    " WHERE NOT EXISTS (SELECT FROM {s}.user_conversation_view v "                                 \
    "                    WHERE v.user_id = d.user_id AND v.channel_id = d.channel_id)"

const pg::Statement update_cursors = {UPDATE_COLUMN_GROUP("cursor"),
                                      {INT8ARRAYOID, INT8ARRAYOID, INT8OID},
                                      "{members_of_keys}",
                                      true};

const pg::Statement update_settings = {UPDATE_COLUMN_GROUP("setting"),
                                       {INT8ARRAYOID, INT8ARRAYOID, INT8OID},
                                       "{members_of_keys}",
                                       true};

/* Writes even what is equal: a later delta of the same statement sees that the row was counted. */
const pg::Statement update_counters = {R"(
UPDATE {s}.user_conversation_view v SET {set cursor}, updated_at = $3
  FROM (SELECT q.user_id, q.channel_id, {columns cursor} FROM ({conversation}) q) d
 WHERE v.user_id = d.user_id AND v.channel_id = d.channel_id)",
                                       {INT8ARRAYOID, INT8ARRAYOID, INT8OID},
                                       "{members_of_keys}",
                                       true};

const pg::Statement update_groups = {R"(
UPDATE {s}.user_conversation_view v SET {set group}, updated_at = $2
  FROM (SELECT q.user_id, q.channel_id, {columns group} FROM ({conversation}) q
         WHERE q.conversation_type = 'group') d
 WHERE v.user_id = d.user_id AND v.channel_id = d.channel_id AND {differs group})",
                                     {INT8ARRAYOID, INT8OID},
                                     "{members_of_channels}",
                                     true};

const pg::Statement update_sender_names = {R"(
UPDATE {s}.user_conversation_view v SET last_message_sender_name = d.name, updated_at = $2
  FROM (SELECT cm.channel_id, {sender_name} AS name
          FROM unnest($1::bigint[]) cm (channel_id) {last_message}) d
 WHERE v.channel_id = d.channel_id
   AND (ROW(v.last_message_sender_name)::record) *<> (ROW(d.name)::record))",
                                           {INT8ARRAYOID, INT8OID},
                                           nullptr,
                                           true};

/* Groups that have an active member without a row. */
const pg::Statement select_short_groups = {R"(
SELECT DISTINCT cm.channel_id
  FROM {own_members} cm JOIN {s}.channel c ON c.id = cm.channel_id
 WHERE cm.channel_id = ANY ($1) AND cm.left_at = 0
   AND c.channel_type = 'group' AND c.channel_status = 'active'
   AND NOT EXISTS (SELECT FROM {s}.user_conversation_view v
                    WHERE v.channel_id = cm.channel_id AND v.user_id = cm.user_id)
 ORDER BY 1)",
                                           {INT8ARRAYOID}};

const pg::Statement select_rows_of_friends = {R"(
SELECT r.owner_user_id, r.channel_id
  FROM unnest($1::bigint[], $2::bigint[]) k (user_id, friend_id)
  JOIN {s}.conversation_reverse_index r ON r.peer_user_id = k.friend_id AND r.owner_user_id = k.user_id)",
                                              {INT8ARRAYOID, INT8ARRAYOID}};

/* Only by the row's own columns and the friendship: the peer's profile is not locked. */
const pg::Statement update_remarks = {R"(
UPDATE {s}.user_conversation_view v
   SET remark_name = d.remark_name, is_starred = d.is_starred,
       conversation_name = CASE WHEN d.remark_name <> '' THEN d.remark_name ELSE v.peer_nickname END,
       updated_at = $3
  FROM (SELECT k.user_id, k.channel_id, w.peer_user_id,
               coalesce(f.remark_name, '') AS remark_name, coalesce(f.is_starred, false) AS is_starred
          FROM unnest($1::bigint[], $2::bigint[]) k (user_id, channel_id)
          JOIN {s}.user_conversation_view w ON w.user_id = k.user_id AND w.channel_id = k.channel_id
          LEFT JOIN {s}.friendship f ON f.user_id = w.user_id AND f.friend_id = w.peer_user_id AND f.deleted_at = 0) d
 WHERE v.user_id = d.user_id AND v.channel_id = d.channel_id AND v.peer_user_id = d.peer_user_id
   AND (ROW(v.remark_name, v.is_starred)::record) *<> (ROW(d.remark_name, d.is_starred)::record))",
                                      {INT8ARRAYOID, INT8ARRAYOID, INT8OID},
                                      nullptr,
                                      true};

/* Rows whose peer is one of them, and all rows of the channels where one of them spoke last. */
const pg::Statement select_rows_of_profiles = {R"(
SELECT r.owner_user_id, r.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.conversation_reverse_index r ON r.peer_user_id = u.id
UNION
SELECT v.user_id, v.channel_id
  FROM unnest($2::bigint[]) c (id)
  JOIN {s}.user_conversation_view v ON v.channel_id = c.id)",
                                               {INT8ARRAYOID, INT8ARRAYOID}};

/*
 * What tells where they spoke last: their own rows, or, where there is none or it says otherwise,
 * the channel: while a rebuild goes through the users, others' rows may be right before their own.
 */
const pg::Statement select_conversations = {R"(
SELECT v.channel_id, v.user_id, v.last_message_id, v.last_message_sender_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.user_conversation_view v ON v.user_id = u.id
UNION ALL
SELECT cm.channel_id, cm.user_id, NULL, NULL
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.channel_member cm ON cm.user_id = u.id
 ORDER BY 1, 2, 3)",
                                            {INT8ARRAYOID}};

/* Those channels. An expression is looked up by its key, whatever the planner expects. */
const pg::Statement select_spoken = {R"(
SELECT v.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.user_conversation_view v ON v.user_id = u.id AND v.last_message_sender_id = u.id
UNION
SELECT cm.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.channel_member cm ON cm.user_id = u.id
 WHERE cm.user_id = (SELECT m.sender_id FROM {s}.message m
                      WHERE m.channel_id = cm.channel_id
                        AND m.id = (SELECT c.last_message_id FROM {s}.channel c WHERE c.id = cm.channel_id)))",
                                     {INT8ARRAYOID}};

/*
 * Only by the row's own columns and the profiles that are locked: while this waits for a row, a
 * message may change its sender, another rename its peer's name, a friendship its remark. The name
 * in the group is guarded by the sender's profile.
 */
const pg::Statement update_profiles = {R"(
UPDATE {s}.user_conversation_view v
   SET peer_nickname = CASE WHEN d.is_peer THEN d.nickname ELSE v.peer_nickname END,
       peer_avatar = CASE WHEN d.is_peer THEN d.avatar ELSE v.peer_avatar END,
       peer_status = CASE WHEN d.is_peer THEN d.status ELSE v.peer_status END,
       conversation_name = CASE WHEN d.is_peer AND v.remark_name = '' THEN d.nickname ELSE v.conversation_name END,
       conversation_avatar = CASE WHEN d.is_peer THEN d.avatar ELSE v.conversation_avatar END,
       conversation_info_ver = CASE WHEN d.is_peer THEN d.info_ver ELSE v.conversation_info_ver END,
       last_message_sender_name = CASE WHEN v.last_message_sender_id = d.sender_id THEN d.sender_name
                                       ELSE v.last_message_sender_name END,
       updated_at = $4
  FROM (SELECT w.user_id, w.channel_id, o.id IS NOT NULL AS is_peer, o.id AS peer_user_id,
               coalesce(p.nickname, '') AS nickname, coalesce(p.avatar, '') AS avatar,
               {status_of_peer} AS status, coalesce(p.info_ver, 1) AS info_ver,
               s.user_id AS sender_id, coalesce(su.nickname, '') AS sender_name
          FROM unnest($1::bigint[], $2::bigint[]) k (user_id, channel_id)
          JOIN {s}.user_conversation_view w ON w.user_id = k.user_id AND w.channel_id = k.channel_id
          LEFT JOIN unnest($3::bigint[]) o (id) ON o.id = w.peer_user_id
          LEFT JOIN {s}.biz_user p ON p.id = o.id
          LEFT JOIN unnest($3::bigint[]) so (id) ON so.id = w.last_message_sender_id
          LEFT JOIN {s}.channel_member s ON s.channel_id = w.channel_id AND s.user_id = so.id AND s.nickname = ''
          LEFT JOIN {s}.biz_user su ON su.id = s.user_id) d
 WHERE v.user_id = d.user_id AND v.channel_id = d.channel_id
   AND (d.peer_user_id IS NULL OR v.peer_user_id = d.peer_user_id)
   AND (d.is_peer
        AND (ROW(v.peer_nickname, v.peer_avatar, v.peer_status, v.conversation_info_ver)::record)
        *<> (ROW(d.nickname, d.avatar, d.status, d.info_ver)::record)
     OR v.last_message_sender_id = d.sender_id
        AND (ROW(v.last_message_sender_name)::record) *<> (ROW(d.sender_name)::record)))",
                                       {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8OID},
                                       nullptr,
                                       true};

/* Columns of so many rows were derived, of which some differed. */
void note(uint64 seen, uint64 written)
{
    metrics::count_rows(Table::user_conversation_view, metrics::Way::columns,
                        static_cast<int64>(seen));
    metrics::count_written(Table::user_conversation_view, 0, static_cast<int64>(written), 0);
}

Datum now()
{
    return Int64GetDatum(pg::now_ms());
}

/*
 * Locks the rows of the keys and calls write(users, channels), for so many at once as are bearable.
 * It returns how many rows it wrote.
 */
template <class Write>
void lock_and_write(Instance &instance, const ConversationKeys &all, Write write)
{
    const ConversationKeys &keys = all.users.size() > batch_size ? sorted(all) : all;
    for (size_t from = 0; from < keys.users.size(); from += batch_size) {
        size_t to = Min(from + batch_size, keys.users.size());
        Datum users = pg::int8_array(keys.users, from, to);
        Datum channels = pg::int8_array(keys.channels, from, to);
        if (to - from > 1) /* a single row needs no order */
            run(instance, lock_rows_of_keys, {users, channels});
        note(to - from, write(users, channels));
    }
}

/* Appends the channels where one of the users spoke last. */
void find_spoken(Instance &instance, Datum users, pg::Vector<int64> &channels)
{
    if (Source::can_read(instance, {Table::channel, Table::message})) {
        pg::Result conversations = run(instance, select_conversations, {users});
        bool found = find_spoken_directly(instance, conversations, channels);
        conversations.free();
        if (found)
            return;
    }
    pg::Result rows = run(instance, select_spoken, {users});
    for (uint64 i = 0; i < rows.count; i++)
        channels.push_back(rows.int8(i, 0));
    rows.free();
}

void refresh_columns(Instance &instance, const pg::Statement &statement,
                     const ConversationKeys &keys, CommandId since)
{
    int64 missing = 0;
    if (keys.empty())
        return;
    lock_and_write(instance, keys, [&](Datum users, Datum channels) {
        pg::Result counts = run(instance, statement, {users, channels, now()});
        missing += counts.int8(0, 0);
        return static_cast<uint64>(counts.int8(0, 1));
    });
    if (missing == 0)
        return;
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>(keys.channels);
    pg::make_unique(channels);
    lock_channels(instance, channels);
    recompute_channels(instance, channels, since, "a conversation row was missing");
}

using ChannelRows = bool(Instance &, const pg::Vector<int64> &, pg::Vector<int64> &);

/* One column group of all rows of channels; groups that lack a row are mended. */
void refresh_channel_rows(Instance &instance, ChannelRows directly, const pg::Statement &statement,
                          const pg::Vector<int64> &channels, CommandId since)
{
    pg::Vector<int64> &odd = pg::make<pg::Vector<int64>>();
    if (!directly(instance, channels, odd)) {
        Datum array = pg::int8_array(channels);
        pg::Result locked = run(instance, lock_rows_of_channels, {array});
        note(locked.int8(0, 0), run(instance, statement, {array, now()}).count);
        pg::Result rows = run(instance, select_short_groups, {array});
        odd.clear();
        for (uint64 i = 0; i < rows.count; i++)
            odd.push_back(rows.int8(i, 0));
    }
    recompute_channels(instance, odd, since, "a conversation row was missing");
}

} // namespace

void refresh_cursors(Instance &instance, const ConversationKeys &keys, CommandId since)
{
    refresh_columns(instance, update_cursors, refresh_cursors_directly(instance, sorted(keys)),
                    since);
}

void refresh_settings(Instance &instance, const ConversationKeys &keys, CommandId since)
{
    refresh_columns(instance, update_settings, refresh_settings_directly(instance, sorted(keys)),
                    since);
}

void recount(Instance &instance, const ConversationKeys &keys)
{
    lock_and_write(instance, keys, [&](Datum users, Datum channels) {
        return run(instance, update_counters, {users, channels, now()}).count;
    });
}

void refresh_groups(Instance &instance, const pg::Vector<int64> &channels, CommandId since)
{
    if (channels.empty())
        return;
    refresh_channel_rows(instance, refresh_groups_directly, update_groups, channels, since);
}

void refresh_sender_names(Instance &instance, const pg::Vector<int64> &channels, CommandId since)
{
    if (channels.empty())
        return;
    refresh_channel_rows(instance, refresh_sender_names_directly, update_sender_names, channels,
                         since);
}

void refresh_remarks(Instance &instance, const pg::Vector<int64> &users,
                     const pg::Vector<int64> &friends)
{
    ConversationKeys &keys = pg::make<ConversationKeys>();
    if (!find_rows_of_friends_directly(instance, users, friends, keys))
        read_keys(
            run(instance, select_rows_of_friends, {pg::int8_array(users), pg::int8_array(friends)}),
            keys);
    lock_and_write(instance, keys, [&](Datum owners, Datum channels) {
        return run(instance, update_remarks, {owners, channels, now()}).count;
    });
}

void refresh_profiles(Instance &instance, const pg::Vector<int64> &users, bool renamed)
{
    pg::Vector<int64> &spoken = pg::make<pg::Vector<int64>>();
    if (renamed) {
        for (size_t from = 0; from < users.size(); from += users_at_once)
            find_spoken(instance,
                        pg::int8_array(users, from, Min(from + users_at_once, users.size())),
                        spoken);
        pg::make_unique(spoken);
    }
    if (refresh_profiles_directly(instance, users, spoken))
        return;

    ConversationKeys &keys = pg::make<ConversationKeys>();
    read_keys(
        run(instance, select_rows_of_profiles, {pg::int8_array(users), pg::int8_array(spoken)}),
        keys);
    Datum profiles = pg::int8_array(users);
    lock_and_write(instance, keys, [&](Datum owners, Datum channels) {
        return run(instance, update_profiles, {owners, channels, profiles, now()}).count;
    });
}

} // namespace hermet
