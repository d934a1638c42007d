/*
 * What hermet counts of itself: see hermet.metrics(). Nothing here raises an error. What a
 * statement has done is counted when it is done: a rollback takes nothing back.
 */
#pragma once

#include "instance/instance.h"
#include "pg/clock.h"

namespace hermet::metrics {

/* Called once, when the library is loaded: settings, shared memory, what pg/ reports. */
void install();

/* hermet.track: whether anything is counted. */
extern bool track;

/* Reads the clock only where it counts. */
struct Stopwatch {
    pg::Stopwatch watch;
    bool running;

    void start()
    {
        running = track;
        if (running)
            watch.start();
    }
};

/* A statement's maintenance has brought `target` up to date; the watch started with its trigger. */
void observe_sync(Table source, Table target, const Stopwatch &since);

/* One statement's messages went to so many conversation rows. */
void observe_fan_out(int64 rows);

/* What a session does for the triggers of a table; see pg::Session. */
inline int cause_of(Table source)
{
    return 1 + static_cast<int>(source);
}

/* Rows of the read side (or of channel) written, by the cause of the session. */
void count_written(Table target, int64 inserted, int64 updated, int64 deleted);

template <class Changes> void count_written(Table target, const Changes &rows)
{
    count_written(target, rows.inserted, rows.updated, rows.deleted);
}

/* How rows were brought up to date, whether they differed or not. */
enum class Way {
    delta, /* what a statement added was added to what was stored */
    columns /* some columns were derived anew */,
    row, /* the whole row was */
};
void count_rows(Table target, Way way, int64 rows);

/* Stored rows that could not take a change. */
void count_incidents(Table table, int64 rows);

/* A check has compared so many rows; a repair has written some. */
void count_check(const char *table, int64 right, int64 wrong);
void count_repaired(Table table, int64 inserted, int64 updated, int64 deleted);

/* The functions whose duration applications feel. */
enum class Endpoint { conversation_list, contact_list, unread_totals };

/* A call took so many nanoseconds. */
void observe_query(Endpoint endpoint, int64 nanoseconds);

/* A list was computed both ways (set_rollout's shadow): did they give the same rows? */
void observe_shadow(Endpoint endpoint, bool same);

} // namespace hermet::metrics
