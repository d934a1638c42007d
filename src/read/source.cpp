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

void ChannelRows::seek(int64 channel)
{
    channel_ = channel;
    blocked_ = false;
    if (spread_)
        members_ = source_->scan(Table::channel_member, {channel});
    else
        walk_ = rows_.seek({channel});
}

pg::Walk *ChannelRows::next()
{
    if (!spread_)
        return walk_->next() ? walk_ : nullptr;
    while (source_->next(members_)) {
        if (members_->int8(member_row::left_at) != 0)
            continue;
        walk_ = rows_.seek({channel_, members_->int8(member_row::user)});
        blocked_ = !walk_;
        if (blocked_)
            return nullptr;
        if (walk_->next())
            return walk_;
    }
    blocked_ = source_->blocked();
    return nullptr;
}

Datum text_of(const pg::Walk &walk, int column)
{
    if (walk.is_null(column))
        return PointerGetDatum(cstring_to_text(""));
    return PointerGetDatum(PG_DETOAST_DATUM_COPY(walk[column]));
}

} // namespace hermet
