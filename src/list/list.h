/*
 * The lists that applications read: a page of the inbox, a page of the address book, the unread
 * totals. Each comes from the read side, with the caller's rights, or from the join of the write
 * side by the rules' definition, with the owner's: the same columns, the same order.
 */
#pragma once

#include "instance/instance.h"
#include "list/cursor.h"
#include "metrics/metrics.h"

namespace hermet {

/* What a call asks for. */
struct ListRequest {
    int64 user;
    int64 max_rows;
    bool include_hidden;
    bool paged; /* it goes on after a cursor */
    Datum after[CursorKind::max_fields];
};

enum class Reader { caller, owner };

struct Listing {
    metrics::Endpoint endpoint;
    const char *name;
    const CursorKind *cursors; /* NULL: there is one page */
    Table view;                /* what the caller must be allowed to read */
    const char *key;           /* the column that names a row of the list; NULL: there is one row */
    int updated_at; /* the number of that column, which no rule decides; 0: there is none */

    /* Appends the page; in a session of the reader's kind, of the owner's for join. */
    void (*read)(Instance &, const ListRequest &, const pg::RowStore &, Reader);
    void (*join)(Instance &, const ListRequest &, const pg::RowStore &);
};

extern const Listing conversation_listing, contact_listing, totals_listing;

} // namespace hermet
