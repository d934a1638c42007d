#include "read/source.h"

extern "C" {
#include "access/table.h"
}

namespace hermet {

bool Source::can_read(Instance &instance, std::initializer_list<Table> tables)
{
    for (Table table : tables) {
        const pg::Path &known = instance.paths[static_cast<int>(table)];
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
            if (!cursors[i].relation)
                continue;
            cursors[i].walk.end();
            table_close(cursors[i].relation, NoLock);
            cursors[i].relation = nullptr;
        }
    }
    PopActiveSnapshot();
}

pg::Walk &Source::seek(Cursor &cursor, Table table, std::initializer_list<int64> keys)
{
    if (!cursor.relation) {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        cursor.relation = open_table(*instance_, table, AccessShareLock);
        cursor.walk.begin(cursor.relation, path(*instance_, table, cursor.relation),
                          static_cast<int>(keys.size()));
        MemoryContextSwitchTo(caller);
    }
    cursor.walk.seek(keys);
    return cursor.walk;
}

pg::Walk *Source::find(Table table, std::initializer_list<int64> key)
{
    pg::Walk &walk = seek(by_key_[static_cast<int>(table)], table, key);
    return next(walk) ? &walk : nullptr;
}

pg::Walk &Source::scan(Table table, std::initializer_list<int64> prefix)
{
    return seek(by_prefix_[static_cast<int>(table)], table, prefix);
}

bool Source::next(pg::Walk &walk, ScanDirection direction)
{
    if (!walk.next(direction))
        return false;
    unclear_ |= walk.any_null();
    return true;
}

Datum text_of(const pg::Walk &walk, int column)
{
    if (walk.is_null(column))
        return PointerGetDatum(cstring_to_text(""));
    return PointerGetDatum(PG_DETOAST_DATUM_COPY(walk[column]));
}

} // namespace hermet
