/*
 * message: sent, edited, recalled, deleted, moved. All of it is a delta: see read/fanout.h.
 */
#include "pg/function.h"
#include "read/fanout.h"
#include "write/firing.h"
#include "write/truncate.h"

namespace hermet {

namespace {

enum {
    c_id,
    c_channel,
    c_sender,
    c_type,
    c_content,
    c_mentions,
    c_to_all,
    c_sent_at,
    c_deleted_at,
    column_count
};

const pg::Column columns[column_count] = {
    {"id", INT8OID},          {"channel_id", INT8OID},
    {"sender_id", INT8OID},   {"message_type", VARCHAROID},
    {"content", InvalidOid},  {"mention_user_ids", INT8ARRAYOID},
    {"mention_all", BOOLOID}, {"sent_at", INT8OID},
    {"deleted_at", INT8OID},
};

struct Messages {
    pg::Vector<MessageDelta> deltas;
    pg::Vector<int64> channels;
};

bool is_system(Datum type)
{
    const struct varlena *text = PG_DETOAST_DATUM_PACKED(type);
    return VARSIZE_ANY_EXHDR(text) == 6 && memcmp(VARDATA_ANY(text), "system", 6) == 0;
}

/* The users mentioned, sorted and once each; elements that are NULL mention nobody. */
void read_mentions(Datum array_value, MessageDelta &delta)
{
    ArrayType *array = DatumGetArrayTypeP(array_value);
    if (ARR_NDIM(array) == 0)
        return;
    Datum *elements;
    bool *nulls;
    int n;
    deconstruct_array(array, INT8OID, 8, true, TYPALIGN_DOUBLE, &elements, &nulls, &n);
    delta.mentioned = static_cast<int64 *>(palloc(n * sizeof(int64)));
    int64 *end = delta.mentioned;
    for (int i = 0; i < n; i++)
        if (!nulls[i])
            *end++ = DatumGetInt64(elements[i]);
    std::sort(delta.mentioned, end);
    delta.mentions = static_cast<int32>(std::unique(delta.mentioned, end) - delta.mentioned);
    pfree(elements);
    pfree(nulls);
    if (PointerGetDatum(array) != array_value)
        pfree(array);
}

void add(Messages &messages, const pg::Rows &row, const AttrNumber *at, int8 sign)
{
    MessageDelta delta = {};
    delta.channel = row.int8(at[c_channel]);
    delta.id = row.int8(at[c_id]);
    delta.sender = row.int8(at[c_sender]);
    delta.sent_at = row.int8(at[c_sent_at]);
    delta.sign = sign;
    delta.countable = row.int8(at[c_deleted_at]) == 0 && !is_system(row.value(at[c_type]));
    delta.mention_all = DatumGetBool(row.value(at[c_to_all]));
    if (delta.countable && !delta.mention_all)
        read_mentions(row.value(at[c_mentions]), delta);
    messages.deltas.push_back(delta);
    messages.channels.push_back(delta.channel);
}

bool collect(Firing &firing, Messages &messages)
{
    constexpr int counted[] = {c_id,       c_channel, c_sender,  c_type,
                               c_mentions, c_to_all,  c_sent_at, c_deleted_at};
    constexpr int shown[] = {c_content};

    AttrNumber at[column_count];
    pg::find_columns(firing.trigger->tg_relation, columns, column_count, at);
    messages.deltas.reserve(Max(firing.old_rows.count(), firing.new_rows.count()));
    messages.channels.reserve(messages.deltas.capacity());
    while (firing.next()) {
        if (firing.has_old && firing.has_new && !changed(firing, at, counted)) {
            /* An edit: no counter changes, the text of the last message may. */
            if (changed(firing, at, shown))
                messages.channels.push_back(firing.new_rows.int8(at[c_channel]));
            continue;
        }
        if (firing.has_old)
            add(messages, firing.old_rows, at, -1);
        if (firing.has_new)
            add(messages, firing.new_rows, at, 1);
    }
    pg::make_unique(messages.channels);
    return !messages.channels.empty();
}

void apply(Firing &firing, Messages &messages)
{
    fan_out(*firing.instance, messages.deltas, messages.channels, firing.since);
}

const Maintenance<Messages> maintenance = {Table::message, collect, apply, refresh_after_truncate};

} // namespace

} // namespace hermet

HERMET_TRIGGER(sync_message)
{
    return hermet::maintain(trigger, hermet::maintenance);
}
