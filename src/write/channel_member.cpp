/*
 * channel_member: who joins, leaves, comes back, is removed, or has another name in a group.
 */
#include "pg/clock.h"
#include "pg/function.h"
#include "read/columns.h"
#include "read/last_message.h"
#include "read/owned.h"
#include "write/firing.h"
#include "write/single.h"
#include "write/truncate.h"

namespace hermet {

namespace {

enum { c_id, c_channel, c_user, c_nickname, c_joined_at, c_left_at, c_created_at, column_count };

const pg::Column columns[column_count] = {
    {"id", INT8OID},          {"channel_id", INT8OID}, {"user_id", INT8OID},
    {"nickname", InvalidOid}, {"joined_at", INT8OID},  {"left_at", INT8OID},
    {"created_at", INT8OID},
};

struct Members {
    AttrNumber at[column_count];
    ConversationKeys rows;     /* whose conversation rows may change */
    ConversationKeys names;    /* who has, or has no more, a name in a channel */
    pg::Vector<int64> joined;  /* channels that a row was added to */
    pg::Totals<int64> actives; /* by channel: so many more active members */
};

void begin(Relation relation, Members &members)
{
    pg::find_columns(relation, columns, column_count, members.at);
}

void add(const Firing &firing, Members &members)
{
    constexpr int row[] = {c_id, c_channel, c_user, c_joined_at, c_left_at, c_created_at};
    constexpr int name[] = {c_channel, c_user, c_nickname};
    constexpr int key[] = {c_channel, c_user};

    const AttrNumber *at = members.at;
    auto add_keys = [&](ConversationKeys &keys) {
        if (firing.has_old)
            keys.add(firing.old_rows.int8(at[c_user]), firing.old_rows.int8(at[c_channel]));
        if (firing.has_new)
            keys.add(firing.new_rows.int8(at[c_user]), firing.new_rows.int8(at[c_channel]));
    };
    auto count = [&](const pg::Rows &member, int64 sign) {
        if (member.int8(at[c_left_at]) == 0)
            members.actives.add(member.int8(at[c_channel]), sign);
    };
    bool pair = firing.is_pair();
    if (!pair || changed(firing, at, row)) {
        add_keys(members.rows);
        if (firing.has_old)
            count(firing.old_rows, -1);
        if (firing.has_new)
            count(firing.new_rows, 1);
    }
    if (!pair || changed(firing, at, name))
        add_keys(members.names);
    if (firing.has_new && (!pair || changed(firing, at, key)))
        members.joined.push_back(firing.new_rows.int8(at[c_channel]));
}

bool finish(Members &members)
{
    pg::make_unique(members.joined);
    members.actives.finish();
    return !members.rows.empty() || !members.names.empty();
}

/* Groups whose last message is from one of these members: its sender's name is derived anew. */
const pg::Statement select_spoken = {R"(
SELECT DISTINCT c.id
  FROM unnest($1::bigint[], $2::bigint[]) k (user_id, channel_id)
  JOIN {s}.channel c ON c.id = k.channel_id
  JOIN {s}.message m ON m.channel_id = c.id AND m.id = c.last_message_id AND m.sender_id = k.user_id
 ORDER BY 1)",
                                     {INT8ARRAYOID, INT8ARRAYOID}};

pg::Vector<int64> &find_spoken(Instance &instance, const ConversationKeys &members)
{
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();
    if (Source::can_read(instance, {Table::channel, Table::message})) {
        Source &source = pg::make<Source>();
        source.begin(instance);
        for (size_t i = 0; i < members.users.size(); i++)
            if (is_last_sender(source, members.channels[i], members.users[i], 0))
                channels.push_back(members.channels[i]);
        source.end();
        pg::make_unique(channels);
        if (!source.blocked())
            return channels;
        channels.clear();
    }
    pg::Result rows = run(instance, select_spoken,
                          {pg::int8_array(members.users), pg::int8_array(members.channels)});
    for (uint64 i = 0; i < rows.count; i++)
        channels.push_back(rows.int8(i, 0));
    return channels;
}

void apply(Firing &firing, Members &members)
{
    Instance &instance = *firing.instance;
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>(members.rows.channels);
    channels.insert(channels.end(), members.names.channels.begin(), members.names.channels.end());
    pg::make_unique(channels);
    pg::Vector<ChannelState> &states = lock_channels(instance, channels);

    /* In a single channel one member's coming and going is the other's peer. */
    pg::Vector<int64> &singles = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &crowded = pg::make<pg::Vector<int64>>();
    for (const ChannelState &state : states) {
        if (!state.single)
            continue;
        singles.push_back(state.id);
        if (std::binary_search(members.joined.begin(), members.joined.end(), state.id))
            crowded.push_back(state.id);
    }
    if (!instance.is_node()) { /* there the primary has judged, and counted */
        require_two_members(instance, crowded);
        add_members(instance, states, members.actives, firing.since);
    }

    ConversationKeys &keys = pg::make<ConversationKeys>(keys_of_channels(instance, singles));
    for (size_t i = 0; i < members.rows.users.size(); i++)
        if (!std::binary_search(singles.begin(), singles.end(), members.rows.channels[i]))
            keys.add(members.rows.users[i], members.rows.channels[i]);

    Changes view, reverse;
    lock_guards(instance, keys, &members.names.users);
    refresh_conversations(instance, keys, view, reverse);

    if (members.names.empty())
        return;
    refresh_sender_names(instance, find_spoken(instance, members.names), firing.since);
}

const Maintenance<Members> maintenance = {
    Table::channel_member, Table::user_conversation_view, begin, add, finish, apply,
    refresh_after_truncate};

} // namespace

Part &make_channel_member_part()
{
    return pg::make<PartOf<Members>>(maintenance);
}

} // namespace hermet

using namespace hermet;

HERMET_TRIGGER(sync_channel_member)
{
    return maintain(trigger, maintenance);
}

/* A member who comes back starts anew, unless the statement says when he joined. */
HERMET_TRIGGER(complete_channel_member)
{
    pg::require_before_row(trigger, false);
    AttrNumber at[column_count];
    pg::find_columns(trigger->tg_relation, columns, column_count, at);
    TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
    auto get = [&](HeapTuple row, int column) {
        bool null;
        return DatumGetInt64(heap_getattr(row, at[column], descriptor, &null));
    };
    HeapTuple old_row = trigger->tg_trigtuple;
    HeapTuple new_row = trigger->tg_newtuple;
    if (get(old_row, c_left_at) == 0 || get(new_row, c_left_at) != 0 ||
        get(old_row, c_joined_at) != get(new_row, c_joined_at))
        return PointerGetDatum(new_row);

    int number = at[c_joined_at];
    Datum value = Int64GetDatum(pg::now_ms());
    bool null = false;
    return PointerGetDatum(
        heap_modify_tuple_by_cols(new_row, descriptor, 1, &number, &value, &null));
}
