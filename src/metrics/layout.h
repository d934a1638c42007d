/*
 * What the counters mean: families of metrics, their labels, and where in the row of counters each
 * begins.
 */
#pragma once

#include "pg/server.h"

namespace hermet::metrics {

/* The upper bound of a bucket, in the unit that is counted, and as the label `le` says it. */
struct Bound {
    int64 limit;
    const char *text;
};

struct Buckets {
    const Bound *bounds;
    int count;
};

constexpr int duration_count = 17;
constexpr int size_count = 14;
extern const Buckets durations; /* in nanoseconds */
extern const Buckets sizes;     /* in rows */

/* Tables that hermet writes; the first ones are those that a statement is said to sync. */
constexpr int target_count = 5;
constexpr int synced_count = 2;
extern const char *const target_names[target_count];

constexpr int source_count = 7; /* the write side's tables, as Table numbers them */
constexpr int operation_count = 3;
constexpr int way_count = 3;
constexpr int endpoint_count = 3;
constexpr int lock_count = 6;

/* Where the counters of a family begin. A histogram has its buckets, the rest, and the sum. */
enum : int {
    sync_latency = 0,
    query_duration = sync_latency + source_count * synced_count * (duration_count + 2),
    fan_out = query_duration + endpoint_count * (duration_count + 2),
    rows_maintained = fan_out + size_count + 2,
    rows_processed = rows_maintained + (1 + source_count) * target_count * operation_count,
    incidents = rows_processed + synced_count * way_count,
    rows_checked = incidents + target_count,
    checks = rows_checked + target_count * 2,
    rows_repaired = checks + target_count,
    lock_waits = rows_repaired + target_count * operation_count,
    lock_wait_time = lock_waits + lock_count,
    shadow_comparisons = lock_wait_time + lock_count,
    shadow_mismatches = shadow_comparisons + endpoint_count,
    counter_count = shadow_mismatches + endpoint_count
};

enum class Kind { counter, gauge, histogram };

struct Label {
    const char *name;
    const char *const *values;
    int count;
};

constexpr int max_labels = 3;

/* One number (or histogram) for each combination of labels, the last label changing fastest. */
struct Family {
    const char *name;
    Kind kind;
    const char *help;
    int first; /* of its counters; -1: it is no counter of these, see report.cpp */
    Label labels[max_labels];
    double unit; /* so many of what is counted are one of the metric */
    const Buckets *buckets;
    uint64 always; /* combinations that are shown even when they are 0, a bit each */

    int width() const { return buckets ? buckets->count + 2 : 1; }
    int combinations() const;
    bool is_always(int combination) const;
};

extern const Family families[];
extern const int family_count;

} // namespace hermet::metrics
