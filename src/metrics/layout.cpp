#include "metrics/layout.h"

#include "instance/instance.h"
#include "pg/counters.h"

namespace hermet::metrics {

namespace {

constexpr int64 microsecond = 1000;
constexpr int64 millisecond = 1000 * microsecond;
constexpr int64 second = 1000 * millisecond;

const Bound duration_bounds[duration_count] = {{50 * microsecond, "0.00005"},
                                               {100 * microsecond, "0.0001"},
                                               {200 * microsecond, "0.0002"},
                                               {500 * microsecond, "0.0005"},
                                               {millisecond, "0.001"},
                                               {2 * millisecond, "0.002"},
                                               {5 * millisecond, "0.005"},
                                               {10 * millisecond, "0.01"},
                                               {20 * millisecond, "0.02"},
                                               {50 * millisecond, "0.05"},
                                               {100 * millisecond, "0.1"},
                                               {200 * millisecond, "0.2"},
                                               {500 * millisecond, "0.5"},
                                               {second, "1"},
                                               {2 * second, "2"},
                                               {5 * second, "5"},
                                               {10 * second, "10"}};

const Bound size_bounds[size_count] = {
    {1, "1"},       {2, "2"},       {5, "5"},         {10, "10"},        {20, "20"},
    {50, "50"},     {100, "100"},   {200, "200"},     {500, "500"},      {1000, "1000"},
    {2000, "2000"}, {5000, "5000"}, {10000, "10000"}, {100000, "100000"}};

const char *const causes[] = {"repair",
                              "biz_user",
                              "channel",
                              "channel_member",
                              "channel_read_record",
                              "friendship",
                              "message",
                              "conversation_setting"};
const char *const operations[] = {"insert", "update", "delete"};
const char *const statuses[] = {"ok", "fail"};
const char *const ways[] = {"delta", "columns", "row"};
const char *const endpoints[] = {"conversation_list", "contact_list", "unread_totals"};
const char *const locks[] = {"instance", "channel", "owner", "profile", "sequence", "channel_row"};

constexpr uint64 all = ~UINT64CONST(0);

constexpr uint64 pair(Table source, int target)
{
    return UINT64CONST(1) << (static_cast<int>(source) * synced_count + target);
}

constexpr uint64 synced_pairs = pair(Table::biz_user, 0) | pair(Table::biz_user, 1) |
                                pair(Table::channel, 0) | pair(Table::channel_member, 0) |
                                pair(Table::channel_read_record, 0) | pair(Table::friendship, 1) |
                                pair(Table::message, 0) | pair(Table::conversation_setting, 0);

StaticAssertDecl(counter_count <= pg::max_counters, "too few counters");
StaticAssertDecl(source_count == write_side_count, "sources are the tables of the write side");
StaticAssertDecl(lengthof(causes) == 1 + source_count && lengthof(operations) == operation_count &&
                     lengthof(ways) == way_count && lengthof(endpoints) == endpoint_count &&
                     lengthof(locks) == lock_count,
                 "a label has as many values as it has counters");

#define LABEL(name, values)                                                                        \
    {                                                                                              \
        name, values, lengthof(values)                                                             \
    }

} // namespace

const Buckets durations = {duration_bounds, duration_count};
const Buckets sizes = {size_bounds, size_count};

const char *const target_names[target_count] = {"user_conversation_view", "user_contact_view",
                                                "conversation_reverse_index",
                                                "contact_reverse_index", "channel"};

const Family families[] = {
    {"hermet_info", Kind::gauge, "Always 1; the version of the library.", -1, {}, 1, nullptr, all},
    {"hermet_metrics_shared",
     Kind::gauge,
     "1 where all sessions of the database count together, 0 where this session counts for itself.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_metrics_start_time_seconds",
     Kind::gauge,
     "When the counters were last 0, in Unix time.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_instances", Kind::gauge, "Instances in this database.", -1, {}, 1, nullptr, all},
    {"hermet_sync_latency_seconds",
     Kind::histogram,
     "From the trigger of a write-side statement until the read-side table was up to date; on a "
     "read "
     "node from the commit on the primary.",
     sync_latency,
     {{"source", causes + 1, source_count}, {"target", target_names, synced_count}},
     1e9,
     &durations,
     synced_pairs},
    {"hermet_query_duration_seconds",
     Kind::histogram,
     "How long the functions took that applications read lists and totals with.",
     query_duration,
     {LABEL("endpoint", endpoints)},
     1e9,
     &durations,
     all},
    {"hermet_fanout_rows",
     Kind::histogram,
     "Conversation rows that the messages of one statement went to.",
     fan_out,
     {},
     1,
     &sizes,
     all},
    {"hermet_rows_maintained_total",
     Kind::counter,
     "Rows written, by the write-side table whose statement caused it.",
     rows_maintained,
     {LABEL("source", causes),
      {"target", target_names, target_count},
      LABEL("operation", operations)},
     1,
     nullptr,
     0},
    {"hermet_rows_processed_total",
     Kind::counter,
     "Rows looked after: by adding a delta, by deriving some columns, or by deriving the row.",
     rows_processed,
     {{"target", target_names, synced_count}, LABEL("way", ways)},
     1,
     nullptr,
     all},
    {"hermet_incidents_total",
     Kind::counter,
     "Stored rows that could not take a change and were recomputed.",
     incidents,
     {{"table", target_names, target_count}},
     1,
     nullptr,
     all},
    {"hermet_consistency_check_total",
     Kind::counter,
     "Rows compared with the rules by checks.",
     rows_checked,
     {{"table", target_names, target_count}, LABEL("status", statuses)},
     1,
     nullptr,
     all},
    {"hermet_checks_total",
     Kind::counter,
     "Checks that ran to their end.",
     checks,
     {{"table", target_names, target_count}},
     1,
     nullptr,
     all},
    {"hermet_repaired_rows_total",
     Kind::counter,
     "Rows that repairs wrote.",
     rows_repaired,
     {{"table", target_names, target_count}, LABEL("operation", operations)},
     1,
     nullptr,
     all},
    {"hermet_lock_waits_total",
     Kind::counter,
     "Waits for a lock of hermet's, or for a channel's row.",
     lock_waits,
     {LABEL("lock", locks)},
     1,
     nullptr,
     all},
    {"hermet_lock_wait_seconds_total",
     Kind::counter,
     "Time spent in these waits.",
     lock_wait_time,
     {LABEL("lock", locks)},
     1e9,
     nullptr,
     all},
    {"hermet_shadow_comparisons_total",
     Kind::counter,
     "Lists computed both ways, from the read side and by the join.",
     shadow_comparisons,
     {LABEL("endpoint", endpoints)},
     1,
     nullptr,
     all},
    {"hermet_shadow_mismatches_total",
     Kind::counter,
     "Those of them that were not the same.",
     shadow_mismatches,
     {LABEL("endpoint", endpoints)},
     1,
     nullptr,
     all},
    {"hermet_instance_readable",
     Kind::gauge,
     "Whether the state of an instance could be read: 0 where its tables are not as they should "
     "be.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_last_check_timestamp_seconds",
     Kind::gauge,
     "When a table was last checked, in Unix time.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_last_check_problems", Kind::gauge, "What that check found.", -1, {}, 1, nullptr, all},
    {"hermet_open_incidents",
     Kind::gauge,
     "Incidents since the last full repair.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_missing_partitions",
     Kind::gauge,
     "Partitions that the tables of a sharded instance lack: detached, or dropped.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_node_following",
     Kind::gauge,
     "1 where a read node's subscription is copied and its worker runs, 0 where not.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_node_silence_seconds",
     Kind::gauge,
     "How long ago a read node heard from its primary; where its worker does not run, how long it "
     "is a node.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_node_errors",
     Kind::gauge,
     "Errors of a read node's subscription since its statistics were reset.",
     -1,
     {},
     1,
     nullptr,
     all},
    {"hermet_event_queue_depth", Kind::gauge, "Events that are kept.", -1, {}, 1, nullptr, all},
    {"hermet_event_queue_age_seconds",
     Kind::gauge,
     "How long ago the oldest of them happened.",
     -1,
     {},
     1,
     nullptr,
     all},
};

const int family_count = lengthof(families);

int Family::combinations() const
{
    int n = 1;
    for (const Label &label : labels)
        n *= Max(label.count, 1);
    return n;
}

bool Family::is_always(int combination) const
{
    return always == all || (combination < 64 && ((always >> combination) & 1) != 0);
}

} // namespace hermet::metrics
