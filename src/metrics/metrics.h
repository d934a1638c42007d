/*
 * What hermet counts of itself: see hermet.metrics(). Nothing here raises an error.
 */
#pragma once

#include "pg/server.h"

namespace hermet::metrics {

/* The functions whose duration applications feel. */
enum class Endpoint { conversation_list, contact_list, unread_totals };

/* A call took so many nanoseconds. */
void observe_query(Endpoint endpoint, int64 nanoseconds);

/* A list was computed both ways (set_rollout's shadow): did they give the same rows? */
void observe_shadow(Endpoint endpoint, bool same);

} // namespace hermet::metrics
