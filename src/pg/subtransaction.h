/*
 * A subtransaction inside a statement: for locks that may have to be given back, which the server
 * does for tuples in no other way; and for what may fail without its statement.
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

/*
 * Runs body(), outside of any session: its own begin and end within. After an error, what it did
 * is undone and the message returned (palloc'd), else NULL. A cancel goes on as an error.
 */
char *survive(void (*body)(void *), void *argument);

template <class Body> char *survive(Body body)
{
    return survive([](void *argument) { (*static_cast<Body *>(argument))(); }, &body);
}

} // namespace hermet::pg
