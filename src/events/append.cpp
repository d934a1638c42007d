/*
 * Appending to change_event: what a statement did to rows of the write side, an event each.
 */
#include "events/events.h"
#include "pg/function.h"
#include "pg/json.h"
#include "pg/lock.h"
#include "pg/partition.h"
#include "pg/sequence.h"
#include "read/rows.h"
#include "write/firing.h"

extern "C" {
#include "access/table.h"
#include "utils/xid8.h"
}

#include <cstring>

namespace hermet {

namespace {

/* A table of the write side: its key, and what of it must not be copied. */
struct Logged {
    const char *table;
    int keys;
    const char *key[2];
    const char *secret;
};

const Logged logged_tables[] = {
    {"biz_user", 1, {"id", nullptr}, "passwd"},
    {"channel", 1, {"id", nullptr}, nullptr},
    {"channel_member", 2, {"channel_id", "user_id"}, nullptr},
    {"channel_read_record", 2, {"user_id", "channel_id"}, nullptr},
    {"friendship", 2, {"user_id", "friend_id"}, nullptr},
    {"channel_application", 2, {"target_id", "id"}, nullptr},
    {"message", 2, {"channel_id", "id"}, nullptr},
    {"conversation_setting", 2, {"user_id", "channel_id"}, nullptr},
};

const Logged &find_logged(const TriggerData *trigger)
{
    const char *table = get_rel_name(pg::find_root(trigger->tg_relation));
    for (const Logged &logged : logged_tables)
        if (table && strcmp(logged.table, table) == 0)
            return logged;
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("trigger \"%s\" is fired on table \"%s\", which has no events",
                   trigger->tg_trigger->tgname, RelationGetRelationName(trigger->tg_relation)),
            errhint("Events are those of the write side of a hermet instance; "
                    "hermet.disable_events() stops them."));
}

/* Where the table has triggers or rules of somebody's, or children. */
const char *const insert_event = R"(
INSERT INTO {s}.change_event (event_offset, table_name, key, operation, new_values, transaction_time, transaction_id)
OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7))";

