/*
 * Read nodes: what logical replication applies fires row triggers, and of statement triggers those
 * of TRUNCATE. They collect what changed, by the same code as a statement's triggers, and when the
 * transaction is about to commit everything is derived at once: one transaction of the primary is
 * one transaction here, read side included. (No deferred trigger does that: it would fire for each
 * row, and look for rows that a TRUNCATE of the same transaction took away.)
 *
 * The rules that raise errors are off: the primary has judged. What hermet writes to channel comes
 * from there, too, and is found to be right already.
 */
#include "write/follow.h"

#include "pg/function.h"
#include "pg/partition.h"
#include "pg/replication.h"
#include "pg/trigger.h"
#include "read/repair.h"
#include "write/firing.h"

namespace hermet {

namespace {

/*
 * In the order in which they are derived: whole rows first, as a delta leaves out what this
 * transaction has written; messages behind marks and settings, for the same reason; what changes
 * columns by the row's own ones (friends, profiles) last.
 */
struct Followable {
    Table table;
    Part &(*make)();
};

const Followable followable[] = {
    {Table::channel, make_channel_part},
    {Table::channel_member, make_channel_member_part},
    {Table::channel_read_record, make_channel_read_record_part},
    {Table::conversation_setting, make_conversation_setting_part},
    {Table::message, make_message_part},
    {Table::friendship, make_friendship_part},
    {Table::biz_user, make_biz_user_part},
};
StaticAssertDecl(lengthof(followable) == write_side_count, "a table is not followed");

/* What a transaction has changed in one instance so far. In TopTransactionContext. */
struct Followed {
    Oid schema;
    Followed *next;
    bool truncated = false;    /* a table: then everything is derived */
    bool undone = false;       /* something, by a savepoint: it may have been collected */
    Oid relation = InvalidOid; /* the last row's, and its part */
    Part *part = nullptr;
    Part *parts[lengthof(followable)] = {};

    explicit Followed(Oid of, Followed *others) : schema(of), next(others) {}
};

/* Nearly always one, or none. */
Followed *all_followed = nullptr;

Followed *find_followed(Oid schema)
{
    Followed *followed = all_followed;
    while (followed && followed->schema != schema)
        followed = followed->next;
    return followed;
}

Followed &begin_following(Oid schema)
{
    MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
    all_followed = &pg::make<Followed>(schema, all_followed);
    MemoryContextSwitchTo(caller);
    return *all_followed;
}

Instance &find_node(Oid schema)
{
    Instance &instance = find_instance(schema);
    if (!instance.is_node())
        ereport(
            ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("the hermet instance in schema %s is no read node", instance.schema_sql),
            errdetail("Its table hermet_node has no row, but triggers of a read node fire."),
            errhint("hermet.follow() makes it one, hermet.unfollow() takes the triggers away."));
    return instance;
}

/* Anybody may put the trigger on a table of his own: the instance's and their partitions count. */
int number_of(const Instance &instance, Oid root, Relation relation)
{
    for (int i = 0; i < write_side_count; i++)
        if (instance.oid(followable[i].table) == root)
            return i;
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("table \"%s\" has nothing that a read node follows",
                   RelationGetRelationName(relation)),
            errhint("The triggers of a read node belong on the tables of the write side; "
                    "hermet.unfollow() takes them away."));
}

Part &find_part(Relation relation)
{
    for (Followed *followed = all_followed; followed; followed = followed->next)
        if (followed->relation == RelationGetRelid(relation))
            return *followed->part;

    Oid root = pg::find_root(relation);
    Oid schema = get_rel_namespace(root);
    int number = number_of(find_node(schema), root, relation);
    Followed *followed = find_followed(schema);
    if (!followed)
        followed = &begin_following(schema);
    MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
    if (!followed->parts[number])
        followed->parts[number] = &followable[number].make();
    followed->part = followed->parts[number];
    MemoryContextSwitchTo(caller);
    followed->relation = InvalidOid;
    followed->part->begin(relation);
    followed->relation = RelationGetRelid(relation);
    return *followed->part;
}

/* Runs since the commit on the primary, as far as its clock and ours agree. */
metrics::Stopwatch start_watch()
{
    metrics::Stopwatch watch;
    watch.start();
    if (watch.running)
        watch.watch.before = pg::nanoseconds_since_origin();
    return watch;
}

void apply_parts(Followed &followed, Firing &firing, pg::Session &session)
{
    for (Part *part : followed.parts) {
        if (!part || !part->finish())
            continue;
        session.cause = metrics::cause_of(part->table());
        firing.table = part->table();
        part->apply(firing);
        metrics::observe_sync(part->table(), part->target(), firing.watch);
    }
}

void derive(Followed &followed)
{
    Firing &firing = pg::make<Firing>();
    firing.schema = followed.schema;
    firing.since = FirstCommandId; /* whatever this transaction has written */
    firing.undone = followed.undone;
    firing.watch = start_watch();
    pg::Session session = {};
    session.begin(find_node(followed.schema).owner);
    firing.instance = &lock_instance(followed.schema);
    if (followed.truncated)
        repair_all(*firing.instance);
    else
        apply_parts(followed, firing, session);
    session.end();
}

/*
 * Before the commit, when all that was to come has come. Triggers that others have on the read side
 * may have something left to do, or write the write side once more.
 */
Datum derive_all(FunctionCallInfo)
{
    MemoryContext memory =
        AllocSetContextCreate(CurrentMemoryContext, "hermet following", ALLOCSET_DEFAULT_SIZES);
    MemoryContext caller = MemoryContextSwitchTo(memory);
    while (Followed *followed = all_followed) {
        all_followed = followed->next;
        PushActiveSnapshot(GetTransactionSnapshot());
        derive(*followed);
        PopActiveSnapshot();
        pg::fire_deferred_triggers();
    }
    MemoryContextSwitchTo(caller);
    MemoryContextDelete(memory);
    return Datum(0);
}

void end_transaction(XactEvent event, void *)
{
    if (!all_followed)
        return;
    if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
        pg::guarded(nullptr, derive_all);
    else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
        all_followed = nullptr;
}

void end_subtransaction(SubXactEvent event, SubTransactionId, SubTransactionId, void *)
{
    if (event != SUBXACT_EVENT_ABORT_SUB)
        return;
    for (Followed *followed = all_followed; followed; followed = followed->next)
        followed->undone = true;
}

} // namespace

void register_following()
{
    RegisterXactCallback(end_transaction, nullptr);
    RegisterSubXactCallback(end_subtransaction, nullptr);
}

} // namespace hermet

using namespace hermet;

HERMET_TRIGGER(follow_row)
{
    pg::require_after_row(trigger);
    Part &part = find_part(trigger->tg_relation);
    bool is_insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
    bool is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
    Firing firing = {};
    firing.has_old = !is_insert;
    firing.has_new = is_insert || is_update;
    firing.old_rows.show(trigger->tg_trigslot);
    firing.new_rows.show(is_update ? trigger->tg_newslot : trigger->tg_trigslot);
    part.add(firing);
    return PointerGetDatum(nullptr);
}

HERMET_TRIGGER(follow_truncate)
{
    pg::require_after_truncate(trigger);
    Oid root = pg::find_root(trigger->tg_relation);
    Oid schema = get_rel_namespace(root);
    number_of(find_node(schema), root, trigger->tg_relation);
    Followed *followed = find_followed(schema);
    if (!followed)
        followed = &begin_following(schema);
    followed->truncated = true;
    return PointerGetDatum(nullptr);
}
