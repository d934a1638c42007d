/*
 * The read side is hermet's to write: what comes from elsewhere is an error (SPEC 3: 42809). The
 * write side of a read node is replication's: the same as on a standby (25006).
 */
#include "pg/function.h"
#include "pg/sql.h"

namespace {

/* Somebody may have put the trigger on rows: NULL would drop them. */
Datum let_pass(const TriggerData *trigger)
{
    return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
                                                                      : trigger->tg_trigtuple);
}

} // namespace

HERMET_TRIGGER(forbid_write)
{
    if (hermet::pg::own_write_runs())
        return let_pass(trigger);
    const char *table = RelationGetRelationName(trigger->tg_relation);
    bool is_contact = strstr(table, "contact") != nullptr;
    ereport(ERROR, errcode(ERRCODE_WRONG_OBJECT_TYPE),
            errmsg("table \"%s\" cannot be written directly", table),
            errdetail("hermet keeps it, from what the tables of the write side hold."),
            errhint("Write %s instead; hermet.%s() mends rows that are wrong.",
                    is_contact ? "friendship or biz_user"
                               : "channel, channel_member, message, channel_read_record or "
                                 "conversation_setting",
                    is_contact ? "repair_contact_view" : "repair_conversation_view"),
            errtable(trigger->tg_relation));
}

HERMET_TRIGGER(forbid_node_write)
{
    if (hermet::pg::own_write_runs())
        return let_pass(trigger);
    ereport(
        ERROR, errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
        errmsg("table \"%s\" of a read node cannot be written",
               RelationGetRelationName(trigger->tg_relation)),
        errdetail("Logical replication writes it, and a row of its own would make it differ from "
                  "the primary."),
        errhint("Write to the primary server; hermet.unfollow() makes an instance of its own of "
                "a read node."),
        errtable(trigger->tg_relation));
}
