/*
 * The read side is hermet's to write: what comes from elsewhere is an error (SPEC 3: 42809).
 */
#include "pg/function.h"
#include "pg/sql.h"

HERMET_TRIGGER(forbid_write)
{
    if (hermet::pg::own_write_runs()) {
        /* Somebody may have put it on rows: NULL would drop them. */
        HeapTuple row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
                                                                   : trigger->tg_trigtuple;
        return PointerGetDatum(row);
    }
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
