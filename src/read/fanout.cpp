#include "read/fanout.h"

#include "metrics/metrics.h"
#include "read/columns.h"
#include "read/derive.h"
#include "read/incident.h"
#include "read/last_message.h"

extern "C" {
#include "access/table.h"
#include "utils/datum.h"
}

namespace hermet {

namespace {

const pg::Statement update_last_messages = {R"(
UPDATE {s}.channel c SET last_message_id = k.last_message_id, last_message_at = k.last_message_at
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (id, last_message_id, last_message_at)
 WHERE c.id = k.id AND (c.last_message_id, c.last_message_at) <> (k.last_message_id, k.last_message_at))",
                                            {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
                                            nullptr,
                                            true};

/*
 * The columns of a conversation row that a message reads or changes; none may be NULL. The last one
 * is not in every instance.
 */
constexpr int touched[] = {
    view_row::last_id,          view_row::last_type, view_row::last_content, view_row::last_sender,
    view_row::last_sender_name, view_row::last_time, view_row::cursor,       view_row::unread,
    view_row::mentions,         view_row::opened_at, view_row::closed_at,    view_row::updated_at,
    view_row::list_hour};

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

    /*
     * The last messages of states[last_from..], in memory of their own, and what they were read
     * from: open as long as they are needed, for the conversation rows.
     */
    pg::Vector<LastMessage> last;
    size_t last_from = 0;
    MemoryContext last_memory = nullptr;
    Source source;
    bool reading = false;

    bool direct = true;       /* else the definition derives all rows in the end */
    pg::Walk *walk = nullptr; /* the current row */
    int64 seen = 0;           /* conversation rows, and those that were written */
    int64 written = 0;

    ConversationKeys to_recount;
    ConversationKeys to_reset;      /* rows whose closed_at has to be looked up again */
    pg::Vector<int64> to_recompute; /* channels that have too few rows, or one with a NULL */
    pg::Vector<int64> drifted;      /* channels with a counter that could not take the delta */
    pg::Vector<int64> blocked;      /* channels that the definition derives: see ChannelRows */

    pg::Vector<int64> &ids(size_t from, size_t to) const;
    void lock_senders(pg::Vector<int64> &senders);
    void read_last(size_t from, size_t to);
    void end_reading();
    void update_channels(size_t from, size_t to);
    void update_rows(size_t from, size_t to, const MessageDeltas &deltas);
    bool change_row(const LastMessage &message);
};

pg::Vector<int64> &FanOut::ids(size_t from, size_t to) const
{
    pg::Vector<int64> &ids = pg::make<pg::Vector<int64>>();
    ids.reserve(to - from);
    for (size_t i = from; i < to; i++)
        ids.push_back((*states)[i].id);
    return ids;
}

/* The last messages of states[from..to-1]. */
void FanOut::read_last(size_t from, size_t to)
{
    end_reading();
    last.clear();
    last_from = from;
    MemoryContextReset(last_memory);
    MemoryContext caller = MemoryContextSwitchTo(last_memory);
    source.begin(*instance);
    reading = true;
    /* The rows of a single channel will be looked for by its members: so is its sender. */
    if (to - from == 1 && instance->is_spread(Table::user_conversation_view))
        source.members((*states)[from].id);
    read_last_messages(source, ids(from, to), last);
    MemoryContextSwitchTo(caller);
}

void FanOut::end_reading()
{
    if (reading)
        source.end();
    reading = false;
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
            read_last(from, Min(from + batch_size, states->size()));
            for (const LastMessage &message : last)
                if (message.id != 0 && !locked.count(message.sender))
                    senders.push_back(message.sender);
        }
    } while (!senders.empty());
}

/* What the channels' own columns say of their last messages. */
void FanOut::update_channels(size_t from, size_t to)
{
    using namespace channel_row;
    pg::Vector<int64> &left = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &last_ids = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &last_times = pg::make<pg::Vector<int64>>();
    Walks &channels = pg::make<Walks>();
    pg::push_fresh_snapshot();
    channels.begin(*instance, Table::channel, 1, Use::update);
    for (size_t i = from; i < to; i++) {
        const LastMessage &message = last[i - last_from];
        bool allowed;
        pg::Walk *channel = channels.find({(*states)[i].id}, &allowed);
        if (!allowed) {
            left.push_back((*states)[i].id);
            last_ids.push_back(message.id);
            last_times.push_back(message.time);
        }
        if (!channel)
            continue;
        do {
            if (!channel->is_null(last_id) && channel->int8(last_id) == message.id &&
                !channel->is_null(last_at) && channel->int8(last_at) == message.time)
                break;
            channel->set(last_id, Int64GetDatum(message.id));
            channel->set(last_at, Int64GetDatum(message.time));
        } while (!channel->write());
    }
    int64 rows_written = channels.written();
    channels.end();
    PopActiveSnapshot();
    metrics::count_written(Table::channel, 0, rows_written, 0);
    if (left.empty())
        return;

    pg::Result rows =
        run(*instance, update_last_messages,
            {pg::int8_array(left), pg::int8_array(last_ids), pg::int8_array(last_times)});
    metrics::count_written(Table::channel, 0, static_cast<int64>(rows.count), 0);
}

