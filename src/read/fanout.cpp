#include "read/fanout.h"

#include "pg/trigger.h"
#include "pg/walk.h"
#include "read/incident.h"

extern "C" {
#include "access/table.h"
#include "utils/datum.h"
}

namespace hermet {

namespace {

/* The last message of each channel with its sender's name; a row for every channel, in order. */
const pg::Statement select_last_messages = {R"(
SELECT cm.channel_id, coalesce(lm.id, 0), coalesce(lm.message_type, ''), coalesce(lm.content, ''),
       coalesce(lm.sender_id, 0), coalesce(lm.sent_at, 0), {sender_name}
  FROM unnest($1::bigint[]) cm (channel_id)
  {last_message}
 ORDER BY 1)",
                                            {INT8ARRAYOID}};

const pg::Statement update_last_messages = {R"(
UPDATE {s}.channel c SET last_message_id = k.last_message_id, last_message_at = k.last_message_at
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (id, last_message_id, last_message_at)
 WHERE c.id = k.id AND (c.last_message_id, c.last_message_at) <> (k.last_message_id, k.last_message_at))",
                                            {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
                                            nullptr,
                                            true};

/* The columns of a conversation row that a message may touch, as the row's arrays are indexed. */
enum ViewColumn {
    c_user_id,
    c_channel_id,
    c_last_id,
    c_last_type,
    c_last_content,
    c_last_sender,
    c_last_sender_name,
    c_last_time,
    c_cursor,
    c_unread,
    c_mentions,
    c_opened_at,
    c_closed_at,
    c_updated_at,
    view_column_count
};

const pg::Column view_columns[view_column_count] = {
    {"user_id", INT8OID},
    {"channel_id", INT8OID},
    {"last_message_id", INT8OID},
    {"last_message_type", VARCHAROID},
    {"last_message_content", VARCHAROID},
    {"last_message_sender_id", INT8OID},
    {"last_message_sender_name", VARCHAROID},
    {"last_message_time", INT8OID},
    {"last_read_message_id", INT8OID},
    {"unread_count", INT4OID},
    {"mention_count", INT4OID},
    {"opened_at", INT8OID},
    {"closed_at", INT8OID},
    {"updated_at", INT8OID},
};

struct LastMessage {
    int64 id;
    int64 sender;
    int64 time;
    Datum type;
    Datum content;
    Datum sender_name;
};

bool same_text(Datum a, Datum b)
{
    return datum_image_eq(a, b, false, -1);
}

} // namespace

struct FanOut {
    Instance *instance = nullptr;
    CommandId since = 0;
    pg::Vector<ChannelState> *states = nullptr; /* of the channels that exist */
    size_t done = 0;                            /* so many of them */
    DeltaSum sum;
    MemoryContext batch_memory = nullptr;

    /* The last messages of some of the channels, in the same order. */
    pg::Result last_rows = {};
    pg::Vector<LastMessage> last;
    size_t last_from = 0;

    Relation view = nullptr;
    Oid index =
        InvalidOid; /* of the walk; none where something about the view takes the executor */
    pg::Walk walk;
    AttrNumber at[view_column_count] = {};

    ConversationKeys to_recount;
    ConversationKeys to_reset;      /* rows whose closed_at has to be looked up again */
    pg::Vector<int64> to_recompute; /* channels that have too few rows, or one with a NULL */
    pg::Vector<int64> drifted;      /* channels with a counter that could not take the delta */

    void lock_senders(pg::Vector<int64> &senders);
    void read_last_messages(size_t from, size_t to);
    void open_view();
    void update_channels(size_t from, size_t to);
    void update_rows(size_t from, size_t to, const MessageDeltas &deltas);
    bool change_row(const LastMessage &message);
};

/* The last messages of states[from..to-1]. */
void FanOut::read_last_messages(size_t from, size_t to)
{
    if (!last.empty())
        SPI_freetuptable(last_rows.table);
    last.clear();
    last_from = from;

    pg::Vector<int64> &ids = pg::make<pg::Vector<int64>>();
    ids.reserve(to - from);
    for (size_t i = from; i < to; i++)
        ids.push_back((*states)[i].id);
    last_rows = run(*instance, select_last_messages, {pg::int8_array(ids)});
    last.reserve(last_rows.count);
    for (uint64 i = 0; i < last_rows.count; i++)
        last.push_back({last_rows.int8(i, 1), last_rows.int8(i, 4), last_rows.int8(i, 5),
                        last_rows.value(i, 2), last_rows.value(i, 3), last_rows.value(i, 6)});
}

