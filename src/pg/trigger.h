/*
 * What a statement changed: the transition tables of an AFTER STATEMENT trigger, row by row.
 */
#pragma once

#include "pg/memory.h"

namespace hermet::pg {

/* A column that a trigger reads: its name, and the type that it must have. */
struct Column {
    const char *name;
    Oid type; /* InvalidOid: any; ANYENUMOID: any enum */
};

/*
 * The attribute numbers of columns[0..n-1] in a relation; 42703 or 42804 where the table is not as
 * the contract has it.
 */
void find_columns(Relation relation, const Column *columns, int n, AttrNumber *numbers);

/* A cursor over a transition table; an absent table is an empty one. */
class Rows {
  public:
    void open(Tuplestorestate *store, Relation relation);
    /* The one row of a trigger that is fired for each; it is there at once, without next(). */
    void show(TupleTableSlot *row) { slot_ = row; }
    bool next();
    void rewind();
    void close();
    int64 count() const;

    /* 23502 for a NULL: no column that hermet reads allows one. */
    Datum value(AttrNumber number) const;
    int64 int8(AttrNumber number) const { return DatumGetInt64(value(number)); }
    TupleTableSlot *slot() const { return slot_; }

  private:
    Tuplestorestate *store_ = nullptr;
    TupleTableSlot *slot_ = nullptr;
};

/* Whether two values of a column are the same byte for byte: equal by collation is not enough. */
bool same_image(const Rows &a, const Rows &b, AttrNumber number);

/*
 * 39P01 unless the trigger is AFTER ... FOR EACH STATEMENT, AFTER ... FOR EACH ROW, AFTER TRUNCATE,
 * or BEFORE UPDATE (or, where allowed, INSERT) ... FOR EACH ROW: anybody may create one that is
 * not.
 */
void require_after_statement(const TriggerData *trigger);
void require_after_row(const TriggerData *trigger);
void require_after_truncate(const TriggerData *trigger);
void require_before_row(const TriggerData *trigger, bool insert_too);

/* Runs what is queued until the end of the transaction: for what is done after the server has. */
void fire_deferred_triggers();

} // namespace hermet::pg
