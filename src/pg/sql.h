/*
 * Running SQL: the only place that talks to SPI.
 *
 * Everything runs inside a Session: as the tables' owner, with row security not forced on him, and
 * with a search_path of pg_catalog alone. Texts qualify every table; their values are $1, $2, ...
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

/* Runs a text once, planned for its values; own_write as in Statement. */
Result execute_once(const char *sql, const Parameters &parameters, Sight sight,
                    bool own_write = false);

/* The same with the caller's snapshot, its rows appended to a set. Returns how many. */
int64 execute_into(ReturnSetInfo *set, const char *sql, const Parameters &parameters);

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
    int settings;
    MemoryContext memory;
    Session *outer;
    int cause; /* who has the work done, in the caller's numbering; 0: nobody in particular */

    void begin(Oid owner, int why = 0);
    void connect();
    void end();

    static Session *current;
};

/* setval() with the rights of the sequence's owner. */
void set_sequence(Oid sequence, int64 value);

/* bigint[] of items, or of items[from..to-1]. */
Datum int8_array(const Vector<int64> &items);
Datum int8_array(const Vector<int64> &items, size_t from, size_t to);

} // namespace hermet::pg
