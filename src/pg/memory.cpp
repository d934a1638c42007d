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
MemoryContext short_scans = nullptr;

void reset_scans(XactEvent event, void *)
{
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
        return;
    MemoryContextReset(scans);
    MemoryContextReset(short_scans);
}

/* Not an AllocSet: that gives a block of its own to everything over 8 KB. */
MemoryContext make_context(const char *name)
{
    return GenerationContextCreate(TopMemoryContext, name, scan_block, scan_block, scan_block);
}

void make_contexts()
{
    if (short_scans)
        return;
    if (!scans)
        scans = make_context("hermet scans");
    short_scans = make_context("hermet short scans");
    RegisterXactCallback(reset_scans, nullptr);
}

} // namespace

MemoryContext scan_memory()
{
    make_contexts();
    return scans;
}

MemoryContext short_scan_memory()
{
    make_contexts();
    return short_scans;
}

} // namespace hermet::pg
