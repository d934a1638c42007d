#include "read/compare.h"

extern "C" {
#include "common/pg_prng.h"
}

namespace hermet {

namespace {

constexpr int64 sample_scale = INT64CONST(1) << 30;

/*
 * $1 user, $2 channel (or NULL), $3 seed and $4 threshold of the sample. Planned once for their
 * values, so that what is not asked for costs nothing.
 */
void append_filter(StringInfo out, const char *user, const char *channel, const char *sampled)
{
    appendStringInfoString(out, "($4 >= 1073741824 OR (hashint8extended(");
    appendStringInfo(out, "%s, $3) & 1073741823) < $4)", sampled);
    if (user)
        appendStringInfo(out, " AND ($1 IS NULL OR %s = $1)", user);
    if (channel)
        appendStringInfo(out, " AND ($2 IS NULL OR %s = $2)", channel);
}

/* Where the definition looks. */
char *scope_of(const Derived &derived)
{
    StringInfoData out;
    initStringInfo(&out);
    if (strcmp(derived.fragment, "owned") == 0) {
        appendStringInfoString(&out, "(SELECT h.id AS channel_id FROM {s}.channel h WHERE ");
        append_filter(&out, nullptr, "h.id", "h.id");
        appendStringInfoString(&out, " AND ($1 IS NULL OR EXISTS (SELECT FROM {s}.channel_member g "
                                     "WHERE g.channel_id = h.id AND g.user_id = $1))) cm");
    }
    else if (strstr(derived.fragment, "contact")) {
        appendStringInfoString(&out, "(SELECT * FROM {s}.friendship WHERE ");
        append_filter(&out, "user_id", nullptr, "user_id");
        appendStringInfoString(&out, ") f");
    }
    else {
        appendStringInfoString(&out, "(SELECT * FROM {s}.channel_member WHERE ");
        append_filter(&out, "user_id", "channel_id", "user_id");
        appendStringInfoString(&out, ") cm");
    }
    return out.data;
}

/* The stored rows of the same extent. */
void append_stored(StringInfo out, const Derived &derived)
{
    appendStringInfo(out, "SELECT * FROM {s}.%s t WHERE ", derived.table);
    if (strcmp(derived.fragment, "owned") == 0) {
        append_filter(out, nullptr, "t.id", "t.id");
        appendStringInfoString(out, " AND ($1 IS NULL OR EXISTS (SELECT FROM {s}.channel_member g "
                                    "WHERE g.channel_id = t.id AND g.user_id = $1))");
        return;
    }
    bool reverse = strstr(derived.fragment, "reverse");
    const char *user = reverse ? "t.owner_user_id" : "t.user_id";
    append_filter(out, user, strstr(derived.fragment, "contact") ? nullptr : "t.channel_id", user);
}

void append_columns(StringInfo out, const char *const *columns, int n, const char *prefix)
{
    for (int i = 0; i < n && columns[i]; i++)
        appendStringInfo(out, "%s%s.%s", i > 0 ? ", " : "", prefix, columns[i]);
}

/* FROM derived rows d FULL JOIN stored rows v, with "wrong" and "problem" to select. */
void append_compared(StringInfo out, const Derived &derived)
{
    const char *const *columns = derived.columns;
    appendStringInfoString(out, "(SELECT d, v, ");
    for (int i = 0; columns[i]; i++)
        appendStringInfo(out, "d.%s AS d_%s, v.%s AS v_%s, ", columns[i], columns[i], columns[i],
                         columns[i]);
    for (int i = 0; i < derived.keys; i++)
        appendStringInfo(out, "coalesce(d.%s, v.%s) AS k_%s, ", columns[i], columns[i], columns[i]);
    appendStringInfo(out,
                     "CASE WHEN v.%s IS NULL THEN 'missing' WHEN d.%s IS NULL THEN 'unexpected' "
                     "WHEN (ROW(",
                     columns[0], columns[0]);
    append_columns(out, columns, INT_MAX, "d");
    appendStringInfoString(out, ")::record) *<> (ROW(");
    append_columns(out, columns, INT_MAX, "v");
    appendStringInfo(out, ")::record) THEN 'stale' END AS problem FROM ({%s}) d FULL JOIN (",
                     derived.fragment);
    append_stored(out, derived);
    appendStringInfoString(out, ") v ON ");
    for (int i = 0; i < derived.keys; i++)
        appendStringInfo(out, "%sd.%s = v.%s", i > 0 ? " AND " : "", columns[i], columns[i]);
    appendStringInfoString(out, ") x");
}

void append_keys(StringInfo out, const Derived &derived)
{
    for (int i = 0; i < derived.keys; i++)
        appendStringInfo(out, "%sx.k_%s", i > 0 ? ", " : "", derived.columns[i]);
}

struct Arguments {
    Datum values[4];
    char nulls[4];

