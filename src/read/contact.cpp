#include "read/contact.h"

#include "metrics/metrics.h"
#include "read/direct.h"
#include "read/source.h"

namespace hermet {

namespace {

const pg::Statement select_keys_of_contacts = {R"(
SELECT r.owner_user_id, r.contact_user_id
  FROM unnest($1::bigint[]) u (id)
  JOIN {s}.contact_reverse_index r ON r.contact_user_id = u.id)",
                                               {INT8ARRAYOID}};

const pg::Statement refresh = {
    R"(
WITH k AS MATERIALIZED (SELECT DISTINCT * FROM unnest($1::bigint[], $2::bigint[]) k (user_id, contact_id)),
     d AS MATERIALIZED ({contact}),
     e AS MATERIALIZED ({contact_reverse}),
     stored AS MATERIALIZED (
       SELECT v.user_id, v.contact_id
         FROM k JOIN {s}.user_contact_view v ON v.user_id = k.user_id AND v.contact_id = k.contact_id),
     reverse_stored AS MATERIALIZED (
       SELECT r.owner_user_id, r.contact_user_id
         FROM k JOIN {s}.contact_reverse_index r ON r.contact_user_id = k.contact_id AND r.owner_user_id = k.user_id),
     deleted AS (
       DELETE FROM {s}.user_contact_view v USING k
        WHERE v.user_id = k.user_id AND v.contact_id = k.contact_id
          AND (k.user_id, k.contact_id) NOT IN (SELECT d.user_id, d.contact_id FROM d)
       RETURNING 1),
     updated AS (
       UPDATE {s}.user_contact_view v SET {set contact}, updated_at = $3 FROM d
        WHERE v.user_id = d.user_id AND v.contact_id = d.contact_id AND {differs contact}
       RETURNING 1),
     inserted AS (
       INSERT INTO {s}.user_contact_view ({columns contact}, updated_at)
       SELECT {d contact}, $3 FROM d
        WHERE (d.user_id, d.contact_id) NOT IN (SELECT o.user_id, o.contact_id FROM stored o)
       RETURNING 1),
     reverse_deleted AS (
       DELETE FROM {s}.contact_reverse_index r USING k
        WHERE r.contact_user_id = k.contact_id AND r.owner_user_id = k.user_id
          AND (k.user_id, k.contact_id) NOT IN (SELECT e.owner_user_id, e.contact_user_id FROM e)
       RETURNING 1),
     reverse_updated AS (
       UPDATE {s}.contact_reverse_index r SET created_at = e.created_at FROM e
        WHERE r.contact_user_id = e.contact_user_id AND r.owner_user_id = e.owner_user_id
          AND r.created_at <> e.created_at
       RETURNING 1),
     reverse_inserted AS (
       INSERT INTO {s}.contact_reverse_index (contact_user_id, owner_user_id, created_at)
       SELECT e.contact_user_id, e.owner_user_id, e.created_at FROM e
        WHERE (e.owner_user_id, e.contact_user_id) NOT IN (
                SELECT o.owner_user_id, o.contact_user_id FROM reverse_stored o)
       RETURNING 1)
SELECT (SELECT count(*) FROM inserted), (SELECT count(*) FROM updated), (SELECT count(*) FROM deleted),
       (SELECT count(*) FROM reverse_inserted), (SELECT count(*) FROM reverse_updated),
       (SELECT count(*) FROM reverse_deleted))",
    {INT8ARRAYOID, INT8ARRAYOID, INT8OID},
    R"(k JOIN {s}.friendship f ON f.user_id = k.user_id AND f.friend_id = k.contact_id)",
    true};

/* The keys of all friendships towards users, live ones. */
ContactKeys &keys_of_contacts(Instance &instance, const pg::Vector<int64> &users)
{
    ContactKeys &keys = pg::make<ContactKeys>();
    if (Source::can_read(instance, {Table::contact_reverse_index})) {
        Source &source = pg::make<Source>();
        source.begin(instance);
        for (int64 user : users) {
            pg::Walk *row = source.scan(Table::contact_reverse_index, {user});
            while (source.next(row))
                keys.add(row->int8(contact_reverse_row::owner), user);
        }
        source.end();
        if (!source.blocked())
            return keys;
        keys = ContactKeys();
    }
    pg::Result rows = run(instance, select_keys_of_contacts, {pg::int8_array(users)});
    keys.users.reserve(rows.count);
    keys.contacts.reserve(rows.count);
    for (uint64 i = 0; i < rows.count; i++)
        keys.add(rows.int8(i, 0), rows.int8(i, 1));
    return keys;
}

void refresh_by_statement(Instance &instance, const ContactKeys &keys, size_t at, Changes &view,
                          Changes &reverse)
{
    for (; at < keys.users.size(); at += batch_size) {
        size_t end = Min(at + batch_size, keys.users.size());
        pg::Result counts =
            run(instance, refresh,
                {pg::int8_array(keys.users, at, end), pg::int8_array(keys.contacts, at, end),
                 Int64GetDatum(pg::now_ms())});
        view.add({counts.int8(0, 0), counts.int8(0, 1), counts.int8(0, 2)});
        reverse.add({counts.int8(0, 3), counts.int8(0, 4), counts.int8(0, 5)});
    }
}

/* Counts what a refresh did, and adds it to what its caller knows. */
void note(const ContactKeys &keys, const Changes &rows, const Changes &reverse_rows, Changes &view,
          Changes &reverse)
{
    metrics::count_rows(Table::user_contact_view, metrics::Way::row,
                        static_cast<int64>(keys.users.size()));
    metrics::count_written(Table::user_contact_view, rows);
    metrics::count_written(Table::contact_reverse_index, reverse_rows);
    view.add(rows);
    reverse.add(reverse_rows);
}

} // namespace

void refresh_contacts_of(Instance &instance, const pg::Vector<int64> &users)
{
    Changes view, reverse;
    const ContactKeys &keys = keys_of_contacts(instance, users);
    refresh_contacts(instance, refresh_friends_directly(instance, keys), view, reverse);
}

void refresh_contacts(Instance &instance, const ContactKeys &keys, Changes &view, Changes &reverse)
{
    ContactKeys &in_order = pg::make<ContactKeys>(keys);
    pg::make_unique(in_order.contacts, in_order.users); /* the order of row locks */
    Changes rows, reverse_rows;
    size_t done = refresh_contacts_directly(instance, in_order, rows, reverse_rows);
    refresh_by_statement(instance, in_order, done, rows, reverse_rows);
    note(in_order, rows, reverse_rows, view, reverse);
}

void refresh_by_definition(Instance &instance, const ContactKeys &keys, Changes &view,
                           Changes &reverse)
{
    Changes rows, reverse_rows;
    refresh_by_statement(instance, keys, 0, rows, reverse_rows);
    note(keys, rows, reverse_rows, view, reverse);
}

} // namespace hermet
