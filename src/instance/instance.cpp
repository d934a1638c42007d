#include "instance/instance.h"

#include "pg/lock.h"
#include "pg/partition.h"
#include "pg/sequence.h"
#include "pg/single_row.h"
#include "read/definition.h"

extern "C" {
#include "access/table.h"
#include "catalog/pg_class.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace hermet {

namespace {

const char *const names[table_count] = {
    "biz_user",
    "channel",
    "channel_member",
    "channel_read_record",
    "friendship",
    "message",
    "conversation_setting",
    "user_conversation_view",
    "user_contact_view",
    "conversation_reverse_index",
    "contact_reverse_index",
    "hermet_large_inbox",
    "change_event",
};

/* By which column a sharded instance spreads the rows; NULL: such a table is never partitioned. */
const char *const shard_columns[table_count] = {
    nullptr,   "id",      "channel_id",   "user_id",         "user_id", "channel_id", "user_id",
    "user_id", "user_id", "peer_user_id", "contact_user_id", nullptr,   nullptr,
};

/* A handful a session at most, so a list will do. In TopMemoryContext. */
List *instances = NIL;
/* Replaced ones: a statement further up the stack may still run one's plans. */
List *retired = NIL;
/* Rises with every message that may concern an instance. */
uint64 invalidations = 0;

void invalidate_relation(Datum, Oid relation)
{
    invalidations++;
    ListCell *cell;
    foreach (cell, instances) {
        Instance *instance = static_cast<Instance *>(lfirst(cell));
        for (Oid table : instance->tables)
            if (!OidIsValid(relation) || table == relation)
                instance->valid = false;
        /* What else may happen to a partition does not change which one a row is in. */
        for (int i = 0; i < instance->leaves_total; i++)
            if (!OidIsValid(relation) || instance->leaves[i].oid == relation)
                instance->leaves[i].path.known = false;
    }
}

void invalidate_all(Datum, int, uint32)
{
    invalidate_relation(Datum(0), InvalidOid);
}

void free_retired(XactEvent event, void *)
{
    if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
        return;
    ListCell *cell;
    foreach (cell, retired) {
        Instance *instance = static_cast<Instance *>(lfirst(cell));
        instance->plans.clear();
        pfree(instance->schema_sql);
        pfree(instance->leaves);
        pfree(instance);
    }
    list_free(retired);
    retired = NIL;
}

[[noreturn]] void refuse_missing(const char *schema_name, const char *name)
{
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
            errmsg("table \"%s.%s\" of the hermet instance does not exist", schema_name, name),
            errhint("Bring the table back; hermet.upgrade() makes those of the read side anew, "
                    "hermet.detach() stops the maintenance."));
    pg_unreachable();
}

/* Where the rows of each table are. */
void look_up_leaves(Instance *instance)
{
    Oid *partitions[table_count] = {};
    int total = 0;
    for (int i = 0; i < table_count; i++) {
        int count = 1;
        pg::Permits permits = {true, true};
        if (shard_columns[i] && get_rel_relkind(instance->tables[i]) == RELKIND_PARTITIONED_TABLE) {
            Relation table = open_table(*instance, static_cast<Table>(i), AccessShareLock);
            count = Max(1, pg::find_partitions(table, shard_columns[i], &partitions[i]));
            permits = pg::find_permits(table);
            table_close(table, NoLock);
        }
        instance->spread[i] = {total, count, permits};
        total += count;
    }
    instance->leaves = static_cast<Leaf *>(palloc0(total * sizeof(Leaf)));
    instance->leaves_total = total;
    for (int i = 0; i < table_count; i++)
        for (int k = 0; k < instance->spread[i].count; k++)
            instance->leaf(static_cast<Table>(i), k).oid =
                partitions[i] ? partitions[i][k] : instance->tables[i];
}

/*
 * Whoever changes it changes triggers, too, so that all sessions look again. Under the newest
 * snapshot, for later transactions; a parallel worker may not take one.
 */
Share read_share(Oid schema)
{
    static const pg::Column columns[] = {{"nodes", INT4OID}, {"node", INT4OID}};
    Datum values[lengthof(columns)];
    bool newest = !IsInParallelMode();
    if (newest)
        PushActiveSnapshot(GetLatestSnapshot());
    bool found = pg::read_single_row(get_relname_relid("hermet_node", schema), columns,
                                     lengthof(columns), values);
    if (newest)
        PopActiveSnapshot();
    return found ? Share{DatumGetInt32(values[0]), DatumGetInt32(values[1])} : Share{0, 0};
}

void look_up(Oid schema, Instance *instance)
{
    char *schema_name = get_namespace_name(schema);
    if (!schema_name)
        ereport(ERROR, errcode(ERRCODE_INVALID_SCHEMA_NAME),
                errmsg("schema with OID %u does not exist", schema));
    instance->schema = schema;
    instance->schema_sql = pstrdup(quote_identifier(schema_name));
    for (int i = 0; i < table_count; i++) {
        Oid oid = get_relname_relid(names[i], schema);
        HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(oid));
        if (!HeapTupleIsValid(tuple)) {
            if (i < needed_count)
                refuse_missing(schema_name, names[i]);
            continue;
        }
        Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
        ReleaseSysCache(tuple);
        if (i > 0 && owner != instance->owner)
            ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("tables \"%s\" and \"%s\" in schema \"%s\" have different owners",
                           names[0], names[i], schema_name),
                    errhint("Give all tables of the instance one owner: hermet acts with the "
                            "owner's rights."));
        instance->owner = owner;
        instance->tables[i] = oid;
    }
    instance->has_list_hour =
        OidIsValid(instance->oid(Table::large_inbox)) &&
        get_attnum(instance->oid(Table::user_conversation_view), "list_hour") != InvalidAttrNumber;
    instance->share = read_share(schema);
    Oid events = instance->oid(Table::change_event);
    if (OidIsValid(events))
        instance->event_sequence = pg::find_identity(events, "event_offset");
    instance->event_floor = -1;
    look_up_leaves(instance);
}