int64 transaction_time()
{
    constexpr int64 offset = int64(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
    return (GetCurrentTransactionStartTimestamp() + offset) / 1000;
}

/* Makes sure that this transaction's key is below its offsets: see events.h. */
void hold_floor(Instance &instance)
{
    if (instance.event_floor >= 0 &&
        pg::shares_key(instance.schema, pg::LockClass::event, instance.event_floor))
        return;
    instance.event_floor = Max(pg::last_drawn(instance.event_sequence), 0);
    pg::share_key(instance.schema, pg::LockClass::event, instance.event_floor);
}

/* The events of one firing. */
class Appender {
  public:
    void begin(Instance &instance, const Logged &logged, Firing &firing);
    void append(const char *operation, const pg::Rows *key, bool with_values);
    void append_truncate();
    void end();

    /* Whether the old and the new row of a pair have the same key. */
    bool same_key() const;

  private:
    void start(const char *operation);
    void insert();
    void finish();
    Datum key_of(const pg::Rows &row) const;

    Instance *instance_;
    const Logged *logged_;
    Firing *firing_;
    Relation events_;
    bool direct_;
    pg::Workspace space_;
    pg::Inserter inserter_;
    pg::JsonRows rows_;
    AttrNumber key_at_[2];
    MemoryContext memory_; /* of one event */
    MemoryContext caller_;
    Datum values_[event_row::count];
    bool nulls_[event_row::count];
};

void Appender::begin(Instance &instance, const Logged &logged, Firing &firing)
{
    Relation relation = firing.trigger->tg_relation;
    pg::Column columns[2];
    for (int i = 0; i < logged.keys; i++)
        columns[i] = {logged.key[i], INT8OID};
    pg::find_columns(relation, columns, logged.keys, key_at_);

    instance_ = &instance;
    logged_ = &logged;
    firing_ = &firing;
    rows_.begin(relation, logged.secret);
    if (pg::has_own_types(relation))
        pg::Session::current->connect(); /* their casts find nothing of the caller's */

    memset(values_, 0, sizeof values_);
    memset(nulls_, 0, sizeof nulls_);
    values_[event_row::table] = CStringGetTextDatum(logged.table);
    values_[event_row::time] = Int64GetDatum(transaction_time());
    values_[event_row::transaction] = FullTransactionIdGetDatum(GetTopFullTransactionId());
    memory_ = AllocSetContextCreate(CurrentMemoryContext, "hermet event", ALLOCSET_DEFAULT_SIZES);

    events_ = open_table(instance, Table::change_event, RowExclusiveLock);
    const pg::Path &way = path(instance, Table::change_event, events_);
    direct_ = way.insertable;
    space_.begin();
    if (direct_)
        inserter_.begin(events_, way, space_);
    hold_floor(instance);
}

Datum Appender::key_of(const pg::Rows &row) const
{
    int64 key[2];
    for (int i = 0; i < logged_->keys; i++)
        key[i] = row.int8(key_at_[i]);
    return pg::json_of(logged_->key, key, logged_->keys);
}

bool Appender::same_key() const
{
    for (int i = 0; i < logged_->keys; i++)
        if (firing_->old_rows.int8(key_at_[i]) != firing_->new_rows.int8(key_at_[i]))
            return false;
    return true;
}

void Appender::start(const char *operation)
{
    CHECK_FOR_INTERRUPTS();
    caller_ = MemoryContextSwitchTo(memory_);
    values_[event_row::offset] = Int64GetDatum(pg::draw(instance_->event_sequence));
    values_[event_row::operation] = CStringGetTextDatum(operation);
}

void Appender::finish()
{
    insert();
    MemoryContextSwitchTo(caller_);
    MemoryContextReset(memory_);
}

void Appender::append(const char *operation, const pg::Rows *key, bool with_values)
{
    start(operation);
    values_[event_row::key] = key_of(*key);
    nulls_[event_row::values] = !with_values;
    if (with_values)
        values_[event_row::values] = rows_.convert(key->slot());
    finish();
}

/* Of a whole table without a key; of a partition the key says which rows are gone. */
void Appender::append_truncate()
{
    static const char *const names[] = {"modulus", "remainder"};
    int64 place[2];
    Oid table = RelationGetRelid(firing_->trigger->tg_relation);
    start("truncate");
    nulls_[event_row::key] = !find_place(*instance_, table, &place[0], &place[1]);
    nulls_[event_row::values] = true;
    if (!nulls_[event_row::key])
        values_[event_row::key] = pg::json_of(names, place, 2);
    finish();
}

void Appender::insert()
{
    if (direct_) {
        inserter_.insert(values_, nulls_);
        return;
    }
    static const Oid types[] = {INT8OID, TEXTOID, JSONBOID, TEXTOID, JSONBOID, INT8OID, XID8OID};
    char nulls[event_row::count];
    for (int i = 0; i < event_row::count; i++)
        nulls[i] = nulls_[i] ? 'n' : ' ';
    pg::execute_once(expand(*instance_, insert_event), {event_row::count, types, values_, nulls},
                     pg::Sight::fresh, true);
}

void Appender::end()
{
    if (direct_)
        inserter_.end();
    space_.end();
    table_close(events_, NoLock);
    MemoryContextDelete(memory_);
}

/*
 * Keys that are gone come first: so a reader who applies one event after another never meets a key
 * twice, whatever an UPDATE of keys did. A row that keeps its key is an update.
 */
void append_rows(Firing &firing, Appender &events)
{
    if (firing.old_rows.count() > 0) {
        while (firing.next())
            if (firing.has_old && !(firing.has_new && events.same_key()))
                events.append("delete", &firing.old_rows, false);
        firing.rewind();
    }
    while (firing.next()) {
        if (!firing.has_new)
            continue;
        bool stays = firing.has_old && events.same_key();
        events.append(stays ? "update" : "insert", &firing.new_rows, true);
    }
}

} // namespace

} // namespace hermet

using namespace hermet;

HERMET_TRIGGER(append_events)
{
    /* What hermet writes to its own columns follows from other events. */
    Firing &firing = pg::make<Firing>();
    const Logged &logged = find_logged(trigger);
    static Truncated truncated;
    if (pg::own_write_runs() || !begin_firing(trigger, logged.table, truncated, firing))
        return PointerGetDatum(nullptr);

    Instance &instance = require_events(find_instance(firing.schema));
    pg::Session session;
    session.begin(instance.owner);
    Appender &events = pg::make<Appender>();
    events.begin(instance, logged, firing);
    if (firing.truncate)
        events.append_truncate();
    else
        append_rows(firing, events);
    events.end();
    session.end();
    firing.old_rows.close();
    firing.new_rows.close();
    return PointerGetDatum(nullptr);
}
