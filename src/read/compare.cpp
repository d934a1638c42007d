#include "read/compare.h"

extern "C" {
#include "access/table.h"
#include "common/pg_prng.h"
#include "storage/bufmgr.h"
}

namespace hermet {

namespace {

constexpr int64 sample_scale = INT64CONST(1) << 30;

/* From so many pages on, a sample is drawn by pages: fewer would be too coarse. */
constexpr double sampled_pages = 100;

/* What is derived from which table, by the columns of that table and of the derived one. */
struct Origin {
    Table source;
    const char *cm; /* what the definition calls a row of the source */
    const char *source_key[2];
    const char *stored_key[2];
    const char *stored_channel; /* NULL: it knows no channel */
    const char *id_of_channel;  /* of the source; NULL likewise */
};

const Origin conversation_origin = {
    Table::channel_member,     "cm",         {"user_id", "channel_id"},
    {"user_id", "channel_id"}, "channel_id", "channel_id"};
const Origin conversation_reverse_origin = {
    Table::channel_member,           "cm",         {"user_id", "channel_id"},
    {"owner_user_id", "channel_id"}, "channel_id", "channel_id"};
const Origin contact_origin = {Table::friendship,         "f",     {"user_id", "friend_id"},
                               {"user_id", "contact_id"}, nullptr, nullptr};
const Origin contact_reverse_origin = {
    Table::friendship, "f",    {"user_id", "friend_id"}, {"owner_user_id", "contact_user_id"},
    nullptr,           nullptr};
const Origin owned_origin = {Table::channel, "cm", {"id", nullptr}, {"id", nullptr}, "id", "id"};

bool is_owned(const Derived &derived)
{
    return strcmp(derived.fragment, "owned") == 0;
}

const Origin &origin_of(const Derived &derived)
{
    if (is_owned(derived))
        return owned_origin;
    bool reverse = strstr(derived.fragment, "reverse");
    if (strstr(derived.fragment, "contact"))
        return reverse ? contact_reverse_origin : contact_origin;
    return reverse ? conversation_reverse_origin : conversation_origin;
}

/* How the rows of an extent are found. */
enum class Way {
    join,   /* stored and derived rows, joined in full */
    lookup, /* the rows of either table, each looked up in the other */
    pages,  /* rows on some pages of either table, looked up likewise */
};

double pages_of(Instance &instance, Table table)
{
    double pages = 0;
    for (int leaf = 0; leaf < instance.leaf_count(table); leaf++) {
        Relation relation = open_leaf(instance, table, leaf, AccessShareLock);
        pages += RelationGetNumberOfBlocks(relation);
        table_close(relation, NoLock);
    }
    return pages;
}

/*
 * So that a part costs its share of the whole: a range is looked up, a sample of a large table is
 * drawn by pages.
 */
Way way_for(Instance &instance, const Derived &derived, const Extent &extent)
{
    if (extent.has_user || extent.has_channel)
        return Way::join;
    if (extent.has_range())
        return Way::lookup;
    if (extent.sample < 1.0 &&
        pages_of(instance, origin_of(derived).source) * extent.sample >= sampled_pages)
        return Way::pages;
    return Way::join;
}

/*
 * Which rows of alias t: $1 user, $2 channel (or NULL), $3 seed and $4 threshold of the sample, $5
 * and $6 the range. Planned once for their values, so that what is not asked for costs nothing.
 */
void append_filter(StringInfo out, const char *const *key, const char *channel, bool owned)
{
    appendStringInfo(out, "($4 >= 1073741824 OR (hashint8extended(t.%s, ", key[0]);
    if (key[1])
        appendStringInfo(out, "hashint8extended(t.%s, $3)", key[1]);
    else
        appendStringInfoString(out, "$3");
    appendStringInfo(out,
                     ") & 1073741823) < $4) "
                     "AND ($5 = -9223372036854775808 OR t.%s >= $5) "
                     "AND ($6 = 9223372036854775807 OR t.%s <= $6)",
                     key[0], key[0]);
    if (channel)
        appendStringInfo(out, " AND ($2 IS NULL OR t.%s = $2)", channel);
    if (owned)
        appendStringInfoString(out, " AND ($1 IS NULL OR EXISTS (SELECT FROM {s}.channel_member g "
                                    "WHERE g.channel_id = t.id AND g.user_id = $1))");
    else
        appendStringInfo(out, " AND ($1 IS NULL OR t.%s = $1)", key[0]);
}

void append_pages(StringInfo out, const Extent &extent)
{
    appendStringInfo(out, "TABLESAMPLE SYSTEM (%.9f)", extent.sample * 100);
}

/* A scope for the definition; `condition` is what follows the source's alias t. */
char *scope_of(const Derived &derived, const char *condition)
{
    const Origin &origin = origin_of(derived);
    return psprintf("(SELECT %s FROM {s}.%s t %s) %s",
                    is_owned(derived) ? "t.id AS channel_id" : "*", table_name(origin.source),
                    condition, origin.cm);
}

char *derived_rows(const Instance &instance, const Derived &derived, const char *condition)
{
    return expand(instance, psprintf("{%s}", derived.fragment), scope_of(derived, condition));
}

char *stored_rows(const Instance &instance, const Derived &derived, const char *condition)
{
    return expand(instance, psprintf("SELECT * FROM {s}.%s t %s", derived.table, condition));
}

void append_columns(StringInfo out, const char *const *columns, int n, const char *prefix)
{
    for (int i = 0; i < n && columns[i]; i++)
        appendStringInfo(out, "%s%s.%s", i > 0 ? ", " : "", prefix, columns[i]);
}

void append_match(StringInfo out, const Derived &derived, const char *a, const char *b)
{
    for (int i = 0; i < derived.keys; i++)
        appendStringInfo(out, "%s%s.%s = %s.%s", i > 0 ? " AND " : "", a, derived.columns[i], b,
                         derived.columns[i]);
}

/* SELECT of derived rows d beside stored rows v: all of them, or those that have the keys of d. */
void append_pairs(StringInfo out, const Derived &derived, const char *derived_sql, Way way,
                  const char *stored_sql)
{
    const char *const *columns = derived.columns;
    appendStringInfoString(out, "SELECT d, v, ");
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
    appendStringInfo(out, ")::record) THEN 'stale' END AS problem FROM (%s) d ", derived_sql);
    if (way == Way::join) {
        appendStringInfo(out, "FULL JOIN (%s) v ON ", stored_sql);
        append_match(out, derived, "d", "v");
        return;
    }
    /* OFFSET 0: always by the whole key, the partition's column among it. */
    appendStringInfo(out, "LEFT JOIN LATERAL (%s WHERE ", stored_sql);
    append_match(out, derived, "d", "t");
    appendStringInfoString(out, " OFFSET 0) v ON true");
}

/* The same columns, of stored rows v that no row is derived for. */
void append_surplus(StringInfo out, const Derived &derived, const char *stored_sql,
                    const char *derived_sql)
{
    const char *const *columns = derived.columns;
    appendStringInfoString(out, "SELECT CASE WHEN false THEN v END AS d, v, ");
    for (int i = 0; columns[i]; i++)
        appendStringInfo(out, "CASE WHEN false THEN v.%s END AS d_%s, v.%s AS v_%s, ", columns[i],
                         columns[i], columns[i], columns[i]);
    for (int i = 0; i < derived.keys; i++)
        appendStringInfo(out, "v.%s AS k_%s, ", columns[i], columns[i]);
    appendStringInfo(
        out, "'unexpected' AS problem FROM (%s) v WHERE NOT EXISTS (SELECT FROM (%s) e WHERE ",
        stored_sql, derived_sql);
    append_match(out, derived, "e", "v");
    appendStringInfoString(out, ")");
}

/* Pairs x, with "problem" and keys to select; nothing is left to expand. */
const char *compared_rows(const Instance &instance, const Derived &derived, const Extent &extent,
                          Way way)
{
    const Origin &origin = origin_of(derived);
    StringInfoData pairs, condition, other;
    initStringInfo(&pairs);
    initStringInfo(&condition);
    initStringInfo(&other);
    if (way == Way::pages) {
        append_pages(&condition, extent);
        append_pages(&other, extent);
    }
    else {
        appendStringInfoString(&condition, "WHERE ");
        append_filter(&condition, origin.source_key, origin.id_of_channel, is_owned(derived));
        appendStringInfoString(&other, "WHERE ");
        append_filter(&other, origin.stored_key, origin.stored_channel, is_owned(derived));
    }
    if (way == Way::join) {
        append_pairs(&pairs, derived, derived_rows(instance, derived, condition.data), way,
                     stored_rows(instance, derived, other.data));
        return psprintf("(%s) x", pairs.data);
    }

    append_pairs(&pairs, derived, derived_rows(instance, derived, condition.data), way,
                 stored_rows(instance, derived, ""));
    if (!is_owned(derived)) {
        const char *match =
            psprintf("WHERE t.%s = v.%s AND t.%s = v.%s", origin.source_key[0],
                     origin.stored_key[0], origin.source_key[1], origin.stored_key[1]);
        appendStringInfoString(&pairs, " UNION ALL ");
        append_surplus(&pairs, derived, stored_rows(instance, derived, other.data),
                       derived_rows(instance, derived, match));
    }
    return psprintf("(%s) x", pairs.data);
}

void append_keys(StringInfo out, const Derived &derived)
{
    for (int i = 0; i < derived.keys; i++)
        appendStringInfo(out, "%sx.k_%s", i > 0 ? ", " : "", derived.columns[i]);
}

struct Arguments {
    static constexpr int count = 6;
    Datum values[count];
    char nulls[count];

