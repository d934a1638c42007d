/*
 * hermet.event_horizon(), read_events(), prune_events(): reading the log without losing an event.
 */
#include "events/events.h"
#include "pg/function.h"
#include "pg/lock.h"
#include "pg/sequence.h"

extern "C" {
#include "access/table.h"
#include "access/xlog.h"
}

namespace hermet {

namespace {

const pg::Statement select_last_known = {R"(
SELECT coalesce(max(e.event_offset), 0) FROM {s}.change_event e WHERE e.event_offset <= $1)",
                                         {INT8OID}};

const pg::Statement select_events = {R"(
SELECT e.event_offset, e.table_name, e.key, e.operation, e.new_values, e.transaction_time, e.transaction_id
  FROM {s}.change_event e
 WHERE e.event_offset > $1 AND e.event_offset <= $2
 ORDER BY e.event_offset
 LIMIT $3)",
                                     {INT8OID, INT8OID, INT8OID}};

const pg::Statement delete_events = {
    "DELETE FROM {s}.change_event e WHERE e.event_offset < $1", {INT8OID}, nullptr, true};

const NameData *target_of(FunctionCallInfo fcinfo, int argument)
{
    return PG_ARGISNULL(argument) ? nullptr : PG_GETARG_NAME(argument);
}

/*
 * A statement that reads events while it asks for the horizon began before: an event that was
 * committed in between is below the horizon and not in its snapshot. The same holds for all
 * statements of a transaction that has one snapshot.
 */
void refuse_older_snapshot(const Instance &instance)
{
    if (IsolationUsesXactSnapshot())
        ereport(ERROR, errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("hermet.event_horizon() serves transactions at READ COMMITTED only"),
                errdetail("The snapshot of this transaction may lack events below the horizon."),
                errhint("Use hermet.read_events(), which reads under a snapshot of its own."));
    Relation events = open_table(instance, Table::change_event, AccessShareLock);
    if (events->rd_refcnt > 1)
        ereport(ERROR, errcode(ERRCODE_OBJECT_IN_USE),
                errmsg("hermet.event_horizon() cannot be called by a statement that reads %s.%s",
                       instance.schema_sql, table_name(Table::change_event)),
                errdetail("The statement's snapshot may lack events below the horizon."),
                errhint("Ask for the horizon in a statement before, or use hermet.read_events()."));
    table_close(events, AccessShareLock);
}

} // namespace

Instance &require_events(Instance &instance)
{
    Instance *found = &instance;
    if (!OidIsValid(found->event_sequence)) {
        found->valid = false;
        found = &find_instance(found->schema);
    }
    if (!OidIsValid(found->event_sequence))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
                errmsg("table \"%s.%s\" of the hermet instance does not exist, or its offsets come "
                       "from no sequence",
                       found->schema_sql, table_name(Table::change_event)),
                errhint("hermet.upgrade() makes a table that is missing; hermet.disable_events() "
                        "stops the events."));
    return *found;
}

int64 find_horizon(const Instance &instance)
{
    if (RecoveryInProgress())
        ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                errmsg("a standby does not know which events are still to come"),
                errhint("Ask the primary server."));
    int64 drawn = Max(pg::last_drawn_durably(instance.event_sequence), 0);
    return pg::lowest_key(instance.schema, pg::LockClass::event, drawn);
}

int64 find_last_known(Instance &instance)
{
    int64 horizon = find_horizon(instance);
    return run(instance, select_last_known, {Int64GetDatum(horizon)}).int8(0, 0);
}

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(event_horizon)
{
    Instance &instance = require_events(find_target_instance(target_of(fcinfo, 0)));
    Oid table = instance.oid(Table::change_event);
    AclResult allowed = pg_class_aclcheck(table, GetUserId(), ACL_SELECT);
    if (allowed != ACLCHECK_OK)
        aclcheck_error(allowed, OBJECT_TABLE, table_name(Table::change_event));
    refuse_older_snapshot(instance);
    pg::Session session;
    session.begin(instance.owner);
    int64 horizon = find_last_known(instance);
    session.end();
    return Int64GetDatum(horizon);
}

/* With the caller's rights, and row security where there is any. */
HERMET_FUNCTION(read_events)
{
    ReturnSetInfo *set = pg::begin_set(fcinfo);
    Instance &instance = require_events(find_target_instance(target_of(fcinfo, 2)));
    int64 after = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT64(0);
    int64 most = PG_ARGISNULL(1) ? 1000 : PG_GETARG_INT32(1);
    pg::Session session;
    session.begin(GetUserId());
    int64 horizon = find_horizon(instance);
    pg::Result events = run(instance, select_events,
                            {Int64GetDatum(after), Int64GetDatum(horizon), Int64GetDatum(most)});
    for (uint64 i = 0; i < events.count; i++)
        tuplestore_puttuple(set->setResult, events.table->vals[i]);
    session.end();
    return Datum(0);
}

HERMET_FUNCTION(prune_events)
{
    if (PG_ARGISNULL(0))
        ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                errmsg("before_offset must not be NULL"));
    Instance &instance = require_events(find_own_instance(target_of(fcinfo, 1)));
    pg::Session session;
    session.begin(instance.owner);
    /* The last known event stays, so that the horizon does not go back. */
    int64 before = Min(PG_GETARG_INT64(0), find_last_known(instance));
    int64 pruned = static_cast<int64>(run(instance, delete_events, {Int64GetDatum(before)}).count);
    session.end();
    return Int64GetDatum(pruned);
}
