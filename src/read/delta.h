/*
 * What a statement did to messages, and what that adds to one row's counters by rule 5.
 */
#pragma once

#include "pg/memory.h"

namespace hermet {

/* Whether a message of this type never counts as unread. */
bool is_system(Datum type);

/*
 * A version of a message that a statement added (sign 1) or took away (sign -1). A statement may
 * have a million of them: 48 bytes each.
 */
struct MessageDelta {
    int64 channel;
    int64 id;
    int64 sender;
    int64 sent_at;
    int64 mentioned; /* where its users begin in MessageDeltas::mentioned: distinct, sorted */
    int32 mentions;  /* how many */
    int8 sign;
    bool countable; /* not recalled, not a system message */
    bool mention_all;
};

struct MessageDeltas {
    pg::Vector<MessageDelta> messages;
    pg::Vector<int64> mentioned;

    size_t bytes() const
    {
        return messages.size() * sizeof(MessageDelta) + mentioned.size() * sizeof(int64);
    }
    void clear()
    {
        messages.clear();
        mentioned.clear();
    }
};

/* The deltas of one channel, added up for rows to which all of them are new. */
class DeltaSum {
  public:
    void start(const MessageDelta *first, const MessageDelta *end, const int64 *mentioned);

    /* Rule 5 for the row of a user who has read up to `cursor` and joined at `joined_at`. */
    void count(int64 user, int64 cursor, int64 joined_at, int64 *unread, int64 *mentions) const;

  private:
    /* What one user's row differs in from everybody's. */
    struct Exception {
        int64 own = 0;        /* countable messages that the user sent himself */
        int64 own_to_all = 0; /* those of them that mention everyone */
        int64 mentioned = 0;  /* by name, by others, and not with everyone */

        void operator+=(const Exception &other)
        {
            own += other.own;
            own_to_all += other.own_to_all;
            mentioned += other.mentioned;
        }
    };

    const MessageDelta *first_ = nullptr;
    const MessageDelta *end_ = nullptr;
    const int64 *mentioned_ = nullptr;
    int64 min_id_ = 0;
    int64 min_sent_at_ = 0;
    int64 unread_ = 0;
    int64 to_all_ = 0;
    pg::Totals<Exception> exceptions_;
};

} // namespace hermet
