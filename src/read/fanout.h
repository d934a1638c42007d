/*
 * The delta path of messages: what a statement added and removed is added to the counters of every
 * member's row, in one pass over the rows of each channel. It counts as rule 5 does, from the row's
 * own cursor and joining time; what it cannot do, it hands to the definition.
 */
#pragma once

#include "read/conversation.h"

namespace hermet {

/*
 * A version of a message that a statement added (sign 1) or took away (sign -1). A statement may
 * have a million of them: 48 bytes each.
 */
struct MessageDelta {
    int64 channel;
    int64 id;
    int64 sender;
    int64 sent_at;
    int64 *mentioned; /* distinct users, sorted */
    int32 mentions;   /* how many */
    int8 sign;
    bool countable; /* not recalled, not a system message */
    bool mention_all;
};

/*
 * Brings the last message and the counters of the channels' rows up to date, and last_message_id
 * and last_message_at of the channels. `channels` is sorted and unique and has every channel of
 * `deltas`, perhaps others: those whose last message may have another text now.
 *
 * `since` is the command that changed the messages. A row that this transaction wrote in it or
 * later may count the messages already: it is counted anew.
 */
void fan_out(Instance &instance, pg::Vector<MessageDelta> &deltas,
             const pg::Vector<int64> &channels, CommandId since);

} // namespace hermet
