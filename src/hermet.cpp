/*
 * hermet: keeps an inbox and an address book exactly right inside PostgreSQL.
 * The module's entry: magic, settings and callbacks, nothing else.
 */
#include "pg/function.h"
#include "instance/bulk_load.h"
#include "instance/instance.h"
#include "metrics/metrics.h"
#include "pg/lock.h"
#include "write/follow.h"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void)
{
    hermet::register_invalidation();
    hermet::metrics::install();
    hermet::register_bulk_load();
    hermet::pg::register_rebuild_release();
    hermet::register_following();
}

HERMET_FUNCTION(version)
{
    return CStringGetTextDatum(HERMET_VERSION);
}
