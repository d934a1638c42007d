/*
 * Column groups of conversation rows that are stored: what changes without the rest of the row,
 * each under the key that guards it (see protocol.h). Rows are locked in order of (channel_id,
 * user_id).
 */
#pragma once

#include "read/conversation.h"

namespace hermet {

/* Cursor and counters, or settings, of some rows. Needs the channels shared. */
void refresh_cursors(Instance &instance, const ConversationKeys &keys, CommandId since);
void refresh_settings(Instance &instance, const ConversationKeys &keys, CommandId since);

/* Counters of rows that a delta must not touch: always writes. Needs the channels locked. */
void recount(Instance &instance, const ConversationKeys &keys);

/*
 * Name, picture and version of groups; the last sender's name in groups. Need the channels locked,
 * and for the latter the senders' profiles.
 */
void refresh_groups(Instance &instance, const pg::Vector<int64> &channels, CommandId since);
void refresh_sender_names(Instance &instance, const pg::Vector<int64> &channels, CommandId since);

/* Remark names and stars of users towards friends. Needs the owners locked. */
void refresh_remarks(Instance &instance, const pg::Vector<int64> &users,
                     const pg::Vector<int64> &friends);

/*
 * All that conversation rows show of users; of last senders only if somebody was `renamed`. Needs
 * their profiles locked.
 */
void refresh_profiles(Instance &instance, const pg::Vector<int64> &users, bool renamed);

} // namespace hermet
