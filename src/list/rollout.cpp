#include "list/rollout.h"

#include "pg/function.h"
#include "pg/single_row.h"

extern "C" {
#include "utils/fmgrprotos.h"
}

namespace hermet {

namespace {

const pg::Column columns[] = {{"percent", FLOAT8OID}, {"shadow", BOOLOID}};

} // namespace

/* The hash that partitions tables by hash, too: the same on every machine and in every version. */
bool Rollout::includes(int64 user) const
{
    uint64 hash = DatumGetUInt64(
        DirectFunctionCall2(hashint8extended, Int64GetDatum(user), Int64GetDatum(0)));
    double place = static_cast<double>(hash >> 11) / static_cast<double>(UINT64CONST(1) << 53);
    return place * 100.0 < percent;
}

/* An instance that an older version made may have no such table yet. */
Rollout read_rollout(const Instance &instance)
{
    Rollout rollout;
    Datum values[lengthof(columns)];
    Oid table = get_relname_relid("hermet_rollout", instance.schema);
    if (pg::read_single_row(table, columns, lengthof(columns), values)) {
        rollout.percent = DatumGetFloat8(values[0]);
        rollout.shadow = DatumGetBool(values[1]);
    }
    return rollout;
}

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(rollout_includes)
{
    Instance &instance = find_target_instance(PG_ARGISNULL(1) ? nullptr : PG_GETARG_NAME(1));
    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    return BoolGetDatum(read_rollout(instance).includes(PG_GETARG_INT64(0)));
}
