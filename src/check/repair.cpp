/*
 * hermet.repair() and its kin: what differs is written anew, nothing else.
 */
#include "metrics/metrics.h"
#include "read/large_inbox.h"
#include "read/protocol.h"
#include "read/repair.h"

#include "pg/function.h"

extern "C" {
#include "tcop/utility.h"
}

namespace hermet {

namespace {

void put(ReturnSetInfo *set, Table table, const Changes &changes)
{
    metrics::count_repaired(table, changes.inserted, changes.updated, changes.deleted);
    Datum values[] = {CStringGetTextDatum(table_name(table)), Int64GetDatum(changes.inserted),
                      Int64GetDatum(changes.updated), Int64GetDatum(changes.deleted)};
    bool nulls[lengthof(values)] = {};
    tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

void put_conversations(ReturnSetInfo *set, const Repaired &repaired)
{
    put(set, Table::user_conversation_view, repaired.conversations);
    put(set, Table::conversation_reverse_index, repaired.conversation_reverse);
    put(set, Table::channel, repaired.channels);
}

void put_contacts(ReturnSetInfo *set, const Repaired &repaired)
{
    put(set, Table::user_contact_view, repaired.contacts);
    put(set, Table::contact_reverse_index, repaired.contact_reverse);
}

/* What every writer of the read side holds. On a standby 25006, even if nothing was to write. */
Instance &begin_writing(FunctionCallInfo fcinfo, Oid schema)
{
    PreventCommandIfReadOnly(psprintf("hermet.%s()", get_func_name(fcinfo->flinfo->fn_oid)));
    return lock_instance(schema);
}

/* Runs `body` as the owner, with what every writer of the read side holds. */
template <class Body> void repair(FunctionCallInfo fcinfo, int target, Body body)
{
    ReturnSetInfo *set = pg::begin_set(fcinfo);
    const Instance &found =
        find_own_instance(PG_ARGISNULL(target) ? nullptr : PG_GETARG_NAME(target));
    pg::Session session;
    session.begin(found.owner);
    body(set, begin_writing(fcinfo, found.schema));
    session.end();
}

using Part = void (*)(Instance &, const Extent &, Repaired &);
using Put = void (*)(ReturnSetInfo *, const Repaired &);

/* One part, for the user or channel that the first argument names; NULL names none. */
Datum repair_part(FunctionCallInfo fcinfo, Extent extent, Part part, Put put)
{
    repair(fcinfo, 1, [&](ReturnSetInfo *set, Instance &instance) {
        Repaired repaired;
        extent.user = extent.channel = PG_GETARG_INT64(0);
        if (!PG_ARGISNULL(0))
            part(instance, extent, repaired);
        put(set, repaired);
    });
    return Datum(0);
}

Extent one_user()
{
    Extent extent;
    extent.has_user = true;
    return extent;
}

Extent one_channel()
{
    Extent extent;
    extent.has_channel = true;
    return extent;
}

} // namespace

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(repair)
{
    repair(fcinfo, 0, [](ReturnSetInfo *set, Instance &instance) {
        Repaired repaired = repair_all(instance);
        put_conversations(set, repaired);
        put_contacts(set, repaired);
    });
    return Datum(0);
}

HERMET_FUNCTION(order_inboxes)
{
    Instance &instance = find_own_instance(PG_ARGISNULL(0) ? nullptr : PG_GETARG_NAME(0));
    if (!instance.has_list_hour)
        ereport(
            ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("the instance in schema %s cannot keep inboxes in order", instance.schema_sql),
            errdetail(
                "It was made by an earlier version, or its table hermet_large_inbox was dropped."),
            errhint("Call hermet.upgrade()."));
    int64 added = 0;
    pg::Session session;
    session.begin(instance.owner);
    Instance &locked = begin_writing(fcinfo, instance.schema);
    if (!PG_ARGISNULL(1))
        added = order_inboxes(locked, PG_GETARG_INT32(1));
    session.end();
    return Int64GetDatum(added);
}

HERMET_FUNCTION(lock_channels)
{
    Instance &instance = find_own_instance(PG_ARGISNULL(1) ? nullptr : PG_GETARG_NAME(1));
    if (PG_ARGISNULL(0))
        PG_RETURN_VOID();
    Datum *elements;
    bool *nulls;
    int count;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, 8, true, TYPALIGN_DOUBLE, &elements,
                      &nulls, &count);
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();
    for (int i = 0; i < count; i++)
        if (!nulls[i])
            channels.push_back(DatumGetInt64(elements[i]));
    pg::make_unique(channels);
    pg::Session session;
    session.begin(instance.owner);
    lock_channels(begin_writing(fcinfo, instance.schema), channels);
    session.end();
    PG_RETURN_VOID();
}

HERMET_FUNCTION(repair_conversation_view)
{
    return repair_part(fcinfo, one_user(), repair_conversations, put_conversations);
}

HERMET_FUNCTION(repair_contact_view)
{
    return repair_part(fcinfo, one_user(), repair_contacts, put_contacts);
}

HERMET_FUNCTION(repair_channel)
{
    return repair_part(fcinfo, one_channel(), repair_conversations, put_conversations);
}
