/*
 * Which tables belong together: an instance is one set of them in one schema, found by name from
 * any of its tables, kept for the session and looked up again when the catalogs change.
 */
#pragma once

#include "pg/sql.h"
#include "pg/walk.h"

namespace hermet {

enum class Table {
    biz_user,
    channel,
    channel_member,
    channel_read_record,
    friendship,
    message,
    conversation_setting,
    user_conversation_view,
    user_contact_view,
    conversation_reverse_index,
    contact_reverse_index,
    large_inbox,
    change_event,
};
constexpr int table_count = 13;
constexpr int needed_count = 11;    /* without the last ones maintenance goes on */
constexpr int write_side_count = 7; /* the first ones: what the read side derives from */

const char *table_name(Table table);

/* Where rows of a table are: the table itself, or one of its partitions. */
struct Leaf {
    Oid oid; /* InvalidOid: this partition is detached */
    pg::Path path;
};

/* Whose read side a read node keeps: that of the users whose id modulo `nodes` is `node`. */
struct Share {
    int32 nodes; /* 0: this is no read node, it keeps everybody's */
    int32 node;
};

struct Instance {
    Oid schema;
    Oid owner;        /* of all its tables */
    char *schema_sql; /* the schema's name, quoted where it must be */
    Oid tables[table_count];
    /*
     * Whether large inboxes can be kept in order: user_conversation_view has list_hour, and there
     * is hermet_large_inbox. An instance that 0.1.0 made has neither until hermet.upgrade(); it is
     * maintained without them.
     */
    bool has_list_hour;
    Leaf *leaves; /* of all tables, one table's after the other's */
    int leaves_total;
    struct {
        int first;           /* in `leaves` */
        int count;           /* a power of two; 1 if the table is plain */
        pg::Permits permits; /* of a partitioned table */
    } spread[table_count];
    Share share; /* as hermet_node says */
    pg::Plans plans;
    Oid event_sequence; /* of change_event; InvalidOid if it has none */
    int64 event_floor;  /* see events/events.h */
    bool valid;

    Oid oid(Table table) const { return tables[static_cast<int>(table)]; }
    int leaf_count(Table table) const { return spread[static_cast<int>(table)].count; }
    /* Whether the table is partitioned. */
    bool is_spread(Table table) const { return leaf(table, 0).oid != oid(table); }
    Leaf &leaf(Table table, int number) const
    {
        return leaves[spread[static_cast<int>(table)].first + number];
    }
    /* By the value of the column that rows are spread by. */
    int leaf_of(Table table, int64 key) const
    {
        return static_cast<int>(key & (leaf_count(table) - 1));
    }
    bool is_node() const { return share.nodes > 0; }
    bool keeps(int64 user) const
    {
        return !is_node() || user % share.nodes == share.node || user % share.nodes == -share.node;
    }
};

/*
 * The instance in a schema. 3F000 if there is no such schema, 42P01 if it lacks a table, 55000 if
 * its tables have different owners.
 */
Instance &find_instance(Oid schema);

/* The same for an SQL function's argument "target" (NULL: the only one), whoever calls. */
Instance &find_target_instance(const NameData *target);

/* And for functions that are its owner's: 42501 unless he calls. */
Instance &find_own_instance(const NameData *target);
Instance &find_own_instance(Oid schema);

/* Called once, when the library is loaded. */
void register_invalidation();

/* Which partition of its table a relation is; false if it is none of this instance's. */
bool find_place(const Instance &instance, Oid relation, int64 *modulus, int64 *remainder);

/* Runs a statement of this instance, with the values for $1, $2, ... */
pg::Result run(Instance &instance, const pg::Statement &statement,
               std::initializer_list<Datum> values, pg::Sight sight = pg::Sight::fresh);

/* Appends the rows of a query to a store; it sees what the calling statement sees. */
void run_into(Instance &instance, const pg::Statement &statement,
              std::initializer_list<Datum> values, const pg::RowStore &store);

/*
 * Before the leaves of a table are opened: none is detached or attached meanwhile. (Of the write
 * side lock_instance() has seen to it.)
 */
void lock_leaves(const Instance &instance, Table table);

/* Opens a table; 42P01 if it was dropped meanwhile. Locks stay until the transaction ends. */
Relation open_table(const Instance &instance, Table table, LOCKMODE mode);
/* The same of a leaf; 55000 if it is detached. */
Relation open_leaf(const Instance &instance, Table table, int leaf, LOCKMODE mode);

/*
 * The direct way to a leaf's rows, by the caller's columns: always the same ones for one table.
 * `relation` is that leaf, opened and locked as strongly as the walk needs.
 */
const pg::Path &find_path(Instance &instance, Table table, int leaf, Relation relation,
                          const pg::PathColumns &columns);

/* A text with its {names} replaced for this instance. palloc'd. */
char *expand(const Instance &instance, const char *text, const char *scope = nullptr);

/*
 * What every writer of the read side holds, before its first key: the tables of the write side, so
 * that none is dropped, truncated, or has a partition detached meanwhile, and the intention to lock
 * keys. Not those of the read side: nobody who keeps others out of one asks for keys, and the
 * server has quick places for 16 locks of a session only.
 * Returns the instance as it is then; 40001 if it has become a read node meanwhile, or none.
 *
 * A read node's writers hold the whole instance, which stands for all keys and for the tuples of
 * channel: there a transaction that is applied has locked tuples in the order of the primary before
 * it comes here, and whoever took one of them first and then waited for the instance would wait for
 * ever.
 */
Instance &lock_instance(Oid schema);

} // namespace hermet
