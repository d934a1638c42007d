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

/* The cursors of one list: what its order goes by. */
struct CursorKind {
    static constexpr int max_fields = 4;

    const char *list;
    int count;
    CursorField fields[max_fields];
};

extern const CursorKind conversation_cursors, contact_cursors;

/* The values of a cursor's fields; 22023 if it is none of this kind. */
void read_cursor(const CursorKind &kind, Datum cursor, Datum *values);

} // namespace hermet
