/*
 * A sequence as a clock of what happens: who has seen a value knows that what is drawn later is
 * higher.
 */
#pragma once

#include "pg/server.h"

namespace hermet::pg {

/* The sequence of an identity column; InvalidOid if it is none. */
Oid find_identity(Oid table, const char *column);

/* The next value, with the rights of whoever asks. */
int64 draw(Oid sequence);

/* The last value drawn, by anybody; 0 before the first. */
int64 last_drawn(Oid sequence);

/* The same, of which a crash takes nothing back: no value up to it is ever drawn again. */
int64 last_drawn_durably(Oid sequence);

} // namespace hermet::pg
