#include "read/protocol.h"

#include "pg/lock.h"

namespace hermet {

namespace {

/*
 * From so many keys on, the lock on the whole instance is tried first: the server's lock table has
 * room for max_locks_per_transaction * max_connections locks altogether.
 */
constexpr size_t many_keys = 1000;

const pg::Statement lock_channel_rows = {R"(
SELECT c.id, c.channel_type = 'single', c.channel_status = 'active', c.channel_member_count, c.xmin, c.cmin
  FROM {s}.channel c
 WHERE c.id = ANY ($1)
 ORDER BY c.id
   FOR NO KEY UPDATE)",
                                         {INT8ARRAYOID}};

const pg::Statement count_channels = {"SELECT count(*) FROM {s}.channel c WHERE c.id = ANY ($1)",
                                      {INT8ARRAYOID}};

void lock_keys(Instance &instance, pg::LockClass lock_class, const pg::Vector<int64> &ids,
               bool exclusive, pg::Vector<LOCKTAG> *taken = nullptr)
{
    if (!ids.empty() && !holds_all_keys(instance, ids.size(), taken))
        pg::lock_keys(instance.schema, lock_class, ids, exclusive, taken);
}

} // namespace

bool holds_all_keys(Instance &instance, size_t keys, pg::Vector<LOCKTAG> *taken)
{
    return pg::holds_instance(instance.schema) ||
           (keys > many_keys && pg::try_lock_instance(instance.schema, taken));
}

pg::Vector<ChannelState> &lock_channels(Instance &instance, const pg::Vector<int64> &ids)
{
    pg::Vector<ChannelState> &states = pg::make<pg::Vector<ChannelState>>();
    if (ids.empty())
        return states;
    Datum array = pg::int8_array(ids);

    for (;;) {
        pg::Result rows = run(instance, lock_channel_rows, {array});
        pg::Vector<LOCKTAG> &taken = pg::make<pg::Vector<LOCKTAG>>();
        lock_keys(instance, pg::LockClass::channel, ids, true, &taken);

        /*
         * A channel that came into being while its tuple or key was awaited has a tuple that is not
         * locked. Nothing was read under the new keys yet: let them go, the instance too, and begin
         * again with the tuple.
         */
        if (rows.count < ids.size() &&
            run(instance, count_channels, {array}).int8(0, 0) != static_cast<int64>(rows.count)) {
            pg::unlock_keys(taken, true);
            continue;
        }

        states.reserve(rows.count);
        for (uint64 i = 0; i < rows.count; i++)
            states.push_back({rows.int8(i, 0), rows.boolean(i, 1), rows.boolean(i, 2),
                              DatumGetInt32(rows.value(i, 3)),
                              DatumGetTransactionId(rows.value(i, 4)),
                              DatumGetCommandId(rows.value(i, 5))});
        return states;
    }
}

void share_channels(Instance &instance, const pg::Vector<int64> &ids)
{
    lock_keys(instance, pg::LockClass::channel, ids, false);
}

void lock_owners(Instance &instance, const pg::Vector<int64> &ids)
{
    lock_keys(instance, pg::LockClass::owner, ids, true);
}

void lock_profiles(Instance &instance, const pg::Vector<int64> &ids, bool exclusive)
{
    lock_keys(instance, pg::LockClass::profile, ids, exclusive);
}

} // namespace hermet
