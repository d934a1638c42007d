/*
 * What logical replication's apply worker knows of the transaction that it applies.
 */
#pragma once

#include "pg/server.h"

namespace hermet::pg {

/*
 * How long ago the transaction committed where it comes from, by that server's clock and this
 * one's; 0 where it comes from nowhere, or from the future. Known when it is about to commit here.
 */
int64 nanoseconds_since_origin();

} // namespace hermet::pg
