#include "read/last_message.h"

extern "C" {
#include "access/detoast.h"
#include "access/table.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
}

namespace hermet {

namespace {

constexpr int content_length = 512; /* characters of last_message_content */

/* A row for every channel, in order of the ids. */
const pg::Statement select_last_messages = {R"(
SELECT cm.channel_id, coalesce(lm.id, 0), coalesce(lm.message_type, ''), coalesce(lm.content, ''),
       coalesce(lm.sender_id, 0), coalesce(lm.sent_at, 0), {sender_name}
  FROM unnest($1::bigint[]) cm (channel_id)
  {last_message}
 ORDER BY 1)",
                                            {INT8ARRAYOID}};

namespace message_row {
enum { channel, id, sender, type, content, sent_at, deleted_at };
const pg::Column list[] = {
    {"channel_id", INT8OID},      {"id", INT8OID},      {"sender_id", INT8OID},
    {"message_type", VARCHAROID}, {"content", TEXTOID}, {"sent_at", INT8OID},
    {"deleted_at", INT8OID},
};
const pg::PathColumns columns = {list, lengthof(list), 2};
} // namespace message_row

namespace member_row {
enum { channel, user, nickname };
const pg::Column list[] = {{"channel_id", INT8OID}, {"user_id", INT8OID}, {"nickname", VARCHAROID}};
const pg::PathColumns columns = {list, lengthof(list), 2};
} // namespace member_row

namespace user_row {
enum { id, nickname };
const pg::Column list[] = {{"id", INT8OID}, {"nickname", VARCHAROID}};
const pg::PathColumns columns = {list, lengthof(list), 1};
} // namespace user_row

/* The three tables, while they are read. */
struct Reader {
    Relation message, member, user;
    const pg::Path *message_path, *member_path, *user_path;
    pg::Walk messages, members, users;
    bool users_begun = false;
    Datum empty;

    bool open(Instance &instance);
    void begin();
    void end();
    void close();
    LastMessage read(int64 channel);
    Datum read_name(int64 channel, int64 user);
    Datum text_of(const pg::Walk &walk, int column) const;
};

bool Reader::open(Instance &instance)
{
    message = table_open(instance.oid(Table::message), AccessShareLock);
    member = table_open(instance.oid(Table::channel_member), AccessShareLock);
    user = table_open(instance.oid(Table::biz_user), AccessShareLock);
    message_path = &path(instance, Table::message, message, message_row::columns);
    member_path = &path(instance, Table::channel_member, member, member_row::columns);
    user_path = &path(instance, Table::biz_user, user, user_row::columns);
    return message_path->readable() && member_path->readable() && user_path->readable();
}

void Reader::close()
{
    table_close(user, NoLock);
    table_close(member, NoLock);
    table_close(message, NoLock);
}

void Reader::begin()
{
    pg::push_fresh_snapshot();
    messages.begin(message, *message_path, 1);
    members.begin(member, *member_path, 2);
    empty = PointerGetDatum(cstring_to_text(""));
}

void Reader::end()
{
    if (users_begun)
        users.end();
    members.end();
    messages.end();
    PopActiveSnapshot();
}

/* A copy that outlives the walk's row. */
Datum Reader::text_of(const pg::Walk &walk, int column) const
{
    if (walk.is_null(column))
        return empty;
    return PointerGetDatum(PG_DETOAST_DATUM_COPY(walk[column]));
}

Datum Reader::read_name(int64 channel, int64 sender)
{
    members.seek({channel, sender});
    if (!members.next())
        return empty;
    Datum name = text_of(members, member_row::nickname);
    if (VARSIZE_ANY_EXHDR(DatumGetPointer(name)) > 0)
        return name;
    if (!users_begun)
        users.begin(user, *user_path, 1);
    users_begun = true;
    users.seek({sender});
    return users.next() ? text_of(users, user_row::nickname) : empty;
}

LastMessage Reader::read(int64 channel)
{
    using namespace message_row;
    messages.seek({channel});
    while (messages.next(BackwardScanDirection)) {
        if (messages.is_null(deleted_at) || messages.int8(deleted_at) != 0)
            continue;
        LastMessage last;
        last.id = messages.int8(id);
        last.sender = messages.int8(sender);
        last.time = messages.int8(sent_at);
        last.type = text_of(messages, type);
        /* In characters; no text has more of them than bytes. */
        bool is_long = !messages.is_null(content) &&
                       toast_raw_datum_size(messages[content]) - VARHDRSZ > content_length;
        last.content = is_long ? DirectFunctionCall2(text_left, messages[content],
                                                     Int32GetDatum(content_length))
                               : text_of(messages, content);
        last.sender_name = read_name(channel, last.sender);
        return last;
    }
    return {0, 0, 0, empty, empty, empty};
}

} // namespace

void read_last_messages(Instance &instance, const pg::Vector<int64> &channels,
                        pg::Vector<LastMessage> &messages)
{
    messages.reserve(messages.size() + channels.size());
    Reader &reader = pg::make<Reader>();
    bool direct = reader.open(instance);
    if (direct) {
        reader.begin();
        for (int64 channel : channels)
            messages.push_back(reader.read(channel));
        reader.end();
    }
    reader.close();
    if (direct)
        return;

    pg::Result rows = run(instance, select_last_messages, {pg::int8_array(channels)});
    auto text = [&](uint64 row, int column) {
        return PointerGetDatum(PG_DETOAST_DATUM_COPY(rows.value(row, column)));
    };
    for (uint64 i = 0; i < rows.count; i++)
        messages.push_back({rows.int8(i, 1), rows.int8(i, 4), rows.int8(i, 5), text(i, 2),
                            text(i, 3), text(i, 6)});
    SPI_freetuptable(rows.table);
}

} // namespace hermet
