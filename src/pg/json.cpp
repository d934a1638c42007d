#include "pg/json.h"

extern "C" {
#include "access/transam.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
}

#include <cstring>

namespace hermet::pg {

Datum json_of(const char *const *names, const int64 *values, int n)
{
    JsonbParseState *state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    for (int i = 0; i < n; i++) {
        JsonbValue value;
        value.type = jbvString;
        value.val.string.val = const_cast<char *>(names[i]);
        value.val.string.len = static_cast<int>(strlen(names[i]));
        pushJsonbValue(&state, WJB_KEY, &value);
        value.type = jbvNumeric;
        value.val.numeric = int64_to_numeric(values[i]);
        pushJsonbValue(&state, WJB_VALUE, &value);
    }
    return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

/* to_jsonb() takes the type of its argument from the expression that it is called in. */
void JsonRows::begin(Relation relation, const char *without)
{
    Oid type = RelationGetForm(relation)->reltype;
    Node *argument = reinterpret_cast<Node *>(makeNullConst(type, -1, InvalidOid));
    fmgr_info(F_TO_JSONB, &function_);
    fmgr_info_set_expr(
        reinterpret_cast<Node *>(makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument),
                                              InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL)),
        &function_);
    complete_ = !without;
    without_ = without ? CStringGetTextDatum(without) : Datum(0);
}

Datum JsonRows::convert(TupleTableSlot *slot)
{
    Datum row = FunctionCall1(&function_, ExecFetchSlotHeapTupleDatum(slot));
    return complete_ ? row : DirectFunctionCall2(jsonb_delete, row, without_);
}

bool has_own_types(Relation relation)
{
    TupleDesc descriptor = RelationGetDescr(relation);
    for (int i = 0; i < descriptor->natts; i++) {
        const FormData_pg_attribute *attribute = TupleDescAttr(descriptor, i);
        if (!attribute->attisdropped && attribute->atttypid >= FirstNormalObjectId)
            return true;
    }
    return false;
}

} // namespace hermet::pg
