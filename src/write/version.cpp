#include "write/version.h"

#include "pg/partition.h"

extern "C" {
#include "utils/datum.h"
}

namespace hermet {

HeapTuple raise_version(TriggerData *trigger, const AttrNumber *at, int id, int version,
                        const int *shown, int shown_count)
{
    HeapTuple old_row = trigger->tg_trigtuple;
    HeapTuple new_row = trigger->tg_newtuple;
    TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
    auto get = [&](HeapTuple row, int column, bool *null) {
        return heap_getattr(row, at[column], descriptor, null);
    };

    bool old_null, new_null;
    int32 old_version = DatumGetInt32(get(old_row, version, &old_null));
    int32 new_version = DatumGetInt32(get(new_row, version, &new_null));
    if (old_null || new_null)
        return new_row; /* NOT NULL will say so */
    if (new_version < old_version) {
        const char *column = NameStr(TupleDescAttr(descriptor, at[version] - 1)->attname);
        const char *table = get_rel_name(pg::find_root(trigger->tg_relation));
        bool null;
        ereport(ERROR, errcode(ERRCODE_CHECK_VIOLATION),
                errmsg("column \"%s\" of table \"%s\" cannot go backwards", column, table),
                errdetail("Row with id " INT64_FORMAT " has version %d, the statement sets %d.",
                          DatumGetInt64(get(old_row, id, &null)), old_version, new_version),
                errhint("Leave \"%s\" out of the statement: it rises by itself.", column),
                errtable(trigger->tg_relation));
    }
    if (new_version > old_version)
        return new_row;

    bool same = true;
    for (int i = 0; i < shown_count && same; i++) {
        Datum old_value = get(old_row, shown[i], &old_null);
        Datum new_value = get(new_row, shown[i], &new_null);
        FormData_pg_attribute *attribute = TupleDescAttr(descriptor, at[shown[i]] - 1);
        same = old_null == new_null &&
               (old_null ||
                datum_image_eq(old_value, new_value, attribute->attbyval, attribute->attlen));
    }
    if (same)
        return new_row;

    if (old_version == PG_INT32_MAX)
        ereport(ERROR, errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
                errmsg("column \"%s\" of table \"%s\" is out of range",
                       NameStr(TupleDescAttr(descriptor, at[version] - 1)->attname),
                       get_rel_name(pg::find_root(trigger->tg_relation))));
    int column = at[version];
    Datum value = Int32GetDatum(old_version + 1);
    bool null = false;
    return heap_modify_tuple_by_cols(new_row, descriptor, 1, &column, &value, &null);
}

} // namespace hermet
