#include "metrics/metrics.h"
#include "read/derive.h"
#include "read/direct.h"
#include "pg/enum.h"

extern "C" {
#include "utils/datum.h"
}

namespace hermet {

namespace {

/* Rows of the inbox, while columns of them are changed. */
struct Rows {
    pg::Walk *walk; /* the current row */
    Source source;
    Datum now = Int64GetDatum(pg::now_ms());
    int64 seen = 0;
    MemoryContext memory; /* of the current row, or channel */
    MemoryContext caller;

    void begin(Instance &instance)
    {
        memory = AllocSetContextCreate(CurrentMemoryContext, "hermet row", ALLOCSET_SMALL_SIZES);
        source.begin(instance);
        caller = CurrentMemoryContext;
    }

    void end(int64 written)
    {
        MemoryContextSwitchTo(caller);
        source.end();
        metrics::count_rows(Table::user_conversation_view, metrics::Way::columns, seen);
        metrics::count_written(Table::user_conversation_view, 0, written, 0);
    }

    /* Sets a column where it differs. */
    bool set(int column, Datum value)
    {
        if (walk->same(column, value, false))
            return false;
        walk->set(column, value);
        return true;
    }

    /* Writes the current row as change() sets it: that returns whether it set anything. */
    template <class Change> void write(Change change)
    {
        seen++;
        do {
            if (!change())
                return;
            walk->set(view_row::updated_at, now);
        } while (!walk->write());
    }
};

/* Rows that are sought by their keys. */
struct RowsByKey : Rows {
    Walks walks;

    /* False, and nothing is open, if not directly. */
    bool begin(Instance &instance, std::initializer_list<Table> sources)
    {
        if (!Source::can_read(instance, sources))
            return false;
        Rows::begin(instance);
        walks.begin(instance, Table::user_conversation_view, 2, Use::update);
        if (walks.allows()) {
            MemoryContextSwitchTo(memory);
            return true;
        }
        walks.end();
        Rows::end(0);
        return false;
    }
    bool find(int64 channel, int64 user, bool *allowed)
    {
        walk = walks.find({channel, user}, allowed);
        return walk;
    }
    /* `others` were written besides. */
    void end(int64 others = 0)
    {
        int64 written = walks.written() + others;
        walks.end();
        Rows::end(written);
    }
};

/* All rows of channels. */
struct RowsOfChannels : Rows {
    ChannelRows rows;

