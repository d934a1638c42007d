#include "read/last_message.h"

extern "C" {
#include "access/detoast.h"
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

Datum read_name(Source &source, int64 channel, int64 sender)
{
    pg::Walk *member = source.find_member(channel, sender);
    Datum name =
        member ? text_of(*member, member_row::nickname) : PointerGetDatum(cstring_to_text(""));
    if (!member || VARSIZE_ANY_EXHDR(DatumGetPointer(name)) > 0)
        return name;
    pg::Walk *user = source.find(Table::biz_user, {sender});
    return user ? text_of(*user, user_row::nickname) : name;
}

/* In characters; no text has more of them than bytes. */
Datum first_characters(const pg::Walk &message)
{
    Datum content = message[message_row::content];
    bool is_long = !message.is_null(message_row::content) &&
                   toast_raw_datum_size(content) - VARHDRSZ > content_length;
    return is_long ? DirectFunctionCall2(text_left, content, Int32GetDatum(content_length))
                   : text_of(message, message_row::content);
}

} // namespace

LastMessage read_last_message(Source &source, int64 channel)
{
    using namespace message_row;
    pg::Walk *message = source.scan(Table::message, {channel});
    while (source.next(message, BackwardScanDirection)) {
        if (message->is_null(deleted_at) || message->int8(deleted_at) != 0)
            continue;
        LastMessage last;
        last.id = message->int8(id);
        last.sender = message->int8(sender);
        last.time = message->int8(sent_at);
        last.type = text_of(*message, type);
        last.content = first_characters(*message);
        last.sender_name = read_name(source, channel, last.sender);
        return last;
    }
    Datum empty = PointerGetDatum(cstring_to_text(""));
    return {0, 0, 0, empty, empty, empty};
}

bool is_last_sender(Source &source, int64 channel, int64 user, int64 others)
{
    const pg::Walk *c = source.find(Table::channel, {channel});
    int64 last = c ? c->int8(channel_row::last_id) : 0;
    if (last == 0 || last == others)
        return false;
    const pg::Walk *message = source.find(Table::message, {channel, last});
    return message && message->int8(message_row::sender) == user;
}

void read_last_messages(Source &source, const pg::Vector<int64> &channels,
                        pg::Vector<LastMessage> &messages)
{
    Instance &instance = source.instance();
    messages.reserve(messages.size() + channels.size());
    if (Source::can_read(instance, {Table::message, Table::channel_member, Table::biz_user})) {
        size_t before = messages.size();
        for (int64 channel : channels)
            messages.push_back(read_last_message(source, channel));
        if (!source.blocked())
            return;
        messages.resize(before);
    }

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
