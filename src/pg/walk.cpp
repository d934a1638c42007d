#include "pg/walk.h"

#include "pg/clock.h"
#include "pg/lock.h"
#include "pg/partition.h"

extern "C" {
#include "access/heapam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/relcache.h"
}

namespace hermet::pg {

namespace {

uint32 bit_of(int column)
{
    return UINT32_C(1) << column;
}

/*
 * Triggers that do nothing when hermet writes columns that are no key: its own, which skip its own
 * writes, and those of foreign keys that reference the table. (One of a foreign key of the table
 * itself must see the latest version of a row that is new in this transaction.) For whole rows:
 * its own only.
 */
bool triggers_allow(const TriggerDesc *triggers, bool whole_rows)
{
    if (!triggers)
        return true;
    Oid own_schema = get_namespace_oid("hermet", true);
    for (int i = 0; i < triggers->numtriggers; i++) {
        const Trigger &trigger = triggers->triggers[i];
        if (trigger.tgenabled == TRIGGER_DISABLED ||
            get_func_namespace(trigger.tgfoid) == own_schema)
            continue;
        if (whole_rows || (TRIGGER_FOR_UPDATE(trigger.tgtype) &&
                           RI_FKey_trigger_type(trigger.tgfoid) != RI_TRIGGER_PK))
            return false;
    }
    return true;
}

/* Whether columns that are not listed may be left NULL in a new row. */
bool others_may_be_null(Relation relation, const PathColumns &columns, const AttrNumber *at)
{
    TupleDesc descriptor = RelationGetDescr(relation);
    for (int i = 0; i < descriptor->natts; i++) {
        const FormData_pg_attribute *attribute = TupleDescAttr(descriptor, i);
        if (!attribute->attisdropped && (attribute->attnotnull || attribute->atthasdef) &&
            std::find(at, at + columns.count, attribute->attnum) == at + columns.count)
            return false;
    }
    return true;
}

/* Whether an index finds and orders the key columns as bigints, and every snapshot may use it. */
bool serves(Relation index, const AttrNumber *keys, int n)
{
    const FormData_pg_index *form = index->rd_index;
    if (!form->indisunique || !form->indisvalid || !form->indimmediate || form->indcheckxmin ||
        form->indnkeyatts != n || index->rd_rel->relam != BTREE_AM_OID ||
        RelationGetIndexPredicate(index))
        return false;
    for (int i = 0; i < n; i++)
        if (form->indkey.values[i] != keys[i] || index->rd_indoption[i] != 0 ||
            index->rd_opfamily[i] != INTEGER_BTREE_FAM_OID)
            return false;
    return true;
}

Oid find_unique_index(Relation relation, const AttrNumber *keys, int n)
{
    Oid found = InvalidOid;
    List *indexes = RelationGetIndexList(relation);
    ListCell *cell;
    foreach (cell, indexes) {
        Relation index = index_open(lfirst_oid(cell), AccessShareLock);
        if (serves(index, keys, n))
            found = RelationGetRelid(index);
        index_close(index, NoLock);
        if (OidIsValid(found))
            break;
    }
    list_free(indexes);
    return found;
}

/*
 * The columns of which a CHECK constraint says something: all, where it asks for more than the row,
 * and may answer differently although nothing of the row has changed.
 */
uint32 find_checked(const TupleConstr *constraints, const PathColumns &columns,
                    const AttrNumber *at)
{
    uint32 checked = 0;
    int checks = constraints ? constraints->num_check : 0;
    for (int i = 0; i < checks; i++) {
        Bitmapset *seen = nullptr;
        Node *check = static_cast<Node *>(stringToNode(constraints->check[i].ccbin));
        pull_varattnos(check, 1, &seen);
        bool always = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, seen) ||
                      contain_mutable_functions(check);
        for (int c = 0; c < columns.count; c++)
            if (always || bms_is_member(at[c] - FirstLowInvalidHeapAttributeNumber, seen))
                checked |= bit_of(c);
    }
    return checked;
}

/* Whether rows of both tables are taken apart and formed in the same way. */
bool same_layout(TupleDesc a, TupleDesc b)
{
    bool same = a->natts == b->natts;
    for (int i = 0; same && i < a->natts; i++) {
        const FormData_pg_attribute *x = TupleDescAttr(a, i);
        const FormData_pg_attribute *y = TupleDescAttr(b, i);
        same = x->atttypid == y->atttypid && x->attlen == y->attlen && x->attbyval == y->attbyval &&
               x->attalign == y->attalign && x->attstorage == y->attstorage &&
               x->attisdropped == y->attisdropped && !x->atthasmissing && !y->atthasmissing;
    }
    return same;
}

bool is_uniform(Relation relation)
{
    Oid table = find_root(relation);
    if (table == RelationGetRelid(relation))
        return true;
    Relation root = table_open(table, AccessShareLock);
    bool same = same_layout(RelationGetDescr(relation), RelationGetDescr(root));
    table_close(root, NoLock);
    return same;
}

/* Whether a new row must be looked at: for any CHECK but the one that holds by itself. */
bool checks_new_rows(const TupleConstr *constraints, const char *holds)
{
    int checks = constraints ? constraints->num_check : 0;
    for (int i = 0; i < checks; i++)
        if (!holds || strcmp(constraints->check[i].ccname, holds) != 0)
            return true;
    return false;
}

/* What another transaction did to a row meanwhile: an error where the snapshot must hold. */
void refuse_changed(TM_Result result)
{
    if (IsolationUsesXactSnapshot())
        ereport(ERROR, errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                errmsg("could not serialize access due to concurrent %s",
                       result == TM_Updated ? "update" : "delete"));
}

void set_scan_keys(ScanKeyData *scan_keys, std::initializer_list<int64> keys)
{
    AttrNumber column = 0;
    for (int64 key : keys) {
        column++;
        ScanKeyInit(&scan_keys[column - 1], column, BTEqualStrategyNumber, F_INT8EQ,
                    Int64GetDatum(key));
    }
}

/*
 * Makes a row of the slot's values. It is to be stored, and not a value of the slot's row type,
 * which may be that of another partition laid out alike: as such, servers since 15.20 would compare
 * the two types, column by column, each time they look at the row. A ctid says that it is none.
 */
void form_row(TupleTableSlot *slot)
{
    MemoryContext caller = MemoryContextSwitchTo(slot->tts_mcxt);
    HeapTuple row = heap_form_tuple(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
    MemoryContextSwitchTo(caller);
    ItemPointerSetInvalid(&row->t_data->t_ctid);
    ExecStoreHeapTuple(row, slot, true);
}

/* What a row must not have changed since, where the snapshot must hold. */
Snapshot crosscheck()
{
    return IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : InvalidSnapshot;
}

} // namespace

Permits find_permits(Relation table)
{
    if (table->rd_rules)
        return {false, false};
    return {triggers_allow(table->trigdesc, false), triggers_allow(table->trigdesc, true)};
}

void find_path(Relation relation, const PathColumns &columns, bool partition, Path &path)
{
    const FormData_pg_class *form = relation->rd_rel;
    const TupleConstr *constraints = relation->rd_att->constr;
    Path found = {};

    Assert(columns.count <= Path::max_columns);
    find_columns(relation, columns.columns, columns.count, found.at);
    found.known = true;
    found.keys = columns.keys;
    found.columns = columns.count;
    if (form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID &&
        !form->relhassubclass && form->relispartition == partition && !relation->rd_rules)
        found.index = find_unique_index(relation, found.at, columns.keys);
    found.uniform = is_uniform(relation);
    found.checked = find_checked(constraints, columns, found.at);
    found.insert_checks = checks_new_rows(constraints, columns.holds);
    bool plain = found.readable() && !(constraints && constraints->has_generated_stored);
    found.writable = plain && triggers_allow(relation->trigdesc, false);
    found.insertable = plain && triggers_allow(relation->trigdesc, true) &&
                       others_may_be_null(relation, columns, found.at);
    path = found;
}

void Workspace::begin()
{
    memory_ = CurrentMemoryContext;
    row_ = new_row_ = nullptr;
    executor_ = nullptr;
}

void Workspace::end()
{
    if (row_)
        ExecDropSingleTupleTableSlot(row_);
    if (new_row_)
        ExecDropSingleTupleTableSlot(new_row_);
    if (executor_)
        FreeExecutorState(executor_);
    begin();
}

TupleTableSlot *Workspace::row(Relation relation)
{
    if (!row_) {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        row_ = table_slot_create(relation, nullptr);
        MemoryContextSwitchTo(caller);
    }
    return row_;
}

TupleTableSlot *Workspace::new_row(Relation relation)
{
    if (!new_row_) {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        new_row_ = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsHeapTuple);
        MemoryContextSwitchTo(caller);
    }
    return new_row_;
}

