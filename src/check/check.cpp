/*
 * hermet.check_consistency(), consistency_summary(), definition(): is it right, and by which rules.
 */
#include "instance/bulk_load.h"
#include "metrics/metrics.h"
#include "pg/function.h"
#include "read/compare.h"

extern "C" {
#include "access/xlog.h"
}

namespace hermet {

namespace {

/*
 * A check in a read-only transaction, or on a standby, leaves no note of itself. Old notes go, but
 * those that still say something: what was found and not looked for again since, and the last check
 * of a whole table.
 */
const pg::Statement insert_check = {
    R"(
WITH pruned AS (
  DELETE FROM {s}.hermet_check
   WHERE id IN (SELECT o.id FROM {s}.hermet_check o
                 WHERE o.id < (SELECT max(n.id) - 1000 FROM {s}.hermet_check n)
                   AND (o.problems = 0 AND NOT (o.user_id IS NULL AND o.sample = 1 AND o.from_key IS NULL AND o.to_key IS NULL)
                        OR EXISTS (SELECT FROM {s}.hermet_check l
                                    WHERE l.table_name = o.table_name AND l.id > o.id
                                      AND l.user_id IS NULL AND l.sample = 1 AND l.from_key IS NULL AND l.to_key IS NULL))
                 LIMIT 1000 FOR UPDATE SKIP LOCKED))
INSERT INTO {s}.hermet_check (begun_at, table_name, user_id, sample, from_key, to_key, rows_checked, problems)
VALUES ($1, $2, nullif($3, -9223372036854775808), $4, nullif($5, -9223372036854775808),
        nullif($6, 9223372036854775807), $7, $8))",
    {INT8OID, TEXTOID, INT8OID, FLOAT8OID, INT8OID, INT8OID, INT8OID, INT8OID}};

bool can_note()
{
    return !XactReadOnly && !RecoveryInProgress();
}

void note_check(Instance &instance, const Derived &derived, const Extent &extent,
                const Compared &found)
{
    run(instance, insert_check,
        {Int64GetDatum(pg::to_ms(GetCurrentTransactionStartTimestamp())),
         CStringGetTextDatum(derived.table),
         Int64GetDatum(extent.has_user ? extent.user : PG_INT64_MIN), Float8GetDatum(extent.sample),
         Int64GetDatum(extent.from), Int64GetDatum(extent.to), Int64GetDatum(found.rows),
         Int64GetDatum(found.wrong)});
}

/* What the arguments (target, table_name, user_id, sample, from_key, to_key) ask for. */
struct Request {
    Instance *instance;
    const Derived *only;
    Extent extent;

    explicit Request(FunctionCallInfo fcinfo)
        : instance(&find_own_instance(PG_ARGISNULL(0) ? nullptr : PG_GETARG_NAME(0))), only(nullptr)
    {
        if (!PG_ARGISNULL(1)) {
            const char *table = text_to_cstring(PG_GETARG_TEXT_PP(1));
            only = find_derived(table);
            if (!only)
                ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("there is nothing to check in table \"%s\"", table),
                        errhint("Tables that are checked: user_conversation_view, "
                                "user_contact_view, conversation_reverse_index, "
                                "contact_reverse_index, channel."));
        }
        if (!PG_ARGISNULL(2)) {
            extent.has_user = true;
            extent.user = PG_GETARG_INT64(2);
        }
        if (!PG_ARGISNULL(3))
            extent.sample = PG_GETARG_FLOAT8(3);
        if (!(extent.sample >= 0.0 && extent.sample <= 1.0))
            ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("sample must be between 0 and 1"));
        if (!PG_ARGISNULL(4))
            extent.from = PG_GETARG_INT64(4);
        if (!PG_ARGISNULL(5))
            extent.to = PG_GETARG_INT64(5);
    }
};

/*
 * Runs `each` for every table asked for, and notes what it found. What it saw right as a whole is
 * right: also what bulk loads left, if it saw them closed.
 */
template <class Each> void check(FunctionCallInfo fcinfo, Each each)
{
    ReturnSetInfo *set = pg::begin_set(fcinfo);
    Request request(fcinfo);
    Instance &instance = *request.instance;
    pg::Session session;
    session.begin(instance.owner);
    const pg::Vector<int64> &loads = closed_bulk_loads(instance);
    for (const Derived &derived : derived_tables) {
        if (request.only && request.only != &derived)
            continue;
        Compared found = each(set, instance, derived, request.extent);
        metrics::count_check(derived.table, found.rows - found.wrong, found.wrong);
        if (!can_note())
            continue;
        note_check(instance, derived, request.extent, found);
        if (found.wrong == 0 && request.extent.is_everything() && !loads.empty())
            note_bulk_loads_checked(instance, loads, derived.table);
    }
    session.end();
}

Compared summarise(ReturnSetInfo *set, Instance &instance, const Derived &derived,
                   const Extent &extent)
{
    Compared found = count_differences(instance, derived, extent);
    int64 right = found.rows - found.wrong;
    Datum values[] = {CStringGetTextDatum(derived.table), Int64GetDatum(found.rows),
                      Int64GetDatum(right), Int64GetDatum(found.wrong),
                      Float8GetDatum(found.rows == 0 ? 1.0 : double(right) / double(found.rows))};
    bool nulls[lengthof(values)] = {};
    tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    return found;
}

const char *whole_scope(const Derived &derived)
{
    if (strcmp(derived.fragment, "owned") == 0)
        return "{all_channels}";
    return strstr(derived.fragment, "contact") ? "{all_friendships}" : "{all_members}";
}

} // namespace

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(check_consistency)
{
    check(fcinfo, compare_into);
    return Datum(0);
}

HERMET_FUNCTION(consistency_summary)
{
    check(fcinfo, summarise);
    return Datum(0);
}

HERMET_FUNCTION(definition)
{
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    const char *table = text_to_cstring(PG_GETARG_TEXT_PP(0));
    const Derived *derived = find_derived(table);
    if (!derived)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("table \"%s\" is not derived", table),
                errhint("Derived are user_conversation_view, user_contact_view, "
                        "conversation_reverse_index, contact_reverse_index, and of channel the "
                        "columns that hermet owns."));
    Instance &instance = find_own_instance(PG_ARGISNULL(1) ? nullptr : PG_GETARG_NAME(1));
    const char *text = definition_fragment(derived->fragment, strlen(derived->fragment));
    PG_RETURN_TEXT_P(cstring_to_text(expand(instance, text, whole_scope(*derived)) + 1));
}
