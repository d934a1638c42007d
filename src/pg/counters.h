/*
 * A row of counters for the current database: in shared memory where the library is preloaded, else
 * in this process. They only rise, but for reset_counters(). What they count is the caller's.
 */
#pragma once

#include "pg/server.h"

extern "C" {
#include "port/atomics.h"
}

namespace hermet::pg {

constexpr int max_counters = 1024;

/* From _PG_init(): asks for the shared memory while there is a time to ask. */
void install_counters();

/*
 * The counters of this database, max_counters of them. Shared memory has room for so many databases
 * (hermet.metrics_databases); a backend that finds none left counts for itself.
 */
pg_atomic_uint64 *counters();
bool counters_are_shared();

/* When they were last 0. */
TimestampTz counting_since();
void reset_counters();

} // namespace hermet::pg