EState *Workspace::executor()
{
    if (!executor_) {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        executor_ = CreateExecutorState();
        MemoryContextSwitchTo(caller);
    }
    return executor_;
}

void Walk::begin(Relation relation, const Path &path, int keys, Workspace &space)
{
    space_ = &space;
    path_ = &path;
    relation_ = relation;
    memory_ = CurrentMemoryContext;
    /* The lock on its table keeps the index, too. */
    index_ = RelationIdGetRelation(path.index);
    if (!RelationIsValid(index_))
        elog(ERROR, "could not open index with OID %u", path.index);
    slot_ = space.row(relation);
    new_slot_ = nullptr;
    result_ = nullptr;
    written_ = 0;
    last_column_ = *std::max_element(path.at, path.at + path.columns);
    keys_ = keys;
    scan_ = nullptr;
    visit_ = nullptr;
}

void Walk::begin_scan()
{
    MemoryContext caller = MemoryContextSwitchTo(scan_memory());
    scan_ = index_beginscan(relation_, index_, GetActiveSnapshot(), keys_, 0);
    MemoryContextSwitchTo(caller);
}

void Walk::seek(std::initializer_list<int64> keys)
{
    ScanKeyData scan_keys[INDEX_MAX_KEYS];
    set_scan_keys(scan_keys, keys);
    if (!scan_)
        begin_scan();
    index_rescan(scan_, scan_keys, keys_, nullptr, 0);
}

