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

/*
 * Column groups of stored rows, as their namesakes of conversation.h; keys are sorted and unique.
 * What is left for the statement: keys whose rows are missing, or all of them.
 */
ConversationKeys &refresh_cursors_directly(Instance &instance, const ConversationKeys &keys);
ConversationKeys &refresh_settings_directly(Instance &instance, const ConversationKeys &keys);

/*
 * The same for all rows of channels (sorted, unique); those that have too few or too many are
 * appended to `odd`. False: nothing was done.
 */
bool refresh_groups_directly(Instance &instance, const pg::Vector<int64> &channels,
                             pg::Vector<int64> &odd);
bool refresh_sender_names_directly(Instance &instance, const pg::Vector<int64> &channels,
                                   pg::Vector<int64> &odd);

/* The keys of the users' single conversations with friends, which are parallel; appended. */
bool find_rows_of_friends_directly(Instance &instance, const pg::Vector<int64> &users,
                                   const pg::Vector<int64> &friends, ConversationKeys &keys);

/*
 * Appends the channels where one of the users spoke last, as his own row says, or else the channel.
 * `conversations` are what the users' stored rows say, and their memberships, in order: channel,
 * user, last message and its sender, or NULL. Needs channel and message readable; false: a
 * partition is not.
 */
bool find_spoken_directly(Instance &instance, const pg::Result &conversations,
                          pg::Vector<int64> &channels);

/* `spoken` are the channels where one of the users, who was renamed, spoke last. */
bool refresh_profiles_directly(Instance &instance, const pg::Vector<int64> &users,
                               const pg::Vector<int64> &spoken);

/*
 * What contact rows show of the friends of the keys, which are sorted by friend. What is left: keys
 * whose rows are missing or have to go, or all of them.
 */
ContactKeys &refresh_friends_directly(Instance &instance, const ContactKeys &keys);

/* The guards of lock_guards(), appended; false: nothing was done. */
bool find_guards_directly(Instance &instance, const ConversationKeys &keys,
                          pg::Vector<int64> &owners, pg::Vector<int64> &profiles);

} // namespace hermet
