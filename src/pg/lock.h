/*
 * Locks of hermet's own: heavyweight, transaction-level, seen in pg_locks as "userlock", part of
 * deadlock detection, kept by PREPARE TRANSACTION, released with a savepoint that is rolled back.
 * They never meet an application's advisory locks.
 *
 * Which key guards what, and in which order keys are taken, is in read/protocol.h.
 */
#pragma once

#include "pg/memory.h"

namespace hermet::pg {

/* In the order in which a statement takes them. `instance` is everything at once. */
enum class LockClass : uint16 {
    instance = 1,
    channel = 2,
    owner = 3,
    profile = 4,
    sequence = 5,
    event = 6,
    rebuild = 7,
    bulk_load = 8,
};

/* What a statement of hermet's can wait for: a key of these classes, or a row (Walk::lock). */
enum class LockWait { instance, channel, owner, profile, sequence, row };

/*
 * Locks keys of one class: all ids, once each, in an order that is the same for everyone. Two ids
 * may share a key (a tag has fewer bits than schema and id have); that costs a wait, never more.
 */
void lock_keys(Oid schema, LockClass lock_class, const Vector<int64> &ids, bool exclusive);

/*
 * The lock on all keys of an instance at once. Everyone holds it in intention mode, so that one
 * statement with very many keys can have it instead of them: it is asked for without waiting. On a
 * read node everyone takes it, and nothing else.
 */
void lock_instance_intention(Oid schema);
void lock_instance(Oid schema);
bool try_lock_instance(Oid schema);
bool holds_instance(Oid schema);

/* A table against everybody else's writes and row locks, without waiting. */
bool try_lock_table(Oid table);
/* What a writer of its rows holds, without waiting. */
bool try_lock_for_writing(Oid table);

/*
 * Is told of each wait: for what, and how long it took. A wait that ends in an error (a deadlock, a
 * timeout, a cancel) is not told.
 */
using WaitListener = void (*)(LockWait wait, int64 nanoseconds);
extern WaitListener wait_listener;

/*
 * A key that is held shared only, so that nobody waits for it: it says something to who looks for
 * it.
 */
void share_key(Oid schema, LockClass lock_class, int64 id);
bool shares_key(Oid schema, LockClass lock_class, int64 id);
/* The lowest id, not negative, of the keys of a class that anybody holds; `otherwise` if lower. */
int64 lowest_key(Oid schema, LockClass lock_class, int64 otherwise);

/*
 * A rebuild that this session runs, over many transactions: until release_rebuild(), an error that
 * reaches the top level, or the session's end. False: another session runs it.
 */
bool hold_rebuild(Oid schema, int64 id);
void release_rebuild();
/* Whether some session holds it. */
bool rebuild_runs(Oid schema, int64 id);

/* Called once, when the library is loaded. */
void register_rebuild_release();

/*
 * A bulk load: who writes for it shares its lock until the transaction ends, and who closes it has
 * the lock alone, if he gets it without waiting.
 */
void share_bulk_load(Oid schema, int64 id);
bool try_close_bulk_load(Oid schema, int64 id);

/* One session at a time, for the time between acquire() and release(). */
struct SequenceLock {
    void acquire();
    void release();
};

} // namespace hermet::pg
