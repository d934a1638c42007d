#include "read/wrong.h"

#include "read/owned.h"

#include <tuple>

namespace hermet {

namespace {

/* So many channels have their keys in memory at once. */
constexpr size_t channel_batch = 100;

const pg::Statement select_wrong_channels = {R"(
SELECT c.id
  FROM {s}.channel c JOIN ({owned}) d ON d.id = c.id
 WHERE (c.channel_member_count, c.last_message_at, c.last_message_id)
    <> (d.channel_member_count, d.last_message_at, d.last_message_id))",
                                             {INT8ARRAYOID},
                                             "{channels_of_keys}"};

/* Keys with the same columns as select_wrong_reverse. */
const pg::Statement select_wrong_conversations = {
    R"(
WITH k AS MATERIALIZED (SELECT DISTINCT * FROM unnest($1::bigint[], $2::bigint[]) k (user_id, channel_id)),
     d AS MATERIALIZED ({conversation}),
     v AS MATERIALIZED (
       SELECT v.* FROM k JOIN {s}.user_conversation_view v ON v.user_id = k.user_id AND v.channel_id = k.channel_id)
SELECT k.user_id, k.channel_id, 0::bigint
  FROM k
  LEFT JOIN d ON d.user_id = k.user_id AND d.channel_id = k.channel_id
  LEFT JOIN v ON v.user_id = k.user_id AND v.channel_id = k.channel_id
 WHERE {differs conversation}
    OR d.peer_user_id IS NOT NULL AND NOT EXISTS (
         SELECT FROM {s}.conversation_reverse_index r
          WHERE r.peer_user_id = d.peer_user_id AND r.owner_user_id = d.user_id AND r.channel_id = d.channel_id
            AND r.created_at = d.created_at))",
    {INT8ARRAYOID, INT8ARRAYOID},
    R"(k JOIN {s}.channel_member cm ON cm.user_id = k.user_id AND cm.channel_id = k.channel_id)"};

const pg::Statement select_wrong_contacts = {
    R"(
WITH k AS MATERIALIZED (SELECT DISTINCT * FROM unnest($1::bigint[], $2::bigint[]) k (user_id, contact_id)),
     d AS MATERIALIZED ({contact}),
     e AS MATERIALIZED ({contact_reverse}),
     v AS MATERIALIZED (
       SELECT v.* FROM k JOIN {s}.user_contact_view v ON v.user_id = k.user_id AND v.contact_id = k.contact_id)
SELECT k.user_id, k.contact_id
  FROM k
  LEFT JOIN d ON d.user_id = k.user_id AND d.contact_id = k.contact_id
  LEFT JOIN v ON v.user_id = k.user_id AND v.contact_id = k.contact_id
  LEFT JOIN e ON e.owner_user_id = k.user_id AND e.contact_user_id = k.contact_id
  LEFT JOIN {s}.contact_reverse_index r ON r.contact_user_id = k.contact_id AND r.owner_user_id = k.user_id
 WHERE {differs contact} OR e.created_at IS DISTINCT FROM r.created_at)",
    {INT8ARRAYOID, INT8ARRAYOID},
    R"(k JOIN {s}.friendship f ON f.user_id = k.user_id AND f.friend_id = k.contact_id)"};

/* There is no index by channel: one pass over the table. */
const char *const select_wrong_reverse = R"(
SELECT r.owner_user_id, r.channel_id, r.peer_user_id
  FROM {s}.conversation_reverse_index r
  JOIN unnest($1::bigint[]) c (id) ON c.id = r.channel_id
 WHERE NOT EXISTS (SELECT FROM {s}.user_conversation_view v
                    WHERE v.channel_id = r.channel_id AND v.user_id = r.owner_user_id
                      AND v.peer_user_id = r.peer_user_id))";

} // namespace

void Wrong::add(const pg::Result &rows)
{
    for (uint64 i = 0; i < rows.count; i++)
        conversations_.push_back({rows.int8(i, 1), rows.int8(i, 0), rows.int8(i, 2)});
    rows.free();
}

void Wrong::look_at_channels(const pg::Vector<int64> &channels)
{
    for (size_t at = 0; at < channels.size(); at += channel_batch) {
        pg::Vector<int64> &batch = pg::make<pg::Vector<int64>>();
        batch.assign(channels.begin() + at,
                     channels.begin() + Min(at + channel_batch, channels.size()));
        pg::Result rows = run(instance_, select_wrong_channels, {pg::int8_array(batch)});
        for (uint64 i = 0; i < rows.count; i++)
            channels_.push_back(rows.int8(i, 0));
        rows.free();
        look_at_conversations(keys_of_channels(instance_, batch));
    }
}

void Wrong::look_at_conversations(const ConversationKeys &keys)
{
    for (int64 channel : keys.channels) {
        if (!seen_.empty() && seen_.back() == channel)
            continue;
        seen_.push_back(channel);
        if (seen_.size() >= unique_at_) {
            pg::make_unique(seen_);
            unique_at_ = Max(unique_at_, seen_.size() * 2);
        }
    }
    for (size_t at = 0; at < keys.users.size(); at += batch_size) {
        size_t end = Min(at + batch_size, keys.users.size());
        add(run(instance_, select_wrong_conversations,
                {pg::int8_array(keys.users, at, end), pg::int8_array(keys.channels, at, end)}));
    }
}

void Wrong::look_at_contacts(const ContactKeys &keys)
{
    for (size_t at = 0; at < keys.users.size(); at += batch_size) {
        size_t end = Min(at + batch_size, keys.users.size());
        pg::Result rows =
            run(instance_, select_wrong_contacts,
                {pg::int8_array(keys.users, at, end), pg::int8_array(keys.contacts, at, end)});
        for (uint64 i = 0; i < rows.count; i++)
            contacts_.add(rows.int8(i, 0), rows.int8(i, 1));
        rows.free();
    }
}

void Wrong::look_at_reverse()
{
    static const Oid types[] = {INT8ARRAYOID};
    pg::make_unique(seen_);
    if (seen_.empty())
        return;
    Datum values[] = {pg::int8_array(seen_)};
    add(pg::execute_once(expand(instance_, select_wrong_reverse), {1, types, values, " "},
                         pg::Sight::fresh));
}

void Wrong::mend(Repaired &repaired)
{
    std::sort(conversations_.begin(), conversations_.end(), [](const Key &a, const Key &b) {
        return std::tie(a.channel, a.user, a.suspect) < std::tie(b.channel, b.user, b.suspect);
    });
    ConversationKeys &keys = pg::make<ConversationKeys>();
    pg::Vector<int64> &suspects = pg::make<pg::Vector<int64>>();
    for (const Key &key : conversations_) {
        keys.add(key.user, key.channel);
        suspects.push_back(key.suspect);
    }
    channels_.insert(channels_.end(), keys.channels.begin(), keys.channels.end());
    pg::make_unique(channels_);
    pg::make_unique(contacts_.contacts, contacts_.users); /* the order of row locks */
    if (channels_.empty() && contacts_.empty())
        return;

    lock_channels(instance_, channels_);
    lock_guards(instance_, keys, &contacts_.contacts, &contacts_.users);
    repaired.channels.updated += refresh_owned(instance_, channels_);
    refresh_by_definition(instance_, keys, suspects, repaired.conversations,
                          repaired.conversation_reverse);
    refresh_by_definition(instance_, contacts_, repaired.contacts, repaired.contact_reverse);
}

} // namespace hermet
