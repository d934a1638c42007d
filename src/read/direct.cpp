#include "read/direct.h"

#include "metrics/metrics.h"
#include "read/derive.h"
#include "pg/enum.h"
#include "pg/store.h"

extern "C" {
#include "access/table.h"
}

namespace hermet {

namespace {

/* A table of the read side, opened to be written. */
struct Target {
    Table table;
    Relation relation;
    const pg::Path *path;
    pg::Store store;

    /* False, and nothing is open, if rows cannot be written directly. */
    bool open(Instance &instance)
    {
        relation = open_table(instance, table, RowExclusiveLock);
        path = &hermet::path(instance, table, relation);
        if (path->insertable)
            return true;
        table_close(relation, NoLock);
        return false;
    }
    Oid type_of(int column) const
    {
        return TupleDescAttr(RelationGetDescr(relation), path->at[column] - 1)->atttypid;
    }
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

    Refresh(Table view_table, Table reverse_table)
    {
        view.table = view_table;
        reverse.table = reverse_table;
    }

    bool open(Instance &instance)
    {
        if (!view.open(instance))
            return false;
        if (reverse.open(instance))
            return true;
        table_close(view.relation, NoLock);
        return false;
    }

    void begin(Instance &instance, Oid status_type, int stamp)
    {
        memory = AllocSetContextCreate(CurrentMemoryContext, "hermet row", ALLOCSET_SMALL_SIZES);
        source.begin(instance);
        deriver.begin(source, status_type, now);
        view.store.begin(view.relation, *view.path, stamp, now);
        reverse.store.begin(reverse.relation, *reverse.path, -1, now);
        caller = MemoryContextSwitchTo(memory);
    }

    /* The row of the view that was looked for last becomes what was derived, or goes. */
    void write_row(bool exists, const Datum *values, const bool *nulls, Changes &changes)
    {
        count(changes, exists ? view.store.put(values, nulls) : view.store.erase());
        MemoryContextReset(memory);
    }

    /* After all rows of the view: that is the order of locks. */
    void write_reverse_rows(Changes &changes)
    {
        for (const ReverseRow &row : reverse_rows) {
            const int64 *key = row.key;
            bool triple = reverse.path->keys == 3;
            triple ? reverse.store.find({key[0], key[1], key[2]})
                   : reverse.store.find({key[0], key[1]});
            Datum values[4] = {Int64GetDatum(key[0]), Int64GetDatum(key[1]), Int64GetDatum(key[2])};
            values[reverse.path->keys] = Int64GetDatum(row.created_at);
            bool nulls[4] = {};
            count(changes, row.exists ? reverse.store.put(values, nulls) : reverse.store.erase());
            MemoryContextReset(memory);
        }
    }

    void end()
    {
        MemoryContextSwitchTo(caller);
        reverse.store.end();
        view.store.end();
        source.end();
        table_close(reverse.relation, NoLock);
        table_close(view.relation, NoLock);
    }
};

} // namespace

size_t refresh_conversations_directly(Instance &instance, const ConversationKeys &keys,
                                      Changes &view, Changes &reverse)
{
    Refresh &refresh =
        pg::make<Refresh>(Table::user_conversation_view, Table::conversation_reverse_index);
    if (!Deriver::can_derive_conversations(instance) || !refresh.open(instance))
        return 0;
    ConversationRow &row = pg::make<ConversationRow>();
    refresh.begin(instance, refresh.view.type_of(view_row::peer_status), view_row::updated_at);

    size_t done = 0;
    for (; done < keys.users.size(); done++) {
        int64 user = keys.users[done];
        int64 channel = keys.channels[done];
        bool exists = refresh.deriver.conversation(user, channel, row);
        if (refresh.source.unclear())
            break;
        bool has_peer = exists && !row.nulls[view_row::peer];
        int64 peer = has_peer ? DatumGetInt64(row.values[view_row::peer]) : 0;

        const pg::Walk *stored = refresh.view.store.find({channel, user});
        if (stored && !stored->is_null(view_row::peer) &&
            !(has_peer && stored->int8(view_row::peer) == peer))
            refresh.reverse_rows.push_back(
                {{stored->int8(view_row::peer), user, channel}, false, 0});
        if (has_peer)
            refresh.reverse_rows.push_back(
                {{peer, user, channel}, true, DatumGetInt64(row.values[view_row::created_at])});
        refresh.write_row(exists, row.values, row.nulls, view);
    }
    refresh.write_reverse_rows(reverse);
    refresh.end();
    return done;
}

size_t refresh_contacts_directly(Instance &instance, const ContactKeys &keys, Changes &view,
                                 Changes &reverse)
{
    Refresh &refresh = pg::make<Refresh>(Table::user_contact_view, Table::contact_reverse_index);
    if (!Deriver::can_derive_contacts(instance) || !refresh.open(instance))
        return 0;
    ContactRow &row = pg::make<ContactRow>();
    refresh.begin(instance, InvalidOid, contact_row::updated_at);

    size_t done = 0;
    for (; done < keys.users.size(); done++) {
        int64 user = keys.users[done];
        int64 contact = keys.contacts[done];
        bool live;
        bool exists = refresh.deriver.contact(user, contact, row, &live);
        if (refresh.source.unclear())
            break;
        refresh.reverse_rows.push_back(
            {{contact, user, 0},
             live,
             live ? DatumGetInt64(row.values[contact_row::created_at]) : 0});
        refresh.view.store.find({user, contact});
        refresh.write_row(exists, row.values, row.nulls, view);
    }
    refresh.write_reverse_rows(reverse);
    refresh.end();
    return done;
}

ContactKeys &refresh_friends_directly(Instance &instance, const ContactKeys &keys)
{
    namespace c = contact_row;
    ContactKeys &left = pg::make<ContactKeys>();
    Target &book = pg::make<Target>();
    book.table = Table::user_contact_view;
    if (!Source::can_read(instance, {Table::biz_user}) || !book.open(instance)) {
        left = keys;
        return left;
    }
    Source &source = pg::make<Source>();
    Deriver &deriver = pg::make<Deriver>();
    source.begin(instance);
    deriver.begin(source, InvalidOid, 0);
    Datum now = Int64GetDatum(pg::now_ms());
    pg::Walk walk;
    walk.begin(book.relation, *book.path, 2);
    for (size_t i = 0; i < keys.users.size(); i++) {
        const Profile &profile = deriver.profile(keys.contacts[i]);
        walk.seek({keys.users[i], keys.contacts[i]});
        if (profile.deleted || source.unclear() || !walk.next()) {
            left.add(keys.users[i], keys.contacts[i]);
            continue;
        }
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
    walk.end();
    source.end();
    table_close(book.relation, NoLock);
    metrics::count_written(Table::user_contact_view, 0, walk.written(), 0);
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
                pg::Walk &member = source.scan(Table::channel_member, {channel});
                while (source.next(member))
                    profiles.push_back(member.int8(member_row::user));
            }
            pg::Walk &message = source.scan(Table::message, {channel});
            while (c && source.next(message, BackwardScanDirection)) {
                if (message.int8(message_row::deleted_at) != 0)
                    continue;
                profiles.push_back(message.int8(message_row::sender));
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
    return true;
}

} // namespace hermet
