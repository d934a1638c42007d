#include "pg/sql.h"

extern "C" {
#include "catalog/pg_operator_d.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/tuplesort.h"
}

#include <cstring>

namespace hermet::pg {

namespace {

/* The depth of the triggers that a statement of hermet's own fires; -1 while none runs. */
int own_write_depth = -1;

int trigger_depth()
{
    return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, Datum(0)));
}

void append_expanded(StringInfo out, const char *text, const char *schema, const char *scope,
                     Fragment fragment)
{
    while (const char *open = strchr(text, '{')) {
        const char *close = strchr(open, '}');
        appendBinaryStringInfo(out, text, open - text);
        if (!close)
            elog(ERROR, "unfinished name in a statement of hermet: %s", open);
        size_t length = close - open - 1;
        if (length == 1 && open[1] == 's')
            appendStringInfoString(out, schema);
        else if (length == 5 && strncmp(open + 1, "scope", 5) == 0 && scope)
            append_expanded(out, scope, schema, nullptr, fragment);
        else if (const char *part = fragment(open + 1, length))
            append_expanded(out, part, schema, scope, fragment);
        else
            elog(ERROR, "unknown name in a statement of hermet: %s", open);
        text = close + 1;
    }
    appendStringInfoString(out, text);
}

void set_option(const char *name, const char *value)
{
    set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * An error's context would show the whole statement, a page of SQL. What was above it, a function
 * of the application for instance, stays.
 */
void shorten_context(ErrorData *error, const char *sql, const char *what)
{
    const char *at = error->context ? strstr(error->context, sql) : nullptr;
    if (at)
        error->context = psprintf("%.*s%s%s", static_cast<int>(at - error->context), error->context,
                                  what, at + strlen(sql));
}

/* The depth counts for as long as the statement runs, errors included: a savepoint may catch them.
 */
void execute_plan(const Plan &plan, const Datum *values, const char *nulls, Snapshot snapshot,
                  Snapshot crosscheck, bool read_only, bool own_write)
{
    MemoryContext caller = CurrentMemoryContext;
    int depth = own_write_depth;
    int result = 0;

    PG_TRY();
    {
        own_write_depth = own_write ? trigger_depth() + 1 : -1;
        result = SPI_execute_snapshot(plan.plan, const_cast<Datum *>(values), nulls, snapshot,
                                      crosscheck, read_only, true, 0);
        own_write_depth = depth;
    }
    PG_CATCH();
    {
        own_write_depth = depth;
        MemoryContextSwitchTo(caller);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        shorten_context(error, plan.sql, "maintenance by hermet");
        ReThrowError(error);
    }
    PG_END_TRY();
    if (result < 0)
        elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(result));
}

} // namespace

char *expand(const char *text, const char *schema, const char *scope, Fragment fragment)
{
    StringInfoData out;
    initStringInfo(&out);
    append_expanded(&out, text, schema, scope, fragment);
    return out.data;
}

const Plan &Plans::get(const Statement &statement, const char *schema, Fragment fragment)
{
    for (int i = 0; i < count_; i++)
        if (entries_[i].statement == &statement)
            return entries_[i];

    Session::current->connect();
    char *sql = expand(statement.text, schema, statement.scope, fragment);
    SPIPlanPtr plan =
        SPI_prepare_cursor(sql, static_cast<int>(statement.types.size()),
                           const_cast<Oid *>(statement.types.begin()), CURSOR_OPT_GENERIC_PLAN);
    if (!plan)
        elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));
    if (count_ == capacity_) {
        int capacity = Max(capacity_ * 2, 16);
        Plan *grown =
            static_cast<Plan *>(MemoryContextAlloc(TopMemoryContext, capacity * sizeof(Plan)));
        for (int i = 0; i < count_; i++)
            grown[i] = entries_[i];
        if (entries_)
            pfree(entries_);
        entries_ = grown;
        capacity_ = capacity;
    }
    char *kept = MemoryContextStrdup(TopMemoryContext, sql);
    SPI_keepplan(plan);
    entries_[count_] = {&statement, plan, kept};
    return entries_[count_++];
}

void Plans::clear()
{
    for (int i = 0; i < count_; i++) {
        SPI_freeplan(entries_[i].plan);
        pfree(entries_[i].sql);
    }
    if (entries_)
        pfree(entries_);
    entries_ = nullptr;
    count_ = capacity_ = 0;
}

