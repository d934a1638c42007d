/*
 * channel: conversations come and go with it, groups take name and picture from it, and three of
 * its columns are hermet's own.
 */
#include "pg/function.h"
#include "pg/partition.h"
#include "read/columns.h"
#include "read/owned.h"
#include "write/firing.h"
#include "write/single.h"
#include "write/truncate.h"
#include "write/version.h"

namespace hermet {

namespace {

enum {
    c_id,
    c_type,
    c_status,
    c_name,
    c_avatar,
    c_version,
    c_member_count,
    c_last_at,
    c_last_id,
    column_count
};

const pg::Column columns[column_count] = {
    {"id", INT8OID},
    {"channel_type", InvalidOid},
    {"channel_status", InvalidOid},
    {"channel_name", InvalidOid},
    {"channel_avatar", InvalidOid},
    {"channel_info_ver", INT4OID},
    {"channel_member_count", INT4OID},
    {"last_message_at", INT8OID},
    {"last_message_id", INT8OID},
};

constexpr int owned[] = {c_member_count, c_last_at, c_last_id};

struct Channels {
    AttrNumber at[column_count];
    pg::Vector<int64> structural; /* their rows come, go, or change altogether */
    pg::Vector<int64> arrived;    /* new, or of another type */
    pg::Vector<int64> displayed;  /* only name, picture or version */
};

void begin(Relation relation, Channels &channels)
{
    pg::find_columns(relation, columns, column_count, channels.at);
}

void add(const Firing &firing, Channels &channels)
{
    constexpr int identity[] = {c_id, c_type};
    constexpr int structure[] = {c_id, c_type, c_status};
    constexpr int display[] = {c_name, c_avatar, c_version};

    const AttrNumber *at = channels.at;
    bool pair = firing.is_pair();
    if (pair && !changed(firing, at, structure)) {
        if (changed(firing, at, display))
            channels.displayed.push_back(firing.new_rows.int8(at[c_id]));
        return;
    }
    if (firing.has_old)
        channels.structural.push_back(firing.old_rows.int8(at[c_id]));
    if (firing.has_new)
        channels.structural.push_back(firing.new_rows.int8(at[c_id]));
    if (firing.has_new && (!pair || changed(firing, at, identity)))
        channels.arrived.push_back(firing.new_rows.int8(at[c_id]));
}

bool finish(Channels &channels)
{
    pg::make_unique(channels.structural);
    pg::make_unique(channels.arrived);
    pg::make_unique(channels.displayed);
    return !channels.structural.empty() || !channels.displayed.empty();
}

void apply(Firing &firing, Channels &channels)
{
    Instance &instance = *firing.instance;
    pg::Vector<int64> &all = pg::make<pg::Vector<int64>>(channels.structural);
    all.insert(all.end(), channels.displayed.begin(), channels.displayed.end());
    pg::make_unique(all);
    lock_channels(instance, all);

    Changes view, reverse;
    if (!instance.is_node()) { /* there the primary has judged, and counted */
        require_two_members(instance, channels.arrived);
        refresh_owned(instance, channels.arrived);
    }
    refresh_channels(instance, channels.structural, view, reverse);
    refresh_groups(instance, channels.displayed, firing.since);
}

const Maintenance<Channels> maintenance = {
    Table::channel, Table::user_conversation_view, begin, add, finish,
    apply,          refresh_after_truncate};

const pg::Statement select_owned = {R"(
SELECT d.channel_member_count, d.last_message_at, d.last_message_id FROM ({owned}) d)",
                                    {INT8ARRAYOID},
                                    "{channels_of_keys}"};

/*
 * The right values for an UPDATE that sets a column of hermet's: the row is locked, so nobody who
 * changes them can pass.
 */
void read_owned(Relation relation, int64 id, Datum *values)
{
    Instance &instance = find_instance(get_rel_namespace(pg::find_root(relation)));
    pg::Session session;
    session.begin(instance.owner);
    pg::Vector<int64> &ids = pg::make<pg::Vector<int64>>();
    ids.push_back(id);
    pg::Result row = run(instance, select_owned, {pg::int8_array(ids)});
    for (int i = 0; i < 3; i++)
        values[i] = row.value(0, i);
    session.end();
}

/* The row with its owned columns right (UPDATE), or empty until the statement's end (INSERT). */
HeapTuple keep_owned(TriggerData *trigger, HeapTuple row, const AttrNumber *at)
{
    TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
    int numbers[] = {at[c_member_count], at[c_last_at], at[c_last_id]};
    Datum values[] = {Int32GetDatum(0), Int64GetDatum(0), Int64GetDatum(0)};
    bool nulls[] = {false, false, false};
    bool is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    bool differs = false;

    for (int i = 0; i < 3; i++) {
        bool null, old_null = false;
        Datum value = heap_getattr(row, numbers[i], descriptor, &null);
        Datum old_value =
            is_update ? heap_getattr(trigger->tg_trigtuple, numbers[i], descriptor, &old_null)
                      : values[i];
        differs |= null || old_null || value != old_value;
    }
    if (!differs)
        return row;
    if (is_update) {
        bool null;
        read_owned(trigger->tg_relation,
                   DatumGetInt64(heap_getattr(row, at[c_id], descriptor, &null)), values);
    }
    return heap_modify_tuple_by_cols(row, descriptor, 3, numbers, values, nulls);
}

} // namespace

Part &make_channel_part()
{
    return pg::make<PartOf<Channels>>(maintenance);
}

} // namespace hermet

using namespace hermet;

HERMET_TRIGGER(sync_channel)
{
    return maintain(trigger, maintenance);
}

HERMET_TRIGGER(complete_channel)
{
    constexpr int shown[] = {c_name, c_avatar};

    pg::require_before_row(trigger, true);
    bool is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    if (pg::own_write_runs())
        return PointerGetDatum(is_update ? trigger->tg_newtuple : trigger->tg_trigtuple);

    AttrNumber at[column_count];
    pg::find_columns(trigger->tg_relation, columns, column_count, at);
    HeapTuple row = is_update ? raise_version(trigger, at, c_id, c_version, shown, lengthof(shown))
                              : trigger->tg_trigtuple;
    return PointerGetDatum(keep_owned(trigger, row, at));
}
