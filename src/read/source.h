/*
 * The tables of an instance, row by row, found by their primary keys: each, or each partition, is
 * opened when it is first asked for, and all are read under one snapshot, taken after the locks.
 */
#pragma once

#include "read/leaves.h"

#include <initializer_list>

namespace hermet {

class Source {
  public:
    /*
     * Whether these tables can be read directly; if not, statements must do it. Of a partition that
     * cannot, blocked() tells when it is met.
     */
    static bool can_read(Instance &instance, std::initializer_list<Table> tables);

    /* Takes the snapshot; end() lets go of it. In the current MemoryContext. */
    void begin(Instance &instance);
    void end();

    Instance &instance() const { return *instance_; }

    /* The row with this key, as rows.h numbers its columns; NULL if there is none. */
    pg::Walk *find(Table table, std::initializer_list<int64> key);
    /*
     * A cursor over the rows whose key begins so, to be moved by next(); for one table always by
     * the same columns, with the one that a sharded instance spreads its rows by. NULL if these
     * rows cannot be read directly.
     */
    pg::Walk *scan(Table table, std::initializer_list<int64> prefix);
    bool next(pg::Walk *walk, ScanDirection direction = ForwardScanDirection);
    /*
     * The index entries of a channel's members, in order of the users: see pg::Walk::list(). Valid
     * until another channel's are asked for.
     */
    const pg::Vector<pg::Entry> &members(int64 channel);
    /* The row of a member, by its entry if the channel's were the last to be listed. */
    pg::Walk *find_member(int64 channel, int64 user);

    /* A partition cannot be read directly: what was found is not all. */
    bool blocked() const { return blocked_; }
    /*
     * That, or a row of the write side had a NULL where the contract allows none: somebody dropped
     * a NOT NULL. What follows from it is for the definition to say.
     */
    bool unclear() const { return unclear_ || blocked_; }

  private:
    struct Cursor {
        Walks walks;
        bool begun = false;
    };

    Walks &walks(Cursor &cursor, Table table, size_t keys);
    pg::Walk *seek(Cursor &cursor, Table table, std::initializer_list<int64> keys);
    void note(const pg::Walk &row);

    Instance *instance_ = nullptr;
    MemoryContext memory_ = nullptr;
    bool unclear_ = false;
    bool blocked_ = false;
    Cursor by_key_[table_count];
    Cursor by_prefix_[table_count];
    pg::Vector<pg::Entry> members_;
    bool listed_ = false; /* those of this channel: */
    int64 members_of_ = 0;
};

/* The conversation rows of channels, one channel after the other. */
class ChannelRows {
  public:
    /*
     * Rows are read and written under the source's snapshot. False, and nothing is open, if the
     * table is plain and does not allow it.
     */
    bool begin(Source &source, Use use);
    void end();

    /*
     * To the rows of a channel, in order of their users. In a sharded instance with few members in
     * the channel they are looked for by these, so that a row that nobody should have is not met.
     */
    void seek(int64 channel);
    /* The next row; NULL: there is none, or blocked(). */
    pg::Walk *next();
    /* A partition does not allow it: the channel is left to a statement. */
    bool blocked() const { return blocked_; }

    int64 written() { return rows_.written(); }

  private:
    /* Where a user's row may be, or is. */
    struct Place {
        pg::Entry entry;
        int leaf;
    };

    void list_places();
    pg::Walk *next_by_member();
    pg::Walk *next_by_place();

    Source *source_ = nullptr;
    Walks rows_;
    bool spread_ = false;
    bool blocked_ = false;
    int64 channel_ = 0;
    pg::Walk *walk_ = nullptr; /* of a plain table */

    /* Of a sharded one: members, or in a large channel the places of its rows; and the next one. */
    bool large_ = false;
    const pg::Vector<pg::Entry> *members_ = nullptr;
    pg::Vector<Place> places_;
    size_t next_ = 0;
};

/* Copies that outlive the walk's row; a NULL is an empty text. */
Datum text_of(const pg::Walk &walk, int column);

} // namespace hermet
