/*
 * hermet.check_consistency(), consistency_summary(), definition(): is it right, and by which rules.
 */
#include "metrics/metrics.h"
#include "pg/function.h"
#include "read/compare.h"

extern "C" {
#include "access/xlog.h"
}

namespace hermet {

namespace {

/* A check in a read-only transaction, or on a standby, leaves no note of itself. */
const pg::Statement insert_check = {R"(
WITH pruned AS (
  DELETE FROM {s}.hermet_check
   WHERE id IN (SELECT o.id FROM {s}.hermet_check o
                 WHERE o.id < (SELECT max(n.id) - 1000 FROM {s}.hermet_check n)
                 LIMIT 1000 FOR UPDATE SKIP LOCKED))
INSERT INTO {s}.hermet_check (table_name, user_id, sample, problems)
VALUES ($1, nullif($2, -9223372036854775808), $3, $4))",
                                    {TEXTOID, INT8OID, FLOAT8OID, INT8OID}};

void note_check(Instance &instance, const Derived &derived, const Extent &extent, int64 problems)
{
    if (XactReadOnly || RecoveryInProgress())
        return;
    run(instance, insert_check,
        {CStringGetTextDatum(derived.table),
         Int64GetDatum(extent.has_user ? extent.user : PG_INT64_MIN), Float8GetDatum(extent.sample),
         Int64GetDatum(problems)});
}

/* What the arguments (target, table_name, user_id, sample) ask for. */
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
    }
};

/* Runs `each` for every table asked for, and notes the number of problems that it returns. */
template <class Each> void check(FunctionCallInfo fcinfo, Each each)
{
    ReturnSetInfo *set = pg::begin_set(fcinfo);
    Request request(fcinfo);
    pg::Session session;
    session.begin(request.instance->owner);
    for (const Derived &derived : derived_tables) {
        if (request.only && request.only != &derived)
            continue;
        int64 problems = each(set, *request.instance, derived, request.extent);
        note_check(*request.instance, derived, request.extent, problems);
    }
    session.end();
}

int64 list_differences(ReturnSetInfo *set, const Instance &instance, const Derived &derived,
                       const Extent &extent)
{
    int64 rows, wrong;
    int64 problems = compare_into(set, instance, derived, extent, &rows, &wrong);
    metrics::count_check(derived.table, rows - wrong, wrong);
    return problems;
}

int64 summarise(ReturnSetInfo *set, const Instance &instance, const Derived &derived,
                const Extent &extent)
{
    int64 rows, wrong;
    count_differences(instance, derived, extent, &rows, &wrong);
    metrics::count_check(derived.table, rows - wrong, wrong);
    Datum values[] = {CStringGetTextDatum(derived.table), Int64GetDatum(rows),
                      Int64GetDatum(rows - wrong), Int64GetDatum(wrong),
                      Float8GetDatum(rows == 0 ? 1.0 : double(rows - wrong) / double(rows))};
    bool nulls[lengthof(values)] = {};
    tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
    return wrong;
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
    check(fcinfo, list_differences);
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
