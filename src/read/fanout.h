/*
 * The delta path of messages: what a statement added and removed is added to the counters of every
 * member's row, in one pass over the rows of each channel. It counts as rule 5 does, from the row's
 * own cursor and joining time; what it cannot do, it hands to the definition.
 */
#pragma once

#include "read/conversation.h"
#include "read/delta.h"

namespace hermet {

struct FanOut;

/*
 * Takes all locks. `channels` is sorted and unique and has every channel of the deltas, perhaps
 * others: those whose last message may have another text now. `senders` are those whose names will
 * probably be needed.
 *
 * `since` is the command that changed the messages. A row that this transaction wrote in it or
 * later may count the messages already: it is counted anew.
 */
FanOut &begin_fan_out(Instance &instance, const pg::Vector<int64> &channels,
                      pg::Vector<int64> &senders, CommandId since);

/*
 * Brings the last message and the counters of the channels' rows up to date, and last_message_id
 * and last_message_at of the channels: of those up to `last`, from where the call before ended.
 * `deltas` has all of theirs, sorted by channel.
 */
void fan_out(FanOut &fan, const MessageDeltas &deltas, int64 last);

/* Does what had to be left to the definition. */
void end_fan_out(FanOut &fan);

} // namespace hermet
