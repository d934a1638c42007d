/*
 * The address book, user_contact_view, with its reverse index. Always refreshed whole: a row is
 * derived from one friendship and one user.
 */
#pragma once

#include "read/conversation.h"

namespace hermet {

/* Keys of contact rows, as two parallel columns. */
struct ContactKeys {
    pg::Vector<int64> users;
    pg::Vector<int64> contacts;

    void add(int64 user, int64 contact)
    {
        users.push_back(user);
        contacts.push_back(contact);
    }
    bool empty() const { return users.empty(); }
};

/*
 * All that contact rows show of users, and whether there are such rows. Needs their profiles locked
 * exclusively.
 */
void refresh_contacts_of(Instance &instance, const pg::Vector<int64> &users);

/*
 * Derives contact rows and writes what differs. Needs the friends' profiles locked, and the owners
 * too unless the profiles are locked exclusively.
 */
void refresh_contacts(Instance &instance, const ContactKeys &keys, Changes &view, Changes &reverse);

/* The same by the definition alone. */
void refresh_by_definition(Instance &instance, const ContactKeys &keys, Changes &view,
                           Changes &reverse);

} // namespace hermet
