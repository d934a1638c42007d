/*
 * Rows of one table, found by their key, written or deleted without the executor: what a derived
 * table needs to become equal to what was derived.
 */
#pragma once

#include "pg/walk.h"

namespace hermet::pg {

enum class Effect { none, inserted, updated, deleted };

class Store {
  public:
    /*
     * The path must be insertable. Column `stamp` (-1: none) is written with `now` where another
     * column differs. Rows are read under the active snapshot.
     */
    void begin(Relation relation, const Path &path, int stamp, int64 now, Workspace &space);
    void end();

    /* The row with this key, NULL if there is none: what put() and erase() then speak of. */
    Walk *find(std::initializer_list<int64> key);
    /* Makes the row be like this: all columns of the path, in its numbering. */
    Effect put(const Datum *values, const bool *nulls);
    Effect erase();
    void let_go() { walk_.let_go(); }

  private:
    Workspace *space_;
    Relation relation_;
    const Path *path_;
    int stamp_;
    int64 now_;
    Walk walk_;
    bool found_;
    bool inserting_;
    Inserter inserter_;
    MemoryContext memory_;
};

} // namespace hermet::pg
