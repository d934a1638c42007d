#include "read/conversation.h"

#include "read/direct.h"
#include "read/incident.h"

extern "C" {
#include "access/table.h"
}

namespace hermet {

namespace {

const pg::Statement select_keys_of_channels = {R"(
SELECT cm.user_id, cm.channel_id FROM {s}.channel_member cm WHERE cm.channel_id = ANY ($1)
UNION
SELECT v.user_id, v.channel_id FROM {s}.user_conversation_view v WHERE v.channel_id = ANY ($1)
 ORDER BY 2, 1)",
                                               {INT8ARRAYOID}};

/*
 * Whose keys whole rows need: owners (true) of single conversations, as they are stored and as
 * they will be, and profiles (false) of old and new peers and senders, and of the rows' users,
 * whose inboxes may become large. The old ones keep another transaction's rename from holding some
 * of these rows.
 */
const pg::Statement select_guards = {R"(
WITH k AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[]) k (user_id, channel_id)),
     cm AS MATERIALIZED (SELECT DISTINCT k.channel_id FROM k),
     v AS MATERIALIZED (
       SELECT v.user_id, v.peer_user_id, v.last_message_id, v.last_message_sender_id
         FROM k JOIN {s}.user_conversation_view v ON v.user_id = k.user_id AND v.channel_id = k.channel_id)
SELECT false, k.user_id FROM k
UNION ALL
SELECT true, k.user_id FROM k JOIN {s}.channel c ON c.id = k.channel_id WHERE c.channel_type = 'single'
UNION ALL
SELECT true, v.user_id FROM v WHERE v.peer_user_id IS NOT NULL
UNION ALL
SELECT false, x.user_id
  FROM cm JOIN {s}.channel c ON c.id = cm.channel_id
  JOIN {s}.channel_member x ON x.channel_id = cm.channel_id
 WHERE c.channel_type = 'single'
UNION ALL
SELECT false, v.peer_user_id FROM v WHERE v.peer_user_id IS NOT NULL
UNION ALL
SELECT false, v.last_message_sender_id FROM v WHERE v.last_message_id <> 0
UNION ALL
SELECT false, lm.sender_id FROM cm {last_message} WHERE lm.id IS NOT NULL)",
                                     {INT8ARRAYOID, INT8ARRAYOID}};

/* NOT IN is a hash here: its cost does not hang on how many rows the planner expects. */
const pg::Statement refresh = {R"(
WITH k AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $4::bigint[]) k (user_id, channel_id, peer_user_id)),
     d AS MATERIALIZED ({conversation}),
     stored AS MATERIALIZED (
       SELECT v.user_id, v.channel_id, v.peer_user_id
         FROM k JOIN {s}.user_conversation_view v ON v.user_id = k.user_id AND v.channel_id = k.channel_id),
     reverse_stored AS MATERIALIZED (
       SELECT r.peer_user_id, r.owner_user_id, r.channel_id
         FROM (SELECT * FROM stored UNION SELECT * FROM k UNION SELECT d.user_id, d.channel_id, d.peer_user_id FROM d) o
         JOIN {s}.conversation_reverse_index r
           ON r.peer_user_id = o.peer_user_id AND r.owner_user_id = o.user_id AND r.channel_id = o.channel_id),
     deleted AS (
       DELETE FROM {s}.user_conversation_view v USING k
        WHERE v.user_id = k.user_id AND v.channel_id = k.channel_id
          AND (k.user_id, k.channel_id) NOT IN (SELECT d.user_id, d.channel_id FROM d)
       RETURNING 1),
     updated AS (
       UPDATE {s}.user_conversation_view v SET {set conversation}, updated_at = $3 FROM d
        WHERE v.user_id = d.user_id AND v.channel_id = d.channel_id AND {differs conversation}
       RETURNING 1),
     inserted AS (
       INSERT INTO {s}.user_conversation_view ({columns conversation}, updated_at)
       SELECT {d conversation}, $3 FROM d
        WHERE (d.user_id, d.channel_id) NOT IN (SELECT o.user_id, o.channel_id FROM stored o)
       RETURNING 1),
     reverse_deleted AS (
       DELETE FROM {s}.conversation_reverse_index r USING reverse_stored o
        WHERE r.peer_user_id = o.peer_user_id AND r.owner_user_id = o.owner_user_id AND r.channel_id = o.channel_id
          AND (o.peer_user_id, o.owner_user_id, o.channel_id) NOT IN (
                SELECT d.peer_user_id, d.user_id, d.channel_id FROM d WHERE d.peer_user_id IS NOT NULL)
       RETURNING 1),
     reverse_updated AS (
       UPDATE {s}.conversation_reverse_index r SET created_at = d.created_at FROM d
        WHERE r.peer_user_id = d.peer_user_id AND r.owner_user_id = d.user_id AND r.channel_id = d.channel_id
          AND r.created_at <> d.created_at
       RETURNING 1),
     reverse_inserted AS (
       INSERT INTO {s}.conversation_reverse_index (peer_user_id, owner_user_id, channel_id, created_at)
       SELECT d.peer_user_id, d.user_id, d.channel_id, d.created_at FROM d
        WHERE d.peer_user_id IS NOT NULL
          AND (d.peer_user_id, d.user_id, d.channel_id) NOT IN (
                SELECT o.peer_user_id, o.owner_user_id, o.channel_id FROM reverse_stored o)
       RETURNING 1)