Datum Result::value(uint64 row, int column) const
{
    bool null;
    Datum value = SPI_getbinval(table->vals[row], table->tupdesc, column + 1, &null);
    return null ? Datum(0) : value;
}

Result execute(const Plan &plan, const Datum *values, Sight sight)
{
    Session::current->connect();
    Snapshot snapshot = InvalidSnapshot;
    Snapshot crosscheck = InvalidSnapshot;
    bool read_only = sight == Sight::caller;

    if (sight == Sight::fresh && IsolationUsesXactSnapshot()) {
        CommandCounterIncrement();
        snapshot = GetLatestSnapshot();
        crosscheck = GetTransactionSnapshot();
    }
    execute_plan(plan, values, nullptr, snapshot, crosscheck, read_only, plan.statement->own_write);
    return {SPI_tuptable, SPI_processed};
}

void Result::free() const
{
    SPI_freetuptable(table);
}

namespace {

/* For statements that run once, until AtEOXact_GUC() of what this returns. */
int choose_access(Access access)
{
    Session::current->connect();
    int settings = NewGUCNestLevel();
    /* force_generic_plan would win over CURSOR_OPT_CUSTOM_PLAN. */
    set_option("plan_cache_mode", "auto");
    bool by_key = access == Access::keys;
    set_option("enable_seqscan", by_key ? "off" : "on");
    if (access == Access::any)
        return settings;
    /*
     * The order and the way that are right whatever is in the tables: of partitioned ones nobody
     * makes statistics unasked, and the price of looking a row up in one of many partitions is
     * estimated as that of all of them. Else a table might be read as a whole for each row, or the
     * whole index of each partition.
     */
    set_option("join_collapse_limit", "1");
    set_option("enable_mergejoin", "off");
    set_option(by_key ? "enable_hashjoin" : "enable_nestloop", "off");
    if (by_key) {
        set_option("enable_material", "off");
        set_option("enable_memoize", "off");
        /* By as many columns of the key as there are: rows count, not pages that may be cached. */
        set_option("random_page_cost", "0");
        set_option("seq_page_cost", "0");
    }
    return settings;
}

SPIPlanPtr prepare_once(const char *sql, const Parameters &parameters)
{
    SPIPlanPtr plan = SPI_prepare_cursor(sql, parameters.count, const_cast<Oid *>(parameters.types),
                                         CURSOR_OPT_CUSTOM_PLAN | CURSOR_OPT_PARALLEL_OK);
    if (!plan)
        elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));
    return plan;
}

} // namespace

Result execute_once(const char *sql, const Parameters &parameters, Sight sight, bool own_write,
                    Access access)
{
    int settings = choose_access(access);
    Plan plan = {nullptr, prepare_once(sql, parameters), const_cast<char *>(sql)};
    Snapshot snapshot = InvalidSnapshot;
    if (sight == Sight::fresh && IsolationUsesXactSnapshot())
        snapshot = GetLatestSnapshot();
    execute_plan(plan, parameters.values, parameters.nulls, snapshot, InvalidSnapshot,
                 sight == Sight::caller, own_write);
    Result rows = {SPI_tuptable, SPI_processed};
    SPI_freeplan(plan.plan);
    AtEOXact_GUC(true, settings);
    return rows;
}

namespace {

/* Runs a text once with the caller's snapshot, its rows going to `dest`. */
void execute_to(DestReceiver *dest, const char *sql, const Parameters &parameters, Access access)
{
    int settings = choose_access(access);
    SPIPlanPtr plan = prepare_once(sql, parameters);
    ParamListInfo params = makeParamList(parameters.count);
    for (int i = 0; i < parameters.count; i++) {
        params->params[i].value = parameters.values[i];
        params->params[i].isnull = parameters.nulls[i] == 'n';
        params->params[i].pflags = PARAM_FLAG_CONST;
        params->params[i].ptype = parameters.types[i];
    }

    SPIExecuteOptions options = {};
    options.params = params;
    options.read_only = true;
    options.dest = dest;
    int result = SPI_execute_plan_extended(plan, &options);
    if (result < 0)
        elog(ERROR, "SPI_execute_plan_extended failed: %s", SPI_result_code_string(result));
    SPI_freeplan(plan);
    AtEOXact_GUC(true, settings);
}

/* Takes the rows of execute_selected(): sorts those that are selected, counts the others. */
struct Receiver {
    DestReceiver dest; /* first: the server knows this part only */
    int keys;
    MemoryContext memory; /* outlives the executor */
    Tuplesortstate *sort;
    TupleDesc descriptor;
    int64 others;

