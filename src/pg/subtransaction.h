/*
 * A subtransaction inside a statement: for locks that may have to be given back, which the server
 * does for tuples in no other way.
 */
#pragma once

#include "pg/memory.h"

namespace hermet::pg {

/*
 * Runs body(), which returns whether what it did shall stay; if not, or after an error, its locks
 * are released. Memory stays the caller's. Needs a session.
 */
bool attempt(bool (*body)(void *), void *argument);

template <class Body> bool attempt(Body body)
{
    return attempt([](void *argument) { return (*static_cast<Body *>(argument))(); }, &body);
}

} // namespace hermet::pg
