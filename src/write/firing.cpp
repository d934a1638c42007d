#include "write/firing.h"

#include "read/protocol.h"

extern "C" {
#include "utils/snapmgr.h"
}

namespace hermet {

bool begin_firing(TriggerData *trigger, const char *table, Firing &firing)
{
    Relation relation = trigger->tg_relation;
    pg::require_after_statement(trigger);
    if (strcmp(RelationGetRelationName(relation), table) != 0)
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("trigger \"%s\" of table \"%s\" is fired on table \"%s\"",
                       trigger->tg_trigger->tgname, table, RelationGetRelationName(relation)),
                errhint("Tables of a hermet instance keep their names; hermet.detach() stops the "
                        "maintenance."));
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
    if (firing.truncate || old_count > 0 || new_count > 0)
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
    Instance &instance = find_instance(RelationGetNamespace(firing.trigger->tg_relation));
    firing.instance = &instance;
    session.begin(instance.owner, metrics::cause_of(firing.table));
    begin_writing(instance);
}

} // namespace hermet
