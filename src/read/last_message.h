/*
 * Rule 4 for the message path: the last messages of channels with their senders' names, read
 * straight from the primary keys. What definition.cpp says in SQL, said once more: the model test
 * and check_consistency compare the two, and where a table allows no direct way, the SQL is run.
 */
#pragma once

#include "read/source.h"

namespace hermet {

/* As a conversation row shows it: 0 and empty texts where there is none. */
struct LastMessage {
    int64 id;
    int64 sender;
    int64 time;
    Datum type;        /* varchar */
    Datum content;     /* varchar, at most 512 characters */
    Datum sender_name; /* varchar */
};

/* Of one channel, in the current MemoryContext. */
LastMessage read_last_message(Source &source, int64 channel);

/*
 * Whether what a channel calls its last message is this user's; of `others` it is known not to be
 * (0: of none).
 */
bool is_last_sender(Source &source, int64 channel, int64 user, int64 others);

/*
 * Appends the last message of each channel, in their order, in the current MemoryContext. Needs the
 * channels locked; the names hold if the senders' profiles are locked, too.
 */
void read_last_messages(Source &source, const pg::Vector<int64> &channels,
                        pg::Vector<LastMessage> &messages);

} // namespace hermet
