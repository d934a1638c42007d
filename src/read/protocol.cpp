#include "read/protocol.h"

#include "pg/enum.h"
#include "pg/lock.h"
#include "pg/subtransaction.h"
#include "read/leaves.h"

namespace hermet {

namespace {

/*
 * From so many keys on, the lock on the whole instance is tried first: the server's lock table has
 * room for max_locks_per_transaction * max_connections locks altogether.
 */
constexpr size_t many_keys = 1000;

#define SELECT_CHANNELS                                                                            \
    "SELECT c.id, c.channel_type = 'single', c.channel_status = 'active', "                        \
    "       c.channel_member_count, c.xmin, c.cmin "                                               \
    "  FROM {s}.channel c WHERE c.id = ANY ($1) ORDER BY c.id"

const pg::Statement lock_channel_rows = {SELECT_CHANNELS " FOR NO KEY UPDATE", {INT8ARRAYOID}};
const pg::Statement read_channel_rows = {SELECT_CHANNELS, {INT8ARRAYOID}};

const pg::Statement count_channels = {"SELECT count(DISTINCT c.id) FROM {s}.channel c "
                                      "WHERE c.id = ANY ($1)",
                                      {INT8ARRAYOID}};

/* Whether lock_tuples() goes on where a channel is missing. */
enum class Gaps {
    stop,
    skip,
    read, /* goes on, and locks nothing at all */
};

/* lock_channel_rows without the executor. False: not all of them can be reached so. */
bool walk_channels(Instance &instance, const pg::Vector<int64> &ids, size_t from, Gaps gaps,
                   pg::Vector<ChannelState> &states)
{
    using namespace channel_row;
    size_t before = states.size();
    pg::push_fresh_snapshot();
    Walks &channels = pg::make<Walks>();
    channels.begin(instance, Table::channel, 1, Use::lock);
    bool allowed = true;
    for (size_t i = from; i < ids.size();) {
        pg::Walk *walk = channels.find({ids[i]}, &allowed);
        if (!allowed)
            break;
        pg::Locked locked = !walk                ? pg::Locked::gone
                            : gaps == Gaps::read ? pg::Locked::yes
                                                 : walk->lock();
        if (locked == pg::Locked::changed) {
            channels.end();
            PopActiveSnapshot();
            pg::push_fresh_snapshot();
            channels.begin(instance, Table::channel, 1, Use::lock);
            continue;
        }
        if (locked == pg::Locked::gone && gaps == Gaps::stop)
            break;
        i++;
        if (locked == pg::Locked::gone)
            continue;
        auto is = [&](int column, const char *label) {
            return !walk->is_null(column) && pg::is_label((*walk)[column], label);
        };
        states.push_back({walk->int8(id), is(type, "single"), is(status, "active"),
                          DatumGetInt32((*walk)[member_count]), walk->written_by(),
                          walk->written_in()});
    }
    channels.end();
    PopActiveSnapshot();
    if (!allowed)
        states.erase(states.begin() + before, states.end());
    return allowed;
}

/*
 * Locks the tuples of ids[from..] and appends their states. The statement cannot stop at a gap:
 * then it adds nothing.
 */
void lock_tuples(Instance &instance, const pg::Vector<int64> &ids, size_t from, Gaps gaps,
                 pg::Vector<ChannelState> &states)
{
    if (walk_channels(instance, ids, from, gaps, states) || gaps == Gaps::stop)
        return;

    pg::Result rows = run(instance, gaps == Gaps::read ? read_channel_rows : lock_channel_rows,
                          {pg::int8_array(ids, from, ids.size())});
    for (uint64 i = 0; i < rows.count; i++) {
        if (i > 0 && rows.int8(i, 0) == rows.int8(i - 1, 0))
            continue; /* somebody has dropped the primary key */
        states.push_back({rows.int8(i, 0), rows.boolean(i, 1), rows.boolean(i, 2),
                          DatumGetInt32(rows.value(i, 3)), DatumGetTransactionId(rows.value(i, 4)),
                          DatumGetCommandId(rows.value(i, 5))});
    }
}

void lock_keys(Instance &instance, pg::LockClass lock_class, const pg::Vector<int64> &ids,
               bool exclusive)
{
    if (!ids.empty() && !holds_all_keys(instance, ids.size()))
        pg::lock_keys(instance.schema, lock_class, ids, exclusive);
}

} // namespace

bool holds_all_keys(Instance &instance, size_t keys)
{
    return pg::holds_instance(instance.schema) ||
           (keys > many_keys && pg::try_lock_instance(instance.schema));
}

/*
 * A channel that comes into being while its key is awaited has a tuple that is not locked. Nothing
 * was read under the keys yet: let go of them, and of the tuples behind its own, and begin again
 * with it. The tuples before the first gap are in order and stay.
 */
pg::Vector<ChannelState> &lock_channels(Instance &instance, const pg::Vector<int64> &ids)
{
    pg::Vector<ChannelState> &states = pg::make<pg::Vector<ChannelState>>();
    if (instance.is_node()) {
        lock_tuples(instance, ids, 0, Gaps::read, states);
        return states;
    }
    auto lock_all_keys = [&] { lock_keys(instance, pg::LockClass::channel, ids, true); };
    for (;;) {
        lock_tuples(instance, ids, states.size(), Gaps::stop, states);
        if (states.size() == ids.size()) {
            lock_all_keys();
            return states;
        }

        size_t before = states.size();
        bool complete = pg::attempt([&] {
            lock_tuples(instance, ids, before, Gaps::skip, states);
            lock_all_keys();
            return run(instance, count_channels, {pg::int8_array(ids)}).int8(0, 0) ==
                   static_cast<int64>(states.size());
        });
        if (complete)
            return states;
        states.erase(states.begin() + before, states.end());
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
