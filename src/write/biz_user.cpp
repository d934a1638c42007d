/*
 * biz_user: what others see of a user. Names, pictures and states go to his peers' conversations,
 * to the conversations where he spoke last, and to the address books he is in.
 */
#include "pg/function.h"
#include "read/columns.h"
#include "read/contact.h"
#include "write/firing.h"
#include "write/truncate.h"
#include "write/version.h"

namespace hermet {

namespace {

enum { c_id, c_nickname, c_avatar, c_mobile, c_status, c_deleted_at, c_version, column_count };

const pg::Column columns[column_count] = {
    {"id", INT8OID},        {"nickname", InvalidOid},    {"avatar", InvalidOid},
    {"mobile", InvalidOid}, {"user_status", InvalidOid}, {"deleted_at", INT8OID},
    {"info_ver", INT4OID},
};

struct Users {
    AttrNumber at[column_count];
    pg::Vector<int64> ids;
    bool renamed = false;
};

void begin(Relation relation, Users &users)
{
    pg::find_columns(relation, columns, column_count, users.at);
}

void add(const Firing &firing, Users &users)
{
    constexpr int shown[] = {c_id,     c_nickname,   c_avatar, c_mobile,
                             c_status, c_deleted_at, c_version};
    constexpr int name[] = {c_id, c_nickname};

    const AttrNumber *at = users.at;
    bool pair = firing.is_pair();
    if (pair && !changed(firing, at, shown))
        return;
    users.renamed |= !pair || changed(firing, at, name);
    if (firing.has_old)
        users.ids.push_back(firing.old_rows.int8(at[c_id]));
    if (firing.has_new)
        users.ids.push_back(firing.new_rows.int8(at[c_id]));
}

bool finish(Users &users)
{
    pg::make_unique(users.ids);
    return !users.ids.empty();
}

void apply(Firing &firing, Users &users)
{
    Instance &instance = *firing.instance;
    lock_profiles(instance, users.ids, true);
    refresh_profiles(instance, users.ids, users.renamed);
    metrics::observe_sync(Table::biz_user, Table::user_conversation_view, firing.watch);
    refresh_contacts_of(instance, users.ids);
}

const Maintenance<Users> maintenance = {
    Table::biz_user, Table::user_contact_view, begin, add, finish, apply, refresh_after_truncate};

} // namespace

Part &make_biz_user_part()
{
    return pg::make<PartOf<Users>>(maintenance);
}

} // namespace hermet

using namespace hermet;

HERMET_TRIGGER(sync_biz_user)
{
    return maintain(trigger, maintenance);
}

HERMET_TRIGGER(complete_biz_user)
{
    constexpr int shown[] = {c_nickname, c_avatar, c_mobile, c_status, c_deleted_at};

    pg::require_before_row(trigger, false);
    AttrNumber at[column_count];
    pg::find_columns(trigger->tg_relation, columns, column_count, at);
    return PointerGetDatum(raise_version(trigger, at, c_id, c_version, shown, lengthof(shown)));
}
