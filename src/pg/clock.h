/*
 * The wall clock as hermet tells it, Unix milliseconds; and a clock for how long something takes.
 */
#pragma once

#include "pg/server.h"

extern "C" {
#include "datatype/timestamp.h"
#include "portability/instr_time.h"
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

struct Stopwatch {
    instr_time started;
    int64 before; /* nanoseconds that had passed by then */

    void start()
    {
        INSTR_TIME_SET_CURRENT(started);
        before = 0;
    }
    int64 nanoseconds() const
    {
        instr_time now;
        INSTR_TIME_SET_CURRENT(now);
        INSTR_TIME_SUBTRACT(now, started);
        return before + static_cast<int64>(INSTR_TIME_GET_DOUBLE(now) * 1e9);
    }
};

} // namespace hermet::pg
