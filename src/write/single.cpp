#include "write/single.h"

namespace hermet {

namespace {

const pg::Statement select_crowded = {R"(
SELECT c.id, string_agg(cm.user_id::text, ', ' ORDER BY cm.user_id)
  FROM {s}.channel c
  JOIN {s}.channel_member cm ON cm.channel_id = c.id
 WHERE c.id = ANY ($1) AND c.channel_type = 'single'
 GROUP BY c.id
HAVING count(*) > 2
 ORDER BY c.id
 LIMIT 1)",
                                      {INT8ARRAYOID}};

} // namespace

void require_two_members(Instance &instance, const pg::Vector<int64> &channels)
{
    if (channels.empty())
        return;
    pg::Result rows = run(instance, select_crowded, {pg::int8_array(channels)});
    if (rows.count == 0)
        return;
    ereport(ERROR, errcode(ERRCODE_CHECK_VIOLATION),
            errmsg("single channel " INT64_FORMAT " cannot have more than two members",
                   rows.int8(0, 0)),
            errdetail("Users with a row in %s.channel_member: %s.", instance.schema_sql,
                      text_to_cstring(DatumGetTextPP(rows.value(0, 1)))),
            errhint("Make a channel of channel_type 'group' for more than two people; members who "
                    "left count too."));
}

} // namespace hermet