SELECT (SELECT count(*) FROM inserted), (SELECT count(*) FROM updated), (SELECT count(*) FROM deleted),
       (SELECT count(*) FROM reverse_inserted), (SELECT count(*) FROM reverse_updated),
       (SELECT count(*) FROM reverse_deleted))",
                               {INT8ARRAYOID, INT8ARRAYOID, INT8OID, INT8ARRAYOID},
                               R"((SELECT DISTINCT k.user_id, k.channel_id FROM k) k
  JOIN {s}.channel_member cm ON cm.user_id = k.user_id AND cm.channel_id = k.channel_id)",
                               true};

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
    "              AND {differs " group "}) "                                                      \
    "SELECT count(*) FROM d "                                                                      \
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
  FROM {s}.channel_member cm JOIN {s}.channel c ON c.id = cm.channel_id
 WHERE cm.channel_id = ANY ($1) AND cm.left_at = 0
   AND c.channel_type = 'group' AND c.channel_status = 'active'
   AND NOT EXISTS (SELECT FROM {s}.user_conversation_view v
                    WHERE v.channel_id = cm.channel_id AND v.user_id = cm.user_id)
 ORDER BY 1)",
                                           {INT8ARRAYOID}};

const pg::Statement select_member_versions = {R"(
SELECT cm.channel_id, cm.xmin, cm.cmin FROM {s}.channel_member cm WHERE cm.channel_id = ANY ($1))",
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

/*
 * Rows whose peer is one of them, and, where nicknames changed ($2), whose last sender is one of
 * them and has no name of his own in the group.
 */
const pg::Statement select_rows_of_profiles = {R"(
SELECT r.owner_user_id, r.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.conversation_reverse_index r ON r.peer_user_id = u.id
UNION
SELECT v.user_id, v.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.channel_member cm ON cm.user_id = u.id AND cm.nickname = ''
  JOIN {s}.channel c ON c.id = cm.channel_id
  JOIN {s}.message m ON m.channel_id = c.id AND m.id = c.last_message_id AND m.sender_id = u.id
  JOIN {s}.user_conversation_view v ON v.channel_id = c.id
 WHERE $2)",
                                               {INT8ARRAYOID, BOOLOID}};

/*
 * The channels where they spoke last: as their own rows say, or, where they have left, the channel.
 */
const pg::Statement select_spoken = {R"(
SELECT v.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.user_conversation_view v ON v.user_id = u.id AND v.last_message_sender_id = u.id
UNION
SELECT cm.channel_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.channel_member cm ON cm.user_id = u.id AND cm.left_at <> 0
  JOIN {s}.channel c ON c.id = cm.channel_id
  JOIN {s}.message m ON m.channel_id = c.id AND m.id = c.last_message_id AND m.sender_id = u.id
 ORDER BY 1)",
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

const pg::Statement update_owned = {R"(
UPDATE {s}.channel c
   SET channel_member_count = d.channel_member_count, last_message_at = d.last_message_at,
       last_message_id = d.last_message_id
  FROM ({owned}) d
 WHERE c.id = d.id
   AND (c.channel_member_count, c.last_message_at, c.last_message_id)
    <> (d.channel_member_count, d.last_message_at, d.last_message_id))",
                                    {INT8ARRAYOID},
                                    "{channels_of_keys}",
                                    true};

Datum now()
{
    return Int64GetDatum(pg::now_ms());
}

void read_keys(const pg::Result &rows, ConversationKeys &keys)
{
    keys.users.reserve(rows.count);
    keys.channels.reserve(rows.count);
    for (uint64 i = 0; i < rows.count; i++)
        keys.add(rows.int8(i, 0), rows.int8(i, 1));
}

