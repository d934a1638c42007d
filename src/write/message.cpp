/*
 * message: sent, edited, recalled, deleted, moved. All of it is a delta: see read/fanout.h.
 */
#include "pg/function.h"
#include "read/fanout.h"
#include "read/owned.h"
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
    AttrNumber at[column_count];
    pg::Vector<int64> channels; /* sorted and unique, when all are collected */
    size_t unique_at = 1024;    /* so many are made unique before */
    MessageDeltas deltas;

    /*
     * More deltas than delta_limit() are read once more, by ranges of channels; or, on a read node,
     * where they cannot be, their channels are derived.
     */
    bool too_large = false;
    size_t limit = 0;
    pg::Totals<int64> sizes; /* then: how many bytes of deltas each channel has */
};

/* Appends the users mentioned, sorted and once each; elements that are NULL mention nobody. */
int32 read_mentions(Datum array_value, pg::Vector<int64> &users)
{
    ArrayType *array = DatumGetArrayTypeP(array_value);
    size_t begin = users.size();
    if (ARR_NDIM(array) > 0) {
        Datum *elements;
        bool *nulls;
        int n;
        deconstruct_array(array, INT8OID, 8, true, TYPALIGN_DOUBLE, &elements, &nulls, &n);
        for (int i = 0; i < n; i++)
            if (!nulls[i])
                users.push_back(DatumGetInt64(elements[i]));
        pfree(elements);
        pfree(nulls);
        std::sort(users.begin() + begin, users.end());
        users.erase(std::unique(users.begin() + begin, users.end()), users.end());
    }
    if (PointerGetDatum(array) != array_value)
        pfree(array);
    return static_cast<int32>(users.size() - begin);
}

/* A recalled message counts nowhere, and is no channel's last one. */
void add(Messages &messages, const pg::Rows &row, int8 sign)
{
    const AttrNumber *at = messages.at;
    if (row.int8(at[c_deleted_at]) != 0)
        return;
    MessageDelta delta = {};
    delta.channel = row.int8(at[c_channel]);
    delta.id = row.int8(at[c_id]);
    delta.sender = row.int8(at[c_sender]);
    delta.sent_at = row.int8(at[c_sent_at]);
    delta.sign = sign;
    delta.countable = !is_system(row.value(at[c_type]));
    delta.mention_all = DatumGetBool(row.value(at[c_to_all]));
    delta.mentioned = messages.deltas.mentioned.size();
    if (delta.countable && !delta.mention_all)
        delta.mentions = read_mentions(row.value(at[c_mentions]), messages.deltas.mentioned);
    messages.deltas.messages.push_back(delta);
}

void add_channel(Messages &messages, int64 channel)
{
    pg::Vector<int64> &channels = messages.channels;
    if (!channels.empty() && channels.back() == channel)
        return;
    channels.push_back(channel);
    if (channels.size() >= messages.unique_at) {
        pg::make_unique(channels);
        messages.unique_at = Max(messages.unique_at, channels.size() * 2);
    }
}

/* How many bytes of deltas are kept: half of maintenance_work_mem. */
size_t delta_limit()
{
    return static_cast<size_t>(maintenance_work_mem) * 1024 / 2;
}

/* Too many deltas to be kept: what remains of them is how much room each channel's take. */
void drop_deltas(Messages &messages)
{
    for (const MessageDelta &delta : messages.deltas.messages)
        messages.sizes.add(delta.channel, sizeof(delta) + delta.mentions * sizeof(int64));
    messages.deltas.clear();
    messages.too_large = true;
}

void sort_deltas(MessageDeltas &deltas)
{
    std::sort(deltas.messages.begin(), deltas.messages.end(),
              [](const MessageDelta &a, const MessageDelta &b) {
                  return a.channel != b.channel ? a.channel < b.channel : a.id < b.id;
              });
}

/* Whether the current rows are not just two versions that count alike. */
bool counts_change(const Firing &firing, const AttrNumber *at)
{
    constexpr int counted[] = {c_id,       c_channel, c_sender,  c_type,
                               c_mentions, c_to_all,  c_sent_at, c_deleted_at};
    return !firing.has_old || !firing.has_new || changed(firing, at, counted);
}