    static constexpr int max_keys = 3;

    static Receiver *of(DestReceiver *dest) { return reinterpret_cast<Receiver *>(dest); }

    static void startup(DestReceiver *dest, int, TupleDesc descriptor)
    {
        AttrNumber columns[max_keys + 1];
        Oid operators[max_keys + 1];
        Oid collations[max_keys + 1] = {};
        bool nulls_first[max_keys + 1] = {};
        Receiver *self = of(dest);
        Assert(self->keys <= max_keys);
        for (int i = 0; i <= self->keys; i++) {
            columns[i] = static_cast<AttrNumber>(i + 2);
            operators[i] = Int8LessOperator;
        }
        MemoryContext executor = MemoryContextSwitchTo(self->memory);
        self->descriptor = CreateTupleDescCopy(descriptor);
        self->sort =
            tuplesort_begin_heap(self->descriptor, self->keys + 1, columns, operators, collations,
                                 nulls_first, work_mem, nullptr, TUPLESORT_NONE);
        MemoryContextSwitchTo(executor);
    }

    static bool receive(TupleTableSlot *slot, DestReceiver *dest)
    {
        bool null;
        if (DatumGetBool(slot_getattr(slot, 1, &null)))
            tuplesort_puttupleslot(of(dest)->sort, slot);
        else
            of(dest)->others++;
        return true;
    }

    static void ignore(DestReceiver *) {}
};

/* Appends what was selected, in order, without the columns that serve only this. */
int64 append_sorted(ReturnSetInfo *set, const Receiver &receiver)
{
    int hidden = receiver.keys + 2;
    int64 key[Receiver::max_keys] = {};
    int64 selected = 0;
    Assert(receiver.descriptor->natts == hidden + set->setDesc->natts);
    TupleTableSlot *slot = MakeSingleTupleTableSlot(receiver.descriptor, &TTSOpsMinimalTuple);
    tuplesort_performsort(receiver.sort);
    while (tuplesort_gettupleslot(receiver.sort, true, false, slot, nullptr)) {
        slot_getallattrs(slot);
        bool same = selected > 0;
        for (int i = 0; i < receiver.keys; i++) {
            int64 value = DatumGetInt64(slot->tts_values[i + 1]);
            same = same && value == key[i];
            key[i] = value;
        }
        selected += !same;
        tuplestore_putvalues(set->setResult, set->setDesc, slot->tts_values + hidden,
                             slot->tts_isnull + hidden);
    }
    ExecDropSingleTupleTableSlot(slot);
    tuplesort_end(receiver.sort);
    return selected;
}

} // namespace

void execute_into(ReturnSetInfo *set, const char *sql, const Parameters &parameters)
{
    DestReceiver *dest = CreateDestReceiver(DestTuplestore);
    SetTuplestoreDestReceiverParams(dest, set->setResult, set->econtext->ecxt_per_query_memory,
                                    false, set->setDesc,
                                    "hermet: a query's columns do not fit its function");
    execute_to(dest, sql, parameters, Access::any);
}

Seen execute_selected(ReturnSetInfo *set, const char *sql, int keys, const Parameters &parameters,
                      Access access)
{
    Receiver receiver = {};
    receiver.dest.receiveSlot = Receiver::receive;
    receiver.dest.rStartup = Receiver::startup;
    receiver.dest.rShutdown = Receiver::ignore;
    receiver.dest.rDestroy = Receiver::ignore;
    receiver.dest.mydest = DestNone;
    receiver.keys = keys;
    receiver.memory = CurrentMemoryContext;
    execute_to(&receiver.dest, sql, parameters, access);
    int64 selected = append_sorted(set, receiver);
    return {receiver.others + selected, selected};
}

