/*
 * The columns of channel that hermet owns: number of members, last message and its time. (A message
 * writes the latter two itself: see fanout.h.)
 */
#pragma once

#include "read/protocol.h"

namespace hermet {

/* The columns of channel that hermet owns. Needs the channels locked. */
int64 refresh_owned(Instance &instance, const pg::Vector<int64> &channels);

/*
 * Adds to channel_member_count what a statement, which ran as the command `since`, changed. Counts
 * anew where the row may have been counted in this statement already. Needs the channels locked,
 * in these states.
 */
void add_members(Instance &instance, const pg::Vector<ChannelState> &states,
                 const pg::Totals<int64> &more, CommandId since);

} // namespace hermet
