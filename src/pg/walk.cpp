#include "pg/walk.h"

#include "pg/sql.h"

extern "C" {
#include "access/heapam.h"
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "utils/fmgroids.h"
#include "utils/relcache.h"
}

namespace hermet::pg {

bool can_walk(Relation relation, const char *own_trigger)
{
    if (relation->rd_rel->relkind != RELKIND_RELATION || relation->rd_rules ||
        relation->rd_rel->relam != HEAP_TABLE_AM_OID)
        return false;
    if (relation->rd_att->constr && relation->rd_att->constr->has_generated_stored)
        return false;
    if (const TriggerDesc *triggers = relation->trigdesc) {
        for (int i = 0; i < triggers->numtriggers; i++)
            if (strcmp(triggers->triggers[i].tgname, own_trigger) != 0)
                return false;
    }
    return true;
}

Oid find_unique_index(Relation relation, AttrNumber first, AttrNumber second)
{
    Oid found = InvalidOid;
    List *indexes = RelationGetIndexList(relation);
    ListCell *cell;
    foreach (cell, indexes) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        const FormData_pg_index *form = index->rd_index;
        if (form->indisunique && form->indisvalid && form->indimmediate && form->indnkeyatts == 2 &&
            form->indkey.values[0] == first && form->indkey.values[1] == second &&
            !RelationGetIndexPredicate(index) && index->rd_rel->relam == BTREE_AM_OID)
            found = RelationGetRelid(index);
        index_close(index, NoLock);
        if (OidIsValid(found))
            break;
    }
    list_free(indexes);
    return found;
}

void Walk::begin(Relation relation, Oid index, CommandId since)
{
    relation_ = relation;
    since_ = since;
    crosscheck_ = push_fresh_snapshot();

    estate_ = CreateExecutorState();
    result_ = makeNode(ResultRelInfo);
    InitResultRelInfo(result_, relation, 0, nullptr, 0); /* in no range table */
    ExecOpenIndices(result_, false);
    index_ = index_open(index, AccessShareLock);

    slot_ = table_slot_create(relation, nullptr);
    new_slot_ = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
    int columns = RelationGetDescr(relation)->natts;
    values_ = static_cast<Datum *>(palloc(columns * sizeof(Datum)));
    nulls_ = static_cast<bool *>(palloc(columns * sizeof(bool)));
    row_memory_ = AllocSetContextCreate(CurrentMemoryContext, "hermet row", ALLOCSET_SMALL_SIZES);

    scan_ = index_beginscan(relation, index_, GetActiveSnapshot(), 1, 0);
}

void Walk::seek(int64 key)
{
    ScanKeyData scan_key;
    ScanKeyInit(&scan_key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(key));
    index_rescan(scan_, &scan_key, 1, nullptr, 0);
}

void Walk::load(TupleTableSlot *slot)
{
    slot_getallattrs(slot);
    int columns = slot->tts_tupleDescriptor->natts;
    memcpy(values_, slot->tts_values, columns * sizeof(Datum));
    memcpy(nulls_, slot->tts_isnull, columns * sizeof(bool));

    const HeapTupleHeader header =
        reinterpret_cast<BufferHeapTupleTableSlot *>(slot)->base.tuple->t_data;
    written_since_ = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header)) &&
                     HeapTupleHeaderGetCmin(header) >= since_;
}

bool Walk::next()
{
    CHECK_FOR_INTERRUPTS();
    MemoryContextReset(row_memory_);
    if (!index_getnext_slot(scan_, ForwardScanDirection, slot_))
        return false;
    load(slot_);
    return true;
}

bool Walk::write()
{
    MemoryContext caller = MemoryContextSwitchTo(row_memory_);
    bool done = true;

    ExecClearTuple(new_slot_);
    int columns = new_slot_->tts_tupleDescriptor->natts;
    memcpy(new_slot_->tts_values, values_, columns * sizeof(Datum));
    memcpy(new_slot_->tts_isnull, nulls_, columns * sizeof(bool));
    ExecStoreVirtualTuple(new_slot_);
    if (relation_->rd_att->constr)
        ExecConstraints(result_, new_slot_, estate_);

    TM_FailureData failure;
    LockTupleMode lock_mode;
    bool update_indexes;
    /* A new HeapTuple is made in the slot's memory; the values it was made of stay where they are.
     */
    TM_Result result = table_tuple_update(relation_, &slot_->tts_tid, new_slot_,
                                          GetCurrentCommandId(true), GetActiveSnapshot(),
                                          crosscheck_, true, &failure, &lock_mode, &update_indexes);
    switch (result) {
        case TM_Ok:
            if (update_indexes)
                ExecInsertIndexTuples(result_, new_slot_, estate_, true, false, nullptr, NIL);
            ResetPerTupleExprContext(estate_);
            break;
        case TM_Updated:
        case TM_Deleted:
            if (IsolationUsesXactSnapshot())
                ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                        errmsg("could not serialize access due to concurrent update"));
            if (result == TM_Deleted)
                break;
            /* Lock the version that is valid now, and let the caller look at it. */
            result = table_tuple_lock(relation_, &slot_->tts_tid, GetActiveSnapshot(), slot_,
                                      GetCurrentCommandId(false), LockTupleNoKeyExclusive,
                                      LockWaitBlock, TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
            if (result == TM_Ok) {
                load(slot_);
                done = false;
            }
            else if (result != TM_Deleted)
                elog(ERROR, "unexpected state of a row of table \"%s\": %d",
                     RelationGetRelationName(relation_), result);
            break;
        default:
            elog(ERROR, "unexpected state of a row of table \"%s\": %d",
                 RelationGetRelationName(relation_), result);
    }
    MemoryContextSwitchTo(caller);
    return done;
}

void Walk::end()
{
    index_endscan(scan_);
    ExecDropSingleTupleTableSlot(slot_);
    ExecDropSingleTupleTableSlot(new_slot_);
    index_close(index_, NoLock);
    ExecCloseIndices(result_);
    FreeExecutorState(estate_);
    MemoryContextDelete(row_memory_);
    pfree(values_);
    pfree(nulls_);
    PopActiveSnapshot();
    CommandCounterIncrement();
}

} // namespace hermet::pg
