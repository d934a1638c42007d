#include "list/shadow.h"

#include "pg/lock.h"
#include "pg/subtransaction.h"

extern "C" {
#include "access/parallel.h"
#include "access/xlog.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
}

namespace hermet {

namespace {

/* $1 endpoint, $2 user, $3 and $4 the rows (or NULL), $5 the column that names them (or NULL). */
const char *const insert_mismatch = R"(
WITH pruned AS (
  DELETE FROM {s}.hermet_mismatch
   WHERE id IN (SELECT o.id FROM {s}.hermet_mismatch o
                 WHERE o.id <= (SELECT max(n.id) - 1000 FROM {s}.hermet_mismatch n)
                 LIMIT 100 FOR UPDATE SKIP LOCKED))
INSERT INTO {s}.hermet_mismatch (endpoint, user_id, key, read_side, write_side)
SELECT $1, $2,
       CASE WHEN $5 IS NOT NULL AND coalesce(x.r, x.w) ? $5
            THEN jsonb_build_object($5, coalesce(x.r, x.w) -> $5) END,
       CASE WHEN x.r IS NOT NULL THEN (SELECT jsonb_object_agg(n, x.r -> n) FROM unnest(d.names) n) END,
       CASE WHEN x.w IS NOT NULL THEN (SELECT jsonb_object_agg(n, x.w -> n) FROM unnest(d.names) n) END
  FROM (SELECT $3::jsonb - ARRAY['updated_at', 'cursor'] AS r,
               $4::jsonb - ARRAY['updated_at', 'cursor'] AS w) x
 CROSS JOIN LATERAL (
    SELECT CASE WHEN x.r -> $5 <> x.w -> $5 THEN ARRAY[$5]
                ELSE ARRAY(SELECT e.key FROM jsonb_each(coalesce(x.r, jsonb_build_object()) || coalesce(x.w, jsonb_build_object())) e
                            WHERE x.r -> e.key IS DISTINCT FROM x.w -> e.key) END AS names) d)";

/* The first rows of two lists that are not the same. */
struct Difference {
    bool found;
    char *read_side; /* as JSON; NULL: no such row */
    char *write_side;
};

char *row_as_json(TupleTableSlot *slot)
{
    if (TupIsNull(slot))
        return nullptr;
    Datum json = DirectFunctionCall1(row_to_json, ExecFetchSlotHeapTupleDatum(slot));
    return text_to_cstring(DatumGetTextPP(json));
}

/* Byte for byte, all but one column. */
bool same_row(TupleTableSlot *a, TupleTableSlot *b, int but)
{
    if (TupIsNull(a) || TupIsNull(b))
        return TupIsNull(a) && TupIsNull(b);
    slot_getallattrs(a);
    slot_getallattrs(b);
    TupleDesc columns = a->tts_tupleDescriptor;
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute column = TupleDescAttr(columns, i);
        if (column->attnum == but)
            continue;
        if (a->tts_isnull[i] != b->tts_isnull[i])
            return false;
        if (!a->tts_isnull[i] &&
            !datum_image_eq(a->tts_values[i], b->tts_values[i], column->attbyval, column->attlen))
            return false;
    }
    return true;
}

void compare(const pg::RowStore &read, const pg::RowStore &joined, int but, Difference &difference)
{
    TupleDesc columns = BlessTupleDesc(CreateTupleDescCopy(read.columns));
    TupleTableSlot *a = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
    TupleTableSlot *b = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
    tuplestore_rescan(read.rows);
    tuplestore_rescan(joined.rows);
    do {
        CHECK_FOR_INTERRUPTS();
        tuplestore_gettupleslot(read.rows, true, false, a);
        tuplestore_gettupleslot(joined.rows, true, false, b);
        if (!same_row(a, b, but))
            difference = {true, row_as_json(a), row_as_json(b)};
    } while (!difference.found && !TupIsNull(a) && !TupIsNull(b));
    ExecDropSingleTupleTableSlot(a);
    ExecDropSingleTupleTableSlot(b);
    /* Whoever reads them next begins at the first row. */
    tuplestore_rescan(read.rows);
    tuplestore_rescan(joined.rows);
}

pg::RowStore make_store(TupleDesc columns)
{
    return {tuplestore_begin_heap(false, false, work_mem), columns, CurrentMemoryContext};
}

template <class Body> void as_owner(const Instance &instance, Body body)
{
    pg::Session session;
    session.begin(instance.owner);
    body();
    session.end();
}

/* As the owner both: what policies hide from the caller is no difference. */
void compute_and_compare(Instance &instance, const Listing &listing, const ListRequest &request,
                         const pg::RowStore &served, Served from, Difference &difference)
{
    pg::RowStore read = from == Served::from_view ? served : make_store(served.columns);
    pg::RowStore joined = from == Served::from_join ? served : make_store(served.columns);
    as_owner(instance, [&] {
        if (from != Served::from_view)
            listing.read(instance, request, read, Reader::owner);
        if (from != Served::from_join)
            listing.join(instance, request, joined);
    });
    compare(read, joined, listing.updated_at, difference);
    if (from != Served::from_view)
        tuplestore_end(read.rows);
    if (from != Served::from_join)
        tuplestore_end(joined.rows);
}

Datum jsonb_of(const char *text)
{
    return text ? DirectFunctionCall1(jsonb_in, CStringGetDatum(text)) : Datum(0);
}

void note(const Instance &instance, const Listing &listing, const ListRequest &request,
          const Difference &difference)
{
    Oid table = get_relname_relid("hermet_mismatch", instance.schema);
    if (XactReadOnly || RecoveryInProgress() || !OidIsValid(table) ||
        !pg::try_lock_for_writing(table))
        return;
    Oid types[] = {TEXTOID, INT8OID, JSONBOID, JSONBOID, TEXTOID};
    Datum values[] = {CStringGetTextDatum(listing.name), Int64GetDatum(request.user),
                      jsonb_of(difference.read_side), jsonb_of(difference.write_side),
                      listing.key ? CStringGetTextDatum(listing.key) : Datum(0)};
    char nulls[] = {' ', ' ', difference.read_side ? ' ' : 'n', difference.write_side ? ' ' : 'n',
                    listing.key ? ' ' : 'n'};
    as_owner(instance, [&] {
        pg::execute_once(expand(instance, insert_mismatch), {5, types, values, nulls},
                         pg::Sight::fresh);
    });
}

/*
 * Not where it would do harm, or find what is none: at SERIALIZABLE what it reads would count as
 * conflicts; inside a trigger the statement around it may be half done.
 */
bool possible()
{
    return !IsolationIsSerializable() && !IsInParallelMode() && !IsParallelWorker() &&
           DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, Datum(0))) == 0;
}

} // namespace

void shadow(Instance &instance, const Listing &listing, const ListRequest &request,
            const pg::RowStore &served, Served from)
{
    if (!possible())
        return;
    Difference difference = {};
    const char *failed = pg::survive(
        [&] { compute_and_compare(instance, listing, request, served, from, difference); });
    if (failed) {
        StringInfoData json;
        initStringInfo(&json);
        appendStringInfoString(&json, "{\"error\": ");
        escape_json(&json, failed);
        appendStringInfoChar(&json, '}');
        difference = {true, nullptr, json.data};
        tuplestore_rescan(served.rows);
    }
    metrics::observe_shadow(listing.endpoint, !difference.found);
    if (difference.found)
        pg::survive([&] { note(instance, listing, request, difference); });
}

} // namespace hermet