/* By channel, then user: how rows are locked. */
ConversationKeys &sorted(const ConversationKeys &keys)
{
    pg::Vector<std::pair<int64, int64>> &pairs = pg::make<pg::Vector<std::pair<int64, int64>>>();
    pairs.reserve(keys.users.size());
    for (size_t i = 0; i < keys.users.size(); i++)
        pairs.push_back({keys.channels[i], keys.users[i]});
    pg::make_unique(pairs);
    ConversationKeys &result = pg::make<ConversationKeys>();
    for (const std::pair<int64, int64> &pair : pairs)
        result.add(pair.second, pair.first);
    return result;
}

/* Locks the rows of the keys and calls write(users, channels), for so many at once as are bearable.
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
        write(users, channels);
    }
}

void refresh_columns(Instance &instance, const pg::Statement &statement,
                     const ConversationKeys &keys, CommandId since)
{
    int64 missing = 0;
    if (keys.empty())
        return;
    lock_and_write(instance, keys, [&](Datum users, Datum channels) {
        missing += run(instance, statement, {users, channels, now()}).int8(0, 0);
    });
    if (missing == 0)
        return;
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>(keys.channels);
    pg::make_unique(channels);
    lock_channels(instance, channels);
    recompute_channels(instance, channels, since, "a conversation row was missing");
}

/* The keys from `at` on; `suspects` are parallel to the keys, or none. */
void refresh_by_statement(Instance &instance, const ConversationKeys &keys,
                          const pg::Vector<int64> &suspects, size_t at, Changes &view,
                          Changes &reverse)
{
    for (; at < keys.users.size(); at += batch_size) {
        size_t end = Min(at + batch_size, keys.users.size());
        pg::Result counts =
            run(instance, refresh,
                {pg::int8_array(keys.users, at, end), pg::int8_array(keys.channels, at, end), now(),
                 suspects.empty() ? pg::int8_array(suspects) : pg::int8_array(suspects, at, end)});
        view.add({counts.int8(0, 0), counts.int8(0, 1), counts.int8(0, 2)});
        reverse.add({counts.int8(0, 3), counts.int8(0, 4), counts.int8(0, 5)});
    }
}

using ChannelRows = bool(Instance &, const pg::Vector<int64> &, pg::Vector<int64> &);

/* One column group of all rows of channels; groups that lack a row are mended. */
void refresh_channel_rows(Instance &instance, ChannelRows directly, const pg::Statement &statement,
                          const pg::Vector<int64> &channels, CommandId since)
{
    pg::Vector<int64> &odd = pg::make<pg::Vector<int64>>();
    if (!directly(instance, channels, odd)) {
        Datum array = pg::int8_array(channels);
        run(instance, lock_rows_of_channels, {array});
        run(instance, statement, {array, now()});
        pg::Result rows = run(instance, select_short_groups, {array});
        odd.clear();
        for (uint64 i = 0; i < rows.count; i++)
            odd.push_back(rows.int8(i, 0));
    }
    recompute_channels(instance, odd, since, "a conversation row was missing");
}

} // namespace

ConversationKeys &keys_of_channels(Instance &instance, const pg::Vector<int64> &channels)
{
    ConversationKeys &keys = pg::make<ConversationKeys>();
    if (!channels.empty())
        read_keys(run(instance, select_keys_of_channels, {pg::int8_array(channels)}), keys);
    return keys;
}

void lock_guards(Instance &instance, const ConversationKeys &keys,
                 const pg::Vector<int64> *more_profiles)
{
    if (holds_all_keys(instance, keys.users.size()))
        return;
    pg::Vector<int64> &owners = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &profiles = pg::make<pg::Vector<int64>>();
    if (more_profiles)
        profiles.insert(profiles.end(), more_profiles->begin(), more_profiles->end());
    if (!keys.empty()) {
        if (!find_guards_directly(instance, keys, owners, profiles)) {
            pg::Result guards = run(instance, select_guards,
                                    {pg::int8_array(keys.users), pg::int8_array(keys.channels)});
            for (uint64 i = 0; i < guards.count; i++)
                (guards.boolean(i, 0) ? owners : profiles).push_back(guards.int8(i, 1));
        }
    }
    pg::make_unique(owners);
    pg::make_unique(profiles);
    lock_owners(instance, owners);
    lock_profiles(instance, profiles, false);
}

void refresh_conversations(Instance &instance, const ConversationKeys &keys, Changes &view,
                           Changes &reverse)
{
    const ConversationKeys &in_order = sorted(keys);
    size_t done = refresh_conversations_directly(instance, in_order, view, reverse);
    pg::Vector<int64> &suspects = pg::make<pg::Vector<int64>>();
    refresh_by_statement(instance, in_order, suspects, done, view, reverse);
}

void refresh_by_definition(Instance &instance, const ConversationKeys &keys,
                           const pg::Vector<int64> &suspects, Changes &view, Changes &reverse)
{
    refresh_by_statement(instance, keys, suspects, 0, view, reverse);
}

