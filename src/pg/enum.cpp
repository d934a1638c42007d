#include "pg/enum.h"

extern "C" {
#include "catalog/pg_enum.h"
#include "utils/syscache.h"
}

namespace hermet::pg {

bool is_label(Datum value, const char *label)
{
    HeapTuple tuple = SearchSysCache1(ENUMOID, value);
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for enum value %u", DatumGetObjectId(value));
    bool same =
        strcmp(NameStr(reinterpret_cast<Form_pg_enum>(GETSTRUCT(tuple))->enumlabel), label) == 0;
    ReleaseSysCache(tuple);
    return same;
}

Datum enum_value(Oid type, const char *label)
{
    HeapTuple tuple =
        SearchSysCache2(ENUMTYPOIDNAME, ObjectIdGetDatum(type), CStringGetDatum(label));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
                errmsg("invalid input value for enum %s: \"%s\"", format_type_be(type), label),
                errhint("Add the label back with ALTER TYPE."));
    Oid value = reinterpret_cast<Form_pg_enum>(GETSTRUCT(tuple))->oid;
    ReleaseSysCache(tuple);
    return ObjectIdGetDatum(value);
}

} // namespace hermet::pg