void begin(Relation relation, Messages &messages)
{
    pg::find_columns(relation, columns, column_count, messages.at);
    messages.limit = delta_limit();
}

void add(const Firing &firing, Messages &messages)
{
    constexpr int shown[] = {c_content};

    const AttrNumber *at = messages.at;
    if (messages.deltas.messages.empty())
        messages.deltas.messages.reserve(
            Min(firing.old_rows.count() + firing.new_rows.count(),
                static_cast<int64>(messages.limit / sizeof(MessageDelta) + 2)));
    if (!counts_change(firing, at)) {
        /* An edit: the text of the last message may be another. */
        if (changed(firing, at, shown))
            add_channel(messages, firing.new_rows.int8(at[c_channel]));
        return;
    }
    if (firing.has_old) {
        add_channel(messages, firing.old_rows.int8(at[c_channel]));
        add(messages, firing.old_rows, -1);
    }
    if (firing.has_new) {
        add_channel(messages, firing.new_rows.int8(at[c_channel]));
        add(messages, firing.new_rows, 1);
    }
    if (messages.deltas.bytes() > messages.limit)
        drop_deltas(messages);
}

bool finish(Messages &messages)
{
    if (messages.too_large)
        drop_deltas(messages);
    messages.sizes.finish();
    pg::make_unique(messages.channels);
    sort_deltas(messages.deltas);
    return !messages.channels.empty();
}

/* Reads the deltas of the channels from..to once more. */
void read_deltas(Firing &firing, Messages &messages, int64 from, int64 to)
{
    const AttrNumber *at = messages.at;
    auto add_in_range = [&](const pg::Rows &row, int8 sign) {
        int64 channel = row.int8(at[c_channel]);
        if (channel >= from && channel <= to)
            add(messages, row, sign);
    };
    messages.deltas.clear();
    firing.rewind();
    while (firing.next()) {
        if (!counts_change(firing, at))
            continue;
        if (firing.has_old)
            add_in_range(firing.old_rows, -1);
        if (firing.has_new)
            add_in_range(firing.new_rows, 1);
    }
    sort_deltas(messages.deltas);
}

/* Who sent the highest of each channel's new messages: nearly always the channel's last. */
pg::Vector<int64> &last_senders(const MessageDeltas &deltas)
{
    pg::Vector<int64> &senders = pg::make<pg::Vector<int64>>();
    const MessageDelta *last = nullptr;
    for (const MessageDelta &delta : deltas.messages) {
        if (delta.sign < 0)
            continue;
        if (last && last->channel != delta.channel)
            senders.push_back(last->sender);
        last = &delta;
    }
    if (last)
        senders.push_back(last->sender);
    return senders;
}

void apply(Firing &firing, Messages &messages)
{
    if (firing.undone || (messages.too_large && !firing.trigger)) {
        Changes view, reverse;
        lock_channels(*firing.instance, messages.channels);
        refresh_owned(*firing.instance, messages.channels);
        refresh_channels(*firing.instance, messages.channels, view, reverse);
        return;
    }
    FanOut &fan = begin_fan_out(*firing.instance, messages.channels, last_senders(messages.deltas),
                                firing.since);
    const auto *size = messages.sizes.begin();
    while (size != messages.sizes.end()) {
        int64 from = size->first;
        int64 to;
        int64 bytes = 0;
        int64 limit = static_cast<int64>(delta_limit());
        do {
            bytes += size->second;
            to = size->first;
            size++;
        } while (size != messages.sizes.end() && bytes + size->second <= limit);
        read_deltas(firing, messages, from, to);
        fan_out(fan, messages.deltas, to);
        messages.deltas.clear();
    }
    fan_out(fan, messages.deltas, PG_INT64_MAX);
    end_fan_out(fan);
}

const Maintenance<Messages> maintenance = {
    Table::message, Table::user_conversation_view, begin, add, finish,
    apply,          refresh_after_truncate};

} // namespace

Part &make_message_part()
{
    return pg::make<PartOf<Messages>>(maintenance);
}

} // namespace hermet

HERMET_TRIGGER(sync_message)
{
    return hermet::maintain(trigger, hermet::maintenance);
}