void refresh_channels(Instance &instance, const pg::Vector<int64> &channels, Changes &view,
                      Changes &reverse)
{
    const ConversationKeys &keys = keys_of_channels(instance, channels);
    lock_guards(instance, keys);
    refresh_conversations(instance, keys, view, reverse);
}

bool written_since(TransactionId by, CommandId in, CommandId since)
{
    return TransactionIdIsCurrentTransactionId(by) && in >= since;
}

void recompute_channels(Instance &instance, const pg::Vector<int64> &channels, CommandId since,
                        const char *detail, const pg::Vector<int64> *unfinished)
{
    if (channels.empty())
        return;
    pg::Vector<int64> &changed = pg::make<pg::Vector<int64>>();
    if (unfinished)
        changed.insert(changed.end(), unfinished->begin(), unfinished->end());
    pg::Result members = run(instance, select_member_versions, {pg::int8_array(channels)});
    for (uint64 i = 0; i < members.count; i++)
        if (written_since(DatumGetTransactionId(members.value(i, 1)),
                          DatumGetCommandId(members.value(i, 2)), since))
            changed.push_back(members.int8(i, 0));
    pg::make_unique(changed);

    pg::Vector<int64> &pending = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &drifted = pg::make<pg::Vector<int64>>();
    for (int64 channel : channels) {
        bool is_pending = std::binary_search(changed.begin(), changed.end(), channel);
        (is_pending ? pending : drifted).push_back(channel);
    }
    Changes view, reverse;
    if (!pending.empty())
        refresh_channels(instance, pending, view, reverse);
    if (drifted.empty())
        return;
    view = reverse = {};
    refresh_channels(instance, drifted, view, reverse);
    int64 owned = refresh_owned(instance, drifted);
    if (view.total() + reverse.total() + owned > 0)
        note_incident(instance, Table::user_conversation_view, "channel_id", drifted, detail);
}

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
        run(instance, update_counters, {users, channels, now()});
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
        run(instance, update_remarks, {owners, channels, now()});
    });
}

void refresh_profiles(Instance &instance, const pg::Vector<int64> &users, bool renamed)
{
    pg::Vector<int64> &spoken = pg::make<pg::Vector<int64>>();
    if (renamed) {
        pg::Result rows = run(instance, select_spoken, {pg::int8_array(users)});
        for (uint64 i = 0; i < rows.count; i++)
            spoken.push_back(rows.int8(i, 0));
    }
    if (refresh_profiles_directly(instance, users, spoken))
        return;

    ConversationKeys &keys = pg::make<ConversationKeys>();
    read_keys(
        run(instance, select_rows_of_profiles, {pg::int8_array(users), BoolGetDatum(renamed)}),
        keys);
    Datum profiles = pg::int8_array(users);
    lock_and_write(instance, keys, [&](Datum owners, Datum channels) {
        run(instance, update_profiles, {owners, channels, profiles, now()});
    });
}

int64 refresh_owned(Instance &instance, const pg::Vector<int64> &channels)
{
    if (channels.empty())
        return 0;
    return static_cast<int64>(run(instance, update_owned, {pg::int8_array(channels)}).count);
}

void add_members(Instance &instance, const pg::Vector<ChannelState> &states,
                 const pg::Totals<int64> &more, CommandId since)
{
    pg::Vector<int64> &to_count = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &drifted = pg::make<pg::Vector<int64>>();
    Relation channel = open_table(instance, Table::channel, RowExclusiveLock);
    const pg::Path &way = path(instance, Table::channel, channel);
    pg::Walk walk;
    if (way.writable) {
        pg::push_fresh_snapshot();
        walk.begin(channel, way, 1);
    }
    for (const ChannelState &state : states) {
        const int64 *added = more.find(state.id);
        if (!added || *added == 0)
            continue;
        int64 members = state.member_count + *added;
        bool counted = written_since(state.written_by, state.written_in, since);
        bool fits = members >= 0 && members <= PG_INT32_MAX;
        if (counted || !fits || !way.writable) {
            to_count.push_back(state.id);
            if (!counted && !fits)
                drifted.push_back(state.id);
            continue;
        }
        walk.seek({state.id});
        if (!walk.next())
            continue;
        do {
            walk.set(channel_row::member_count, Int32GetDatum(static_cast<int32>(members)));
        } while (!walk.write());
    }
    if (way.writable) {
        walk.end();
        PopActiveSnapshot();
    }
    table_close(channel, NoLock);
    refresh_owned(instance, to_count);
    if (!drifted.empty())
        note_incident(instance, Table::channel, "id", drifted,
                      "the number of members would have gone below zero");
}

} // namespace hermet
