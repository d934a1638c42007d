/*
 * The row of a table that has one row at most, read directly: settings that are looked at all the
 * time, by roles that need no right to the table.
 */
#pragma once

#include "pg/trigger.h"

namespace hermet::pg {

/*
 * Reads columns[0..n-1], of types passed by value, under the active snapshot. False, and nothing
 * read: there is no such table or column, or no row.
 */
bool read_single_row(Oid relation, const Column *columns, int n, Datum *values);

} // namespace hermet::pg
