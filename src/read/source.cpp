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

pg::Walk *Source::seek(Cursor &cursor, Table table, std::initializer_list<int64> keys)
{
    if (!cursor.begun) {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        cursor.walks.begin(*instance_, table, static_cast<int>(keys.size()), Use::read);
        cursor.begun = true;
        MemoryContextSwitchTo(caller);
    }
    pg::Walk *walk = cursor.walks.seek(keys);
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

bool Source::next(pg::Walk *walk, ScanDirection direction)
{
    if (!walk || !walk->next(direction))
        return false;
    unclear_ |= walk->any_null();
    return true;
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

void ChannelRows::seek(int64 channel, int64 rows)
{
    int leaves = source_->instance().leaf_count(Table::user_conversation_view);
    channel_ = channel;
    blocked_ = false;
    by_place_ = spread_ && rows >= leaves;
    if (!spread_)
        walk_ = rows_.seek({channel});
    else if (by_place_)
        list_places(leaves);
    else
        members_ = source_->scan(Table::channel_member, {channel});
}

pg::Walk *ChannelRows::next()
{
    if (!spread_)
        return walk_->next() ? walk_ : nullptr;
    return by_place_ ? next_by_place() : next_by_member();
}

pg::Walk *ChannelRows::next_by_member()
{
    while (source_->next(members_)) {
        if (members_->int8(member_row::left_at) != 0)
            continue;
        pg::Walk *walk = rows_.seek({channel_, members_->int8(member_row::user)});
        blocked_ = !walk;
        if (blocked_)
            return nullptr;
        if (walk->next())
            return walk;
    }
    blocked_ = source_->blocked();
    return nullptr;
}

/* One look into each index is less than one for each row, and no member has to be read. */
void ChannelRows::list_places(int leaves)
{
    places_.clear();
    next_place_ = 0;
    for (int leaf = 0; leaf < leaves; leaf++) {
        pg::Walk *walk = rows_.at_leaf(leaf);
        blocked_ = !walk;
        if (blocked_) {
            places_.clear();
            return;
        }
        entries_.clear();
        walk->list({channel_}, entries_);
        for (const pg::Entry &entry : entries_)
            places_.push_back({entry, leaf});
    }
    std::sort(places_.begin(), places_.end(),
              [](const Place &a, const Place &b) { return a.entry.key < b.entry.key; });
}

pg::Walk *ChannelRows::next_by_place()
{
    while (next_place_ < places_.size()) {
        const Place &place = places_[next_place_++];
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
