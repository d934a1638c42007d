#include "read/direct.h"

#include "metrics/metrics.h"
#include "read/derive.h"
#include "pg/enum.h"
#include "pg/store.h"

namespace hermet {

namespace {

/* A table of the read side, opened to be written. */
struct Target {
    Table table;
    int stamp;
    int64 now;
    Leaves<pg::Store> leaves;

    /* False, and nothing is open, if rows cannot be written directly. */
    bool open(Instance &instance)
    {
        leaves.begin(instance, table, Use::write);
        if (leaves.allows(starter()))
            return true;
        leaves.end();
        return false;
    }
    /* NULL: this leaf does not allow it. */
    pg::Store *at(int64 shard_key) { return leaves.at(shard_key, starter()); }

  private:
    struct Starter {
        int stamp;
        int64 now;
        void operator()(pg::Store &store, Relation relation, const pg::Path &path,
                        pg::Workspace &space) const
        {
            store.begin(relation, path, stamp, now, space);
        }
    };
    Starter starter() const { return {stamp, now}; }
};

void count(Changes &changes, pg::Effect effect)
{
    changes.inserted += effect == pg::Effect::inserted;
    changes.updated += effect == pg::Effect::updated;
    changes.deleted += effect == pg::Effect::deleted;
}

/* A row of a reverse index that is to be there, or not. */
struct ReverseRow {
    int64 key[3];
    bool exists;
    int64 created_at;
};

/* A view and its reverse index, while rows of them are refreshed. */
struct Refresh {
    Target view;
    Target reverse;
    int64 now = pg::now_ms();
    Source source{};
    Deriver deriver{};
    pg::Vector<ReverseRow> reverse_rows;
    MemoryContext memory; /* of the current row */
    MemoryContext caller;

    Refresh(Table view_table, int stamp, Table reverse_table)
    {
        view.table = view_table;
        view.stamp = stamp;
        reverse.table = reverse_table;
        reverse.stamp = -1;
        view.now = reverse.now = now;
    }

    /* Under the snapshot of the source. False, and nothing is open, if not directly. */
    bool begin(Instance &instance, Oid status_type)
    {
        source.begin(instance);
        if (!view.open(instance)) {
            source.end();
            return false;
        }
        if (!reverse.open(instance)) {
            view.leaves.end();
            source.end();
            return false;
        }
        memory = AllocSetContextCreate(CurrentMemoryContext, "hermet row", ALLOCSET_SMALL_SIZES);
        deriver.begin(source, status_type, now);
        caller = MemoryContextSwitchTo(memory);
        return true;
    }

    /* The row of the view that was looked for last becomes what was derived, or goes. */
    void write_row(pg::Store &store, bool exists, const Datum *values, const bool *nulls,
                   Changes &changes)
    {
        count(changes, exists ? store.put(values, nulls) : store.erase());
        MemoryContextReset(memory);
    }

    /*
     * Remembers a row of the reverse index. False if its leaf does not allow it: known before the
     * row of the view is written, as a statement could not find the old peer any more.
     */
    bool note(const ReverseRow &row)
    {
        reverse_rows.push_back(row);
        return reverse.at(row.key[0]);
    }

    /* After all rows of the view: that is the order of locks. */
    void write_reverse_rows(int keys, Changes &changes)
    {
        for (const ReverseRow &row : reverse_rows) {
            const int64 *key = row.key;
            pg::Store *store = reverse.at(key[0]);
            keys == 3 ? store->find({key[0], key[1], key[2]}) : store->find({key[0], key[1]});
            Datum values[4] = {Int64GetDatum(key[0]), Int64GetDatum(key[1]), Int64GetDatum(key[2])};
            values[keys] = Int64GetDatum(row.created_at);
            bool nulls[4] = {};
            count(changes, row.exists ? store->put(values, nulls) : store->erase());
            MemoryContextReset(memory);
        }
    }

