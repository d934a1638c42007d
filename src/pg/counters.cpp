#include "pg/counters.h"

extern "C" {
#include "catalog/objectaccess.h"
#include "catalog/pg_database_d.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/guc.h"
}

namespace hermet::pg {

namespace {

constexpr const char *shared_name = "hermet";

/* One database's counters; that of database 0 is free. */
struct Slot {
    pg_atomic_uint64 counters[max_counters];
    pg_atomic_uint64 since;
    pg_atomic_uint32 database;
};

int databases = 64; /* hermet.metrics_databases */
Slot *shared_slots = nullptr;
Slot own_slot; /* counts where nothing is shared */
Slot *slot = nullptr;

shmem_request_hook_type next_request = nullptr;
shmem_startup_hook_type next_startup = nullptr;
object_access_hook_type next_access = nullptr;

void clear(Slot &cleared)
{
    for (pg_atomic_uint64 &counter : cleared.counters)
        pg_atomic_write_u64(&counter, 0);
    pg_atomic_write_u64(&cleared.since, static_cast<uint64>(GetCurrentTimestamp()));
}

void initialise(Slot &made)
{
    for (pg_atomic_uint64 &counter : made.counters)
        pg_atomic_init_u64(&counter, 0);
    pg_atomic_init_u64(&made.since, static_cast<uint64>(GetCurrentTimestamp()));
    pg_atomic_init_u32(&made.database, InvalidOid);
}

Size shared_size()
{
    return mul_size(sizeof(Slot), databases);
}

void request_memory()
{
    if (next_request)
        next_request();
    RequestAddinShmemSpace(shared_size());
    RequestNamedLWLockTranche(shared_name, 1);
}

/* After a crash the postmaster comes here again, with memory that is new. */
void set_up_memory()
{
    if (next_startup)
        next_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    bool found;
    shared_slots = static_cast<Slot *>(ShmemInitStruct(shared_name, shared_size(), &found));
    if (!found)
        for (int i = 0; i < databases; i++)
            initialise(shared_slots[i]);
    LWLockRelease(AddinShmemInitLock);
}

LWLock *slots_lock()
{
    return &GetNamedLWLockTranche(shared_name)->lock;
}

/* The slot of a database, NULL if it has none. */
Slot *find_slot(Oid database)
{
    for (int i = 0; i < databases; i++)
        if (pg_atomic_read_u32(&shared_slots[i].database) == database)
            return &shared_slots[i];
    return nullptr;
}

/* A database that is dropped gives its slot back: nobody is connected to it any more. */
void forget_dropped(ObjectAccessType access, Oid object_class, Oid object, int part, void *argument)
{
    if (next_access)
        next_access(access, object_class, object, part, argument);
    if (access != OAT_DROP || object_class != DatabaseRelationId || !shared_slots)
        return;
    LWLockAcquire(slots_lock(), LW_EXCLUSIVE);
    Slot *dropped = find_slot(object);
    if (dropped)
        pg_atomic_write_u32(&dropped->database, InvalidOid);
    LWLockRelease(slots_lock());
}

Slot *take_slot()
{
    LWLockAcquire(slots_lock(), LW_EXCLUSIVE);
    Slot *taken = find_slot(MyDatabaseId);
    if (!taken) {
        taken = find_slot(InvalidOid);
        if (taken) {
            clear(*taken);
            pg_atomic_write_u32(&taken->database, MyDatabaseId);
        }
    }
    LWLockRelease(slots_lock());
    return taken;
}

Slot &current_slot()
{
    if (likely(slot))
        return *slot;
    if (shared_slots && OidIsValid(MyDatabaseId)) {
        slot = take_slot();
        if (!slot)
            ereport(LOG, errmsg("hermet counts in this session only: no shared counters are left"),
                    errhint("Raise hermet.metrics_databases, at present %d.", databases));
    }
    if (!slot)
        slot = &own_slot;
    return *slot;
}

} // namespace

void install_counters()
{
    initialise(own_slot);
    if (!process_shared_preload_libraries_in_progress)
        return;
    DefineCustomIntVariable("hermet.metrics_databases",
                            "For how many databases there are shared counters.", nullptr,
                            &databases, 64, 1, 10000, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
    next_request = shmem_request_hook;
    shmem_request_hook = request_memory;
    next_startup = shmem_startup_hook;
    shmem_startup_hook = set_up_memory;
    next_access = object_access_hook;
    object_access_hook = forget_dropped;
}

pg_atomic_uint64 *counters()
{
    return current_slot().counters;
}

bool counters_are_shared()
{
    return &current_slot() != &own_slot;
}

TimestampTz counting_since()
{
    return static_cast<TimestampTz>(pg_atomic_read_u64(&current_slot().since));
}

void reset_counters()
{
    clear(current_slot());
}

} // namespace hermet::pg
