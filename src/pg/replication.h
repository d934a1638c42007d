/*
 * What logical replication knows: of the transaction that is applied, and of what is published.
 */
#pragma once

#include "pg/server.h"

namespace hermet::pg {

/*
 * How long ago the transaction committed where it comes from, by that server's clock and this
 * one's; 0 where it comes from nowhere, or from the future. Known when it is about to commit here.
 */
int64 nanoseconds_since_origin();

/*
 * Whether somebody publishes a partitioned table, and what is truncated, as if it were one table:
 * then no subscriber hears of a TRUNCATE of one of its partitions.
 */
bool is_published_as_one(Oid table);

} // namespace hermet::pg
