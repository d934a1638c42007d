/*
 * Rebuild: the whole read side derived anew, a batch at a time, beside everybody else's work. A
 * batch is compared without a lock; only the rows that differ are locked, derived again and
 * written. It trusts nothing that is stored: it looks for rows that are missing or stale by the
 * keys of the write side, for rows that should not be by the keys of the read side.
 */
#pragma once

#include "read/repair.h"

namespace hermet {

/* The key that is looked at next, by the first two columns of a table's key. */
struct Position {
    int64 first;
    int64 second;
};

struct Batch {
    Position next; /* of the batch after this one */
    bool finished; /* there is none */
    int64 rows;    /* looked at */
    Repaired repaired;
};

/*
 * One batch of a table: about `size` rows, from a position on, the first column of their key at
 * most `to`. Rows of one user's list are not torn apart unless they are very many, so that the list
 * is right at once. `all`: nearly everything will differ; it is derived under its locks straight
 * away.
 */
Batch rebuild_batch(Instance &instance, const Derived &derived, Position from, int64 to, int size,
                    bool all);

} // namespace hermet
