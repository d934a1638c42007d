#include "list/cursor.h"

extern "C" {
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
}

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace hermet {

namespace {

/* Whole numbers only. */
bool read_int8(Numeric number, Datum *value)
{
    const char *text =
        DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
    char *end;
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    *value = Int64GetDatum(whole);
    return errno == 0 && *end == '\0';
}

bool read_field(JsonbContainer *object, const CursorField &field, Datum *value)
{
    JsonbValue found;
    if (!getKeyJsonValueFromContainer(object, field.name, static_cast<int>(strlen(field.name)),
                                      &found))
        return false;
    switch (field.type) {
        case BOOLOID:
            *value = BoolGetDatum(found.type == jbvBool && found.val.boolean);
            return found.type == jbvBool;
        case INT8OID:
            return found.type == jbvNumeric && read_int8(found.val.numeric, value);
        default:
            if (found.type != jbvString)
                return false;
            *value = PointerGetDatum(
                cstring_to_text_with_len(found.val.string.val, found.val.string.len));
            return true;
    }
}

} // namespace

void read_cursor(Datum cursor, const CursorField *fields, int n, const char *function,
                 Datum *values)
{
    Jsonb *jsonb = DatumGetJsonbP(cursor);
    bool fits = JB_ROOT_IS_OBJECT(jsonb) && static_cast<int>(JB_ROOT_COUNT(jsonb)) == n;
    for (int i = 0; i < n && fits; i++)
        fits = read_field(&jsonb->root, fields[i], &values[i]);
    if (!fits)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("argument \"after\" is not a cursor of hermet.%s()", function),
                errhint("Pass the column \"cursor\" of the last row of the page before as it is, "
                        "or NULL for the first page."));
}

} // namespace hermet
