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
    Oid root;           /* the table of the write side: what fires may be a partition of it */
    Oid schema;         /* its schema */
    Instance *instance; /* known in apply(), not before */
    bool truncate;
    pg::Rows old_rows;
    pg::Rows new_rows;
    bool paired;     /* an UPDATE whose old and new rows come in the same order */
    CommandId since; /* the command that the statement ran as */
    bool undone;     /* what was collected may have been rolled back, in part */
    metrics::Stopwatch watch;

    /* The next pair of an UPDATE, or the next row of either kind alone. */
    bool next();
    void rewind();
    bool has_old = false;
    bool has_new = false;
    bool is_pair() const { return has_old && has_new; }

  private:
    bool old_left_ = true;
};

/* What one table's trigger does. State is the table's own: what it collects. */
template <class State> struct Maintenance {
    Table table;
    Table target; /* what of the read side it mainly maintains */
    /* Finds the columns of the table: first of all, and of each partition. */
    void (*begin)(Relation relation, State &state);
    /* Collects what the firing's current pair or row changes. */
    void (*add)(const Firing &firing, State &state);
    /* When all is collected; false: nothing that the read side shows has changed. */
    bool (*finish)(State &state);
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

template <class State>
bool collect(Firing &firing, const Maintenance<State> &maintenance, State &state)
{
    maintenance.begin(firing.trigger->tg_relation, state);
    while (firing.next())
        maintenance.add(firing, state);
    return maintenance.finish(state);
}

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
    if (firing.truncate || collect(firing, maintenance, state)) {
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

/*
 * The same for a read node: the rows of one table that a replicated transaction has changed come
 * one by one, and are done with at its end.
 */
class Part {
  public:
    virtual void begin(Relation relation) = 0;
    virtual void add(const Firing &firing) = 0;
    virtual bool finish() = 0;
    virtual void apply(Firing &firing) = 0;
    virtual Table table() const = 0;
    virtual Table target() const = 0;
};

template <class State> class PartOf final : public Part {
  public:
    explicit PartOf(const Maintenance<State> &maintenance) : maintenance_(maintenance) {}
    void begin(Relation relation) override { maintenance_.begin(relation, state_); }
    void add(const Firing &firing) override { maintenance_.add(firing, state_); }
    bool finish() override { return maintenance_.finish(state_); }
    void apply(Firing &firing) override { maintenance_.apply(firing, state_); }
    Table table() const override { return maintenance_.table; }
    Table target() const override { return maintenance_.target; }

  private:
    const Maintenance<State> &maintenance_;
    State state_;
};

/* In the current MemoryContext. */
Part &make_biz_user_part();
Part &make_channel_part();
Part &make_channel_member_part();
Part &make_channel_read_record_part();
Part &make_friendship_part();
Part &make_message_part();
Part &make_conversation_setting_part();

} // namespace hermet