/* The conversation rows of states[from..to-1], in the order of the index. */
void FanOut::update_rows(size_t from, size_t to, const MessageDeltas &deltas)
{
    const MessageDelta *delta = deltas.messages.data();
    const MessageDelta *end = delta + deltas.messages.size();
    delta = std::lower_bound(delta, end, (*states)[from].id,
                             [](const MessageDelta &d, int64 id) { return d.channel < id; });
    ChannelRows &rows = pg::make<ChannelRows>();
    if (!rows.begin(source, Use::update)) {
        direct = false;
        return;
    }
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
        int64 found = 0;
        rows.seek(state.id);
        while ((walk = rows.next())) {
            found++;
            do {
                if (!change_row(message))
                    break;
            } while (!walk->write());
        }
        seen += found;
        /* A single channel of one member has no rows. */
        bool complete = instance->is_node() || found == state.member_count ||
                        (state.single && found == 0 && state.member_count == 1);
        if (rows.blocked())
            blocked.push_back(state.id);
        else if (!complete)
            to_recompute.push_back(state.id);
    }
    written += rows.written();
    rows.end();
}

/* Sets what changes in the current row; false if nothing does. */
bool FanOut::change_row(const LastMessage &message)
{
    using namespace view_row;
    int64 channel = walk->int8(view_row::channel);
    int64 user = walk->int8(view_row::user);
    bool changed = false;

    bool ordered = instance->has_list_hour;
    for (int column : touched) {
        if ((column != list_hour || ordered) && walk->is_null(column)) {
            to_recompute.push_back(channel);
            return false;
        }
    }

    int64 more_unread, more_mentions;
    sum.count(user, walk->int8(cursor), walk->int8(opened_at), &more_unread, &more_mentions);
    if (more_unread != 0 || more_mentions != 0) {
        int64 new_unread = DatumGetInt32((*walk)[unread]) + more_unread;
        int64 new_mentions = DatumGetInt32((*walk)[mentions]) + more_mentions;
        bool counted = written_since(walk->written_by(), walk->written_in(), since);
        bool fits = new_unread >= 0 && new_mentions >= 0 && new_unread <= PG_INT32_MAX;
        if (counted || !fits) {
            to_recount.add(user, channel);
            if (!counted)
                drifted.push_back(channel);
        }
        else {
            walk->set(unread, Int32GetDatum(static_cast<int32>(new_unread)));
            walk->set(mentions, Int32GetDatum(static_cast<int32>(new_mentions)));
            changed = true;
        }
    }

    int64 old_time = walk->int8(last_time);
    if (walk->int8(last_id) != message.id || old_time != message.time ||
        walk->int8(last_sender) != message.sender || !same_text((*walk)[last_type], message.type) ||
        !same_text((*walk)[last_content], message.content) ||
        !same_text((*walk)[last_sender_name], message.sender_name)) {
        walk->set(last_id, Int64GetDatum(message.id));
        walk->set(last_type, message.type);
        walk->set(last_content, message.content);
        walk->set(last_sender, Int64GetDatum(message.sender));
        walk->set(last_sender_name, message.sender_name);
        walk->set(last_time, Int64GetDatum(message.time));
        if (ordered && walk->int8(list_hour) != 0)
            walk->set(list_hour, Int64GetDatum(hour_of(message.time, walk->int8(opened_at))));
        /* Rule 6: a later message reopens; an earlier one may close again. */
        if (message.time < old_time)
            to_reset.add(user, channel);
        else if (walk->int8(closed_at) <= message.time)
            walk->set(closed_at, Int64GetDatum(0));
        changed = true;
    }
    if (changed)
        walk->set(updated_at, Int64GetDatum(pg::now_ms()));
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
    fan.last_memory =
        AllocSetContextCreate(CurrentMemoryContext, "hermet last messages", ALLOCSET_DEFAULT_SIZES);
    /* Where there is no channel row, there is no conversation: derived when the channel comes. */
    fan.states = &lock_channels(instance, channels);
    if (!fan.states->empty())
        fan.lock_senders(senders);
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
            fan.read_last(from, fan.done);
        fan.update_channels(from, fan.done);
        if (fan.direct)
            fan.update_rows(from, fan.done, deltas);
        MemoryContextReset(fan.batch_memory);
    }
    MemoryContextSwitchTo(caller);
}

void end_fan_out(FanOut &fan)
{
    Instance &instance = *fan.instance;
    fan.end_reading();
    if (fan.states->empty()) {
        metrics::observe_fan_out(0);
        return;
    }
    if (!fan.direct) {
        pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();
        for (const ChannelState &state : *fan.states)
            channels.push_back(state.id);
        Changes view, reverse;
        refresh_channels(instance, channels, view, reverse);
        metrics::observe_fan_out(view.total());
        return;
    }
    metrics::observe_fan_out(fan.seen);
    metrics::count_rows(Table::user_conversation_view, metrics::Way::delta, fan.seen);
    metrics::count_written(Table::user_conversation_view, 0, fan.written, 0);

    Changes view, reverse;
    if (!fan.blocked.empty())
        refresh_channels(instance, fan.blocked, view, reverse);
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
