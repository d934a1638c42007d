/*
 * Row security as it binds the current user.
 */
#pragma once

#include "pg/server.h"

namespace hermet::pg {

/* Whether a SELECT may be refused some of the table's rows; in doubt, it may. */
bool hides_rows(Oid table);

} // namespace hermet::pg