bool Walk::next(ScanDirection direction)
{
    CHECK_FOR_INTERRUPTS();
    /* What a scan allocates on its way lives as long as the scan. */
    MemoryContext caller = MemoryContextSwitchTo(scan_memory());
    bool found = index_getnext_slot(scan_, direction, slot_);
    MemoryContextSwitchTo(caller);
    if (found)
        load();
    return found;
}

void Walk::list(std::initializer_list<int64> keys, Vector<Entry> &entries)
{
    int n = static_cast<int>(keys.size());
    ScanKeyData scan_keys[INDEX_MAX_KEYS];
    set_scan_keys(scan_keys, keys);
    MemoryContext caller = MemoryContextSwitchTo(short_scan_memory());
    IndexScanDesc scan = index_beginscan(relation_, index_, GetActiveSnapshot(), n, 0);
    scan->xs_want_itup = true;
    index_rescan(scan, scan_keys, n, nullptr, 0);
    while (ItemPointer at = index_getnext_tid(scan, ForwardScanDirection)) {
        CHECK_FOR_INTERRUPTS();
        bool null;
        Datum key = index_getattr(scan->xs_itup, n + 1, RelationGetDescr(index_), &null);
        entries.push_back({DatumGetInt64(key), *at});
    }
    index_endscan(scan);
    MemoryContextSwitchTo(caller);
}

bool Walk::visit(const Entry &entry)
{
    if (!visit_) {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        visit_ = table_index_fetch_begin(relation_);
        MemoryContextSwitchTo(caller);
    }
    ItemPointerData at = entry.at;
    bool again = false;
    if (!table_index_fetch_tuple(visit_, &at, GetActiveSnapshot(), slot_, &again, nullptr))
        return false;
    load();
    return true;
}

