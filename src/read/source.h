/*
 * The tables of an instance, row by row, found by their primary keys: each is opened when it is
 * first asked for, and all are read under one snapshot, taken after the locks.
 */
#pragma once

#include "read/rows.h"

#include <initializer_list>

namespace hermet {

class Source {
  public:
    /* Whether these tables can be read directly; if not, statements must do it. */
    static bool can_read(Instance &instance, std::initializer_list<Table> tables);

    /* Takes the snapshot; end() lets go of it. In the current MemoryContext. */
    void begin(Instance &instance);
    void end();

    const Instance &instance() const { return *instance_; }

    /* The row with this key, as rows.h numbers its columns; NULL if there is none. */
    pg::Walk *find(Table table, std::initializer_list<int64> key);
    /* A cursor over the rows whose key begins so, to be moved by next(); for one table always by
     * the same columns. */
    pg::Walk &scan(Table table, std::initializer_list<int64> prefix);
    bool next(pg::Walk &walk, ScanDirection direction = ForwardScanDirection);

    /*
     * A row of the write side had a NULL where the contract allows none: somebody dropped a NOT
     * NULL. What follows from it is for the definition to say.
     */
    bool unclear() const { return unclear_; }

  private:
    struct Cursor {
        pg::Walk walk;
        Relation relation = nullptr; /* NULL: not begun */
    };

    pg::Walk &seek(Cursor &cursor, Table table, std::initializer_list<int64> keys);

    Instance *instance_ = nullptr;
    MemoryContext memory_ = nullptr;
    bool unclear_ = false;
    Cursor by_key_[table_count];
    Cursor by_prefix_[table_count];
};

/* Copies that outlive the walk's row; a NULL is an empty text. */
Datum text_of(const pg::Walk &walk, int column);

} // namespace hermet
