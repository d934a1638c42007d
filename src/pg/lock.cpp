#include "pg/lock.h"

extern "C" {
#include "common/hashfn.h"
#include "storage/lock.h"
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

void lock_keys(Oid schema, LockClass lock_class, const Vector<int64> &ids, bool exclusive,
               Vector<LOCKTAG> *taken)
{
    LOCKMODE mode = mode_of(exclusive);
    if (ids.size() == 1) { /* by far the most frequent case */
        LOCKTAG tag = tag_of(schema, lock_class, ids[0]);
        if (LockAcquire(&tag, mode, false, false) == LOCKACQUIRE_OK && taken)
            taken->push_back(tag);
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
        if (LockAcquire(&tag, mode, false, false) == LOCKACQUIRE_OK && taken)
            taken->push_back(tag);
    }
}

void unlock_keys(const Vector<LOCKTAG> &taken, bool exclusive)
{
    for (const LOCKTAG &tag : taken)
        LockRelease(&tag, mode_of(exclusive), false);
}

void lock_instance_intention(Oid schema)
{
    LOCKTAG tag = tag_of(schema, LockClass::instance, 0);
    LockAcquire(&tag, intention_mode, false, false);
}

bool try_lock_instance(Oid schema, Vector<LOCKTAG> *taken)
{
    LOCKTAG tag = tag_of(schema, LockClass::instance, 0);
    LockAcquireResult result = LockAcquire(&tag, ExclusiveLock, false, true);
    if (result == LOCKACQUIRE_OK && taken)
        taken->push_back(tag);
    return result != LOCKACQUIRE_NOT_AVAIL;
}

bool holds_instance(Oid schema)
{
    LOCKTAG tag = tag_of(schema, LockClass::instance, 0);
    return LockHeldByMe(&tag, ExclusiveLock);
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
