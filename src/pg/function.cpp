#include "pg/function.h"

#include "pg/sql.h"

#include <exception>

namespace hermet::pg {

namespace {

enum class Thrown { nothing, out_of_memory, other };

/* The catch ends before the error is raised: ereport inside it would leak the exception. */
template <class Body> Datum call(Body body)
{
    Thrown thrown = Thrown::nothing;
    try {
        return body();
    }
    catch (const std::bad_alloc &) {
        thrown = Thrown::out_of_memory;
    }
    catch (...) {
        thrown = Thrown::other;
    }
    if (thrown == Thrown::out_of_memory)
        ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
                errdetail("Failed while collecting what a statement changed."));
    ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("unexpected C++ exception in hermet"));
}

} // namespace

namespace {

/* An error leaves the sessions that it ends behind. */
template <class Body> Datum guard(Body body)
{
    Session *session = Session::current;
    Datum result = Datum(0);
    PG_TRY();
    {
        result = call(body);
    }
    PG_CATCH();
    {
        Session::current = session;
        PG_RE_THROW();
    }
    PG_END_TRY();
    return result;
}

} // namespace

Datum guarded(FunctionCallInfo fcinfo, FunctionBody body)
{
    return guard([=] { return body(fcinfo); });
}

Datum guarded_trigger(FunctionCallInfo fcinfo, const char *name, TriggerBody body)
{
    if (!CALLED_AS_TRIGGER(fcinfo))
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("function hermet.%s() can only be called as a trigger", name));
    TriggerData *trigger = reinterpret_cast<TriggerData *>(fcinfo->context);
    return guard([=] { return body(trigger); });
}

ReturnSetInfo *begin_set(FunctionCallInfo fcinfo)
{
    InitMaterializedSRF(fcinfo, 0);
    return reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
}

} // namespace hermet::pg
