#include "pg/lock.h"

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

} // namespace

void lock_keys(Oid schema, LockClass lock_class, const Vector<int64> &ids, bool exclusive)
{
    LOCKMODE mode = mode_of(exclusive);
    if (ids.size() == 1) { /* by far the most frequent case */
        LOCKTAG tag = tag_of(schema, lock_class, ids[0]);
        LockAcquire(&tag, mode, false, false);
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
        LockAcquire(&tag, mode, false, false);
    }
}

void lock_instance_intention(Oid schema)
{
    LOCKTAG tag = tag_of(schema, LockClass::instance, 0);
    LockAcquire(&tag, intention_mode, false, false);
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
    LockAcquire(&tag, ExclusiveLock, false, false);
}

void SequenceLock::release()
{
    LOCKTAG tag = tag_of(InvalidOid, LockClass::sequence, 0);
    LockRelease(&tag, ExclusiveLock, false);
}

} // namespace hermet::pg