    void end()
    {
        MemoryContextSwitchTo(caller);
        reverse.leaves.end();
        view.leaves.end();
        source.end();
    }
};

} // namespace

size_t refresh_conversations_directly(Instance &instance, const ConversationKeys &keys,
                                      Changes &view, Changes &reverse)
{
    Refresh &refresh =
        pg::make<Refresh>(Table::user_conversation_view, static_cast<int>(view_row::updated_at),
                          Table::conversation_reverse_index);
    ConversationRow &row = pg::make<ConversationRow>();
    if (!Deriver::can_derive_conversations(instance) ||
        !refresh.begin(instance, type_of_peer_status(instance)))
        return 0;

    size_t done = 0;
    for (; done < keys.users.size(); done++) {
        int64 user = keys.users[done];
        int64 channel = keys.channels[done];
        pg::Store *store = refresh.view.at(user);
        bool exists = store && refresh.deriver.conversation(user, channel, row);
        if (!store || refresh.source.unclear())
            break;
        bool has_peer = exists && !row.nulls[view_row::peer];
        int64 peer = has_peer ? DatumGetInt64(row.values[view_row::peer]) : 0;

        const pg::Walk *stored = store->find({channel, user});
        size_t noted = refresh.reverse_rows.size();
        bool allowed = true;
        if (stored && !stored->is_null(view_row::peer) &&
            !(has_peer && stored->int8(view_row::peer) == peer))
            allowed = refresh.note({{stored->int8(view_row::peer), user, channel}, false, 0});
        if (has_peer)
            allowed &= refresh.note(
                {{peer, user, channel}, true, DatumGetInt64(row.values[view_row::created_at])});
        if (!allowed) {
            refresh.reverse_rows.resize(noted);
            break;
        }
        refresh.write_row(*store, exists, row.values, row.nulls, view);
    }
    refresh.write_reverse_rows(3, reverse);
    refresh.end();
    return done;
}

size_t refresh_contacts_directly(Instance &instance, const ContactKeys &keys, Changes &view,
                                 Changes &reverse)
{
    Refresh &refresh =
        pg::make<Refresh>(Table::user_contact_view, static_cast<int>(contact_row::updated_at),
                          Table::contact_reverse_index);
    ContactRow &row = pg::make<ContactRow>();
    if (!Deriver::can_derive_contacts(instance) || !refresh.begin(instance, InvalidOid))
        return 0;

    size_t done = 0;
    for (; done < keys.users.size(); done++) {
        int64 user = keys.users[done];
        int64 contact = keys.contacts[done];
        bool live = false;
        pg::Store *store = refresh.view.at(user);
        bool exists = store && refresh.deriver.contact(user, contact, row, &live);
        if (!store || refresh.source.unclear())
            break;
        bool allowed =
            refresh.note({{contact, user, 0},
                          live,
                          live ? DatumGetInt64(row.values[contact_row::created_at]) : 0});
        if (!allowed) {
            refresh.reverse_rows.pop_back();
            break;
        }
        store->find({user, contact});
        refresh.write_row(*store, exists, row.values, row.nulls, view);
    }
    refresh.write_reverse_rows(2, reverse);
    refresh.end();
    return done;
}

ContactKeys &refresh_friends_directly(Instance &instance, const ContactKeys &keys)
{
    namespace c = contact_row;
    ContactKeys &left = pg::make<ContactKeys>();
    Source &source = pg::make<Source>();
    Walks &book = pg::make<Walks>();
    source.begin(instance);
    book.begin(instance, Table::user_contact_view, 2, Use::write);
    if (!Source::can_read(instance, {Table::biz_user}) || !book.allows()) {
        book.end();
        source.end();
        left = keys;
        return left;
    }
    Deriver &deriver = pg::make<Deriver>();
    deriver.begin(source, InvalidOid, 0);
    Datum now = Int64GetDatum(pg::now_ms());
    for (size_t i = 0; i < keys.users.size(); i++) {
        const Profile &profile = deriver.profile(keys.contacts[i]);
        pg::Walk *row = book.find({keys.users[i], keys.contacts[i]});
        if (profile.deleted || source.unclear() || !row) {
            left.add(keys.users[i], keys.contacts[i]);
            continue;
        }
        pg::Walk &walk = *row;
        const std::pair<int, Datum> columns[] = {{c::nickname, profile.nickname},
                                                 {c::avatar, profile.avatar},
                                                 {c::version, Int32GetDatum(profile.version)},
                                                 {c::mobile, profile.mobile},
                                                 {c::updated_at, now}};
        auto differs = [&] {
            return std::any_of(columns, columns + lengthof(columns) - 1, [&](const auto &column) {
                return !walk.same(column.first, column.second, false);
            });
        };
        do {
            if (!differs())
                break;
            for (const auto &column : columns)
                walk.set(column.first, column.second);
        } while (!walk.write());
    }
    int64 written = book.written();
    book.end();
    source.end();
    metrics::count_written(Table::user_contact_view, 0, written, 0);
    metrics::count_rows(Table::user_contact_view, metrics::Way::columns,
                        static_cast<int64>(keys.users.size() - left.users.size()));
    return left;
}

bool find_guards_directly(Instance &instance, const ConversationKeys &keys,
                          pg::Vector<int64> &owners, pg::Vector<int64> &profiles)
{
    namespace v = view_row;
    if (!Source::can_read(instance, {Table::channel, Table::channel_member, Table::message,
                                     Table::user_conversation_view}))
        return false;
    Source &source = pg::make<Source>();
    source.begin(instance);
    bool single = false;
    for (size_t i = 0; i < keys.users.size(); i++) {
        int64 user = keys.users[i];
        int64 channel = keys.channels[i];
        if (i == 0 || channel != keys.channels[i - 1]) {
            const pg::Walk *c = source.find(Table::channel, {channel});
            single = c && !c->is_null(channel_row::type) &&
                     pg::is_label((*c)[channel_row::type], "single");
            if (single) {
                pg::Walk *member = source.scan(Table::channel_member, {channel});
                while (source.next(member))
                    profiles.push_back(member->int8(member_row::user));
            }
            pg::Walk *message = source.scan(Table::message, {channel});
            while (c && source.next(message, BackwardScanDirection)) {
                if (message->int8(message_row::deleted_at) != 0)
                    continue;
                profiles.push_back(message->int8(message_row::sender));
                break;
            }
        }
        profiles.push_back(user);
        const pg::Walk *stored = source.find(Table::user_conversation_view, {channel, user});
        bool was_single = stored && !stored->is_null(v::peer);
        if (single || was_single)
            owners.push_back(user);
        if (was_single)
            profiles.push_back(stored->int8(v::peer));
        if (stored && stored->int8(v::last_id) != 0)
            profiles.push_back(stored->int8(v::last_sender));
    }
    source.end();
    return !source.blocked();
}

} // namespace hermet
