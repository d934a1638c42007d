/*
 * Cursors: where a page of a list ended, as jsonb. A page boundary is a place in the order and not
 * a row, so that it holds whatever becomes of the row.
 */
#pragma once

#include "pg/server.h"

namespace hermet {

struct CursorField {
    const char *name;
    Oid type; /* BOOLOID, INT8OID or TEXTOID */
};

/* The fields of a cursor, as the list's query writes them; 22023 for anything else. */
void read_cursor(Datum cursor, const CursorField *fields, int n, const char *function,
                 Datum *values);

} // namespace hermet