void Walk::let_go()
{
    ExecClearTuple(slot_);
    if (scan_)
        index_endscan(scan_);
    scan_ = nullptr;
    if (visit_)
        table_index_fetch_reset(visit_);
}

void Walk::load()
{
    slot_getsomeattrs(slot_, last_column_);
    set_ = 0;
    values_ = slot_->tts_values;
    nulls_ = slot_->tts_isnull;
}

TransactionId Walk::written_by() const
{
    return HeapTupleHeaderGetXmin(
        reinterpret_cast<BufferHeapTupleTableSlot *>(slot_)->base.tuple->t_data);
}

CommandId Walk::written_in() const
{
    if (!TransactionIdIsCurrentTransactionId(written_by()))
        return FirstCommandId;
    return HeapTupleHeaderGetCmin(
        reinterpret_cast<BufferHeapTupleTableSlot *>(slot_)->base.tuple->t_data);
}

/* Locks the current row, or with FIND_LAST_VERSION its latest version. */
TM_Result Walk::take(uint8 flags)
{
    TM_FailureData failure;
    ItemPointerData found = slot_->tts_tid;
    auto try_lock = [&](LockWaitPolicy policy) {
        ItemPointerData at = found; /* the server follows updates in it */
        return table_tuple_lock(relation_, &at, GetActiveSnapshot(), slot_,
                                GetCurrentCommandId(true), LockTupleNoKeyExclusive, policy, flags,
                                &failure);
    };
    TM_Result result = try_lock(LockWaitSkip);
    if (result == TM_WouldBlock) {
        Stopwatch watch;
        watch.start();
        result = try_lock(LockWaitBlock);
        wait_listener(LockWait::row, watch.nanoseconds());
    }
    if (result == TM_Updated || result == TM_Deleted)
        refuse_changed(result);
    else if (result != TM_Ok && result != TM_SelfModified)
        elog(ERROR, "unexpected state of a row of table \"%s\": %d",
             RelationGetRelationName(relation_), result);
    return result;
}

/* Not LOCK_UPDATE_IN_PROGRESS, which locks later versions, too: no update goes with this lock. */
Locked Walk::lock()
{
    TM_Result result = take(0);
    if (result == TM_Updated)
        return Locked::changed;
    if (result != TM_Ok)
        return Locked::gone;
    load();
    return Locked::yes;
}

/* Locks the latest version of a row of the read side, which nobody gives another key. */
bool Walk::follow()
{
    int64 keys[INDEX_MAX_KEYS];
    for (int i = 0; i < path_->keys; i++)
        keys[i] = int8(i);
    uint8 flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
    if (!IsolationUsesXactSnapshot())
        flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
    if (take(flags) != TM_Ok)
        return false;
    load();
    /* But the owner may, by hand: then the row that was asked for is gone. */
    for (int i = 0; i < path_->keys; i++)
        if (int8(i) != keys[i])
            return false;
    return true;
}

void Walk::begin_writing()
{
    MemoryContext caller = MemoryContextSwitchTo(memory_);
    CheckCmdReplicaIdentity(relation_, CMD_UPDATE);
    MemoryContextSwitchTo(caller);
    new_slot_ = space_->new_row(relation_);
}

void Walk::begin_executor()
{
    if (result_)
        return;
    MemoryContext caller = MemoryContextSwitchTo(memory_);
    result_ = makeNode(ResultRelInfo);
    InitResultRelInfo(result_, relation_, 0, nullptr, 0); /* in no range table */
    MemoryContextSwitchTo(caller);
}

bool Walk::any_null() const
{
    for (int i = 0; i < path_->columns; i++)
        if (is_null(i))
            return true;
    return false;
}

bool Walk::same(int column, Datum value, bool null) const
{
    if (null || is_null(column))
        return null == is_null(column);
    const FormData_pg_attribute *attribute =
        TupleDescAttr(RelationGetDescr(relation_), path_->at[column] - 1);
    return datum_image_eq((*this)[column], value, attribute->attbyval, attribute->attlen);
}

