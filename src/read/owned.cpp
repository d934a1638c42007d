#include "read/owned.h"

#include "metrics/metrics.h"
#include "read/conversation.h"
#include "read/incident.h"
#include "read/leaves.h"

namespace hermet {

namespace {

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

} // namespace

int64 refresh_owned(Instance &instance, const pg::Vector<int64> &channels)
{
    if (channels.empty())
        return 0;
    int64 written =
        static_cast<int64>(run(instance, update_owned, {pg::int8_array(channels)}).count);
    metrics::count_written(Table::channel, 0, written, 0);
    return written;
}

void add_members(Instance &instance, const pg::Vector<ChannelState> &states,
                 const pg::Totals<int64> &more, CommandId since)
{
    pg::Vector<int64> &to_count = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &drifted = pg::make<pg::Vector<int64>>();
    Walks &channels = pg::make<Walks>();
    pg::push_fresh_snapshot();
    channels.begin(instance, Table::channel, 1, Use::update);
    for (const ChannelState &state : states) {
        const int64 *added = more.find(state.id);
        if (!added || *added == 0)
            continue;
        int64 members = state.member_count + *added;
        bool counted = written_since(state.written_by, state.written_in, since);
        bool fits = members >= 0 && members <= PG_INT32_MAX;
        bool allowed = true;
        pg::Walk *row = counted || !fits ? nullptr : channels.find({state.id}, &allowed);
        if (counted || !fits || !allowed) {
            to_count.push_back(state.id);
            if (!counted && !fits)
                drifted.push_back(state.id);
            continue;
        }
        if (!row)
            continue;
        do {
            row->set(channel_row::member_count, Int32GetDatum(static_cast<int32>(members)));
        } while (!row->write());
    }
    int64 written = channels.written();
    channels.end();
    PopActiveSnapshot();
    metrics::count_written(Table::channel, 0, written, 0);
    refresh_owned(instance, to_count);
    if (!drifted.empty())
        note_incident(instance, Table::channel, "id", drifted,
                      "the number of members would have gone below zero");
}

} // namespace hermet
