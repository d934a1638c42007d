#include "pg/memory.h"

namespace hermet::pg {

void *allocate(MemoryContext context, size_t size)
{
    void *p = AllocHugeSizeIsValid(size)
                  ? MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM)
                  : nullptr;
    if (!p)
        throw std::bad_alloc();
    return p;
}

} // namespace hermet::pg
