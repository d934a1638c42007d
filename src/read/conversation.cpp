#include "read/conversation.h"

#include "metrics/metrics.h"
#include "read/direct.h"
#include "read/incident.h"
#include "read/owned.h"

namespace hermet {

namespace {

const pg::Statement select_keys_of_channels = {R"(
SELECT cm.user_id, cm.channel_id FROM {own_members} cm WHERE cm.channel_id = ANY ($1)
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

const pg::Statement select_member_versions = {R"(
SELECT cm.channel_id, cm.xmin, cm.cmin FROM {s}.channel_member cm WHERE cm.channel_id = ANY ($1))",
                                              {INT8ARRAYOID}};

/* Counts what a refresh did, and adds it to what its caller knows. */
void note(const ConversationKeys &keys, const Changes &rows, const Changes &reverse_rows,
          Changes &view, Changes &reverse)
{
    metrics::count_rows(Table::user_conversation_view, metrics::Way::row,
                        static_cast<int64>(keys.users.size()));
    metrics::count_written(Table::user_conversation_view, rows);
    metrics::count_written(Table::conversation_reverse_index, reverse_rows);
    view.add(rows);
    reverse.add(reverse_rows);
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
                {pg::int8_array(keys.users, at, end), pg::int8_array(keys.channels, at, end),
                 Int64GetDatum(pg::now_ms()),
                 suspects.empty() ? pg::int8_array(suspects) : pg::int8_array(suspects, at, end)});
        view.add({counts.int8(0, 0), counts.int8(0, 1), counts.int8(0, 2)});
        reverse.add({counts.int8(0, 3), counts.int8(0, 4), counts.int8(0, 5)});
    }
}

} // namespace

void read_keys(const pg::Result &rows, ConversationKeys &keys)
{
    keys.users.reserve(rows.count);
    keys.channels.reserve(rows.count);
    for (uint64 i = 0; i < rows.count; i++)
        keys.add(rows.int8(i, 0), rows.int8(i, 1));
}

ConversationKeys &sorted(const ConversationKeys &keys)
{
    ConversationKeys &result = pg::make<ConversationKeys>(keys);
    pg::make_unique(result.channels, result.users);
    return result;
}

ConversationKeys &keys_of_channels(Instance &instance, const pg::Vector<int64> &channels)
{
    ConversationKeys &keys = pg::make<ConversationKeys>();
    if (!channels.empty())
        read_keys(run(instance, select_keys_of_channels, {pg::int8_array(channels)}), keys);
    return keys;
}

void lock_guards(Instance &instance, const ConversationKeys &keys,
                 const pg::Vector<int64> *more_profiles, const pg::Vector<int64> *more_owners)
{
    if (holds_all_keys(instance, keys.users.size()))
        return;
    pg::Vector<int64> &owners = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &profiles = pg::make<pg::Vector<int64>>();
    if (more_profiles)
        profiles.insert(profiles.end(), more_profiles->begin(), more_profiles->end());
    if (more_owners)
        owners.insert(owners.end(), more_owners->begin(), more_owners->end());
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
    Changes rows, reverse_rows;
    size_t done = refresh_conversations_directly(instance, in_order, rows, reverse_rows);
    pg::Vector<int64> &suspects = pg::make<pg::Vector<int64>>();
    refresh_by_statement(instance, in_order, suspects, done, rows, reverse_rows);
    note(in_order, rows, reverse_rows, view, reverse);
}

void refresh_by_definition(Instance &instance, const ConversationKeys &keys,
                           const pg::Vector<int64> &suspects, Changes &view, Changes &reverse)
{
    Changes rows, reverse_rows;
    refresh_by_statement(instance, keys, suspects, 0, rows, reverse_rows);
    note(keys, rows, reverse_rows, view, reverse);
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

} // namespace hermet
