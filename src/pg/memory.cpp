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

namespace {

/* Enough for the scans of a statement; the rest of what malloc() would do for more is done so. */
constexpr Size scan_block = 512 * 1024;

MemoryContext scans = nullptr;

void reset_scans(XactEvent event, void *)
{
    if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
        MemoryContextReset(scans);
}

} // namespace

MemoryContext scan_memory()
{
    if (!scans) {
        /* Not an AllocSet: that gives a block of its own to everything over 8 KB. */
        scans = GenerationContextCreate(TopMemoryContext, "hermet scans", scan_block, scan_block,
                                        scan_block);
        RegisterXactCallback(reset_scans, nullptr);
    }
    return scans;
}

} // namespace hermet::pg
