#include "read/repair.h"

#include "metrics/metrics.h"
#include "pg/lock.h"
#include "pg/subtransaction.h"
#include "read/incident.h"
#include "read/owned.h"

namespace hermet {

namespace {

const Derived &derived(const char *table)
{
    const Derived *found = find_derived(table);
    Assert(found);
    return *found;
}

const pg::Statement select_anything = {R"(
SELECT EXISTS (SELECT FROM {s}.user_conversation_view) OR EXISTS (SELECT FROM {s}.user_contact_view)
    OR EXISTS (SELECT FROM {s}.conversation_reverse_index) OR EXISTS (SELECT FROM {s}.contact_reverse_index))",
                                       {}};

const pg::Statement fill_large_inboxes = {R"(
INSERT INTO {s}.hermet_large_inbox (user_id, since)
SELECT cm.user_id, $1 FROM {own_members} cm WHERE cm.left_at = 0 GROUP BY 1 HAVING count(*) > 200
    ON CONFLICT DO NOTHING)",
                                          {INT8OID}};

/* Tables are filled by ranges of at least so many rows of what they derive from. */
constexpr int64 range_rows = 100000;

/* The range that begins with key $1: its last key, and how many rows it has. */
const pg::Statement select_member_range = {R"(
SELECT max(x.channel_id), count(*)
  FROM (SELECT cm.channel_id FROM {s}.channel_member cm WHERE cm.channel_id >= $1
         ORDER BY cm.channel_id LIMIT $2) x)",
                                           {INT8OID, INT8OID}};

const pg::Statement select_friendship_range = {R"(
SELECT max(x.user_id), count(*)
  FROM (SELECT f.user_id FROM {s}.friendship f WHERE f.user_id >= $1
         ORDER BY f.user_id LIMIT $2) x)",
                                               {INT8OID, INT8OID}};

const pg::Statement fill_conversations = {R"(
INSERT INTO {s}.user_conversation_view ({columns conversation}, updated_at)
SELECT {d conversation}, $1 FROM ({conversation}) d)",
                                          {INT8OID, INT8OID, INT8OID},
                                          "{members_in_range}",
                                          true};

const pg::Statement fill_conversation_reverse = {R"(
INSERT INTO {s}.conversation_reverse_index (peer_user_id, owner_user_id, channel_id, created_at)
SELECT v.peer_user_id, v.user_id, v.channel_id, v.created_at
  FROM {s}.user_conversation_view v WHERE v.conversation_type = 'single')",
                                                 {INT8OID},
                                                 nullptr,
                                                 true};

const pg::Statement fill_contacts = {R"(
INSERT INTO {s}.user_contact_view ({columns contact}, updated_at)
SELECT {d contact}, $1 FROM ({contact}) d)",
                                     {INT8OID, INT8OID, INT8OID},
                                     "{friendships_in_range}",
                                     true};

const pg::Statement fill_contact_reverse = {R"(
INSERT INTO {s}.contact_reverse_index (contact_user_id, owner_user_id, created_at)
SELECT d.contact_user_id, d.owner_user_id, d.created_at FROM ({contact_reverse}) d)",
                                            {INT8OID},
                                            "{all_friendships}",
                                            true};

/* Appends the channels whose own columns are wrong. */
void append_wrong_channels(Instance &instance, const Extent &extent, pg::Vector<int64> &channels)
{
    for (const WrongKey &key : select_differences(instance, derived("channel"), extent))
        channels.push_back(key[0]);
}

bool is_empty(Instance &instance)
{
    return !run(instance, select_anything, {}).boolean(0, 0);
}

/* A statement by ranges reads rows of the keys from..to. */
int64 fill(Instance &instance, const pg::Statement &statement, int64 from = 0, int64 to = 0)
{
    Oid types[] = {INT8OID, INT8OID, INT8OID};
    Datum values[] = {Int64GetDatum(pg::now_ms()), Int64GetDatum(from), Int64GetDatum(to)};
    char nulls[] = {' ', ' ', ' '};
    const char *sql = expand(instance, statement.text, statement.scope);
    int count = static_cast<int>(statement.types.size());
    return static_cast<int64>(pg::execute_once(sql, {count, types, values, nulls}, pg::Sight::fresh,
                                               true, pg::Access::all)
                                  .count);
}

/*
 * Says how far it is after each full range; a small table is filled without a word. Each statement
 * reads the tables that are joined as wholes: so it fills as much as all before it together.
 */
int64 fill_by_ranges(Instance &instance, Table table, const pg::Statement &select_range,
                     const pg::Statement &statement)
{
    int64 inserted = 0;
    int64 read = 0;
    int64 from = PG_INT64_MIN;
    for (;;) {
        int64 wanted = Max(range_rows, read);
        pg::Result range =
            run(instance, select_range, {Int64GetDatum(from), Int64GetDatum(wanted)});
        int64 rows = range.int8(0, 1);
        if (rows == 0)
            break;
        int64 to = range.int8(0, 0);
        inserted += fill(instance, statement, from, to);
        read += rows;
        if (read >= range_rows)
            ereport(NOTICE, errmsg("filling \"%s\": %lld rows from %lld", table_name(table),
                                   static_cast<long long>(inserted), static_cast<long long>(read)));
        if (rows < wanted || to == PG_INT64_MAX)
            break;
        from = to + 1;
    }
    return inserted;
}

/*
 * The whole instance, and channel against UPDATEs that hold a tuple and are about to ask for the
 * instance; without waiting.
 */
