/*
 * Reading, locking and updating rows by a unique index directly, without the executor between: for
 * the few rows that every message touches, where planning's leftovers would cost more than the
 * work.
 *
 * Whether a table allows it is looked up once (find_path) and kept until the catalogs change; where
 * it does not, the caller's SQL does the same.
 */
#pragma once

#include "pg/memory.h"
#include "pg/trigger.h"

extern "C" {
#include "nodes/execnodes.h"
}

#include <initializer_list>

namespace hermet::pg {

/* What a walk over a table needs: its columns, of which the first `keys` are a unique key. */
struct PathColumns {
    const Column *columns;
    int count;
    int keys;
    const char *holds; /* a CHECK constraint that every row satisfies that is inserted; or NULL */
};

/* How to reach a table's rows. All zero: not looked up yet. */
struct Path {
    static constexpr int max_columns = 32;

    bool known;
    bool writable;      /* UPDATE would do nothing but change the row and its indexes */
    bool insertable;    /* nor would INSERT and DELETE, and no other column needs a value */
    bool uniform;       /* no partition, or one whose rows are laid out as its table's are */
    bool insert_checks; /* a CHECK constraint concerns new rows */
    uint32 checked;     /* or these columns, one bit each */
    int columns;
    int keys;  /* so many of them */
    Oid index; /* InvalidOid: no direct way to the rows, not even for reading */
    AttrNumber at[max_columns];

    bool readable() const { return OidIsValid(index); }
};

/*
 * Whether what a partitioned table has of its own, statement triggers and rules, would do nothing
 * when rows of its partitions are written directly: updated, or also inserted and deleted.
 */
struct Permits {
    bool update;
    bool whole_rows;
};
Permits find_permits(Relation table);

/*
 * Looks up the path; 42703 or 42804 where a column is not as the contract has it. `partition`:
 * whether the table is expected to be one; as somebody else's it has no direct way.
 */
void find_path(Relation relation, const PathColumns &columns, bool partition, Path &path);

/*
 * What those have in common that go through tables whose rows are laid out alike, as long as one of
 * them at a time has a current row: room for it, and the executor's state. The columns' description
 * alone is some three kilobytes of a table, which the processor would fetch for each.
 */
class Workspace {
  public:
    /* In the current MemoryContext. */
    void begin();
    /* Before the tables are closed. */
    void end();

    /* For a row that is found, and for one that is to be written. */
    TupleTableSlot *row(Relation relation);
    TupleTableSlot *new_row(Relation relation);
    /* Constraints and indexes ask for it: a HOT update needs neither. */
    EState *executor();

  private:
    MemoryContext memory_;
    TupleTableSlot *row_;
    TupleTableSlot *new_row_;
    EState *executor_;
};

enum class Locked {
    yes,
    gone,
    /*
     * There is a later version, which is not locked: its key may be another, and to wait for that
     * row would break the order of locks. Seek the key again under a new snapshot.
     */
    changed,
};

/* An index's pointer to a row: the last bigint of its key, and where its versions begin. */
struct Entry {
    int64 key;
    ItemPointerData at;
};

/*
 * A cursor over the rows of a table that have a given prefix of the key. Uses the active snapshot:
 * see push_fresh_snapshot(). Columns are numbered as in the path's PathColumns.
 */
class Walk {
  public:
    /* `keys`: by how many of the key's columns the rows are sought. */
    void begin(Relation relation, const Path &path, int keys, Workspace &space);
    void seek(std::initializer_list<int64> keys);
    bool next(ScanDirection direction = ForwardScanDirection);
    void end();

    /*
     * Appends the entries of the rows whose key has these columns before its last one, without a
     * look at the rows: some may be of versions that the snapshot does not see.
     */
    void list(std::initializer_list<int64> keys, Vector<Entry> &entries);
    /* To the row of an entry; false if there is none for the snapshot. */
    bool visit(const Entry &entry);

    /*
     * Unpins the page of the current row, which is none then, and ends the scan: another leaf's
     * takes its memory.
     */
    void let_go();

    /* The current row, with what set() changed. */
    Datum operator[](int column) const { return values_[path_->at[column] - 1]; }
    int64 int8(int column) const { return DatumGetInt64((*this)[column]); }
    bool is_null(int column) const { return nulls_[path_->at[column] - 1]; }
    bool any_null() const;
    /* Who wrote it, and in which of his commands (known for one's own transaction only). */
    TransactionId written_by() const;
    CommandId written_in() const;

    /*
     * Locks the current row against all other writers. 40001 at REPEATABLE READ and above if it
     * changed since the snapshot.
     */
    Locked lock();

    /* Sets a column for write(); the value must last until then. */
    void set(int column, Datum value, bool null = false);
    /*
     * Writes the current row as it was set. False: another transaction had changed it meanwhile; it
     * is locked now, the row is the new version, and the caller computes and writes again. A row
     * that was deleted meanwhile counts as written. 40001 as lock(). Only if the path is writable.
     */
    bool write();
    /* Deletes the current row. False as for write(). Only if the path is insertable. */
    bool remove();

    /* How many rows write() has written. */
    int64 written() const { return written_; }

    /* Whether a column is the same byte for byte; by collation is not enough. */
    bool same(int column, Datum value, bool null) const;

  private:
    void begin_scan();
    void load();
    TM_Result take(uint8 flags);
    bool follow();
    bool settle(TM_Result result);
    void begin_writing();
    void begin_executor();

    Workspace *space_;
    const Path *path_;
    Relation relation_;
    Relation index_;
    int keys_;
    IndexScanDesc scan_;         /* begun by seek() */
    IndexFetchTableData *visit_; /* or the first visit() */
    TupleTableSlot *slot_;
    int last_column_;
    int64 written_;
    uint32 set_;    /* columns of the current row, one bit each */
    Datum *values_; /* of slot_, or of new_slot_ once something is set */
    bool *nulls_;

    TupleTableSlot *new_slot_; /* NULL until the first row is written */
    ResultRelInfo *result_;    /* made with the executor's state */
    MemoryContext memory_;     /* of the walk */
};

/* Inserts rows into the table of a path that is insertable. */
class Inserter {
  public:
    void begin(Relation relation, const Path &path, Workspace &space);
    /*
     * All columns of the path, in its numbering; only those may be NULL that the contract lets.
     * Columns of the user's own are NULL.
     */
    void insert(const Datum *values, const bool *nulls);
    void end();

  private:
    Workspace *space_;
    const Path *path_;
    Relation relation_;
    TupleTableSlot *slot_;
    ResultRelInfo *result_;
};

} // namespace hermet::pg
