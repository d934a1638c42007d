#include "write/truncate.h"

#include "pg/replication.h"
#include "read/repair.h"

extern "C" {
#include "storage/lmgr.h"
}

namespace hermet {

void refresh_after_truncate(Firing &firing)
{
    if (RelationGetRelid(firing.trigger->tg_relation) != firing.root) {
        if (pg::is_published_as_one(firing.root))
            ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("cannot truncate a partition of table \"%s\": the table is published",
                           get_rel_name(firing.root)),
                    errdetail("Read nodes and other subscribers would not hear of it."),
                    errhint("Use DELETE, or TRUNCATE the table."));
        LockRelationOid(firing.root, AccessExclusiveLock);
    }
    repair_all(*firing.instance);
}

} // namespace hermet
