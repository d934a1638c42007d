#include "pg/replication.h"

extern "C" {
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

} // namespace hermet::pg