void execute_into(const RowStore &store, const Plan &plan, const Datum *values)
{
    Session::current->connect();
    int count = static_cast<int>(plan.statement->types.size());
    ParamListInfo params = makeParamList(count);
    for (int i = 0; i < count; i++) {
        params->params[i].value = values[i];
        params->params[i].isnull = false;
        params->params[i].pflags = 0;
        params->params[i].ptype = plan.statement->types.begin()[i];
    }
    SPIExecuteOptions options = {};
    options.params = params;
    options.read_only = true;
    options.dest = CreateDestReceiver(DestTuplestore);
    SetTuplestoreDestReceiverParams(options.dest, store.rows, store.memory, false, store.columns,
                                    "hermet: a query's columns do not fit its function");

    MemoryContext caller = CurrentMemoryContext;
    int result = 0;
    PG_TRY();
    {
        result = SPI_execute_plan_extended(plan.plan, &options);
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(caller);
        ErrorData *error = CopyErrorData();
        FlushErrorState();
        shorten_context(error, plan.sql, "query of hermet");
        ReThrowError(error);
    }
    PG_END_TRY();
    if (result < 0)
        elog(ERROR, "SPI_execute_plan_extended failed: %s", SPI_result_code_string(result));
}

Snapshot push_fresh_snapshot()
{
    CommandCounterIncrement();
    if (IsolationUsesXactSnapshot()) {
        PushCopiedSnapshot(GetLatestSnapshot());
        return GetTransactionSnapshot();
    }
    PushActiveSnapshot(GetTransactionSnapshot());
    return InvalidSnapshot;
}

bool own_write_runs()
{
    return own_write_depth >= 0 && own_write_depth == trigger_depth();
}

Session *Session::current = nullptr;

void Session::begin(Oid owner, int why)
{
    GetUserIdAndSecContext(&user, &security);
    SetUserIdAndSecContext(owner, security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
    start(false, why);
}

void Session::begin_as_caller()
{
    GetUserIdAndSecContext(&user, &security);
    start(true, 0);
}

void Session::start(bool caller, int why)
{
    as_caller = caller;
    connected = false;
    memory = CurrentMemoryContext;
    outer = current;
    cause = why;
    current = this;
}

/* Memory stays the caller's. */
void Session::connect()
{
    if (connected)
        return;
    settings = NewGUCNestLevel();
    if (!as_caller) {
        /* pg_temp comes last when it is named, and first, for types too, when it is not. */
        set_option("search_path", "pg_catalog, pg_temp");
        set_option("plan_cache_mode", "force_generic_plan");
    }
    /*
     * Statements that look up keys in tables of any size, planned once a session: by index,
     * whatever the statistics of the day say, and not compiled.
     */
    set_option("enable_seqscan", "off");
    set_option("jit", "off");
    MemoryContext caller = MemoryContextSwitchTo(memory);
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    MemoryContextSwitchTo(caller);
    connected = true;
}

void Session::end()
{
    if (connected) {
        if (SPI_finish() != SPI_OK_FINISH)
            elog(ERROR, "SPI_finish failed");
        AtEOXact_GUC(true, settings);
    }
    SetUserIdAndSecContext(user, security);
    current = outer;
}

void set_sequence(Oid sequence, int64 value)
{
    HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(sequence));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for relation %u", sequence);
    Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
    ReleaseSysCache(tuple);

    Oid user;
    int security;
    GetUserIdAndSecContext(&user, &security);
    SetUserIdAndSecContext(owner, security | SECURITY_LOCAL_USERID_CHANGE);
    DirectFunctionCall2(setval_oid, ObjectIdGetDatum(sequence), Int64GetDatum(value));
    SetUserIdAndSecContext(user, security);
}

Datum int8_array(const Vector<int64> &items)
{
    return int8_array(items, 0, items.size());
}

Datum int8_array(const Vector<int64> &items, size_t from, size_t to)
{
    int count = static_cast<int>(to - from);
    if (count == 0)
        return PointerGetDatum(construct_empty_array(INT8OID));
    size_t size = ARR_OVERHEAD_NONULLS(1) + count * sizeof(int64);
    ArrayType *array = static_cast<ArrayType *>(palloc0(size));
    SET_VARSIZE(array, size);
    array->ndim = 1;
    array->elemtype = INT8OID;
    ARR_DIMS(array)[0] = count;
    ARR_LBOUND(array)[0] = 1;
    memcpy(ARR_DATA_PTR(array), items.data() + from, count * sizeof(int64));
    return PointerGetDatum(array);
}

} // namespace hermet::pg
