#include "read/source.h"

extern "C" {
#include "access/table.h"
}

namespace hermet {

bool Source::can_read(Instance &instance, std::initializer_list<Table> tables)
{
    for (Table table : tables) {
        if (instance.is_spread(table))
            continue;
        const pg::Path &known = instance.leaf(table, 0).path;
        if (known.known && known.readable())
            continue;
        Relation relation = open_table(instance, table, AccessShareLock);
        bool readable = path(instance, table, relation).readable();
        table_close(relation, NoLock);
        if (!readable)
            return false;
    }
    return true;
}

void Source::begin(Instance &instance)
{
    instance_ = &instance;
    memory_ = CurrentMemoryContext;
    unclear_ = blocked_ = listed_ = false;
    pg::push_fresh_snapshot();
}

void Source::end()
{
    for (Cursor *cursors : {by_key_, by_prefix_}) {
        for (int i = 0; i < table_count; i++) {
            if (cursors[i].begun)
                cursors[i].walks.end();
            cursors[i].begun = false;
        }
    }
    PopActiveSnapshot();
}

Walks &Source::walks(Cursor &cursor, Table table, size_t keys)
{
    if (!cursor.begun) {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        cursor.walks.begin(*instance_, table, static_cast<int>(keys), Use::read);
        cursor.begun = true;
        MemoryContextSwitchTo(caller);
    }
    return cursor.walks;
}

pg::Walk *Source::seek(Cursor &cursor, Table table, std::initializer_list<int64> keys)
{
    pg::Walk *walk = walks(cursor, table, keys.size()).seek(keys);
    blocked_ |= !walk;
    return walk;
}

pg::Walk *Source::find(Table table, std::initializer_list<int64> key)
{
    pg::Walk *walk = seek(by_key_[static_cast<int>(table)], table, key);
    return next(walk) ? walk : nullptr;
}

pg::Walk *Source::scan(Table table, std::initializer_list<int64> prefix)
{
    return seek(by_prefix_[static_cast<int>(table)], table, prefix);
}

const pg::Vector<pg::Entry> &Source::members(int64 channel)
{
    if (listed_ && members_of_ == channel)
        return members_;
    Cursor &cursor = by_key_[static_cast<int>(Table::channel_member)];
    pg::Walk *walk = walks(cursor, Table::channel_member, 2).at({channel});
    members_.clear();
    blocked_ |= !walk;
    if (walk)
        walk->list({channel}, members_);
    listed_ = true;
    members_of_ = channel;
    return members_;
}

pg::Walk *Source::find_member(int64 channel, int64 user)
{
    if (!listed_ || members_of_ != channel)
        return find(Table::channel_member, {channel, user});
    pg::Walk *walk = by_key_[static_cast<int>(Table::channel_member)].walks.at({channel});
    const pg::Entry *entry =
        std::lower_bound(members_.data(), members_.data() + members_.size(), user,
                         [](const pg::Entry &e, int64 wanted) { return e.key < wanted; });
    /* Several versions of a row may have an entry each. */
    for (; entry != members_.data() + members_.size() && entry->key == user; entry++) {
        if (walk->visit(*entry)) {
            note(*walk);
            return walk;
        }
    }
    return nullptr;
}

bool Source::next(pg::Walk *walk, ScanDirection direction)
{
    if (!walk || !walk->next(direction))
        return false;
    note(*walk);
    return true;
}

void Source::note(const pg::Walk &row)
{
    unclear_ |= row.any_null();
}

bool ChannelRows::begin(Source &source, Use use)
{
    Instance &instance = source.instance();
    source_ = &source;
    spread_ = instance.is_spread(Table::user_conversation_view);
    rows_.begin(instance, Table::user_conversation_view, spread_ ? 2 : 1, use);
    if (rows_.allows())
        return true;
    rows_.end();
    return false;
}

void ChannelRows::end()
{
    rows_.end();
}

/*
 * Of a large channel one look into the index of each partition is less than one for each member.
 */
void ChannelRows::seek(int64 channel)
{
    channel_ = channel;
    blocked_ = false;
    if (!spread_) {
        walk_ = rows_.seek({channel});
        return;
    }
    next_ = 0;
    members_ = &source_->members(channel);
    blocked_ = source_->blocked();
    large_ = members_->size() >=
             static_cast<size_t>(source_->instance().leaf_count(Table::user_conversation_view));
    if (large_)
        list_places();
}

pg::Walk *ChannelRows::next()
{
    if (blocked_)
        return nullptr;
    if (!spread_)
        return walk_->next() ? walk_ : nullptr;
    return large_ ? next_by_place() : next_by_member();
}

pg::Walk *ChannelRows::next_by_member()
{
    while (next_ < members_->size()) {
        int64 user = (*members_)[next_++].key;
        if (next_ > 1 && (*members_)[next_ - 2].key == user)
            continue; /* another version of the same member */
        bool allowed;
        pg::Walk *walk = rows_.find({channel_, user}, &allowed);
        blocked_ = !allowed;
        if (walk || blocked_)
            return walk;
    }
    return nullptr;
}

void ChannelRows::list_places()
{
    int leaves = source_->instance().leaf_count(Table::user_conversation_view);
    pg::Vector<pg::Entry> &entries = pg::make<pg::Vector<pg::Entry>>();
    places_.clear();
    for (int leaf = 0; leaf < leaves; leaf++) {
        pg::Walk *walk = rows_.at_leaf(leaf);
        blocked_ = !walk;
        if (blocked_)
            return;
        entries.clear();
        walk->list({channel_}, entries);
        for (const pg::Entry &entry : entries)
            places_.push_back({entry, leaf});
    }
    std::sort(places_.begin(), places_.end(),
              [](const Place &a, const Place &b) { return a.entry.key < b.entry.key; });
}

pg::Walk *ChannelRows::next_by_place()
{
    while (next_ < places_.size()) {
        const Place &place = places_[next_++];
        pg::Walk *walk = rows_.at_leaf(place.leaf);
        if (walk->visit(place.entry))
            return walk;
    }
    return nullptr;
}

Datum text_of(const pg::Walk &walk, int column)
{
    if (walk.is_null(column))
        return PointerGetDatum(cstring_to_text(""));
    return PointerGetDatum(PG_DETOAST_DATUM_COPY(walk[column]));
}

} // namespace hermet
