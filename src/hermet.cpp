/*
 * hermet: keeps an inbox and an address book exactly right inside PostgreSQL.
 * The module's entry: magic, settings and callbacks, nothing else.
 */
#include "pg/function.h"
#include "instance/instance.h"
#include "metrics/metrics.h"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void)
{
    hermet::register_invalidation();
    hermet::metrics::install();
}

HERMET_FUNCTION(version)
{
    return CStringGetTextDatum(HERMET_VERSION);
}
