#include "read/repair.h"

#include "read/contact.h"
#include "read/incident.h"

namespace hermet {

namespace {

/* So many rows are derived by one statement: bounds what it keeps in memory. */
constexpr size_t batch_size = 10000;

const Derived &derived(const char *table)
{
    const Derived *found = find_derived(table);
    Assert(found);
    return *found;
}

} // namespace

void repair_conversations(Instance &instance, const Extent &extent, Repaired &repaired)
{
    ConversationKeys &keys = pg::make<ConversationKeys>();
    pg::Vector<int64> &suspects = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();

    pg::Result rows = select_differences(instance, derived("user_conversation_view"), extent);
    for (uint64 i = 0; i < rows.count; i++) {
        keys.add(rows.int8(i, 0), rows.int8(i, 1));
        suspects.push_back(0);
    }
    rows = select_differences(instance, derived("conversation_reverse_index"), extent);
    for (uint64 i = 0; i < rows.count; i++) {
        keys.add(rows.int8(i, 1), rows.int8(i, 2));
        suspects.push_back(rows.int8(i, 0));
    }
    channels.insert(channels.end(), keys.channels.begin(), keys.channels.end());
    rows = select_differences(instance, derived("channel"), extent);
    for (uint64 i = 0; i < rows.count; i++)
        channels.push_back(rows.int8(i, 0));
    if (channels.empty())
        return;
    pg::make_unique(channels);

    lock_channels(instance, channels);
    lock_guards(instance, keys, pg::make<pg::Vector<int64>>());
    repaired.channels.updated += refresh_owned(instance, channels);
    for (size_t at = 0; at < keys.users.size(); at += batch_size) {
        size_t end = Min(at + batch_size, keys.users.size());
        ConversationKeys &batch = pg::make<ConversationKeys>();
        batch.users.assign(keys.users.begin() + at, keys.users.begin() + end);
        batch.channels.assign(keys.channels.begin() + at, keys.channels.begin() + end);
        pg::Vector<int64> &peers = pg::make<pg::Vector<int64>>();
        peers.assign(suspects.begin() + at, suspects.begin() + end);
        refresh_conversations(instance, batch, repaired.conversations,
                              repaired.conversation_reverse, &peers);
    }
}

void repair_contacts(Instance &instance, const Extent &extent, Repaired &repaired)
{
    pg::Vector<std::pair<int64, int64>> &pairs = pg::make<pg::Vector<std::pair<int64, int64>>>();
    pg::Result rows = select_differences(instance, derived("user_contact_view"), extent);
    for (uint64 i = 0; i < rows.count; i++)
        pairs.push_back({rows.int8(i, 0), rows.int8(i, 1)});
    rows = select_differences(instance, derived("contact_reverse_index"), extent);
    for (uint64 i = 0; i < rows.count; i++)
        pairs.push_back({rows.int8(i, 1), rows.int8(i, 0)});
    pg::make_unique(pairs);

    pg::Vector<int64> &owners = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &profiles = pg::make<pg::Vector<int64>>();
    for (const std::pair<int64, int64> &pair : pairs) {
        owners.push_back(pair.first);
        profiles.push_back(pair.second);
    }
    pg::make_unique(owners);
    pg::make_unique(profiles);
    lock_owners(instance, owners, true);
    lock_profiles(instance, profiles, false);
    for (size_t at = 0; at < pairs.size(); at += batch_size) {
        ContactKeys &batch = pg::make<ContactKeys>();
        for (size_t i = at; i < Min(at + batch_size, pairs.size()); i++)
            batch.add(pairs[i].first, pairs[i].second);
        refresh_contacts(instance, batch, repaired.contacts, repaired.contact_reverse);
    }
}

Repaired repair_all(Instance &instance)
{
    Repaired repaired;
    Extent everything;
    repair_conversations(instance, everything, repaired);
    repair_contacts(instance, everything, repaired);
    clear_incidents(instance);
    return repaired;
}

} // namespace hermet
