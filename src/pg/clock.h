/*
 * The wall clock as hermet tells it: Unix milliseconds.
 */
#pragma once

#include "pg/server.h"

extern "C" {
#include "datatype/timestamp.h"
}

namespace hermet::pg {

/* In Unix milliseconds. */
inline int64 to_ms(TimestampTz at)
{
    constexpr int64 offset = int64(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
    return (at + offset) / 1000;
}

inline int64 now_ms()
{
    return to_ms(GetCurrentTimestamp());
}

} // namespace hermet::pg
