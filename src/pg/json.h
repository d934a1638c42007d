/*
 * jsonb made of rows and keys.
 */
#pragma once

#include "pg/memory.h"

namespace hermet::pg {

/* An object of numbers. */
Datum json_of(const char *const *names, const int64 *values, int n);

/* to_jsonb() of rows of one relation, without one column where `without` is not NULL. */
class JsonRows {
  public:
    void begin(Relation relation, const char *without);
    Datum convert(TupleTableSlot *slot);

  private:
    FmgrInfo function_;
    Datum without_;
    bool complete_;
};

/* Whether to_jsonb() of a row may run somebody's code: a cast to json of a type not built in. */
bool has_own_types(Relation relation);

} // namespace hermet::pg
