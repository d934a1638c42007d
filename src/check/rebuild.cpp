/*
 * What the procedures hermet.rebuild_conversation_view() and rebuild_contact_view() stand on: one
 * batch, and who runs which rebuild. And bulk loads, which end in a rebuild.
 */
#include "read/rebuild.h"

#include "instance/bulk_load.h"
#include "pg/function.h"
#include "pg/lock.h"

namespace hermet {

namespace {

constexpr int max_batch = 10000;

Instance &target(FunctionCallInfo fcinfo, int argument)
{
    return find_own_instance(PG_ARGISNULL(argument) ? nullptr : PG_GETARG_NAME(argument));
}

} // namespace

} // namespace hermet

using namespace hermet;

/*
 * (schema, table_name, next_first, next_second, to_key, batch_size, all_rows): where the next batch
 * begins, whether there is none, and what this one looked at and wrote.
 */
HERMET_FUNCTION(rebuild_batch)
{
    ReturnSetInfo *set = pg::begin_set(fcinfo);
    for (int i = 0; i < 7; i++)
        if (PG_ARGISNULL(i))
            return Datum(0);
    const char *table = text_to_cstring(PG_GETARG_TEXT_PP(1));
    const Derived *derived = find_derived(table);
    if (!derived)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("table \"%s\" is not derived", table),
                errhint("Derived are user_conversation_view, user_contact_view, "
                        "conversation_reverse_index, contact_reverse_index, and of channel the "
                        "columns that hermet owns."));
    int size = PG_GETARG_INT32(5);
    if (size < 1 || size > max_batch)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("batch_size must be between 1 and %d", max_batch));

    const Instance &found = find_own_instance(PG_GETARG_OID(0));
    pg::Session session;
    session.begin(found.owner);
    Instance &instance = lock_instance(found.schema);
    Batch batch = rebuild_batch(instance, *derived, {PG_GETARG_INT64(2), PG_GETARG_INT64(3)},
                                PG_GETARG_INT64(4), size, PG_GETARG_BOOL(6));
    session.end();
    const Repaired &repaired = batch.repaired;
    int64 changed = repaired.conversations.total() + repaired.conversation_reverse.total() +
                    repaired.contacts.total() + repaired.contact_reverse.total() +
                    repaired.channels.total();
    Datum values[] = {Int64GetDatum(batch.next.first), Int64GetDatum(batch.next.second),
                      BoolGetDatum(batch.finished), Int64GetDatum(batch.rows),
                      Int64GetDatum(changed)};
    bool nulls[lengthof(values)] = {};
    tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    return Datum(0);
}

/* (id, target): false if another session runs it. */
HERMET_FUNCTION(hold_rebuild)
{
    if (PG_ARGISNULL(0))
        PG_RETURN_BOOL(false);
    Instance &instance = target(fcinfo, 1);
    PG_RETURN_BOOL(pg::hold_rebuild(instance.schema, PG_GETARG_INT64(0)));
}

HERMET_FUNCTION(release_rebuild)
{
    pg::release_rebuild();
    PG_RETURN_VOID();
}

/* (id, schema): for whoever may see the progress. */
HERMET_FUNCTION(rebuild_runs)
{
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        PG_RETURN_BOOL(false);
    PG_RETURN_BOOL(pg::rebuild_runs(PG_GETARG_OID(1), PG_GETARG_INT64(0)));
}

/* The server says so, too, when the procedure commits, but not why it does. */
HERMET_FUNCTION(require_own_transactions)
{
    if (IsTransactionBlock())
        ereport(ERROR, errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
                errmsg("a rebuild cannot run inside a transaction block"),
                errhint("It commits after each batch: CALL it by itself, with autocommit on."));
    PG_RETURN_VOID();
}

HERMET_FUNCTION(begin_bulk_load)
{
    Instance &instance = target(fcinfo, 0);
    pg::Session session;
    session.begin(instance.owner);
    begin_bulk_load(instance);
    session.end();
    PG_RETURN_VOID();
}

HERMET_FUNCTION(end_bulk_load)
{
    Instance &instance = target(fcinfo, 0);
    pg::Session session;
    session.begin(instance.owner);
    int64 ended = end_bulk_load(instance);
    session.end();
    if (ended == 0)
        ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                errmsg("no bulk load into schema %s is open in this session", instance.schema_sql),
                errdetail("Nor did a session that is gone leave one open."),
                errhint("A load that is open in another session is closed there."));
    ereport(
        NOTICE,
        errmsg("the read side of schema %s lacks what was loaded until it is rebuilt",
               instance.schema_sql),
        errhint("CALL hermet.rebuild_conversation_view() and hermet.rebuild_contact_view(), then "
                "hermet.consistency_summary(): hermet.health() reports the load until that "
                "finds nothing wrong."));
    PG_RETURN_VOID();
}
