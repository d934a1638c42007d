/*
 * friendship: contacts, and what a user calls the peers of his single conversations.
 */
#include "pg/function.h"
#include "read/columns.h"
#include "read/contact.h"
#include "write/firing.h"
#include "write/truncate.h"

namespace hermet {

namespace {

enum {
    c_id,
    c_user,
    c_friend,
    c_remark,
    c_starred,
    c_deleted_at,
    c_source,
    c_tags,
    c_group,
    c_blocked,
    c_added_at,
    c_created_at,
    column_count
};

const pg::Column columns[column_count] = {
    {"id", INT8OID},
    {"user_id", INT8OID},
    {"friend_id", INT8OID},
    {"remark_name", InvalidOid},
    {"is_starred", BOOLOID},
    {"deleted_at", INT8OID},
    {"source", InvalidOid},
    {"tags", InvalidOid},
    {"group_name", InvalidOid},
    {"is_blocked", BOOLOID},
    {"added_at", INT8OID},
    {"created_at", INT8OID},
};

struct Friendships {
    AttrNumber at[column_count];
    ContactKeys contacts;
    ContactKeys remarks; /* those of them that single conversations may show */
};

void begin(Relation relation, Friendships &friendships)
{
    pg::find_columns(relation, columns, column_count, friendships.at);
}

void add(const Firing &firing, Friendships &friendships)
{
    constexpr int contact[] = {c_id,     c_user, c_friend, c_remark,  c_starred,  c_deleted_at,
                               c_source, c_tags, c_group,  c_blocked, c_added_at, c_created_at};
    constexpr int remark[] = {c_user, c_friend, c_remark, c_starred, c_deleted_at};

    const AttrNumber *at = friendships.at;
    auto add_keys = [&](ContactKeys &keys) {
        if (firing.has_old)
            keys.add(firing.old_rows.int8(at[c_user]), firing.old_rows.int8(at[c_friend]));
        if (firing.has_new)
            keys.add(firing.new_rows.int8(at[c_user]), firing.new_rows.int8(at[c_friend]));
    };
    bool pair = firing.is_pair();
    if (pair && !changed(firing, at, contact))
        return;
    add_keys(friendships.contacts);
    if (!pair || changed(firing, at, remark))
        add_keys(friendships.remarks);
}

bool finish(Friendships &friendships)
{
    return !friendships.contacts.empty();
}

void apply(Firing &firing, Friendships &friendships)
{
    Instance &instance = *firing.instance;
    pg::Vector<int64> &owners = pg::make<pg::Vector<int64>>(friendships.contacts.users);
    pg::Vector<int64> &friends = pg::make<pg::Vector<int64>>(friendships.contacts.contacts);
    pg::make_unique(owners);
    pg::make_unique(friends);
    lock_owners(instance, owners);
    lock_profiles(instance, friends, false);

    Changes view, reverse;
    if (!friendships.remarks.empty())
        refresh_remarks(instance, friendships.remarks.users, friendships.remarks.contacts);
    refresh_contacts(instance, friendships.contacts, view, reverse);
}

const Maintenance<Friendships> maintenance = {
    Table::friendship, Table::user_contact_view, begin, add, finish, apply, refresh_after_truncate};

} // namespace

Part &make_friendship_part()
{
    return pg::make<PartOf<Friendships>>(maintenance);
}

} // namespace hermet

HERMET_TRIGGER(sync_friendship)
{
    return hermet::maintain(trigger, hermet::maintenance);
}
