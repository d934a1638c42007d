#include "list/list.h"

/* What the function returns, of rows v. */
#define SELECT_LIST                                                                                \
    "SELECT v.id, v.user_id, v.channel_id, v.conversation_type::pg_catalog.text, "                 \
    "v.conversation_name, v.conversation_avatar, v.conversation_info_ver, v.peer_user_id, "        \
    "v.peer_nickname, v.peer_avatar, v.peer_status::pg_catalog.text, v.remark_name, v.is_muted, "  \
    "v.is_pinned, v.is_hidden, v.is_starred, v.marked_unread, v.last_message_id, "                 \
    "v.last_message_type, v.last_message_content, v.last_message_sender_id, "                      \
    "v.last_message_sender_name, v.last_message_time, v.last_read_message_id, v.unread_count, "    \
    "v.mention_count, v.opened_at, v.closed_at, v.created_at, v.updated_at, "                      \
    "hermet.conversation_cursor(v.is_pinned, v.moved_at, v.channel_id) FROM "

namespace hermet {

namespace {

/*
 * From the read side: $1 user, $2 rows, $3 hidden ones too. Everything is qualified: these run with
 * the caller's search_path. What is made of a row is made of the page's rows only. list_hour rises
 * with moved_at (or is 0), so that it changes nothing in the order, and the index has it. What is
 * sorted by comes first in a row, where the sort finds it without walking through the row.
 */
#define PAGE_OF_VIEW(after)                                                                        \
    SELECT_LIST                                                                                    \
    "(SELECT v.is_pinned AS pinned, {stored_hour} AS hour,"                                        \
    "        greatest(v.last_message_time, v.opened_at) AS moved_at, v.channel_id AS channel,"     \
    "        {columns conversation}, updated_at"                                                   \
    "   FROM {s}.user_conversation_view v"                                                         \
    "  WHERE v.user_id OPERATOR(pg_catalog.=) $1"                                                  \
    "    AND v.closed_at OPERATOR(pg_catalog.=) 0 AND (NOT v.is_hidden OR $3)" after               \
    "  ORDER BY pinned DESC, hour DESC, moved_at DESC, channel DESC LIMIT $2) v"

/* After the cursor $4, $5, $6. The first condition is for the index: $7 is the hour of $5. */
#define AFTER_IN_VIEW                                                                              \
    " AND ROW(v.is_pinned, {stored_hour}) OPERATOR(pg_catalog.<=) ROW($4, $7)"                     \
    " AND ROW(v.is_pinned, greatest(v.last_message_time, v.opened_at), v.channel_id)"              \
    "     OPERATOR(pg_catalog.<) ROW($4, $5, $6)"

/* By Reader: a plan belongs to one role, where there is row security. */
const pg::Statement first_page[] = {{PAGE_OF_VIEW(""), {INT8OID, INT8OID, BOOLOID}},
                                    {PAGE_OF_VIEW(""), {INT8OID, INT8OID, BOOLOID}}};
const pg::Statement next_page[] = {
    {PAGE_OF_VIEW(AFTER_IN_VIEW), {INT8OID, INT8OID, BOOLOID, BOOLOID, INT8OID, INT8OID, INT8OID}},
    {PAGE_OF_VIEW(AFTER_IN_VIEW), {INT8OID, INT8OID, BOOLOID, BOOLOID, INT8OID, INT8OID, INT8OID}}};

/*
 * From the write side, in two steps under one snapshot: which conversations are on the page, for
 * which the planner leaves out of the definition what decides nothing, the counting above all; then
 * their rows.
 */
#define KEYS_OF_PAGE(after)                                                                        \
    "SELECT q.user_id, q.channel_id FROM ({conversation}) q"                                       \
    " WHERE q.closed_at = 0 AND (NOT q.is_hidden OR $3)" after                                     \
    " ORDER BY q.is_pinned DESC, greatest(q.last_message_time, q.opened_at) DESC,"                 \
    "          q.channel_id DESC LIMIT $2"
#define AFTER_IN_JOIN                                                                              \
    " AND (q.is_pinned, greatest(q.last_message_time, q.opened_at), q.channel_id) < ($4, $5, $6)"

const pg::Statement first_keys = {
    KEYS_OF_PAGE(""), {INT8OID, INT8OID, BOOLOID}, "{members_of_user}"};
const pg::Statement next_keys = {KEYS_OF_PAGE(AFTER_IN_JOIN),
                                 {INT8OID, INT8OID, BOOLOID, BOOLOID, INT8OID, INT8OID, INT8OID},
                                 "{members_of_user}"};

/* updated_at is no rule's: only the stored row can tell. */
const pg::Statement rows_of_keys = {
    SELECT_LIST "(SELECT d.*, greatest(d.last_message_time, d.opened_at) AS moved_at,"
                "        coalesce((SELECT w.updated_at FROM {s}.user_conversation_view w"
                "                   WHERE w.user_id = d.user_id AND w.channel_id = d.channel_id),"
                "                 0) AS updated_at"
                "   FROM ({conversation}) d) v"
                " ORDER BY v.is_pinned DESC, v.moved_at DESC, v.channel_id DESC",
    {INT8ARRAYOID, INT8ARRAYOID},
    "{members_of_keys}"};

/* As list_hour is derived where it is not 0: see definition.cpp. */
Datum hour_of(Datum moved_at)
{
    return Int64GetDatum(Max(DatumGetInt64(moved_at), 0) / 3600000 + 1);
}

void read_view(Instance &instance, const ListRequest &request, const pg::RowStore &store,
               Reader reader)
{
    Datum user = Int64GetDatum(request.user);
    Datum rows = Int64GetDatum(request.max_rows);
    Datum hidden = BoolGetDatum(request.include_hidden);
    const Datum *after = request.after;
    int who = static_cast<int>(reader);
    if (request.paged)
        run_into(instance, next_page[who],
                 {user, rows, hidden, after[0], after[1], after[2], hour_of(after[1])}, store);
    else
        run_into(instance, first_page[who], {user, rows, hidden}, store);
}

pg::Result select_keys(Instance &instance, const ListRequest &request)
{
    Datum user = Int64GetDatum(request.user);
    Datum rows = Int64GetDatum(request.max_rows);
    Datum hidden = BoolGetDatum(request.include_hidden);
    const Datum *after = request.after;
    if (request.paged)
        return run(instance, next_keys,
                   {user, rows, hidden, after[0], after[1], after[2], Datum(0)}, pg::Sight::caller);
    return run(instance, first_keys, {user, rows, hidden}, pg::Sight::caller);
}

void join(Instance &instance, const ListRequest &request, const pg::RowStore &store)
{
    pg::Result page = select_keys(instance, request);
    pg::Vector<int64> &users = pg::make<pg::Vector<int64>>();
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();
    for (uint64 i = 0; i < page.count; i++) {
        users.push_back(page.int8(i, 0));
        channels.push_back(page.int8(i, 1));
    }
    if (!users.empty())
        run_into(instance, rows_of_keys, {pg::int8_array(users), pg::int8_array(channels)}, store);
}

} // namespace

const Listing conversation_listing = {metrics::Endpoint::conversation_list,
                                      "conversation_list",
                                      &conversation_cursors,
                                      Table::user_conversation_view,
                                      "channel_id",
                                      30,
                                      read_view,
                                      join};

} // namespace hermet
