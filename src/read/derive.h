/*
 * Rules 1 to 7 for one row at a time, straight from the primary keys: what definition.cpp says in
 * SQL, said once more for the few rows that a statement of everyday touches. The model test, the
 * storms and check_consistency compare the two; repair and whatever else is not in a hurry run the
 * definition.
 */
#pragma once

#include "read/last_message.h"
#include "read/source.h"

namespace hermet {

struct ConversationRow {
    Datum values[view_row::count];
    bool nulls[view_row::count];
};

struct ContactRow {
    Datum values[contact_row::count];
    bool nulls[contact_row::count];
};

/* Rule 5 for a user who has read up to `cursor` and joined at `joined_at`. */
struct Unread {
    int32 messages;
    int32 mentions;
};
Unread count_unread(Source &source, int64 user, int64 channel, int64 cursor, int64 joined_at);

/* Rule 6: closed_at, where the last message has this time. */
inline int64 closing_time(int64 of_setting, int64 last_time)
{
    return of_setting > last_time ? of_setting : 0;
}

/* What orders a large inbox: hours since 1970, from 1 on. */
inline int64 hour_of(int64 last_time, int64 opened_at)
{
    return Max(Max(last_time, opened_at), 0) / 3600000 + 1;
}

/* Rule 3: a user as his peers' rows show him; `user` is NULL where there is no such row. */
struct Profile {
    Datum nickname;
    Datum avatar;
    Datum status;
    Datum mobile;
    int32 version;
    bool deleted;
};

/* The type of the column that shows a peer's status. */
Oid type_of_peer_status(const Instance &instance);

class Deriver {
  public:
    /* Whether all that is read can be read directly. */
    static bool can_derive_conversations(Instance &instance);
    static bool can_derive_contacts(Instance &instance);

    /* `status_type` is the type of the column that shows a peer's status, if one is shown. */
    void begin(Source &source, Oid status_type, int64 now);

    /*
     * False: there is no such row. Values live in the current MemoryContext. Not to be used where
     * source.unclear() afterwards. The caller takes keys in order of channels, or of contacts: what
     * rows have in common is read once.
     */
    bool conversation(int64 user, int64 channel, ConversationRow &row);
    /* `live`: whether there is a friendship, created then: rule 8. */
    bool contact(int64 user, int64 contact, ContactRow &row, bool *live);

    const Profile &profile(int64 user);

  private:
    int64 peer_of(int64 user, int64 channel, bool *found);
    Datum status(const char *label) const;

    Source *source_;
    Oid status_type_;
    int64 now_;

    /* In memory of their own. */
    MemoryContext memory_;
    bool has_last_ = false;
    int64 last_channel_ = 0;
    LastMessage last_;
    bool has_profile_ = false;
    int64 profile_user_ = 0;
    Profile profile_;
};

} // namespace hermet
