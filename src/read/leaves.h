/*
 * Rows of a table wherever they are: of a plain table's only leaf, or of a sharded table's
 * partitions, each of which is opened when a row of it is first sought. Item is what walks over the
 * rows of one leaf: a pg::Walk or a pg::Store.
 */
#pragma once

#include "read/rows.h"

extern "C" {
#include "access/table.h"
}

namespace hermet {

/* What is done with the rows of a leaf, and what its path must allow for it. */
enum class Use { read, lock, update, write };

template <class Item> class Leaves {
  public:
    /* In the current MemoryContext. */
    void begin(Instance &instance, Table table, Use use)
    {
        instance_ = &instance;
        table_ = table;
        use_ = use;
        memory_ = CurrentMemoryContext;
        space_.begin();
        lock_leaves(instance, table);
        opened_.assign(instance.leaf_count(table), nullptr);
        list_.clear();
        last_ = nullptr;
    }

    /*
     * The item of the leaf that has the rows with this value of the shard column; start(item,
     * relation, path, workspace) begins one under the active snapshot. NULL if this leaf does not
     * allow the use: then the rows are left to a statement. The row that was found in another leaf
     * before is let go of, as it would be in one table: else a statement would pin a page of each,
     * and keep the memory of its scan.
     */
    template <class Start> Item *at(int64 key, Start start)
    {
        return at_leaf(instance_->leaf_of(table_, key), start);
    }

    template <class Start> Item *at_leaf(int number, Start start)
    {
        Opened *&opened = opened_[number];
        if (!opened)
            opened = &open(number, start);
        Item *item = opened->usable ? &opened->item : nullptr;
        if (last_ && last_ != item)
            last_->let_go();
        last_ = item;
        return item;
    }

    /* Whether a plain table allows the use; a sharded one is asked leaf by leaf. */
    template <class Start> bool allows(Start start) { return opened_.size() > 1 || at(0, start); }

    template <class Each> void for_each(Each each)
    {
        for (Opened *opened : list_)
            if (opened->usable)
                each(opened->item);
    }

    void end()
    {
        for (Opened *opened : list_) {
            if (opened->usable)
                opened->item.end();
            if (opened->space)
                opened->space->end();
        }
        space_.end();
        for (Opened *opened : list_)
            table_close(opened->relation, NoLock);
        opened_.clear();
        list_.clear();
    }

  private:
    struct Opened {
        Relation relation;
        bool usable;
        pg::Workspace *space; /* of its own, if its rows are laid out differently */
        Item item;
    };

    bool is_usable(const pg::Path &path) const
    {
        switch (use_) {
            case Use::read:
            case Use::lock:
                return path.readable();
            case Use::update:
                return path.writable;
            case Use::write:
                return path.insertable;
        }
        return false;
    }

    template <class Start> Opened &open(int number, Start start)
    {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        Opened &opened = pg::make<Opened>();
        LOCKMODE mode = use_ == Use::read ? AccessShareLock : RowExclusiveLock;
        opened.relation = open_leaf(*instance_, table_, number, mode);
        const pg::Path &way = path(*instance_, table_, opened.relation, number);
        opened.usable = is_usable(way);
        if (!way.uniform) {
            opened.space = &pg::make<pg::Workspace>();
            opened.space->begin();
        }
        if (opened.usable)
            start(opened.item, opened.relation, way, opened.space ? *opened.space : space_);
        list_.push_back(&opened);
        MemoryContextSwitchTo(caller);
        return opened;
    }

    Instance *instance_ = nullptr;
    Table table_{};
    Use use_{};
    MemoryContext memory_ = nullptr;
    pg::Workspace space_;
    pg::Vector<Opened *> opened_; /* by number; NULL: not yet */
    pg::Vector<Opened *> list_;   /* those that are opened */
    Item *last_ = nullptr;        /* which at() gave last */
};

/* Walks over a table's rows, sought by the first columns of their key. */
class Walks {
  public:
    void begin(Instance &instance, Table table, int keys, Use use)
    {
        table_ = table;
        keys_ = keys;
        leaves_.begin(instance, table, use);
    }
    bool allows() { return leaves_.allows(starter()); }

    /*
     * The walk, set to the rows with this key, to be moved by its next(); NULL as Leaves::at(). The
     * shard column must be among the columns that are given, or the table plain.
     */
    pg::Walk *seek(std::initializer_list<int64> key)
    {
        pg::Walk *walk = at(key);
        if (walk)
            walk->seek(key);
        return walk;
    }
    /* The walk of the leaf that has the rows with this key, or of the leaf of this number. */
    pg::Walk *at(std::initializer_list<int64> key)
    {
        size_t column = shard_column(table_);
        return leaves_.at(column < key.size() ? key.begin()[column] : 0, starter());
    }
    pg::Walk *at_leaf(int number) { return leaves_.at_leaf(number, starter()); }
    /* The row with this key; NULL if there is none, or its leaf does not allow it. */
    pg::Walk *find(std::initializer_list<int64> key, bool *allowed = nullptr)
    {
        pg::Walk *walk = seek(key);
        if (allowed)
            *allowed = walk;
        return walk && walk->next() ? walk : nullptr;
    }

    int64 written()
    {
        int64 rows = 0;
        leaves_.for_each([&](const pg::Walk &walk) { rows += walk.written(); });
        return rows;
    }
    void end() { leaves_.end(); }

  private:
    struct Starter {
        int keys;
        void operator()(pg::Walk &walk, Relation relation, const pg::Path &path,
                        pg::Workspace &space) const
        {
            walk.begin(relation, path, keys, space);
        }
    };
    Starter starter() const { return {keys_}; }

    Table table_{};
    int keys_ = 0;
    Leaves<pg::Walk> leaves_;
};

} // namespace hermet
