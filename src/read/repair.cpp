#include "read/repair.h"

#include "read/contact.h"
#include "read/incident.h"

namespace hermet {

namespace {

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
    lock_guards(instance, keys);
    repaired.channels.updated += refresh_owned(instance, channels);
    refresh_conversations(instance, keys, repaired.conversations, repaired.conversation_reverse,
                          &suspects);
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
    lock_owners(instance, owners);
    lock_profiles(instance, profiles, false);
    ContactKeys &keys = pg::make<ContactKeys>();
    for (const std::pair<int64, int64> &pair : pairs)
        keys.add(pair.first, pair.second);
    refresh_contacts(instance, keys, repaired.contacts, repaired.contact_reverse);
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
