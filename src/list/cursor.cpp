#include "list/cursor.h"

#include "pg/function.h"

extern "C" {
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
}

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace hermet {

const CursorKind conversation_cursors = {
    "conversation_list",
    3,
    {{"is_pinned", BOOLOID}, {"moved_at", INT8OID}, {"channel_id", INT8OID}}};

const CursorKind contact_cursors = {
    "contact_list",
    4,
    {{"is_starred", BOOLOID}, {"name", TEXTOID}, {"id", INT8OID}, {"contact_id", INT8OID}}};

namespace {

/* Whole numbers only. */
bool read_int8(Numeric number, Datum *value)
{
    const char *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
    char *end;
    errno = 0;
    *value = Int64GetDatum(strtoll(text, &end, 10));
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

JsonbValue string_of(const char *text, int length)
{
    JsonbValue value;
    value.type = jbvString;
    value.val.string.val = const_cast<char *>(text);
    value.val.string.len = length;
    return value;
}

JsonbValue value_of(const CursorField &field, Datum datum)
{
    JsonbValue value;
    switch (field.type) {
        case BOOLOID:
            value.type = jbvBool;
            value.val.boolean = DatumGetBool(datum);
            return value;
        case INT8OID:
            value.type = jbvNumeric;
            value.val.numeric = int64_to_numeric(DatumGetInt64(datum));
            return value;
        default:
            text *name = DatumGetTextPP(datum);
            return string_of(VARDATA_ANY(name), static_cast<int>(VARSIZE_ANY_EXHDR(name)));
    }
}

/* Not jsonb_build_object(), which looks up the types for every row. */
Datum make_cursor(FunctionCallInfo fcinfo, const CursorKind &kind)
{
    JsonbParseState *state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    for (int i = 0; i < kind.count; i++) {
        const CursorField &field = kind.fields[i];
        JsonbValue name = string_of(field.name, static_cast<int>(strlen(field.name)));
        JsonbValue value = value_of(field, PG_GETARG_DATUM(i));
        pushJsonbValue(&state, WJB_KEY, &name);
        pushJsonbValue(&state, WJB_VALUE, &value);
    }
    JsonbValue *object = pushJsonbValue(&state, WJB_END_OBJECT, nullptr);
    return JsonbPGetDatum(JsonbValueToJsonb(object));
}

} // namespace

void read_cursor(const CursorKind &kind, Datum cursor, Datum *values)
{
    Jsonb *jsonb = DatumGetJsonbP(cursor);
    bool fits = JB_ROOT_IS_OBJECT(jsonb) && static_cast<int>(JB_ROOT_COUNT(jsonb)) == kind.count;
    for (int i = 0; i < kind.count && fits; i++)
        fits = read_field(&jsonb->root, kind.fields[i], &values[i]);
    if (!fits)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("argument \"after\" is not a cursor of hermet.%s()", kind.list),
                errhint("Pass the column \"cursor\" of the last row of the page before as it is, "
                        "or NULL for the first page."));
}

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(conversation_cursor)
{
    return make_cursor(fcinfo, conversation_cursors);
}

HERMET_FUNCTION(contact_cursor)
{
    return make_cursor(fcinfo, contact_cursors);
}
