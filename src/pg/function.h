/*
 * The way in: every SQL-callable function is defined by one of these macros, and by nothing else.
 *
 * HERMET_FUNCTION(name) { ... uses fcinfo, returns Datum }      hermet_name, any function
 * HERMET_TRIGGER(name) { ... uses trigger, returns Datum }      hermet_name, a trigger function
 *
 * No C++ exception crosses into the server: std::bad_alloc becomes out_of_memory (53200), anything
 * else internal_error. A trigger function called as anything else gives 39P01, as the server's own
 * do.
 */
#pragma once

#include "pg/memory.h"

namespace hermet::pg {

using FunctionBody = Datum (*)(FunctionCallInfo);
using TriggerBody = Datum (*)(TriggerData *);

Datum guarded(FunctionCallInfo fcinfo, FunctionBody body);
Datum guarded_trigger(FunctionCallInfo fcinfo, const char *name, TriggerBody body);

/* Prepares a set-returning function that fills a tuplestore; the rows' descriptor is in the result.
 */
ReturnSetInfo *begin_set(FunctionCallInfo fcinfo);

} // namespace hermet::pg

#define HERMET_EXPORT(name)                                                                        \
    extern "C" {                                                                                   \
    PG_FUNCTION_INFO_V1(hermet_##name);                                                            \
    }

#define HERMET_FUNCTION(name)                                                                      \
    HERMET_EXPORT(name)                                                                            \
    static Datum name##_body(FunctionCallInfo fcinfo);                                             \
    extern "C" Datum hermet_##name(PG_FUNCTION_ARGS)                                               \
    {                                                                                              \
        return hermet::pg::guarded(fcinfo, name##_body);                                           \
    }                                                                                              \
    static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)

#define HERMET_TRIGGER(name)                                                                       \
    HERMET_EXPORT(name)                                                                            \
    static Datum name##_body(TriggerData *trigger);                                                \
    extern "C" Datum hermet_##name(PG_FUNCTION_ARGS)                                               \
    {                                                                                              \
        return hermet::pg::guarded_trigger(fcinfo, #name, name##_body);                            \
    }                                                                                              \
    static Datum name##_body([[maybe_unused]] TriggerData *trigger)
