#include "write/truncate.h"

#include "read/repair.h"

extern "C" {
#include "storage/lmgr.h"
}

namespace hermet {

void refresh_after_truncate(Firing &firing)
{
    if (RelationGetRelid(firing.trigger->tg_relation) != firing.root)
        LockRelationOid(firing.root, AccessExclusiveLock);
    repair_all(*firing.instance);
}

} // namespace hermet
