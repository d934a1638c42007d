#include "instance/bulk_load.h"

#include "pg/lock.h"

namespace hermet {

namespace {

/* A load that is open in this session, and the subtransaction that began it, if that still runs. */
struct Load {
    Oid schema;
    int64 id;
    SubTransactionId since; /* InvalidSubTransactionId: committed */
};

/* A handful at most. In TopMemoryContext. */
List *loads = NIL;

Load *find_load(Oid schema)
{
    ListCell *cell;
    foreach (cell, loads) {
        Load *load = static_cast<Load *>(lfirst(cell));
        if (load->schema == schema)
            return load;
    }
    return nullptr;
}

void forget(Load *load)
{
    loads = list_delete_ptr(loads, load);
    pfree(load);
}

/* A load whose beginning is undone never was; so it is if it is only prepared. */
void end_transaction(XactEvent event, void *)
{
    bool commits = event == XACT_EVENT_COMMIT;
    if (!commits && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
        return;
    ListCell *cell;
    foreach (cell, loads) {
        Load *load = static_cast<Load *>(lfirst(cell));
        if (load->since == InvalidSubTransactionId)
            continue;
        if (commits) {
            load->since = InvalidSubTransactionId;
            continue;
        }
        loads = foreach_delete_current(loads, cell);
        pfree(load);
    }
}

void end_subtransaction(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *)
{
    if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
        return;
    ListCell *cell;
    foreach (cell, loads) {
        Load *load = static_cast<Load *>(lfirst(cell));
        if (load->since != self)
            continue;
        if (event == SUBXACT_EVENT_COMMIT_SUB) {
            load->since = parent;
            continue;
        }
        loads = foreach_delete_current(loads, cell);
        pfree(load);
    }
}

const pg::Statement insert_load = {R"(
INSERT INTO {s}.hermet_bulk_load (role_name, pid, backend_start) VALUES ($1, $2, $3) RETURNING id)",
                                   {TEXTOID, INT4OID, TIMESTAMPTZOID}};

/*
 * Loads of this session, and of sessions that are gone. When another role's session started may be
 * hidden: then it is taken for the one that loads.
 */
const pg::Statement select_open_loads = {R"(
SELECT l.id FROM {s}.hermet_bulk_load l
 WHERE l.ended_at = 0
   AND (l.pid = $1 AND l.backend_start = $2 OR NOT EXISTS (
         SELECT FROM pg_stat_get_activity(l.pid) a WHERE coalesce(a.backend_start = l.backend_start, true)))
 ORDER BY 1)",
                                         {INT4OID, TIMESTAMPTZOID}};

const pg::Statement update_ended = {R"(
UPDATE {s}.hermet_bulk_load l SET ended_at = $2 WHERE l.id = ANY ($1) AND l.ended_at = 0)",
                                    {INT8ARRAYOID, INT8OID}};

const pg::Statement select_closed_loads = {R"(
SELECT l.id FROM {s}.hermet_bulk_load l WHERE l.ended_at <> 0 AND cardinality(l.verified) < 5 ORDER BY 1)",
                                           {}};

const pg::Statement update_verified = {R"(
UPDATE {s}.hermet_bulk_load l SET verified = l.verified || $2
 WHERE l.id = ANY ($1) AND $2 <> ALL (l.verified))",
                                       {INT8ARRAYOID, TEXTOID}};

pg::Vector<int64> &ids_of(const pg::Result &rows)
{
    pg::Vector<int64> &ids = pg::make<pg::Vector<int64>>();
    for (uint64 i = 0; i < rows.count; i++)
        ids.push_back(rows.int8(i, 0));
    return ids;
}

} // namespace

bool loads_in_bulk(Oid schema)
{
    const Load *load = loads == NIL ? nullptr : find_load(schema);
    if (load)
        pg::share_bulk_load(schema, load->id);
    return load;
}

void begin_bulk_load(Instance &instance)
{
    if (find_load(instance.schema))
        ereport(
            ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("this session has a bulk load into schema %s open already", instance.schema_sql),
            errhint("hermet.end_bulk_load() closes it."));
    int64 id = run(instance, insert_load,
                   {CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false)),
                    Int32GetDatum(MyProcPid), TimestampTzGetDatum(MyStartTimestamp)})
                   .int8(0, 0);
    pg::share_bulk_load(instance.schema, id);
    MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
    Load *load = static_cast<Load *>(palloc(sizeof(Load)));
    *load = {instance.schema, id, GetCurrentSubTransactionId()};
    loads = lappend(loads, load);
    MemoryContextSwitchTo(caller);
}

int64 end_bulk_load(Instance &instance)
{
    Load *own = find_load(instance.schema);
    const pg::Vector<int64> &open =
        ids_of(run(instance, select_open_loads,
                   {Int32GetDatum(MyProcPid), TimestampTzGetDatum(MyStartTimestamp)}));
    for (int64 id : open)
        if (!pg::try_close_bulk_load(instance.schema, id))
            ereport(ERROR, errcode(ERRCODE_OBJECT_IN_USE),
                    errmsg("a prepared transaction of bulk load " INT64_FORMAT
                           " into schema %s is still open",
                           id, instance.schema_sql),
                    errhint("COMMIT PREPARED or ROLLBACK PREPARED it, then end the load: "
                            "pg_prepared_xacts lists it."));
    /* Maintained again from here on, even if this is undone: then the row stays open. */
    if (own)
        forget(own);
    return static_cast<int64>(
        run(instance, update_ended, {pg::int8_array(open), Int64GetDatum(pg::now_ms())}).count);
}

pg::Vector<int64> &closed_bulk_loads(Instance &instance)
{
    return ids_of(run(instance, select_closed_loads, {}, pg::Sight::caller));
}

void note_bulk_loads_checked(Instance &instance, const pg::Vector<int64> &checked,
                             const char *table)
{
    run(instance, update_verified, {pg::int8_array(checked), CStringGetTextDatum(table)});
}

void register_bulk_load()
{
    RegisterXactCallback(end_transaction, nullptr);
    RegisterSubXactCallback(end_subtransaction, nullptr);
}

} // namespace hermet
