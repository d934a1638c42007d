/*
 * Hash partitions of a table, found through the server's own description of them. The operator
 * class of a sharded instance (src/sql/42_shards.sql) hashes a bigint to itself plus a constant, so
 * that the row with key v lies in partition v mod n.
 */
#pragma once

#include "pg/memory.h"

namespace hermet::pg {

/*
 * The partitions by v mod n; n is a power of two. `partitions` is palloc'd, InvalidOid where one is
 * detached. 0 if the table is not partitioned, or not in this way, by this column.
 */
int find_partitions(Relation table, const char *column, Oid **partitions);

/*
 * Opens a table, or a partition of one that is locked: without the look into the catalogs that
 * try_table_open() takes first. NULL if it was dropped.
 */
Relation try_open(Oid table, LOCKMODE mode);

/* The table that a partition belongs to; any other table itself. */
Oid find_root(Relation relation);

} // namespace hermet::pg