/*
 * The profiles of the senders of all last messages, which are read again until all are locked.
 * Nearly always once: `senders` are the likely ones.
 */
void FanOut::lock_senders(pg::Vector<int64> &senders)
{
    pg::Set<int64> &locked = pg::make<pg::Set<int64>>();
    do {
        pg::make_unique(senders);
        lock_profiles(*instance, senders, false);
        locked.insert(boost::container::ordered_unique_range, senders.begin(), senders.end());
        senders.clear();
        for (size_t from = 0; from < states->size(); from += batch_size) {
            read_last_messages(from, Min(from + batch_size, states->size()));
            for (const LastMessage &message : last)
                if (message.id != 0 && !locked.count(message.sender))
                    senders.push_back(message.sender);
        }
    } while (!senders.empty());
}

/* Without a way for the walk, the definition derives all rows in the end. */
void FanOut::open_view()
{
    view = table_open(instance->oid(Table::user_conversation_view), RowExclusiveLock);
    if (!pg::can_walk(view, "hermet_guard"))
        return;
    pg::find_columns(view, view_columns, view_column_count, at);
    index = pg::find_unique_index(view, at[c_channel_id], at[c_user_id]);
}

void FanOut::update_channels(size_t from, size_t to)
{
    pg::Vector<int64> &ids = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &last_ids = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &last_times = pg::make<pg::Vector<int64>>();
    for (size_t i = from; i < to; i++) {
        const LastMessage &message = last[i - last_from];
        ids.push_back((*states)[i].id);
        last_ids.push_back(message.id);
        last_times.push_back(message.time);
    }
    run(*instance, update_last_messages,
        {pg::int8_array(ids), pg::int8_array(last_ids), pg::int8_array(last_times)});
}

/* The conversation rows of states[from..to-1], in the order of the index. */
void FanOut::update_rows(size_t from, size_t to, const MessageDeltas &deltas)
{
    const MessageDelta *delta = deltas.messages.data();
    const MessageDelta *end = delta + deltas.messages.size();
    delta = std::lower_bound(delta, end, (*states)[from].id,
                             [](const MessageDelta &d, int64 id) { return d.channel < id; });
    walk.begin(view, index, since);
    for (size_t i = from; i < to; i++) {
        const ChannelState &state = (*states)[i];
        while (delta != end && delta->channel < state.id)
            delta++;
        const MessageDelta *first = delta;
        while (delta != end && delta->channel == state.id)
            delta++;
        if (!state.active)
            continue;
        sum.start(first, delta, deltas.mentioned.data());

        const LastMessage &message = last[i - last_from];
        int64 rows = 0;
        walk.seek(state.id);
        while (walk.next()) {
            rows++;
            do {
                if (!change_row(message))
                    break;
            } while (!walk.write());
        }
        /* A single channel of one member has no rows. */
        bool complete =
            rows == state.member_count || (state.single && rows == 0 && state.member_count == 1);
        if (!complete)
            to_recompute.push_back(state.id);
    }
    walk.end();
}

