/*
 * Incidents: stored rows that could not take a change and were recomputed. They mean that something
 * else wrote the read side; hermet.health() shows them, hermet.repair() clears them, and what
 * shadow noted (list/shadow.h), too.
 */
#pragma once

#include "instance/instance.h"

namespace hermet {

/* Notes rows of a table by the ids of one key column; `detail` says what was wrong with them. */
void note_incident(Instance &instance, Table table, const char *key, const pg::Vector<int64> &ids,
                   const char *detail);

void clear_incidents(Instance &instance);

} // namespace hermet
