/*
 * The log of changes, change_event, and up to where it is complete.
 *
 * Offsets are drawn from a sequence, so a transaction may commit a lower one than others have
 * committed before. Before its first offset a transaction therefore takes, shared, a key (of class
 * event) that says which offset was the last one drawn: its own are all higher. Nobody ever waits
 * for such a key. Who wants to know up to where everything has ended reads the last offset drawn
 * first and these keys after that: what was drawn until then belongs to a transaction whose key is
 * seen there, or to one that has ended. The lowest of them all is the horizon. It is good for
 * snapshots taken later.
 *
 * A key goes with the savepoint that it was taken in; then the next event takes another. PREPARE
 * TRANSACTION keeps it, over a crash, too.
 */
#pragma once

#include "instance/instance.h"

namespace hermet {

/* Looks again where change_event was not there before; 42P01 if it is not there at all. */
Instance &require_events(Instance &instance);

/*
 * Everything up to here has ended; of later transactions none, after a crash neither, comes below.
 * 55000 on a standby, which does not know the keys.
 */
int64 find_horizon(const Instance &instance);

/* The last event up to the horizon, 0 without one; nor does a replica in step lose it. */
int64 find_last_known(Instance &instance);

} // namespace hermet
