#include "pg/subtransaction.h"

#include "pg/sql.h"

extern "C" {
#include "utils/resowner.h"
}

namespace hermet::pg {

namespace {

enum class Outcome { stays, goes, out_of_memory };

/* No exception may cross the server's own handler, which would stay in place. */
Outcome call(bool (*body)(void *), void *argument)
{
    try {
        return body(argument) ? Outcome::stays : Outcome::goes;
    }
    catch (const std::bad_alloc &) {
        return Outcome::out_of_memory;
    }
}

} // namespace

bool attempt(bool (*body)(void *), void *argument)
{
    MemoryContext memory = CurrentMemoryContext;
    ResourceOwner resources = CurrentResourceOwner;
    volatile Outcome outcome = Outcome::goes;

    Session::current->connect(); /* SPI must not be connected inside and left outside */
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(memory);
    PG_TRY();
    {
        outcome = call(body, argument);
        if (outcome == Outcome::stays)
            ReleaseCurrentSubTransaction();
        else
            RollbackAndReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        /* Whoever catches the error higher up expects its own subtransaction, not this one. */
        MemoryContextSwitchTo(memory);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(memory);
        CurrentResourceOwner = resources;
        ReThrowError(error);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(memory);
    CurrentResourceOwner = resources;
    if (outcome == Outcome::out_of_memory)
        throw std::bad_alloc();
    return outcome == Outcome::stays;
}

namespace {

bool run(void (*body)(void *), void *argument)
{
    try {
        body(argument);
        return true;
    }
    catch (const std::bad_alloc &) {
        return false;
    }
}

} // namespace

char *survive(void (*body)(void *), void *argument)
{
    MemoryContext memory = CurrentMemoryContext;
    ResourceOwner resources = CurrentResourceOwner;
    Session *session = Session::current;
    char *volatile message = nullptr;

    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(memory);
    PG_TRY();
    {
        if (!run(body, argument))
            ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(memory);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(memory);
        CurrentResourceOwner = resources;
        Session::current = session;
        if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
            ReThrowError(error);
        message = pstrdup(error->message ? error->message : "");
    }
    PG_END_TRY();
    MemoryContextSwitchTo(memory);
    CurrentResourceOwner = resources;
    return message;
}

} // namespace hermet::pg