    explicit Arguments(const Extent &extent)
        : values{Int64GetDatum(extent.user),
                 Int64GetDatum(extent.channel),
                 Int64GetDatum(static_cast<int64>(pg_prng_uint64(&pg_global_prng_state))),
                 Int64GetDatum(static_cast<int64>(extent.sample * sample_scale)),
                 Int64GetDatum(extent.from),
                 Int64GetDatum(extent.to)},
          nulls{extent.has_user ? ' ' : 'n', extent.has_channel ? ' ' : 'n', ' ', ' ', ' ', ' '}
    {
    }

    pg::Parameters parameters() const
    {
        static const Oid types[] = {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID};
        return {count, types, values, nulls};
    }
};

pg::Access access_for(const Extent &extent, Way way)
{
    if (way != Way::join)
        return pg::Access::keys;
    return extent.has_user || extent.has_channel ? pg::Access::any : pg::Access::all;
}

} // namespace

Compared compare_into(ReturnSetInfo *set, Instance &instance, const Derived &table,
                      const Extent &extent)
{
    const Derived &derived = as_in(instance, table);
    const char *const *columns = derived.columns;
    Way way = way_for(instance, derived, extent);
    StringInfoData head, sql;
    initStringInfo(&head);
    initStringInfo(&sql);
    appendStringInfoString(&head, "SELECT x.problem IS NOT NULL, ");
    append_keys(&head, derived);
    appendStringInfo(&head,
                     ", y.ordinal, '%s'::text, y.key, x.problem, y.column_name, y.expected, "
                     "y.actual",
                     derived.table);
    /*
     * One line for a row that is missing, unexpected or right, else one for each stale column.
     * OFFSET 0 keeps the problem from being computed, and the columns from being printed, again and
     * again.
     */
    appendStringInfoString(
        &sql, "CROSS JOIN LATERAL (SELECT 0::bigint AS ordinal, NULL::jsonb AS key, "
              "NULL::text AS column_name, NULL::text AS expected, NULL::text AS actual "
              "WHERE x.problem IS NULL "
              "UNION ALL (SELECT z.ordinal, jsonb_build_object(");
    for (int i = 0; i < derived.keys; i++)
        appendStringInfo(&sql, "%s'%s', x.k_%s", i > 0 ? ", " : "", columns[i], columns[i]);
    appendStringInfoString(
        &sql, "), z.column_name, z.expected, z.actual FROM (VALUES (0::bigint, NULL::text, "
              "CASE WHEN x.problem = 'missing' THEN to_jsonb(x.d)::text END, "
              "CASE WHEN x.problem = 'unexpected' THEN to_jsonb(x.v)::text END)");
    for (int i = derived.keys; columns[i]; i++)
        appendStringInfo(&sql, ", (%d, '%s', x.d_%s::text, x.v_%s::text)", i, columns[i],
                         columns[i], columns[i]);
    appendStringInfoString(&sql, ") z (ordinal, column_name, expected, actual) "
                                 "WHERE x.problem IS NOT NULL AND CASE WHEN x.problem = 'stale' "
                                 "THEN z.ordinal > 0 AND z.expected COLLATE \"C\" IS DISTINCT FROM "
                                 "z.actual ELSE z.ordinal = 0 END OFFSET 0)) y");

    const char *rows = compared_rows(instance, derived, extent, way);
    Arguments arguments(extent);
    pg::Seen seen = pg::execute_selected(
        set, psprintf("%s FROM (SELECT * FROM %s OFFSET 0) x %s", head.data, rows, sql.data),
        derived.keys, arguments.parameters(), access_for(extent, way));
    return {seen.rows, seen.selected};
}

Compared count_differences(Instance &instance, const Derived &table, const Extent &extent)
{
    const Derived &derived = as_in(instance, table);
    Way way = way_for(instance, derived, extent);
    const char *rows = compared_rows(instance, derived, extent, way);
    Arguments arguments(extent);
    pg::Result counts =
        pg::execute_once(psprintf("SELECT count(*), count(x.problem) FROM %s", rows),
                         arguments.parameters(), pg::Sight::caller, false, access_for(extent, way));
    return {counts.int8(0, 0), counts.int8(0, 1)};
}

pg::Vector<WrongKey> &select_differences(Instance &instance, const Derived &table,
                                         const Extent &extent)
{
    const Derived &derived = as_in(instance, table);
    Way way = way_for(instance, derived, extent);
    StringInfoData keys;
    initStringInfo(&keys);
    append_keys(&keys, derived);
    Arguments arguments(extent);
    pg::Vector<WrongKey> &wrong = pg::make<pg::Vector<WrongKey>>();
    const char *rows = compared_rows(instance, derived, extent, way);
    pg::Result found =
        pg::execute_once(psprintf("SELECT %s FROM %s WHERE x.problem IS NOT NULL", keys.data, rows),
                         arguments.parameters(), pg::Sight::fresh, false, access_for(extent, way));
    for (uint64 i = 0; i < found.count; i++) {
        WrongKey key = {};
        for (int k = 0; k < derived.keys; k++)
            key[k] = found.int8(i, k);
        wrong.push_back(key);
    }
    found.free();
    return wrong;
}

} // namespace hermet
