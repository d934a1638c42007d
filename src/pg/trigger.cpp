#include "pg/trigger.h"

extern "C" {
#include "executor/executor.h"
#include "utils/datum.h"
#include "utils/tuplestore.h"
}

namespace hermet::pg {

void find_columns(Relation relation, const Column *columns, int n, AttrNumber *numbers)
{
    TupleDesc descriptor = RelationGetDescr(relation);
    for (int i = 0; i < n; i++) {
        int number = SPI_fnumber(descriptor, columns[i].name);
        if (number <= 0)
            ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("column \"%s\" of table \"%s\" is missing", columns[i].name,
                           RelationGetRelationName(relation)),
                    errhint("hermet.upgrade() adds what an instance lacks."));
        Oid type = TupleDescAttr(descriptor, number - 1)->atttypid;
        bool fits = columns[i].type == ANYENUMOID
                        ? type_is_enum(type)
                        : !OidIsValid(columns[i].type) || type == columns[i].type;
        if (!fits)
            ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("column \"%s\" of table \"%s\" has type %s, expected %s",
                           columns[i].name, RelationGetRelationName(relation), format_type_be(type),
                           format_type_be(columns[i].type)),
                    errhint("Give the column the type that it had."));
        numbers[i] = static_cast<AttrNumber>(number);
    }
}

/* A read pointer of our own: another trigger on the same statement has its own place. */
void Rows::open(Tuplestorestate *store, Relation relation)
{
    store_ = store;
    if (!store)
        return;
    int pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
    tuplestore_select_read_pointer(store, pointer);
    tuplestore_rescan(store);
    slot_ = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
}

bool Rows::next()
{
    CHECK_FOR_INTERRUPTS();
    return store_ && tuplestore_gettupleslot(store_, true, false, slot_);
}

void Rows::rewind()
{
    if (store_)
        tuplestore_rescan(store_);
}

void Rows::close()
{
    if (!store_)
        return;
    ExecDropSingleTupleTableSlot(slot_);
    tuplestore_select_read_pointer(store_, 0);
    store_ = nullptr;
}

int64 Rows::count() const
{
    return store_ ? tuplestore_tuple_count(store_) : 0;
}

Datum Rows::value(AttrNumber number) const
{
    bool null;
    Datum value = slot_getattr(slot_, number, &null);
    if (null)
        ereport(ERROR, errcode(ERRCODE_NOT_NULL_VIOLATION),
                errmsg("column \"%s\" must not be NULL",
                       NameStr(TupleDescAttr(slot_->tts_tupleDescriptor, number - 1)->attname)),
                errhint("The columns that hermet reads are NOT NULL."));
    return value;
}

bool same_image(const Rows &a, const Rows &b, AttrNumber number)
{
    bool a_null, b_null;
    Datum a_value = slot_getattr(a.slot(), number, &a_null);
    Datum b_value = slot_getattr(b.slot(), number, &b_null);
    if (a_null || b_null)
        return a_null == b_null;
    FormData_pg_attribute *attribute = TupleDescAttr(a.slot()->tts_tupleDescriptor, number - 1);
    return datum_image_eq(a_value, b_value, attribute->attbyval, attribute->attlen);
}

namespace {

void require(bool fits, const TriggerData *trigger, const char *expected)
{
    if (!fits)
        ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                errmsg("trigger \"%s\" on table \"%s\" must be fired %s",
                       trigger->tg_trigger->tgname, RelationGetRelationName(trigger->tg_relation),
                       expected),
                errhint("hermet.upgrade() makes an instance's triggers anew."));
}

} // namespace

void require_after_statement(const TriggerData *trigger)
{
    TriggerEvent event = trigger->tg_event;
    bool has_old = TRIGGER_FIRED_BY_UPDATE(event) || TRIGGER_FIRED_BY_DELETE(event);
    bool has_new = TRIGGER_FIRED_BY_UPDATE(event) || TRIGGER_FIRED_BY_INSERT(event);
    require(TRIGGER_FIRED_AFTER(event) && TRIGGER_FIRED_FOR_STATEMENT(event) &&
                (!has_old || trigger->tg_oldtable) && (!has_new || trigger->tg_newtable),
            trigger, "AFTER ... FOR EACH STATEMENT, with its transition tables");
}

void require_after_row(const TriggerData *trigger)
{
    TriggerEvent event = trigger->tg_event;
    require(TRIGGER_FIRED_AFTER(event) && TRIGGER_FIRED_FOR_ROW(event), trigger,
            "AFTER ... FOR EACH ROW");
}

void require_after_truncate(const TriggerData *trigger)
{
    TriggerEvent event = trigger->tg_event;
    require(TRIGGER_FIRED_AFTER(event) && TRIGGER_FIRED_BY_TRUNCATE(event), trigger,
            "AFTER TRUNCATE");
}

void require_before_row(const TriggerData *trigger, bool insert_too)
{
    TriggerEvent event = trigger->tg_event;
    require(TRIGGER_FIRED_BEFORE(event) && TRIGGER_FIRED_FOR_ROW(event) &&
                (TRIGGER_FIRED_BY_UPDATE(event) || (insert_too && TRIGGER_FIRED_BY_INSERT(event))),
            trigger,
            insert_too ? "BEFORE INSERT OR UPDATE ... FOR EACH ROW"
                       : "BEFORE UPDATE ... FOR EACH ROW");
}

void fire_deferred_triggers()
{
    AfterTriggerFireDeferred();
}

} // namespace hermet::pg