void Walk::set(int column, Datum value, bool null)
{
    if (!new_slot_)
        begin_writing();
    if (values_ != new_slot_->tts_values) {
        int columns = RelationGetDescr(relation_)->natts;
        slot_getallattrs(slot_);
        ExecClearTuple(new_slot_);
        memcpy(new_slot_->tts_values, slot_->tts_values, columns * sizeof(Datum));
        memcpy(new_slot_->tts_isnull, slot_->tts_isnull, columns * sizeof(bool));
        values_ = new_slot_->tts_values;
        nulls_ = new_slot_->tts_isnull;
    }
    values_[path_->at[column] - 1] = value;
    nulls_[path_->at[column] - 1] = null;
    set_ |= bit_of(column);
}

/* Somebody else was quicker: as write() and remove() return it. */
bool Walk::settle(TM_Result result)
{
    if (result != TM_Updated && result != TM_Deleted)
        elog(ERROR, "unexpected state of a row of table \"%s\": %d",
             RelationGetRelationName(relation_), result);
    refuse_changed(result);
    return result == TM_Deleted || !follow();
}

bool Walk::write()
{
    Assert(path_->writable && new_slot_ && values_ == new_slot_->tts_values);
    form_row(new_slot_);
    /* NOT NULL holds: nothing is set to NULL. */
    if (path_->checked & set_) {
        begin_executor();
        ExecConstraints(result_, new_slot_, space_->executor());
    }

    TM_FailureData failure;
    LockTupleMode lock_mode;
    bool update_indexes;
    TM_Result result = table_tuple_update(
        relation_, &slot_->tts_tid, new_slot_, GetCurrentCommandId(true), GetActiveSnapshot(),
        crosscheck(), true, &failure, &lock_mode, &update_indexes);
    if (result != TM_Ok)
        return settle(result);
    if (update_indexes) {
        begin_executor();
        if (result_->ri_NumIndices == 0) {
            MemoryContext caller = MemoryContextSwitchTo(memory_);
            ExecOpenIndices(result_, false);
            MemoryContextSwitchTo(caller);
        }
        ExecInsertIndexTuples(result_, new_slot_, space_->executor(), true, false, nullptr, NIL);
    }
    if (result_)
        ResetPerTupleExprContext(space_->executor());
    written_++;
    return true;
}

bool Walk::remove()
{
    TM_FailureData failure;
    TM_Result result = table_tuple_delete(relation_, &slot_->tts_tid, GetCurrentCommandId(true),
                                          GetActiveSnapshot(), crosscheck(), true, &failure, false);
    return result == TM_Ok || settle(result);
}

void Walk::end()
{
    if (scan_)
        index_endscan(scan_);
    if (visit_)
        table_index_fetch_end(visit_);
    RelationClose(index_);
    if (result_ && result_->ri_NumIndices > 0)
        ExecCloseIndices(result_);
}

void Inserter::begin(Relation relation, const Path &path, Workspace &space)
{
    space_ = &space;
    path_ = &path;
    relation_ = relation;
    slot_ = space.new_row(relation);
    result_ = makeNode(ResultRelInfo);
    InitResultRelInfo(result_, relation, 0, nullptr, 0); /* in no range table */
    ExecOpenIndices(result_, false);
}

void Inserter::insert(const Datum *values, const bool *nulls)
{
    ExecClearTuple(slot_);
    memset(slot_->tts_isnull, true, RelationGetDescr(relation_)->natts * sizeof(bool));
    for (int i = 0; i < path_->columns; i++) {
        slot_->tts_values[path_->at[i] - 1] = values[i];
        slot_->tts_isnull[path_->at[i] - 1] = nulls[i];
    }
    form_row(slot_);
    if (path_->insert_checks)
        ExecConstraints(result_, slot_, space_->executor());
    table_tuple_insert(relation_, slot_, GetCurrentCommandId(true), 0, nullptr);
    ExecInsertIndexTuples(result_, slot_, space_->executor(), false, false, nullptr, NIL);
    ResetPerTupleExprContext(space_->executor());
}

void Inserter::end()
{
    ExecCloseIndices(result_);
}

} // namespace hermet::pg