bool same_leaves(const Instance &a, const Instance &b)
{
    bool same = a.leaves_total == b.leaves_total;
    for (int i = 0; same && i < table_count; i++)
        same = a.spread[i].count == b.spread[i].count &&
               a.spread[i].permits.update == b.spread[i].permits.update &&
               a.spread[i].permits.whole_rows == b.spread[i].permits.whole_rows;
    for (int i = 0; same && i < a.leaves_total; i++)
        same = a.leaves[i].oid == b.leaves[i].oid;
    return same;
}

bool same(const Instance &a, const Instance &b)
{
    return a.owner == b.owner && a.has_list_hour == b.has_list_hour &&
           a.event_sequence == b.event_sequence && a.share.nodes == b.share.nodes &&
           a.share.node == b.share.node && strcmp(a.schema_sql, b.schema_sql) == 0 &&
           memcmp(a.tables, b.tables, sizeof a.tables) == 0 && same_leaves(a, b);
}

} // namespace

const char *table_name(Table table)
{
    return names[static_cast<int>(table)];
}

Instance &find_instance(Oid schema)
{
    Instance *known = nullptr;
    ListCell *cell;
    foreach (cell, instances) {
        Instance *instance = static_cast<Instance *>(lfirst(cell));
        if (instance->schema == schema)
            known = instance;
    }
    if (known && known->valid)
        return *known;

    uint64 before = invalidations;
    Instance found = {};
    look_up(schema, &found);
    if (!known || !same(*known, found)) {
        MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
        if (known) {
            instances = list_delete_ptr(instances, known);
            retired = lappend(retired, known);
        }
        found.schema_sql = pstrdup(found.schema_sql);
        Leaf *leaves = static_cast<Leaf *>(palloc(found.leaves_total * sizeof(Leaf)));
        memcpy(leaves, found.leaves, found.leaves_total * sizeof(Leaf));
        found.leaves = leaves;
        known = new (palloc(sizeof(Instance))) Instance(found);
        instances = lappend(instances, known);
        MemoryContextSwitchTo(caller);
    }
    /* A message that came while the catalogs were read asks for another look next time. */
    known->valid = invalidations == before;
    return *known;
}

namespace {

/* Which schema a "target" means, as long as the catalogs do not change. */
struct Resolved {
    bool only; /* no name was given */
    NameData name;
    Oid schema;
};

/* In TopMemoryContext. */
List *resolved = NIL;
uint64 resolved_at = 0;

/*
 * By the newest snapshot: what is remembered holds for later transactions, too. Not in a parallel
 * query, which may take none, and where nothing is remembered.
 */
Oid resolve(const NameData *target, bool newest)
{
    static const char *const text =
        "SELECT n.oid FROM pg_catalog.pg_namespace n "
        "WHERE n.nspname OPERATOR(pg_catalog.=) hermet.resolve_target($1)";
    Oid types[] = {NAMEOID};
    Datum values[] = {target ? NameGetDatum(target) : Datum(0)};
    char nulls[] = {target ? ' ' : 'n'};

    if (newest)
        PushActiveSnapshot(GetLatestSnapshot());
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    if (SPI_execute_with_args(text, 1, types, values, nulls, true, 1) != SPI_OK_SELECT ||
        SPI_processed != 1)
        elog(ERROR, "hermet.resolve_target() gave no schema");
    bool null;
    Oid schema =
        DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &null));
    SPI_finish();
    if (newest)
        PopActiveSnapshot();
    return schema;
}

