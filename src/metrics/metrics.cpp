#include "metrics/metrics.h"

#include "metrics/layout.h"
#include "pg/counters.h"
#include "pg/lock.h"

extern "C" {
#include "utils/guc.h"
}

namespace hermet::metrics {

bool track = true;

namespace {

void add(int counter, int64 n)
{
    if (n > 0)
        pg_atomic_fetch_add_u64(&pg::counters()[counter], static_cast<uint64>(n));
}

/* A bucket's own number, not that of all below it: so one addition a value. */
void observe(int first, const Buckets &buckets, int64 value)
{
    int bucket = 0;
    while (bucket < buckets.count && value > buckets.bounds[bucket].limit)
        bucket++;
    add(first + bucket, 1);
    add(first + buckets.count + 1, value);
}

/* -1 for a table that is no target. */
int target_of(Table table)
{
    switch (table) {
        case Table::user_conversation_view:
            return 0;
        case Table::user_contact_view:
            return 1;
        case Table::conversation_reverse_index:
            return 2;
        case Table::contact_reverse_index:
            return 3;
        case Table::channel:
            return 4;
        default:
            return -1;
    }
}

int target_of(const char *table)
{
    for (int i = 0; i < target_count; i++)
        if (strcmp(target_names[i], table) == 0)
            return i;
    return -1;
}

void add_operations(int first, int64 inserted, int64 updated, int64 deleted)
{
    add(first, inserted);
    add(first + 1, updated);
    add(first + 2, deleted);
}

void observe_wait(pg::LockWait wait, int64 nanoseconds)
{
    if (!track)
        return;
    add(lock_waits + static_cast<int>(wait), 1);
    add(lock_wait_time + static_cast<int>(wait), nanoseconds);
}

} // namespace

void install()
{
    DefineCustomBoolVariable("hermet.track", "Counts and times what hermet does.",
                             "See hermet.metrics().", &track, true, PGC_SUSET, 0, nullptr, nullptr,
                             nullptr);
    pg::install_counters();
    pg::wait_listener = observe_wait;
}

void observe_sync(Table source, Table target, const Stopwatch &since)
{
    if (!since.running)
        return;
    int histogram = static_cast<int>(source) * synced_count + target_of(target);
    observe(sync_latency + histogram * (durations.count + 2), durations, since.watch.nanoseconds());
}

void observe_fan_out(int64 rows)
{
    if (track)
        observe(fan_out, sizes, rows);
}

void count_written(Table target, int64 inserted, int64 updated, int64 deleted)
{
    int of = target_of(target);
    if (!track || of < 0)
        return;
    int cause = pg::Session::current ? pg::Session::current->cause : 0;
    add_operations(rows_maintained + (cause * target_count + of) * operation_count, inserted,
                   updated, deleted);
}

void count_rows(Table target, Way way, int64 rows)
{
    int of = target_of(target);
    if (track && of >= 0 && of < synced_count)
        add(rows_processed + of * way_count + static_cast<int>(way), rows);
}

void count_incidents(Table table, int64 rows)
{
    int of = target_of(table);
    if (track && of >= 0)
        add(incidents + of, rows);
}

void count_check(const char *table, int64 right, int64 wrong)
{
    int of = target_of(table);
    if (!track || of < 0)
        return;
    add(checks + of, 1);
    add(rows_checked + of * 2, right);
    add(rows_checked + of * 2 + 1, wrong);
}

void count_repaired(Table table, int64 inserted, int64 updated, int64 deleted)
{
    int of = target_of(table);
    if (track && of >= 0)
        add_operations(rows_repaired + of * operation_count, inserted, updated, deleted);
}

void observe_query(Endpoint endpoint, int64 nanoseconds)
{
    if (track)
        observe(query_duration + static_cast<int>(endpoint) * (durations.count + 2), durations,
                nanoseconds);
}

void observe_shadow(Endpoint endpoint, bool same)
{
    if (!track)
        return;
    add(shadow_comparisons + static_cast<int>(endpoint), 1);
    add(shadow_mismatches + static_cast<int>(endpoint), same ? 0 : 1);
}

} // namespace hermet::metrics
