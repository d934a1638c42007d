#include "pg/store.h"

namespace hermet::pg {

void Store::begin(Relation relation, const Path &path, int stamp, int64 now, Workspace &space)
{
    space_ = &space;
    relation_ = relation;
    path_ = &path;
    stamp_ = stamp;
    now_ = now;
    found_ = inserting_ = false;
    memory_ = CurrentMemoryContext;
    walk_.begin(relation, path, path.keys, space);
}

void Store::end()
{
    if (inserting_)
        inserter_.end();
    walk_.end();
}

Walk *Store::find(std::initializer_list<int64> key)
{
    walk_.seek(key);
    found_ = walk_.next();
    return found_ ? &walk_ : nullptr;
}

Effect Store::put(const Datum *values, const bool *nulls)
{
    if (!found_) {
        if (!inserting_) {
            MemoryContext caller = MemoryContextSwitchTo(memory_);
            inserter_.begin(relation_, *path_, *space_);
            MemoryContextSwitchTo(caller);
            inserting_ = true;
        }
        inserter_.insert(values, nulls);
        return Effect::inserted;
    }
    do {
        bool changed = false;
        for (int i = path_->keys; i < path_->columns; i++) {
            if (i == stamp_ || walk_.same(i, values[i], nulls[i]))
                continue;
            walk_.set(i, values[i], nulls[i]);
            changed = true;
        }
        if (!changed)
            return Effect::none;
        if (stamp_ >= 0)
            walk_.set(stamp_, Int64GetDatum(now_));
    } while (!walk_.write());
    return Effect::updated;
}

Effect Store::erase()
{
    if (!found_)
        return Effect::none;
    while (!walk_.remove())
        ;
    return Effect::deleted;
}

} // namespace hermet::pg
