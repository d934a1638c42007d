#include "list/list.h"

namespace hermet {

namespace {

/* Of stored or derived rows; everything qualified, as for the caller's search_path. */
#define TOTALS(rows)                                                                               \
    "SELECT coalesce(pg_catalog.sum(v.unread_count), 0),"                                          \
    "       coalesce(pg_catalog.sum(v.unread_count) FILTER (WHERE NOT v.is_muted), 0),"            \
    "       coalesce(pg_catalog.sum(v.mention_count), 0),"                                         \
    "       pg_catalog.count(*) FILTER (WHERE v.unread_count OPERATOR(pg_catalog.>) 0"             \
    "                                      OR v.marked_unread)"                                    \
    "  FROM " rows " v"                                                                            \
    " WHERE v.user_id OPERATOR(pg_catalog.=) $1 AND v.closed_at OPERATOR(pg_catalog.=) 0"          \
    "   AND NOT v.is_hidden"

const pg::Statement stored[] = {{TOTALS("{s}.user_conversation_view"), {INT8OID}},
                                {TOTALS("{s}.user_conversation_view"), {INT8OID}}};
const pg::Statement joined = {TOTALS("({conversation})"), {INT8OID}, "{members_of_user}"};

void read_view(Instance &instance, const ListRequest &request, const pg::RowStore &store,
               Reader reader)
{
    run_into(instance, stored[static_cast<int>(reader)], {Int64GetDatum(request.user)}, store);
}

void join(Instance &instance, const ListRequest &request, const pg::RowStore &store)
{
    run_into(instance, joined, {Int64GetDatum(request.user)}, store);
}

} // namespace

const Listing totals_listing = {metrics::Endpoint::unread_totals,
                                "unread_totals",
                                nullptr,
                                Table::user_conversation_view,
                                nullptr,
                                0,
                                read_view,
                                join};

} // namespace hermet