    /* False, and nothing is open, if not directly. */
    bool begin(Instance &instance, std::initializer_list<Table> sources)
    {
        if (!Source::can_read(instance, sources))
            return false;
        Rows::begin(instance);
        if (rows.begin(source, Use::update)) {
            MemoryContextSwitchTo(memory);
            return true;
        }
        Rows::end(0);
        return false;
    }
    bool next()
    {
        walk = rows.next();
        return walk;
    }
    void end()
    {
        int64 written = rows.written();
        rows.end();
        Rows::end(written);
    }
};

/* Changes the rows of the keys; change(user, channel) sets columns. Keys left over. */
template <class Change>
ConversationKeys &refresh_rows(Instance &instance, const ConversationKeys &keys,
                               std::initializer_list<Table> sources, Change change)
{
    ConversationKeys &left = pg::make<ConversationKeys>();
    RowsByKey &rows = pg::make<RowsByKey>();
    if (!rows.begin(instance, sources)) {
        left = keys;
        return left;
    }
    for (size_t i = 0; i < keys.users.size(); i++) {
        int64 user = keys.users[i];
        int64 channel = keys.channels[i];
        if (!rows.find(channel, user, nullptr))
            left.add(user, channel);
        else
            rows.write([&] { return change(rows, user, channel); });
        if (rows.source.unclear()) {
            for (size_t rest = i; rest < keys.users.size(); rest++)
                left.add(keys.users[rest], keys.channels[rest]);
            break;
        }
        MemoryContextReset(rows.memory);
    }
    rows.end();
    return left;
}

/*
 * Changes all rows of channels. begin(channel) says whether the channel's rows are to be changed,
 * and how many there should be (-1: any number); change() sets columns.
 */
template <class Begin, class Change>
bool refresh_channels_rows(RowsOfChannels &rows, const pg::Vector<int64> &channels,
                           pg::Vector<int64> &odd, Begin begin, Change change)
{
    bool clear = true;
    for (int64 channel : channels) {
        int64 expected;
        MemoryContextReset(rows.memory);
        bool wanted = begin(channel, &expected);
        clear = !rows.source.unclear();
        if (!clear)
            break;
        if (!wanted)
            continue;
        int64 found = 0;
        rows.rows.seek(channel);
        for (; rows.next(); found++)
            rows.write(change);
        clear = !rows.rows.blocked();
        if (!clear)
            break;
        if (expected >= 0 && found != expected)
            odd.push_back(channel);
    }
    rows.end();
    return clear;
}

bool contains(const pg::Vector<int64> &ids, int64 id)
{
    return std::binary_search(ids.begin(), ids.end(), id);
}

/* An active group, and how many rows it should have (-1: a read node has some of them). */
bool is_group(Source &source, int64 channel, int64 *members)
{
    using namespace channel_row;
    const pg::Walk *c = source.find(Table::channel, {channel});
    if (!c || source.unclear() || !pg::is_label((*c)[type], "group") ||
        !pg::is_label((*c)[status], "active"))
        return false;
    *members = source.instance().is_node() ? -1 : DatumGetInt32((*c)[member_count]);
    return true;
}

/* What a row shows of a user who is the peer. */
bool set_peer(Rows &rows, const Profile &profile)
{
    using namespace view_row;
    const pg::Walk &row = *rows.walk;
    if (row.same(peer_nickname, profile.nickname, false) &&
        row.same(peer_avatar, profile.avatar, false) &&
        row.same(peer_status, profile.status, false) &&
        DatumGetInt32(row[version]) == profile.version)
        return false;
    /* The profile's values do not outlive the next user's. */
    Datum nickname = datumCopy(profile.nickname, false, -1);
    Datum picture = datumCopy(profile.avatar, false, -1);
    bool has_remark = VARSIZE_ANY_EXHDR(DatumGetPointer(row[remark])) > 0;
    rows.walk->set(peer_nickname, nickname);
    if (!has_remark)
        rows.walk->set(name, nickname);
    rows.walk->set(peer_avatar, picture);
    rows.walk->set(avatar, picture);
    rows.walk->set(peer_status, profile.status);
    rows.walk->set(version, Int32GetDatum(profile.version));
    return true;
}

} // namespace

ConversationKeys &refresh_cursors_directly(Instance &instance, const ConversationKeys &keys)
{
    return refresh_rows(
        instance, keys, {Table::channel_read_record, Table::message},
        [](Rows &rows, int64 user, int64 channel) {
            const pg::Walk *mark = rows.source.find(Table::channel_read_record, {user, channel});
            int64 cursor = mark ? mark->int8(read_row::last_read) : 0;
            Unread unread = count_unread(rows.source, user, channel, cursor,
                                         rows.walk->int8(view_row::opened_at));
            if (rows.source.unclear())
                return false;
            bool changed = rows.set(view_row::cursor, Int64GetDatum(cursor));
            changed |= rows.set(view_row::unread, Int32GetDatum(unread.messages));
            changed |= rows.set(view_row::mentions, Int32GetDatum(unread.mentions));
            return changed;
        });
}

ConversationKeys &refresh_settings_directly(Instance &instance, const ConversationKeys &keys)
{
    return refresh_rows(
        instance, keys, {Table::conversation_setting}, [](Rows &rows, int64 user, int64 channel) {
            namespace s = setting_row;
            namespace v = view_row;
            const pg::Walk *setting =
                rows.source.find(Table::conversation_setting, {user, channel});
            if (rows.source.unclear())
                return false;
            auto get = [&](int column) { return setting ? (*setting)[column] : Datum(0); };
            int64 closed =
                closing_time(DatumGetInt64(get(s::closed_at)), rows.walk->int8(v::last_time));
            bool changed = rows.set(v::muted, get(s::muted));
            changed |= rows.set(v::pinned, get(s::pinned));
            changed |= rows.set(v::hidden, get(s::hidden));
            changed |= rows.set(v::marked_unread, get(s::marked_unread));
            changed |= rows.set(v::closed_at, Int64GetDatum(closed));
            return changed;
        });
}

bool refresh_groups_directly(Instance &instance, const pg::Vector<int64> &channels,
                             pg::Vector<int64> &odd)
{
    RowsOfChannels &rows = pg::make<RowsOfChannels>();
    if (!rows.begin(instance, {Table::channel}))
        return false;
    Datum name, avatar, version;
    return refresh_channels_rows(
        rows, channels, odd,
        [&](int64 channel, int64 *members) {
            if (!is_group(rows.source, channel, members))
                return false;
            const pg::Walk &c = *rows.source.find(Table::channel, {channel});
            name = text_of(c, channel_row::name);
            avatar = text_of(c, channel_row::avatar);
            version = c[channel_row::version];
            return true;
        },
        [&] {
            bool changed = rows.set(view_row::name, name);
            changed |= rows.set(view_row::avatar, avatar);
            changed |= rows.set(view_row::version, version);
            return changed;
        });
}

bool refresh_sender_names_directly(Instance &instance, const pg::Vector<int64> &channels,
                                   pg::Vector<int64> &odd)
{
    RowsOfChannels &rows = pg::make<RowsOfChannels>();
    if (!rows.begin(instance,
                    {Table::channel, Table::channel_member, Table::message, Table::biz_user}))
        return false;
    Datum name;
    return refresh_channels_rows(
        rows, channels, odd,
        [&](int64 channel, int64 *members) {
            if (!is_group(rows.source, channel, members))
                *members = -1;
            name = read_last_message(rows.source, channel).sender_name;
            return true;
        },
        [&] { return rows.set(view_row::last_sender_name, name); });
}

bool find_rows_of_friends_directly(Instance &instance, const pg::Vector<int64> &users,
                                   const pg::Vector<int64> &friends, ConversationKeys &keys)
{
    if (!Source::can_read(instance, {Table::conversation_reverse_index}))
        return false;
    Source &source = pg::make<Source>();
    source.begin(instance);
    for (size_t i = 0; i < users.size(); i++) {
        pg::Walk *row = source.scan(Table::conversation_reverse_index, {friends[i], users[i]});
        while (source.next(row))
            keys.add(users[i], row->int8(reverse_row::channel));
    }
    source.end();
    return !source.blocked();
}

bool find_spoken_directly(Instance &instance, const pg::Result &conversations,
                          pg::Vector<int64> &channels)
{
    Source &source = pg::make<Source>();
    source.begin(instance);
    size_t before = channels.size();
    for (uint64 i = 0; i < conversations.count; i++) {
        int64 channel = conversations.int8(i, 0);
        int64 user = conversations.int8(i, 1);
        if (i > 0 && conversations.int8(i - 1, 0) == channel &&
            conversations.int8(i - 1, 1) == user)
            continue; /* the membership, after the stored row */
        if (conversations.int8(i, 3) == user ||
            is_last_sender(source, channel, user, conversations.int8(i, 2)))
            channels.push_back(channel);
    }
    source.end();
    if (source.blocked())
        channels.resize(before);
    return !source.blocked();
}

bool refresh_profiles_directly(Instance &instance, const pg::Vector<int64> &users,
                               const pg::Vector<int64> &spoken)
{
    namespace v = view_row;
    RowsByKey &rows = pg::make<RowsByKey>();
    if (!rows.begin(instance, {Table::biz_user, Table::channel_member,
                               Table::user_conversation_view, Table::conversation_reverse_index}))
        return false;
    MemoryContextSwitchTo(rows.caller);
    ChannelRows &rows_of_spoken = pg::make<ChannelRows>();
    if (!rows_of_spoken.begin(rows.source, Use::update)) {
        rows.end();
        return false;
    }
    Deriver &deriver = pg::make<Deriver>();
    deriver.begin(rows.source, type_of_peer_status(instance), 0);

    /* Rows whose peer is one of them; where one spoke last, all rows are gone through anyway. */
    pg::Vector<std::pair<int64, int64>> &keys = pg::make<pg::Vector<std::pair<int64, int64>>>();
    for (int64 user : users) {
        pg::Walk *row = rows.source.scan(Table::conversation_reverse_index, {user});
        while (rows.source.next(row))
            if (!contains(spoken, row->int8(reverse_row::channel)))
                keys.push_back({row->int8(reverse_row::channel), row->int8(reverse_row::owner)});
    }
    pg::make_unique(keys);
    MemoryContextSwitchTo(rows.memory);

    /* Whether a channel shows a sender by his profile's name: asked once for all its rows. */
    struct {
        bool known;
        int64 channel;
        int64 user;
        bool by_profile;
    } sender = {};
    auto is_shown_by_profile = [&](int64 channel, int64 user) {
        if (!sender.known || sender.channel != channel || sender.user != user) {
            const pg::Walk *member = rows.source.find(Table::channel_member, {channel, user});
            bool by_profile =
                member && VARSIZE_ANY_EXHDR(DatumGetPointer((*member)[member_row::nickname])) == 0;
            sender = {true, channel, user, by_profile};
        }
        return sender.by_profile;
    };

    /*
     * Only by the row's own columns and the profiles that are locked: while this waits for a row, a
     * message may change its sender, a friendship its remark.
     */
    auto change = [&] {
        if (rows.source.unclear())
            return false;
        bool changed = false;
        const pg::Walk &row = *rows.walk;
        if (!row.is_null(v::peer) && !row.is_null(v::remark) && contains(users, row.int8(v::peer)))
            changed = set_peer(rows, deriver.profile(row.int8(v::peer)));
        int64 last = row.int8(v::last_sender);
        if (!spoken.empty() && row.int8(v::last_id) != 0 && contains(users, last) &&
            is_shown_by_profile(row.int8(v::channel), last))
            changed |=
                rows.set(v::last_sender_name, datumCopy(deriver.profile(last).nickname, false, -1));
        return changed;
    };
    bool clear = !rows.source.unclear();
    auto write = [&] {
        rows.write(change);
        clear = !rows.source.unclear();
        MemoryContextReset(rows.memory);
    };

    /* Both in order of the channels. */
    size_t key = 0;
    size_t place = 0;
    while (clear && (key < keys.size() || place < spoken.size())) {
        if (place == spoken.size() || (key < keys.size() && keys[key].first < spoken[place])) {
            if (rows.find(keys[key].first, keys[key].second, &clear))
                write();
            key++;
            continue;
        }
        rows_of_spoken.seek(spoken[place++]);
        while (clear && (rows.walk = rows_of_spoken.next()))
            write();
        clear = clear && !rows_of_spoken.blocked();
    }
    int64 written = rows_of_spoken.written();
    rows_of_spoken.end();
    rows.end(written);
    return clear;
}

} // namespace hermet