Oid resolve_target(const NameData *target)
{
    AcceptInvalidationMessages();
    if (resolved_at != invalidations) {
        list_free_deep(resolved);
        resolved = NIL;
        resolved_at = invalidations;
    }
    ListCell *cell;
    foreach (cell, resolved) {
        const Resolved *known = static_cast<Resolved *>(lfirst(cell));
        if (known->only ? !target
                        : target && namestrcmp(const_cast<Name>(target), NameStr(known->name)) == 0)
            return known->schema;
    }

    bool newest = !IsInParallelMode();
    Oid schema = resolve(target, newest);
    if (newest && resolved_at == invalidations) {
        MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
        Resolved *found = static_cast<Resolved *>(palloc0(sizeof(Resolved)));
        found->only = !target;
        if (target)
            found->name = *target;
        found->schema = schema;
        resolved = lappend(resolved, found);
        MemoryContextSwitchTo(caller);
    }
    return schema;
}

} // namespace

Instance &find_target_instance(const NameData *target)
{
    return find_instance(resolve_target(target));
}

Instance &find_own_instance(const NameData *target)
{
    return find_own_instance(resolve_target(target));
}

Instance &find_own_instance(Oid schema)
{
    Instance &instance = find_instance(schema);
    if (!has_privs_of_role(GetUserId(), instance.owner))
        ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                errmsg("must be owner of the hermet instance in schema %s", instance.schema_sql),
                errhint("The instance belongs to role \"%s\".",
                        GetUserNameFromId(instance.owner, false)));
    return instance;
}

bool find_place(const Instance &instance, Oid relation, int64 *modulus, int64 *remainder)
{
    for (int i = 0; i < table_count; i++) {
        Table table = static_cast<Table>(i);
        for (int k = 0; instance.is_spread(table) && k < instance.leaf_count(table); k++) {
            if (instance.leaf(table, k).oid != relation)
                continue;
            *modulus = instance.leaf_count(table);
            *remainder = k;
            return true;
        }
    }
    return false;
}

void register_invalidation()
{
    CacheRegisterRelcacheCallback(invalidate_relation, Datum(0));
    CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_all, Datum(0));
    RegisterXactCallback(free_retired, nullptr);
}

pg::Result run(Instance &instance, const pg::Statement &statement,
               std::initializer_list<Datum> values, pg::Sight sight)
{
    Assert(values.size() == statement.types.size());
    /* A copy: while the statement runs, a trigger's own maintenance may add plans. */
    pg::Plan plan = instance.plans.get(statement, instance.schema_sql, fragments_of(instance));
    return pg::execute(plan, values.begin(), sight);
}

void run_into(Instance &instance, const pg::Statement &statement,
              std::initializer_list<Datum> values, const pg::RowStore &store)
{
    Assert(values.size() == statement.types.size());
    pg::Plan plan = instance.plans.get(statement, instance.schema_sql, fragments_of(instance));
    pg::execute_into(store, plan, values.begin());
}

const pg::Path &find_path(Instance &instance, Table table, int leaf, Relation relation,
                          const pg::PathColumns &columns)
{
    pg::Path &path = instance.leaf(table, leaf).path;
    if (!path.known) {
        uint64 before = invalidations;
        pg::find_path(relation, columns, instance.is_spread(table), path);
        const pg::Permits &permits = instance.spread[static_cast<int>(table)].permits;
        path.writable &= permits.update;
        path.insertable &= permits.whole_rows;
        path.known = invalidations == before;
    }
    return path;
}

char *expand(const Instance &instance, const char *text, const char *scope)
{
    return pg::expand(text, instance.schema_sql, scope, fragments_of(instance));
}

Relation open_table(const Instance &instance, Table table, LOCKMODE mode)
{
    Relation relation = try_table_open(instance.oid(table), mode);
    if (!relation)
        refuse_missing(instance.schema_sql, table_name(table));
    return relation;
}

void lock_leaves(const Instance &instance, Table table)
{
    if (instance.is_spread(table) && static_cast<int>(table) >= write_side_count)
        LockRelationOid(instance.oid(table), AccessShareLock);
}

Relation open_leaf(const Instance &instance, Table table, int leaf, LOCKMODE mode)
{
    if (!instance.is_spread(table))
        return open_table(instance, table, mode);
    Relation relation = pg::try_open(instance.leaf(table, leaf).oid, mode);
    if (!relation || !relation->rd_rel->relispartition)
        ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                errmsg("a partition of table \"%s.%s\" is detached", instance.schema_sql,
                       table_name(table)),
                errdetail("It is the one of the rows whose %s is %d modulo %d.",
                          shard_columns[static_cast<int>(table)], leaf, instance.leaf_count(table)),
                errhint("Attach it again; hermet.health() names what is missing."));
    return relation;
}

Instance &lock_instance(Oid schema)
{
    const Instance &instance = find_instance(schema);
    for (int i = 0; i < write_side_count; i++)
        LockRelationOid(instance.tables[i], AccessShareLock);
    if (instance.is_node())
        pg::lock_instance(schema);
    else
        pg::lock_instance_intention(schema);

    AcceptInvalidationMessages();
    Instance &now = find_instance(schema);
    if (now.share.nodes != instance.share.nodes || now.share.node != instance.share.node)
        ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                errmsg("hermet.follow() or hermet.unfollow() has changed the instance in schema %s",
                       now.schema_sql),
                errhint("Run the transaction again."));
    return now;
}

} // namespace hermet
