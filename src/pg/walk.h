/*
 * Updating the rows of index prefixes directly: an index scan and heap updates, without the
 * executor between. Rows come, and are locked, in index order; HOT updates stay HOT.
 *
 * Only for tables whose sole triggers are those that hermet skips for its own writes, without
 * generated columns or rules: see can_walk(). CHECK and NOT NULL are honoured.
 */
#pragma once

#include "pg/memory.h"

extern "C" {
#include "nodes/execnodes.h"
}

namespace hermet::pg {

/* Whether a table may be updated directly; `own_trigger` names the one trigger to be ignored. */
bool can_walk(Relation relation, const char *own_trigger);

/* A valid unique index on exactly these bigint columns, in this order, or InvalidOid. */
Oid find_unique_index(Relation relation, AttrNumber first, AttrNumber second);

class Walk {
  public:
    /*
     * `since` is a command of this transaction: see written_since(). Takes a snapshot of its own:
     * all locks must have been granted before, and until end() nobody else may write these rows in
     * this transaction.
     */
    void begin(Relation relation, Oid index, CommandId since);
    /* The rows whose first index column is `key`, one by one. */
    void seek(int64 key);
    bool next();
    void end();

    /* The current row's columns, by attribute number - 1. write() stores what was set here. */
    Datum *values() { return values_; }
    bool *nulls() { return nulls_; }

    /* Whether this transaction wrote the row in, or after, the command `since`. */
    bool written_since() const { return written_since_; }

    /*
     * Writes the current row. False: another transaction had changed it meanwhile; it is locked
     * now, values() has the new version, and the caller computes and writes again. A row that was
     * deleted meanwhile counts as written. 40001 at REPEATABLE READ and above.
     */
    bool write();

  private:
    void load(TupleTableSlot *slot);

    Relation relation_;
    Relation index_;
    EState *estate_;
    ResultRelInfo *result_;
    IndexScanDesc scan_;
    TupleTableSlot *slot_;
    TupleTableSlot *new_slot_;
    Snapshot crosscheck_;
    CommandId since_;
    MemoryContext row_memory_;
    Datum *values_;
    bool *nulls_;
    bool written_since_;
};

} // namespace hermet::pg