/* Sets what changes in the current row; false if nothing does. */
bool FanOut::change_row(const LastMessage &message)
{
    Datum *values = walk.values();
    auto column = [&](ViewColumn c) -> Datum & { return values[at[c] - 1]; };
    auto int8 = [&](ViewColumn c) { return DatumGetInt64(column(c)); };
    bool changed = false;

    for (AttrNumber number : at) {
        if (walk.nulls()[number - 1]) {
            to_recompute.push_back(int8(c_channel_id));
            return false;
        }
    }

    int64 unread, mentions;
    sum.count(int8(c_user_id), int8(c_cursor), int8(c_opened_at), &unread, &mentions);
    if (unread != 0 || mentions != 0) {
        unread += DatumGetInt32(column(c_unread));
        mentions += DatumGetInt32(column(c_mentions));
        bool fits = unread >= 0 && mentions >= 0 && unread <= PG_INT32_MAX;
        if (walk.written_since() || !fits) {
            to_recount.add(int8(c_user_id), int8(c_channel_id));
            if (!walk.written_since())
                drifted.push_back(int8(c_channel_id));
        }
        else {
            column(c_unread) = Int32GetDatum(static_cast<int32>(unread));
            column(c_mentions) = Int32GetDatum(static_cast<int32>(mentions));
            changed = true;
        }
    }

    int64 old_time = int8(c_last_time);
    if (int8(c_last_id) != message.id || old_time != message.time ||
        int8(c_last_sender) != message.sender || !same_text(column(c_last_type), message.type) ||
        !same_text(column(c_last_content), message.content) ||
        !same_text(column(c_last_sender_name), message.sender_name)) {
        column(c_last_id) = Int64GetDatum(message.id);
        column(c_last_type) = message.type;
        column(c_last_content) = message.content;
        column(c_last_sender) = Int64GetDatum(message.sender);
        column(c_last_sender_name) = message.sender_name;
        column(c_last_time) = Int64GetDatum(message.time);
        /* Rule 6: a later message reopens; an earlier one may close again. */
        if (message.time < old_time)
            to_reset.add(int8(c_user_id), int8(c_channel_id));
        else if (int8(c_closed_at) <= message.time)
            column(c_closed_at) = Int64GetDatum(0);
        changed = true;
    }
    if (changed)
        column(c_updated_at) = Int64GetDatum(pg::now_ms());
    return changed;
}

FanOut &begin_fan_out(Instance &instance, const pg::Vector<int64> &channels,
                      pg::Vector<int64> &senders, CommandId since)
{
    FanOut &fan = pg::make<FanOut>();
    fan.instance = &instance;
    fan.since = since;
    fan.batch_memory =
        AllocSetContextCreate(CurrentMemoryContext, "hermet fan-out", ALLOCSET_DEFAULT_SIZES);
    /* Where there is no channel row, there is no conversation: derived when the channel comes. */
    fan.states = &lock_channels(instance, channels);
    if (!fan.states->empty()) {
        fan.lock_senders(senders);
        fan.open_view();
    }
    return fan;
}

void fan_out(FanOut &fan, const MessageDeltas &deltas, int64 last)
{
    const pg::Vector<ChannelState> &states = *fan.states;
    MemoryContext caller = MemoryContextSwitchTo(fan.batch_memory);
    while (fan.done < states.size() && states[fan.done].id <= last) {
        size_t from = fan.done;
        while (fan.done < states.size() && fan.done - from < batch_size &&
               states[fan.done].id <= last)
            fan.done++;
        if (from < fan.last_from || fan.done > fan.last_from + fan.last.size())
            fan.read_last_messages(from, fan.done);
        fan.update_channels(from, fan.done);
        if (OidIsValid(fan.index))
            fan.update_rows(from, fan.done, deltas);
        MemoryContextReset(fan.batch_memory);
    }
    MemoryContextSwitchTo(caller);
}

void end_fan_out(FanOut &fan)
{
    Instance &instance = *fan.instance;
    if (fan.states->empty())
        return;
    table_close(fan.view, NoLock);
    if (!OidIsValid(fan.index)) {
        pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();
        for (const ChannelState &state : *fan.states)
            channels.push_back(state.id);
        Changes view, reverse;
        refresh_channels(instance, channels, view, reverse);
        return;
    }

    recount(instance, fan.to_recount);
    if (!fan.to_reset.empty())
        refresh_settings(instance, fan.to_reset, fan.since);
    if (!fan.drifted.empty()) {
        pg::make_unique(fan.drifted);
        note_incident(instance, Table::user_conversation_view, "channel_id", fan.drifted,
                      "a counter would have gone below zero");
    }
    pg::make_unique(fan.to_recompute);
    /* Where the very statement changed a channel, its trigger may be still to come, too. */
    pg::Vector<int64> &unfinished = pg::make<pg::Vector<int64>>();
    for (const ChannelState &state : *fan.states)
        if (written_since(state.written_by, state.written_in, fan.since))
            unfinished.push_back(state.id);
    recompute_channels(instance, fan.to_recompute, fan.since,
                       "a message found a conversation row too few or too many", &unfinished);
}

} // namespace hermet
