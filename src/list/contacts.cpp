#include "list/list.h"

/* What the function returns, of rows v that know their displayed name. */
#define SELECT_LIST                                                                                \
    "SELECT v.id, v.user_id, v.contact_id, v.contact_nickname, v.contact_avatar, "                 \
    "v.contact_info_ver, v.remark_name, v.group_name, v.tags, v.is_starred, v.is_blocked, "        \
    "v.mobile, v.source::pg_catalog.text, v.added_at, v.deleted_at, v.created_at, v.updated_at, "  \
    "hermet.contact_cursor(v.is_starred, v.displayed_name, v.id, v.contact_id) FROM "

namespace hermet {

namespace {

/*
 * By the bytes of the name: an order that no other locale, library or version changes under a
 * cursor. id alone would do in a plain instance, where it is unique.
 */
#define DISPLAYED_NAME                                                                             \
    "CASE WHEN v.remark_name OPERATOR(pg_catalog.<>) '' THEN v.remark_name"                        \
    " ELSE v.contact_nickname END COLLATE pg_catalog.\"C\""

/* $1 user, $2 rows, of the stored or of the derived rows; everything qualified. */
#define PAGE(rows, updated_at, after)                                                              \
    SELECT_LIST                                                                                    \
    "(SELECT v.is_starred AS starred, " DISPLAYED_NAME " AS displayed_name, v.id AS friendship,"   \
    "        v.contact_id AS contact, {columns contact}, " updated_at " AS updated_at"             \
    "   FROM " rows " v WHERE v.user_id OPERATOR(pg_catalog.=) $1" after                           \
    "  ORDER BY starred DESC, displayed_name, friendship, contact LIMIT $2) v"

/* After the cursor $3, $4, $5, $6. */
#define AFTER                                                                                      \
    " AND ROW(NOT v.is_starred, " DISPLAYED_NAME ", v.id, v.contact_id)"                           \
    "     OPERATOR(pg_catalog.>) ROW(NOT $3, $4, $5, $6)"

#define STORED(after) PAGE("{s}.user_contact_view", "v.updated_at", after)
/* updated_at is no rule's: only the stored row can tell. */
#define JOINED(after)                                                                              \
    PAGE("({contact})",                                                                            \
         "coalesce((SELECT w.updated_at FROM {s}.user_contact_view w"                              \
         " WHERE w.user_id = v.user_id AND w.contact_id = v.contact_id), 0)",                      \
         after)

const pg::Statement first_page[] = {{STORED(""), {INT8OID, INT8OID}},
                                    {STORED(""), {INT8OID, INT8OID}}};
const pg::Statement next_page[] = {
    {STORED(AFTER), {INT8OID, INT8OID, BOOLOID, TEXTOID, INT8OID, INT8OID}},
    {STORED(AFTER), {INT8OID, INT8OID, BOOLOID, TEXTOID, INT8OID, INT8OID}}};

const pg::Statement first_joined = {JOINED(""), {INT8OID, INT8OID}, "{friendships_of_user}"};
const pg::Statement next_joined = {
    JOINED(AFTER), {INT8OID, INT8OID, BOOLOID, TEXTOID, INT8OID, INT8OID}, "{friendships_of_user}"};

void run_page(Instance &instance, const ListRequest &request, const pg::RowStore &store,
              const pg::Statement &first, const pg::Statement &next)
{
    Datum user = Int64GetDatum(request.user);
    Datum rows = Int64GetDatum(request.max_rows);
    const Datum *after = request.after;
    if (request.paged)
        run_into(instance, next, {user, rows, after[0], after[1], after[2], after[3]}, store);
    else
        run_into(instance, first, {user, rows}, store);
}

void read_view(Instance &instance, const ListRequest &request, const pg::RowStore &store,
               Reader reader)
{
    int who = static_cast<int>(reader);
    run_page(instance, request, store, first_page[who], next_page[who]);
}

void join(Instance &instance, const ListRequest &request, const pg::RowStore &store)
{
    run_page(instance, request, store, first_joined, next_joined);
}

} // namespace

const Listing contact_listing = {metrics::Endpoint::contact_list,
                                 "contact_list",
                                 &contact_cursors,
                                 Table::user_contact_view,
                                 "contact_id",
                                 17,
                                 read_view,
                                 join};

} // namespace hermet
