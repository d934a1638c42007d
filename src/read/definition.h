/*
 * The rules of the read side, written once, as SQL. Refresh, check, repair and explain all run
 * these texts; the delta paths are tested against them.
 */
#pragma once

#include "pg/sql.h"

namespace hermet {

struct Instance;

/* A table that is derived: its columns, without updated_at; the first `keys` of them are its key.
 */
struct Derived {
    const char *table;
    const char *fragment; /* the name of its definition */
    int keys;
    const char *const *columns; /* ends with NULL */
};

constexpr int derived_count = 5;
extern const Derived derived_tables[derived_count];

/* NULL if there is no such table. */
const Derived *find_derived(const char *table);

/* The same with the columns that this instance has. */
const Derived &as_in(const Instance &instance, const Derived &derived);

/*
 * The parts of SQL that {names} stand for:
 *   conversation, contact, conversation_reverse, contact_reverse, owned: the definitions, reading
 *     {scope}, which names the rows to derive;
 *   all_members, members_of_keys, ...: scopes;
 *   "columns X", "d X", "set X", "differs X": column lists of a definition or column group X;
 *   last_message, counted, mentioned, ...: parts that definitions, delta paths and explain share.
 */
pg::Fragment fragments_of(const Instance &instance);

} // namespace hermet
