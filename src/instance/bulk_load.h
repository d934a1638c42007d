/*
 * Bulk loads: a session whose writes are not maintained, until it says so or ends. What it leaves
 * behind is a row in hermet_bulk_load, written in the transaction that began the load:
 * hermet.health() speaks of it until a check of everything, that saw the load closed, found nothing
 * wrong.
 */
#pragma once

#include "instance/instance.h"

namespace hermet {

/*
 * Whether this session's writes to a schema's tables are not maintained. Then their transaction
 * shares the load's lock.
 */
bool loads_in_bulk(Oid schema);

/* 55000 if this session has a load open here. */
void begin_bulk_load(Instance &instance);

/*
 * Closes this session's load and those whose sessions are gone; returns how many. 55006 if a
 * prepared transaction of one is still open.
 */
int64 end_bulk_load(Instance &instance);

/* The loads that are closed and not yet seen to be right, as the caller's snapshot shows them. */
pg::Vector<int64> &closed_bulk_loads(Instance &instance);

/* A check of a whole table, which saw these loads closed, found nothing wrong. */
void note_bulk_loads_checked(Instance &instance, const pg::Vector<int64> &loads, const char *table);

/* Called once, when the library is loaded. */
void register_bulk_load();

} // namespace hermet