bool lock_everything(Instance &instance)
{
    return pg::attempt([&] {
        bool locked = holds_all_keys(instance, PG_INT32_MAX) &&
                      pg::try_lock_table(instance.oid(Table::channel));
        for (int i = 0; locked && i < instance.leaf_count(Table::channel); i++)
            locked = pg::try_lock_table(instance.leaf(Table::channel, i).oid);
        return locked;
    });
}

/*
 * Where nothing is stored yet (attach, TRUNCATE of the read side) there is nothing to compare with
 * and no key to look up. False: somebody else is writing, or has.
 */
bool fill_all(Instance &instance, Repaired &repaired)
{
    if (!is_empty(instance) || !lock_everything(instance) || !is_empty(instance))
        return false;
    if (instance.has_list_hour)
        fill(instance, fill_large_inboxes);
    repaired.conversations.inserted = fill_by_ranges(instance, Table::user_conversation_view,
                                                     select_member_range, fill_conversations);
    repaired.conversation_reverse.inserted = fill(instance, fill_conversation_reverse);
    repaired.contacts.inserted =
        fill_by_ranges(instance, Table::user_contact_view, select_friendship_range, fill_contacts);
    repaired.contact_reverse.inserted = fill(instance, fill_contact_reverse);

    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();
    append_wrong_channels(instance, Extent(), channels);
    repaired.channels.updated = refresh_owned(instance, channels);
    metrics::count_written(Table::user_conversation_view, repaired.conversations);
    metrics::count_written(Table::conversation_reverse_index, repaired.conversation_reverse);
    metrics::count_written(Table::user_contact_view, repaired.contacts);
    metrics::count_written(Table::contact_reverse_index, repaired.contact_reverse);
    return true;
}

/* Locks the channels of the keys, and `channels`, and returns all of them. */
const pg::Vector<int64> &lock_channels_of(Instance &instance, const ConversationKeys &keys,
                                          const pg::Vector<int64> &channels)
{
    pg::Vector<int64> &all = pg::make<pg::Vector<int64>>(keys.channels);
    all.insert(all.end(), channels.begin(), channels.end());
    pg::make_unique(all);
    if (!all.empty())
        lock_channels(instance, all);
    return all;
}

/* The channels of the keys are locked, and `channels`, too. */
void derive_conversations(Instance &instance, const ConversationKeys &keys,
                          const pg::Vector<int64> &suspects, const pg::Vector<int64> &channels,
                          Repaired &repaired)
{
    lock_guards(instance, keys);
    repaired.channels.updated += refresh_owned(instance, channels);
    refresh_by_definition(instance, keys, suspects, repaired.conversations,
                          repaired.conversation_reverse);
}

} // namespace

void mend_conversations(Instance &instance, const ConversationKeys &keys,
                        const pg::Vector<int64> &suspects, const pg::Vector<int64> &channels,
                        Repaired &repaired)
{
    if (lock_channels_of(instance, keys, channels).empty())
        return;
    derive_conversations(instance, keys, suspects, channels, repaired);
}

void mend_contacts(Instance &instance, const ContactKeys &keys, Repaired &repaired)
{
    pg::Vector<int64> &owners = pg::make<pg::Vector<int64>>(keys.users);
    pg::Vector<int64> &profiles = pg::make<pg::Vector<int64>>(keys.contacts);
    pg::make_unique(owners);
    pg::make_unique(profiles);
    lock_owners(instance, owners);
    lock_profiles(instance, profiles, false);
    refresh_by_definition(instance, keys, repaired.contacts, repaired.contact_reverse);
}

void repair_conversations(Instance &instance, const Extent &extent, Repaired &repaired)
{
    ConversationKeys &keys = pg::make<ConversationKeys>();
    pg::Vector<int64> &suspects = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();

    append_wrong_channels(instance, extent, channels);
    pg::make_unique(channels);
    for (const WrongKey &key :
         select_differences(instance, derived("user_conversation_view"), extent)) {
        if (std::binary_search(channels.begin(), channels.end(), key[1]))
            continue; /* with all rows of the channel */
        keys.add(key[0], key[1]);
        suspects.push_back(0);
    }
    for (const WrongKey &key :
         select_differences(instance, derived("conversation_reverse_index"), extent)) {
        keys.add(key[1], key[2]);
        suspects.push_back(key[0]);
    }
    const pg::Vector<int64> &locked = lock_channels_of(instance, keys, channels);
    if (locked.empty())
        return;

    /*
     * Until now others were maintained by what these channels say: a rename may have passed by rows
     * that were right before. Who joins them now waits.
     */
    const ConversationKeys &members = keys_of_channels(instance, channels);
    for (size_t i = 0; i < members.users.size(); i++) {
        if (extent.has_user && members.users[i] != extent.user)
            continue;
        keys.add(members.users[i], members.channels[i]);
        suspects.push_back(0);
    }
    derive_conversations(instance, keys, suspects, locked, repaired);
}

void repair_contacts(Instance &instance, const Extent &extent, Repaired &repaired)
{
    ContactKeys &keys = pg::make<ContactKeys>();
    for (const WrongKey &key : select_differences(instance, derived("user_contact_view"), extent))
        keys.add(key[0], key[1]);
    for (const WrongKey &key :
         select_differences(instance, derived("contact_reverse_index"), extent))
        keys.add(key[1], key[0]);
    pg::make_unique(keys.users, keys.contacts);
    mend_contacts(instance, keys, repaired);
}

Repaired repair_all(Instance &instance)
{
    Repaired repaired;
    if (!fill_all(instance, repaired)) {
        Extent everything;
        repair_conversations(instance, everything, repaired);
        repair_contacts(instance, everything, repaired);
    }
    clear_incidents(instance);
    return repaired;
}

} // namespace hermet
