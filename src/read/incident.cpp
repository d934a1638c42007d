#include "read/incident.h"

#include "metrics/metrics.h"

namespace hermet {

namespace {

const pg::Statement insert_incidents = {R"(
INSERT INTO {s}.hermet_incident (table_name, key, detail)
SELECT $1, jsonb_build_object($2, k.id), $3 FROM unnest($4::bigint[]) k (id))",
                                        {TEXTOID, TEXTOID, TEXTOID, INT8ARRAYOID}};

const pg::Statement delete_incidents = {"DELETE FROM {s}.hermet_incident", {}};
const pg::Statement delete_mismatches = {"DELETE FROM {s}.hermet_mismatch", {}};

} // namespace

void note_incident(Instance &instance, Table table, const char *key, const pg::Vector<int64> &ids,
                   const char *detail)
{
    run(instance, insert_incidents,
        {CStringGetTextDatum(table_name(table)), CStringGetTextDatum(key),
         CStringGetTextDatum(detail), pg::int8_array(ids)});
    metrics::count_incidents(table, static_cast<int64>(ids.size()));
}

void clear_incidents(Instance &instance)
{
    run(instance, delete_incidents, {});
    /* An instance that an older version made may have no such table yet. */
    if (OidIsValid(get_relname_relid("hermet_mismatch", instance.schema)))
        run(instance, delete_mismatches, {});
}

} // namespace hermet
