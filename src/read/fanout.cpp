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

/* What one user's row differs in from everybody's. */
struct Exception {
    int64 own = 0;        /* countable messages that the user sent himself */
    int64 own_to_all = 0; /* those of them that mention everyone */
    int64 mentioned = 0;  /* by name, by others, and not with everyone */
};

/* The deltas of one channel, added up for rows to which all of them are new. */
struct Sum {
    const MessageDelta *first;
    const MessageDelta *last;
    int64 min_id = PG_INT64_MAX;
    int64 min_sent_at = PG_INT64_MAX;
    int64 unread = 0;
    int64 to_all = 0;
    pg::Map<int64, Exception> exceptions;

    Sum(const MessageDelta *begin, const MessageDelta *end) : first(begin), last(end)
    {
        for (const MessageDelta *m = begin; m != end; m++) {
            if (!m->countable)
                continue;
            min_id = Min(min_id, m->id);
            min_sent_at = Min(min_sent_at, m->sent_at);
            unread += m->sign;
            Exception &sender = exceptions[m->sender];
            sender.own += m->sign;
            if (m->mention_all) {
                to_all += m->sign;
                sender.own_to_all += m->sign;
                continue;
            }
            for (int i = 0; i < m->mentions; i++)
                if (m->mentioned[i] != m->sender)
                    exceptions[m->mentioned[i]].mentioned += m->sign;
        }
    }

    /* Rule 5 for the row of a user who has read up to `cursor` and joined at `joined_at`. */
    void count(int64 user, int64 cursor, int64 joined_at, int64 *unread_out,
               int64 *mentions_out) const
    {
        if (cursor < min_id && joined_at <= min_sent_at) {
            *unread_out = unread;
            *mentions_out = to_all;
            auto found = exceptions.find(user);
            if (found != exceptions.end()) {
                *unread_out -= found->second.own;
                *mentions_out += found->second.mentioned - found->second.own_to_all;
            }
            return;
        }
        *unread_out = *mentions_out = 0;
        for (const MessageDelta *m = first; m != last; m++) {
            if (!m->countable || m->id <= cursor || m->sender == user || m->sent_at < joined_at)
                continue;
            *unread_out += m->sign;
            if (m->mention_all ||
                std::binary_search(m->mentioned, m->mentioned + m->mentions, user))
                *mentions_out += m->sign;
        }
    }
};

bool same_text(Datum a, Datum b)
{
    return datum_image_eq(a, b, false, -1);
}

/* The pass over one view, channel by channel. */
struct FanOut {
    Instance *instance;
    CommandId since;
    Relation view;
    Oid index;
    AttrNumber at[view_column_count];
    ConversationKeys *to_recount;
    ConversationKeys *to_reset; /* rows whose closed_at has to be looked up again */
    pg::Vector<int64> *broken;  /* channels with a row that has a NULL where none may be */
    pg::Vector<int64> *drifted; /* channels with a counter that could not take the delta */

    bool open()
    {
        view = table_open(instance->oid(Table::user_conversation_view), RowExclusiveLock);
        if (!pg::can_walk(view, "hermet_guard"))
            return false;
        pg::find_columns(view, view_columns, view_column_count, at);
        index = pg::find_unique_index(view, at[c_channel_id], at[c_user_id]);
        return OidIsValid(index);
    }

    void close() { table_close(view, NoLock); }

    /* The number of rows of the channel. */
    uint64 channel(int64 id, const LastMessage &last, const Sum &sum)
    {
        pg::Walk &walk = pg::make<pg::Walk>();
        walk.begin(view, index, id, since);
        while (walk.next()) {
            do {
                if (!row(walk, last, sum))
                    break;
            } while (!walk.write());
        }
        uint64 rows = walk.rows();
        walk.end();
        return rows;
    }

    /* Sets what changes in the current row; false if nothing does. */
    bool row(pg::Walk &walk, const LastMessage &last, const Sum &sum)
    {
        Datum *values = walk.values();
        auto column = [&](ViewColumn c) -> Datum & { return values[at[c] - 1]; };
        auto int8 = [&](ViewColumn c) { return DatumGetInt64(column(c)); };
        bool changed = false;

        for (AttrNumber number : at) {
            if (walk.nulls()[number - 1]) {
                broken->push_back(int8(c_channel_id));
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
                to_recount->add(int8(c_user_id), int8(c_channel_id));
                if (!walk.written_since())
                    drifted->push_back(int8(c_channel_id));
            }
            else {
                column(c_unread) = Int32GetDatum(static_cast<int32>(unread));
                column(c_mentions) = Int32GetDatum(static_cast<int32>(mentions));
                changed = true;
            }
        }

        int64 old_time = int8(c_last_time);
        if (int8(c_last_id) != last.id || old_time != last.time ||
            int8(c_last_sender) != last.sender || !same_text(column(c_last_type), last.type) ||
            !same_text(column(c_last_content), last.content) ||
            !same_text(column(c_last_sender_name), last.sender_name)) {
            column(c_last_id) = Int64GetDatum(last.id);
            column(c_last_type) = last.type;
            column(c_last_content) = last.content;
            column(c_last_sender) = Int64GetDatum(last.sender);
            column(c_last_sender_name) = last.sender_name;
            column(c_last_time) = Int64GetDatum(last.time);
            /* Rule 6: a later message reopens; an earlier one may close again. */
            if (last.time < old_time)
                to_reset->add(int8(c_user_id), int8(c_channel_id));
            else if (int8(c_closed_at) <= last.time)
                column(c_closed_at) = Int64GetDatum(0);
            changed = true;
        }
        if (changed)
            column(c_updated_at) = Int64GetDatum(pg::now_ms());
        return changed;
    }
};

