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
    List *publications = GetRelationPublications(table);
    publications = list_concat(publications, GetSchemaPublications(get_rel_namespace(table)));
    publications = list_concat(publications, GetAllTablesPublications());
    bool found = false;
    ListCell *cell;
    foreach (cell, publications) {
        const Publication *publication = GetPublication(lfirst_oid(cell));
        found |= publication->pubviaroot && publication->pubactions.pubtruncate;
    }
    return found;
}

} // namespace hermet::pg
