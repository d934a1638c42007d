/*
 * hermet.conversation_list(), contact_list(), unread_totals(): from the read side with the rights
 * of whoever calls, so that row security on it holds.
 */
#include "list/list.h"
#include "list/rollout.h"
#include "list/shadow.h"

#include "pg/function.h"
#include "pg/policies.h"

namespace hermet {

namespace {

constexpr int64 default_rows = 50;

const NameData *target_argument(FunctionCallInfo fcinfo, int number)
{
    return PG_ARGISNULL(number) ? nullptr : PG_GETARG_NAME(number);
}

void read_max_rows(FunctionCallInfo fcinfo, int number, ListRequest &request)
{
    request.max_rows = PG_ARGISNULL(number) ? default_rows : PG_GETARG_INT32(number);
    if (request.max_rows < 0)
        ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                errmsg("argument \"max_rows\" must not be negative"));
}

void read_after(FunctionCallInfo fcinfo, int number, const Listing &listing, ListRequest &request)
{
    request.paged = !PG_ARGISNULL(number);
    if (request.paged)
        read_cursor(*listing.cursors, PG_GETARG_DATUM(number), request.after);
}

/*
 * The join reads with the owner's rights, and no policy can be applied to its rows. So it is only
 * for who may read all of the view.
 */
bool may_be_joined(const Instance &instance, Oid view)
{
    return pg_namespace_aclcheck(instance.schema, GetUserId(), ACL_USAGE) == ACLCHECK_OK &&
           pg_class_aclcheck(view, GetUserId(), ACL_SELECT) == ACLCHECK_OK && !pg::hides_rows(view);
}

void read_as_caller(Instance &instance, const Listing &listing, const ListRequest &request,
                    const pg::RowStore &store)
{
    pg::Session session;
    session.begin_as_caller();
    listing.read(instance, request, store, Reader::caller);
    session.end();
}

void join_as_owner(Instance &instance, const Listing &listing, const ListRequest &request,
                   const pg::RowStore &store)
{
    pg::Session session;
    session.begin(instance.owner);
    listing.join(instance, request, store);
    session.end();
}

/* `request` says everything but the user, who may be NULL. */
Datum serve(FunctionCallInfo fcinfo, const Listing &listing, ListRequest &request, int target)
{
    pg::Stopwatch watch;
    watch.start();
    ReturnSetInfo *set = pg::begin_set(fcinfo);
    Instance &instance = find_target_instance(target_argument(fcinfo, target));
    pg::RowStore store = {set->setResult, set->setDesc, set->econtext->ecxt_per_query_memory};
    if (PG_ARGISNULL(0))
        return Datum(0);
    request.user = PG_GETARG_INT64(0);

    Rollout rollout = read_rollout(instance);
    Oid view = instance.oid(listing.view);
    Served from = Served::from_view;
    if (!rollout.includes(request.user) && may_be_joined(instance, view)) {
        join_as_owner(instance, listing, request, store);
        from = Served::from_join;
    }
    else {
        read_as_caller(instance, listing, request, store);
        if (rollout.shadow && pg::hides_rows(view))
            from = Served::from_view_under_policies;
    }
    metrics::observe_query(listing.endpoint, watch.nanoseconds());
    if (rollout.shadow)
        shadow(instance, listing, request, store, from);
    return Datum(0);
}

} // namespace

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(conversation_list)
{
    ListRequest request = {};
    read_max_rows(fcinfo, 1, request);
    read_after(fcinfo, 2, conversation_listing, request);
    request.include_hidden = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
    return serve(fcinfo, conversation_listing, request, 4);
}

HERMET_FUNCTION(contact_list)
{
    ListRequest request = {};
    read_max_rows(fcinfo, 1, request);
    read_after(fcinfo, 2, contact_listing, request);
    return serve(fcinfo, contact_listing, request, 3);
}

HERMET_FUNCTION(unread_totals)
{
    ListRequest request = {};
    return serve(fcinfo, totals_listing, request, 1);
}
