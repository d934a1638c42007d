#include "write/firing.h"

#include "pg/lock.h"
#include "pg/partition.h"

extern "C" {
#include "storage/proc.h"
#include "utils/snapmgr.h"
}

namespace hermet {

namespace {

/* Whether the same statement has truncated the table that this partition belongs to. */
bool is_done(const Firing &firing, Truncated &truncated)
{
    Truncated now = {firing.root, MyProc->lxid, firing.since};
    bool whole = RelationGetRelid(firing.trigger->tg_relation) == firing.root;
    bool done = !whole && truncated.root == now.root && truncated.transaction == now.transaction &&
                truncated.command == now.command;
    if (whole)
        truncated = now;
    return done;
}

} // namespace

bool begin_firing(TriggerData *trigger, const char *table, Truncated &truncated, Firing &firing)
{
    Relation relation = trigger->tg_relation;
    pg::require_after_statement(trigger);
    firing.root = pg::find_root(relation);
    firing.schema = get_rel_namespace(firing.root);
    const char *name = get_rel_name(firing.root);
    if (!name || strcmp(name, table) != 0) {
        const char *fired = RelationGetRelationName(relation);
        size_t length = strlen(table);
        bool is_part = strncmp(fired, table, length) == 0 && fired[length] == '_';
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("trigger \"%s\" of table \"%s\" is fired on table \"%s\"",
                       trigger->tg_trigger->tgname, table, fired),
                is_part
                    ? errhint("If it was detached from \"%s\", ALTER TABLE ... ATTACH PARTITION "
                              "brings it back; as a table of its own it must lose its triggers.",
                              table)
                    : errhint("Tables of a hermet instance keep their names; hermet.detach() "
                              "stops the maintenance."));
    }
    firing.trigger = trigger;
    firing.truncate = TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event);
    firing.old_rows.open(trigger->tg_oldtable, relation);
    firing.new_rows.open(trigger->tg_newtable, relation);
    int64 old_count = firing.old_rows.count();
    int64 new_count = firing.new_rows.count();
    /* A user's BEFORE trigger may have dropped a row on the way: then they are two sets. */
    firing.paired = old_count == new_count;
    /*
     * The statement's own snapshot is still the active one, and its command was the statement's:
     * what the triggers of this statement wrote before, nested statements included, is later.
     */
    firing.since = GetActiveSnapshot()->curcid;
    if (firing.truncate ? !is_done(firing, truncated) : old_count > 0 || new_count > 0)
        return true;
    firing.old_rows.close();
    firing.new_rows.close();
    return false;
}

bool Firing::next()
{
    if (paired) {
        has_old = has_new = old_rows.next() && new_rows.next();
        return has_old;
    }
    has_old = old_left_ && old_rows.next();
    old_left_ = has_old;
    has_new = !has_old && new_rows.next();
    return has_old || has_new;
}

void Firing::rewind()
{
    old_rows.rewind();
    new_rows.rewind();
    old_left_ = true;
}

void begin_maintenance(Firing &firing, pg::Session &session)
{
    session.begin(find_instance(firing.schema).owner, metrics::cause_of(firing.table));
    firing.instance = &lock_instance(firing.schema);
}

} // namespace hermet
