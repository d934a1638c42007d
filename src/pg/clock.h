/*
 * The wall clock as hermet tells it: Unix milliseconds.
 */
#pragma once

#include "pg/server.h"

extern "C" {
#include "datatype/timestamp.h"
}

namespace hermet::pg {

inline int64 now_ms()
{
    constexpr int64 offset = int64(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
    return (GetCurrentTimestamp() + offset) / 1000;
}

} // namespace hermet::pg
