/*
 * Running SQL: the only place that talks to SPI.
 *
 * Everything runs inside a Session: as the tables' owner, with row security not forced on him, and
 * with a search_path of pg_catalog alone; or, for lists, as the caller. Texts qualify every table;
 * their values are $1, $2, ...
 */
#pragma once

#include "pg/clock.h"
#include "pg/memory.h"

#include <initializer_list>

namespace hermet::pg {

/* A statement's text, as it is written in the code; {names} in it are replaced, see expand(). */
struct Statement {
    const char *text;
    std::initializer_list<Oid> types; /* of $1, $2, ... */
    const char *scope = nullptr;      /* what {scope} stands for */
    bool own_write = false;           /* writes what only hermet may write */
};

/* What a {name} in a statement's text stands for; NULL if there is no such name. */
using Fragment = const char *(*)(const char *name, size_t length);

/*
 * The text with every {name} replaced: {s} by the quoted schema, {scope} by the statement's scope,
 * anything else by its fragment, which may hold names in turn. palloc'd.
 */
char *expand(const char *text, const char *schema, const char *scope, Fragment fragment);

/* A prepared statement. */
struct Plan {
    const Statement *statement;
    SPIPlanPtr plan;
    char *sql;
};

/* Prepared statements of one instance, made when first needed and kept for the session. */
class Plans {
  public:
    const Plan &get(const Statement &statement, const char *schema, Fragment fragment);
    void clear();

  private:
    Plan *entries_ = nullptr;
    int count_ = 0;
    int capacity_ = 0;
};

/* The rows that a statement gave; valid until the session ends. Columns count from 0. */
struct Result {
    SPITupleTable *table;
    uint64 count; /* rows returned, or rows written where nothing is returned */

    Datum value(uint64 row, int column) const; /* 0 for NULL */
    int64 int8(uint64 row, int column) const { return DatumGetInt64(value(row, column)); }
    bool boolean(uint64 row, int column) const { return DatumGetBool(value(row, column)); }
    void free() const; /* before the session ends */
};

/* Whose eyes a statement sees with. */
enum class Sight {
    /*
     * Everything committed by now, and this transaction's own work: what holds after the locks
     * were granted. At REPEATABLE READ and above a row that changed since the transaction's own
     * snapshot cannot be written: that gives 40001, as for the foreign-key triggers.
     */
    fresh,
    /* The snapshot of the calling statement. Nothing may be written. */
    caller,
};

Result execute(const Plan &plan, const Datum *values, Sight sight);

/* The values of a text that runs once; nulls[i] is 'n' where $i+1 is NULL. */
struct Parameters {
    int count;
    const Oid *types;
    const Datum *values;
    const char *nulls;
};

/* How the tables of a text that runs once are read. */
enum class Access {
    any,  /* as the planner likes */
    keys, /* by index, whatever it expects: the text names a few rows of large tables */
    all,  /* as wholes, which are hashed, whatever it expects; only what is LATERAL is looked up */
};

/* Runs a text once, planned for its values; own_write as in Statement. */
Result execute_once(const char *sql, const Parameters &parameters, Sight sight,
                    bool own_write = false, Access access = Access::any);

/* The same with the caller's snapshot, its rows appended to a set. */
void execute_into(ReturnSetInfo *set, const char *sql, const Parameters &parameters);

/* What execute_selected() saw. */
struct Seen {
    int64 rows;     /* all that the text gave, the lines of one row counting once */
    int64 selected; /* those that were appended */
};

/*
 * The same, but only rows that are selected are appended, in order; the others are counted. The
 * text's first column is whether a row is selected; then come `keys` bigint columns, which are the
 * row's key, a bigint that numbers the lines of one row, and the set's columns. Memory does not
 * grow with the rows.
 */
Seen execute_selected(ReturnSetInfo *set, const char *sql, int keys, const Parameters &parameters,
                      Access access);

/* Where rows are kept, in the memory of `memory` or on disk. */
struct RowStore {
    Tuplestorestate *rows;
    TupleDesc columns;
    MemoryContext memory;
};

/* A prepared statement with the caller's snapshot, its rows appended to a store. */
void execute_into(const RowStore &store, const Plan &plan, const Datum *values);

/* Pushes the snapshot of Sight::fresh and says what to cross-check with (or InvalidSnapshot). */
Snapshot push_fresh_snapshot();

/*
 * For a trigger function: whether a statement with own_write fired it. What a user's own trigger
 * writes meanwhile is another statement.
 */
bool own_write_runs();

/*
 * As whom, and with what names, maintenance runs. The user changes at once; SPI and the settings
 * that statements need come with the first statement, as most maintenance runs none. Not an object
 * with a destructor: after an error the transaction's abort puts everything back, and the entry
 * point makes the session around this one current again.
 */
struct Session {
    Oid user;
    int security;
    bool connected;
    bool as_caller;
    int settings;
    MemoryContext memory;
    Session *outer;
    int cause; /* who has the work done, in the caller's numbering; 0: nobody in particular */

    void begin(Oid owner, int why = 0);
    /*
     * For queries with the caller's rights: row security's functions may be the caller's own, so
     * that his search_path stays, and the texts qualify everything, operators too.
     */
    void begin_as_caller();
    void connect();
    void end();

    static Session *current;

  private:
    void start(bool caller, int why);
};

/* setval() with the rights of the sequence's owner. */
void set_sequence(Oid sequence, int64 value);

/* bigint[] of items, or of items[from..to-1]. */
Datum int8_array(const Vector<int64> &items);
Datum int8_array(const Vector<int64> &items, size_t from, size_t to);

} // namespace hermet::pg
