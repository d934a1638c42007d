#include "read/large_inbox.h"

#include "metrics/metrics.h"
#include "read/conversation.h"

namespace hermet {

namespace {

const pg::Statement select_large = {R"(
SELECT v.user_id FROM {s}.user_conversation_view v
 GROUP BY v.user_id HAVING count(*) > $1
EXCEPT
SELECT b.user_id FROM {s}.hermet_large_inbox b
 ORDER BY 1)",
                                    {INT8OID}};

const pg::Statement insert_large = {R"(
INSERT INTO {s}.hermet_large_inbox (user_id) SELECT * FROM unnest($1::bigint[])
    ON CONFLICT DO NOTHING)",
                                    {INT8ARRAYOID}};

/* In the order in which rows are locked. */
const pg::Statement lock_rows_of_users = {R"(
SELECT count(*) FROM (
  SELECT FROM {s}.user_conversation_view v WHERE v.user_id = ANY ($1)
   ORDER BY v.channel_id, v.user_id FOR NO KEY UPDATE) x)",
                                          {INT8ARRAYOID}};

/* By the row's own columns: while this waits for a row, a message may change them. */
const pg::Statement update_hours = {R"(
UPDATE {s}.user_conversation_view v
   SET list_hour = greatest(v.last_message_time, v.opened_at, 0) / 3600000 + 1, updated_at = $2
 WHERE v.user_id = ANY ($1))",
                                    {INT8ARRAYOID, INT8OID},
                                    nullptr,
                                    true};

} // namespace

int64 order_inboxes(Instance &instance, int64 conversations)
{
    pg::Result rows = run(instance, select_large, {Int64GetDatum(conversations)});
    pg::Vector<int64> &users = pg::make<pg::Vector<int64>>();
    for (uint64 i = 0; i < rows.count; i++)
        users.push_back(rows.int8(i, 0));
    if (users.empty())
        return 0;
    lock_profiles(instance, users, true);
    Datum array = pg::int8_array(users);
    int64 added = static_cast<int64>(run(instance, insert_large, {array}).count);
    run(instance, lock_rows_of_users, {array});
    pg::Result hours = run(instance, update_hours, {array, Int64GetDatum(pg::now_ms())});
    metrics::count_written(Table::user_conversation_view, 0, static_cast<int64>(hours.count), 0);
    return added;
}

} // namespace hermet
