#include "write/truncate.h"

#include "read/repair.h"

namespace hermet {

void refresh_after_truncate(Firing &firing)
{
    repair_all(*firing.instance);
}

} // namespace hermet