    explicit Arguments(const Extent &extent)
        : values{Int64GetDatum(extent.user), Int64GetDatum(extent.channel),
                 Int64GetDatum(static_cast<int64>(pg_prng_uint64(&pg_global_prng_state))),
                 Int64GetDatum(static_cast<int64>(extent.sample * sample_scale))},
          nulls{extent.has_user ? ' ' : 'n', extent.has_channel ? ' ' : 'n', ' ', ' '}
    {
    }

    pg::Parameters parameters() const
    {
        static const Oid types[] = {INT8OID, INT8OID, INT8OID, INT8OID};
        return {4, types, values, nulls};
    }
};

void count_compared(const Instance &instance, const Derived &derived, const Arguments &arguments,
                    int64 *rows, int64 *wrong)
{
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT count(*), count(x.problem) FROM ");
    append_compared(&sql, derived);
    pg::Result counts = pg::execute_once(expand(instance, sql.data, scope_of(derived)),
                                         arguments.parameters(), pg::Sight::caller);
    *rows = counts.int8(0, 0);
    *wrong = counts.int8(0, 1);
}

/* Of a consistent table: all rows are stored. */
int64 count_stored(const Instance &instance, const Derived &derived, const Arguments &arguments)
{
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT count(*) FROM (");
    append_stored(&sql, derived);
    appendStringInfoString(&sql, ") v");
    return pg::execute_once(expand(instance, sql.data), arguments.parameters(), pg::Sight::caller)
        .int8(0, 0);
}

} // namespace

int64 compare_into(ReturnSetInfo *set, const Instance &instance, const Derived &derived,
                   const Extent &extent, int64 *rows, int64 *wrong)
{
    const char *const *columns = derived.columns;
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql, "SELECT '%s'::text, jsonb_build_object(", derived.table);
    for (int i = 0; i < derived.keys; i++)
        appendStringInfo(&sql, "%s'%s', x.k_%s", i > 0 ? ", " : "", columns[i], columns[i]);
    appendStringInfoString(&sql, "), x.problem, y.column_name, y.expected, y.actual FROM ");
    append_compared(&sql, derived);
    /* One line for a row that is missing or unexpected, else one for each stale column. */
    appendStringInfoString(&sql,
                           " CROSS JOIN LATERAL (VALUES (0, NULL::text, "
                           "CASE WHEN x.problem = 'missing' THEN to_jsonb(x.d)::text END, "
                           "CASE WHEN x.problem = 'unexpected' THEN to_jsonb(x.v)::text END)");
    for (int i = derived.keys; columns[i]; i++)
        appendStringInfo(&sql, ", (%d, '%s', x.d_%s::text, x.v_%s::text)", i, columns[i],
                         columns[i], columns[i]);
    appendStringInfoString(
        &sql, ") y (ordinal, column_name, expected, actual) "
              "WHERE x.problem IS NOT NULL AND CASE WHEN x.problem = 'stale' "
              "THEN y.ordinal > 0 AND y.expected COLLATE \"C\" IS DISTINCT FROM y.actual "
              "ELSE y.ordinal = 0 END ORDER BY ");
    append_keys(&sql, derived);
    appendStringInfoString(&sql, ", y.ordinal");

    Arguments arguments(extent);
    int64 lines = pg::execute_into(set, expand(instance, sql.data, scope_of(derived)),
                                   arguments.parameters());
    if (lines > 0)
        count_compared(instance, derived, arguments, rows, wrong);
    else {
        *rows = count_stored(instance, derived, arguments);
        *wrong = 0;
    }
    return lines;
}

void count_differences(const Instance &instance, const Derived &derived, const Extent &extent,
                       int64 *rows, int64 *wrong)
{
    count_compared(instance, derived, Arguments(extent), rows, wrong);
}

pg::Result select_differences(const Instance &instance, const Derived &derived,
                              const Extent &extent)
{
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfoString(&sql, "SELECT ");
    append_keys(&sql, derived);
    appendStringInfoString(&sql, " FROM ");
    append_compared(&sql, derived);
    appendStringInfoString(&sql, " WHERE x.problem IS NOT NULL ORDER BY ");
    append_keys(&sql, derived);
    Arguments arguments(extent);
    return pg::execute_once(expand(instance, sql.data, scope_of(derived)), arguments.parameters(),
                            pg::Sight::fresh);
}

} // namespace hermet
