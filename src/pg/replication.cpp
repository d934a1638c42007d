#include "pg/replication.h"

extern "C" {
#include "catalog/pg_publication.h"
#include "replication/origin.h"
}

namespace hermet::pg {

int64 nanoseconds_since_origin()
{
    if (replorigin_session_origin == InvalidRepOriginId || replorigin_session_origin_timestamp == 0)
        return 0;
    int64 microseconds = GetCurrentTimestamp() - replorigin_session_origin_timestamp;
    return Max(microseconds, 0) * 1000;
}

bool is_published_as_one(Oid table)
{
    bool found = false;
    ListCell *cell;
    foreach (cell, GetRelationPublications(table))
        found |= GetPublication(lfirst_oid(cell))->pubviaroot;
    return found;
}

} // namespace hermet::pg
