#include "pg/lock.h"

#include "pg/clock.h"

extern "C" {
#include "common/hashfn.h"
#include "storage/lmgr.h"
}

#include <cstring>

namespace hermet::pg {

namespace {

constexpr LOCKMODE intention_mode = RowExclusiveLock;

LOCKTAG tag_of(Oid schema, LockClass lock_class, int64 id)
{
    LOCKTAG tag;
    tag.locktag_field1 = MyDatabaseId;
    /* The id's upper half is rarely in use, so a schema's mark fits beside it. */
    tag.locktag_field2 = static_cast<uint32>(id >> 32) ^ murmurhash32(schema);
    tag.locktag_field3 = static_cast<uint32>(id);
    tag.locktag_field4 = static_cast<uint16>(lock_class);
    tag.locktag_type = LOCKTAG_USERLOCK;
    tag.locktag_lockmethodid = DEFAULT_LOCKMETHOD;
    return tag;
}

bool tag_less(const LOCKTAG &a, const LOCKTAG &b)
{
    if (a.locktag_field2 != b.locktag_field2)
        return a.locktag_field2 < b.locktag_field2;
    return a.locktag_field3 < b.locktag_field3;
}

bool tag_equal(const LOCKTAG &a, const LOCKTAG &b)
{
    return a.locktag_field2 == b.locktag_field2 && a.locktag_field3 == b.locktag_field3;
}

LOCKMODE mode_of(bool exclusive)
{
    return exclusive ? ExclusiveLock : ShareLock;
}

/* Looks at the clock only where it has to wait. */
void take(const LOCKTAG &tag, LOCKMODE mode)
{
    if (LockAcquire(&tag, mode, false, true) != LOCKACQUIRE_NOT_AVAIL)
        return;
    Stopwatch watch;
    watch.start();
    LockAcquire(&tag, mode, false, false);
    int first = static_cast<int>(LockClass::instance);
    wait_listener(static_cast<LockWait>(tag.locktag_field4 - first), watch.nanoseconds());
}

void ignore_wait(LockWait, int64) {}

} // namespace

WaitListener wait_listener = ignore_wait;

void lock_keys(Oid schema, LockClass lock_class, const Vector<int64> &ids, bool exclusive)
{
    LOCKMODE mode = mode_of(exclusive);
    if (ids.size() == 1) { /* by far the most frequent case */
        LOCKTAG tag = tag_of(schema, lock_class, ids[0]);
        take(tag, mode);
        return;
    }

    Vector<LOCKTAG> &tags = make<Vector<LOCKTAG>>();
    tags.reserve(ids.size());
    for (int64 id : ids)
        tags.push_back(tag_of(schema, lock_class, id));
    std::sort(tags.begin(), tags.end(), tag_less);
    tags.erase(std::unique(tags.begin(), tags.end(), tag_equal), tags.end());
    for (const LOCKTAG &tag : tags) {
        CHECK_FOR_INTERRUPTS();
        take(tag, mode);
    }
}

void lock_instance_intention(Oid schema)
{
    LOCKTAG tag = tag_of(schema, LockClass::instance, 0);
    take(tag, intention_mode);
}

void lock_instance(Oid schema)
{
    take(tag_of(schema, LockClass::instance, 0), ExclusiveLock);
}

bool try_lock_instance(Oid schema)
{
    LOCKTAG tag = tag_of(schema, LockClass::instance, 0);
    return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

bool holds_instance(Oid schema)
{
    LOCKTAG tag = tag_of(schema, LockClass::instance, 0);
    return LockHeldByMe(&tag, ExclusiveLock);
}

bool try_lock_table(Oid table)
{
    return ConditionalLockRelationOid(table, ExclusiveLock);
}

bool try_lock_for_writing(Oid table)
{
    return ConditionalLockRelationOid(table, RowExclusiveLock);
}

void share_key(Oid schema, LockClass lock_class, int64 id)
{
    LOCKTAG tag = tag_of(schema, lock_class, id);
    LockAcquire(&tag, ShareLock, false, false);
}

bool shares_key(Oid schema, LockClass lock_class, int64 id)
{
    LOCKTAG tag = tag_of(schema, lock_class, id);
    return LockHeldByMe(&tag, ShareLock);
}

/*
 * The whole table of locks, as pg_locks shows it. A key of another schema reads as an id over four
 * billions, or below zero.
 */
int64 lowest_key(Oid schema, LockClass lock_class, int64 otherwise)
{
    int64 lowest = otherwise;
    LockData *data = GetLockStatusData();
    for (int i = 0; i < data->nelements; i++) {
        const LOCKTAG &tag = data->locks[i].locktag;
        if (tag.locktag_type != LOCKTAG_USERLOCK ||
            tag.locktag_lockmethodid != DEFAULT_LOCKMETHOD || tag.locktag_field1 != MyDatabaseId ||
            tag.locktag_field4 != static_cast<uint16>(lock_class) || data->locks[i].holdMask == 0)
            continue;
        uint64 high = tag.locktag_field2 ^ murmurhash32(schema);
        int64 id = static_cast<int64>(high << 32 | tag.locktag_field3);
        if (id >= 0 && id < lowest)
            lowest = id;
    }
    pfree(data->locks);
    pfree(data);
    return lowest;
}

namespace {

/* The rebuild that this session holds. */
bool holds_rebuild = false;
LOCKTAG held_rebuild;

/* A lock of the session outlives an error; the rebuild does not. */
void release_after_error(XactEvent event, void *)
{
    if (event == XACT_EVENT_ABORT)
        release_rebuild();
}

} // namespace

bool hold_rebuild(Oid schema, int64 id)
{
    release_rebuild();
    held_rebuild = tag_of(schema, LockClass::rebuild, id);
    holds_rebuild = LockAcquire(&held_rebuild, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
    return holds_rebuild;
}

void release_rebuild()
{
    if (holds_rebuild)
        LockRelease(&held_rebuild, ExclusiveLock, true);
    holds_rebuild = false;
}

bool rebuild_runs(Oid schema, int64 id)
{
    LOCKTAG tag = tag_of(schema, LockClass::rebuild, id);
    return LockWaiterCount(&tag) > 0; /* counts the holder, too */
}

void register_rebuild_release()
{
    RegisterXactCallback(release_after_error, nullptr);
}

void share_bulk_load(Oid schema, int64 id)
{
    LOCKTAG tag = tag_of(schema, LockClass::bulk_load, id);
    LockAcquire(&tag, RowExclusiveLock, false, false);
}

bool try_close_bulk_load(Oid schema, int64 id)
{
    LOCKTAG tag = tag_of(schema, LockClass::bulk_load, id);
    return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

void SequenceLock::acquire()
{
    LOCKTAG tag = tag_of(InvalidOid, LockClass::sequence, 0);
    take(tag, ExclusiveLock);
}

void SequenceLock::release()
{
    LOCKTAG tag = tag_of(InvalidOid, LockClass::sequence, 0);
    LockRelease(&tag, ExclusiveLock, false);
}

} // namespace hermet::pg
