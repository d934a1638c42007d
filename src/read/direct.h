/*
 * Refresh without the executor: rows are derived one by one (derive.h) and written where they
 * differ. Each function returns how many of the keys it has done; the statement that stands beside
 * its caller does the rest, which is all of them where a table does not allow the direct way.
 */
#pragma once

#include "read/contact.h"
#include "read/conversation.h"

namespace hermet {

/* As refresh_conversations() and refresh_contacts(); keys are sorted and unique. */
size_t refresh_conversations_directly(Instance &instance, const ConversationKeys &keys,
                                      Changes &view, Changes &reverse);
size_t refresh_contacts_directly(Instance &instance, const ContactKeys &keys, Changes &view,
                                 Changes &reverse);

/* The guards of lock_guards(), appended; false: nothing was done. */
bool find_guards_directly(Instance &instance, const ConversationKeys &keys,
                          pg::Vector<int64> &owners, pg::Vector<int64> &profiles);

} // namespace hermet