/*
 * The last messages of the channels, read again until the profiles of all their senders are locked.
 * Nearly always once: the sender of the message with the highest id is locked beforehand.
 */
pg::Vector<LastMessage> &read_last_messages(Instance &instance,
                                            const pg::Vector<MessageDelta> &deltas,
                                            const pg::Vector<int64> &channels)
{
    pg::Vector<LastMessage> &last = pg::make<pg::Vector<LastMessage>>();
    pg::Set<int64> &locked = pg::make<pg::Set<int64>>();
    pg::Vector<int64> &senders = pg::make<pg::Vector<int64>>();

    const MessageDelta *highest = nullptr;
    for (const MessageDelta &delta : deltas) {
        if (highest && highest->channel != delta.channel) {
            senders.push_back(highest->sender);
            highest = nullptr;
        }
        if (delta.sign > 0 && (!highest || delta.id > highest->id))
            highest = &delta;
    }
    if (highest)
        senders.push_back(highest->sender);
    pg::make_unique(senders);

    Datum array = pg::int8_array(channels);
    for (;;) {
        lock_profiles(instance, senders, false);
        locked.insert(senders.begin(), senders.end());
        senders.clear();

        pg::Result rows = run(instance, select_last_messages, {array});
        last.clear();
        last.reserve(rows.count);
        for (uint64 i = 0; i < rows.count; i++) {
            last.push_back({rows.int8(i, 1), rows.int8(i, 4), rows.int8(i, 5), rows.value(i, 2),
                            rows.value(i, 3), rows.value(i, 6)});
            if (last.back().id != 0 && !locked.count(last.back().sender))
                senders.push_back(last.back().sender);
        }
        if (senders.empty())
            return last;
        pg::make_unique(senders);
    }
}

} // namespace

void fan_out(Instance &instance, pg::Vector<MessageDelta> &deltas,
             const pg::Vector<int64> &channels, CommandId since)
{
    pg::Vector<ChannelState> &states = lock_channels(instance, channels);
    if (states.empty())
        return; /* no channel row, no conversation: derived when the channel comes */
    std::sort(deltas.begin(), deltas.end(),
              [](const MessageDelta &a, const MessageDelta &b) { return a.channel < b.channel; });

    pg::Vector<int64> &existing = pg::make<pg::Vector<int64>>();
    existing.reserve(states.size());
    for (const ChannelState &state : states)
        existing.push_back(state.id);
    pg::Vector<LastMessage> &last = read_last_messages(instance, deltas, existing);

    pg::Vector<int64> &last_ids = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &last_times = pg::make<pg::Vector<int64>>();
    for (const LastMessage &message : last) {
        last_ids.push_back(message.id);
        last_times.push_back(message.time);
    }
    run(instance, update_last_messages,
        {pg::int8_array(existing), pg::int8_array(last_ids), pg::int8_array(last_times)});

    FanOut fan = {};
    fan.instance = &instance;
    fan.since = since;
    fan.to_recount = &pg::make<ConversationKeys>();
    fan.to_reset = &pg::make<ConversationKeys>();
    fan.broken = &pg::make<pg::Vector<int64>>();
    fan.drifted = &pg::make<pg::Vector<int64>>();
    if (!fan.open()) {
        fan.close();
        Changes view, reverse;
        refresh_channels(instance, existing, view, reverse);
        return;
    }

    pg::Vector<int64> &short_of_rows = pg::make<pg::Vector<int64>>();
    const MessageDelta *delta = deltas.data();
    const MessageDelta *end = delta + deltas.size();
    for (size_t i = 0; i < states.size(); i++) {
        const ChannelState &state = states[i];
        while (delta != end && delta->channel < state.id)
            delta++;
        const MessageDelta *first = delta;
        while (delta != end && delta->channel == state.id)
            delta++;
        if (!state.active)
            continue;
        const Sum &sum = pg::make<Sum>(first, delta);
        uint64 rows = fan.channel(state.id, last[i], sum);
        /* A single channel of one member has no rows. */
        bool complete = rows == static_cast<uint64>(state.member_count) ||
                        (state.single && rows == 0 && state.member_count == 1);
        if (!complete)
            short_of_rows.push_back(state.id);
    }
    fan.close();

    recount(instance, *fan.to_recount);
    if (!fan.to_reset->empty())
        refresh_settings(instance, *fan.to_reset, since);
    if (!fan.drifted->empty()) {
        pg::make_unique(*fan.drifted);
        note_incident(instance, Table::user_conversation_view, "channel_id", *fan.drifted,
                      "a counter would have gone below zero");
    }
    short_of_rows.insert(short_of_rows.end(), fan.broken->begin(), fan.broken->end());
    pg::make_unique(short_of_rows);
    /* Where the very statement changed a channel, its trigger may be still to come, too. */
    pg::Vector<int64> &unfinished = pg::make<pg::Vector<int64>>();
    for (const ChannelState &state : states)
        if (written_since(state.written_by, state.written_in, since))
            unfinished.push_back(state.id);
    recompute_channels(instance, short_of_rows, since,
                       "a message found a conversation row too few or too many", &unfinished);
}

} // namespace hermet
