/*
 * The inbox, user_conversation_view, with its reverse index: whole rows. Each function says which
 * keys its caller holds (see protocol.h); rows that it locks, it locks in order of (channel_id,
 * user_id).
 */
#pragma once

#include "read/protocol.h"

namespace hermet {

/* So many rows are derived by one statement: bounds what it keeps in memory. */
constexpr size_t batch_size = 10000;

/* How many rows a repair or refresh wrote. */
struct Changes {
    int64 inserted = 0;
    int64 updated = 0;
    int64 deleted = 0;

    void add(const Changes &other)
    {
        inserted += other.inserted;
        updated += other.updated;
        deleted += other.deleted;
    }
    int64 total() const { return inserted + updated + deleted; }
};

/* Keys of conversation rows, as two parallel columns. */
struct ConversationKeys {
    pg::Vector<int64> users;
    pg::Vector<int64> channels;

    void add(int64 user, int64 channel)
    {
        users.push_back(user);
        channels.push_back(channel);
    }
    bool empty() const { return users.empty(); }
};

/* Appends the first two columns of rows. */
void read_keys(const pg::Result &rows, ConversationKeys &keys);

/* By channel, then user, once each: how rows are locked. */
ConversationKeys &sorted(const ConversationKeys &keys);

/* The keys of all members of channels, and of all rows that are stored for them. */
ConversationKeys &keys_of_channels(Instance &instance, const pg::Vector<int64> &channels);

/*
 * Takes the owners and profiles that whole rows of these keys need, with `more_profiles`, shared,
 * and `more_owners`. Needs the channels locked.
 */
void lock_guards(Instance &instance, const ConversationKeys &keys,
                 const pg::Vector<int64> *more_profiles = nullptr,
                 const pg::Vector<int64> *more_owners = nullptr);

/* Derives whole rows and writes what differs. Needs the channels and the guards locked. */
void refresh_conversations(Instance &instance, const ConversationKeys &keys, Changes &view,
                           Changes &reverse);

/*
 * The same by the definition alone. `suspects` are peers, parallel to the keys, whose reverse rows
 * are looked at besides.
 */
void refresh_by_definition(Instance &instance, const ConversationKeys &keys,
                           const pg::Vector<int64> &suspects, Changes &view, Changes &reverse);

/* Both for whole channels: for everything structural. Needs the channels locked. */
void refresh_channels(Instance &instance, const pg::Vector<int64> &channels, Changes &view,
                      Changes &reverse);

/*
 * A stored row could not take a change: it was missing, or a counter would have gone below zero.
 * Recomputes the channels' rows and notes the incident. It is none where this statement, which ran
 * as the command `since`, changed the channel's members as well, nor in channels that the caller
 * knows to be `unfinished`: their trigger may be still to come. Needs the channels locked.
 */
void recompute_channels(Instance &instance, const pg::Vector<int64> &channels, CommandId since,
                        const char *detail, const pg::Vector<int64> *unfinished = nullptr);

/* Whether a command of this transaction, `since` or a later one, wrote a version of a row. */
bool written_since(TransactionId by, CommandId in, CommandId since);

} // namespace hermet
