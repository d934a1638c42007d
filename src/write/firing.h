/*
 * What all statement triggers of the write side have in common: one firing, from the protocol's
 * checks through collecting what changed to the maintenance itself.
 */
#pragma once

#include "instance/bulk_load.h"
#include "metrics/metrics.h"
#include "pg/trigger.h"

namespace hermet {

struct Firing {
    TriggerData *trigger;
    Table table;
    Oid root;   /* the table of the write side: what fires may be a partition of it */
    Oid schema; /* its schema */
    Instance *instance; /* known in apply(), not in collect() */
    bool truncate;
    pg::Rows old_rows;
    pg::Rows new_rows;
    bool paired;     /* an UPDATE whose old and new rows come in the same order */
    CommandId since; /* the command that the statement ran as */
    metrics::Stopwatch watch;

    /* The next pair of an UPDATE, or the next row of either kind alone. */
    bool next();
    void rewind();
    bool has_old = false;
    bool has_new = false;

  private:
    bool old_left_ = true;
};

/* What one table's trigger does. State is the table's own: what it collects. */
template <class State> struct Maintenance {
    Table table;
    Table target; /* what of the read side it mainly maintains */
    /* Reads the transition tables; false: nothing that the read side shows has changed. */
    bool (*collect)(Firing &firing, State &state);
    /* Brings the read side up to date: inside a session, relations and intention locked. */
    void (*apply)(Firing &firing, State &state);
    /* The same after TRUNCATE, with nothing collected. */
    void (*truncate)(Firing &firing);
};

/* TRUNCATE of a partitioned table fires for it, and then for each partition. */
struct Truncated {
    Oid root;
    LocalTransactionId transaction;
    CommandId command;
};

/*
 * Opens the transition tables; false for a statement that changed nothing, or that `truncated` says
 * to be done with.
 */
bool begin_firing(TriggerData *trigger, const char *table, Truncated &truncated, Firing &firing);
void begin_maintenance(Firing &firing, pg::Session &session);

template <class State> Datum maintain(TriggerData *trigger, const Maintenance<State> &maintenance)
{
    Firing &firing = pg::make<Firing>();
    firing.watch.start();
    firing.table = maintenance.table;
    static Truncated truncated;
    if (!begin_firing(trigger, table_name(maintenance.table), truncated, firing))
        return PointerGetDatum(nullptr);
    if (loads_in_bulk(firing.schema)) {
        firing.old_rows.close();
        firing.new_rows.close();
        return PointerGetDatum(nullptr);
    }

    State &state = pg::make<State>();
    if (firing.truncate || maintenance.collect(firing, state)) {
        pg::Session session = {};
        begin_maintenance(firing, session);
        if (firing.truncate)
            maintenance.truncate(firing);
        else
            maintenance.apply(firing, state);
        session.end();
        metrics::observe_sync(maintenance.table, maintenance.target, firing.watch);
    }
    firing.old_rows.close();
    firing.new_rows.close();
    return PointerGetDatum(nullptr);
}

/* Whether any of the columns differs between the old and the new row of a pair, byte for byte. */
template <size_t n>
bool changed(const Firing &firing, const AttrNumber *at, const int (&columns)[n])
{
    for (int column : columns)
        if (!pg::same_image(firing.old_rows, firing.new_rows, at[column]))
            return true;
    return false;
}

} // namespace hermet
