/*
 * Rows of the read side that are not as derived, found among some keys without a lock, and mended
 * under the locks that they need: a repair of what one knows by name.
 */
#pragma once

#include "read/contact.h"
#include "read/repair.h"

namespace hermet {

class Wrong {
  public:
    explicit Wrong(Instance &instance) : instance_(instance) {}

    /* Whether these are wrong. Of a channel all rows, and the columns that hermet owns. */
    void look_at_channels(const pg::Vector<int64> &channels);
    void look_at_conversations(const ConversationKeys &keys);
    void look_at_contacts(const ContactKeys &keys);
    /* After the others: reverse rows of their channels that no conversation row accounts for. */
    void look_at_reverse();

    /* Locks what was found, in the protocol's order, derives and writes it. */
    void mend(Repaired &repaired);

  private:
    void add(const pg::Result &rows);

    Instance &instance_;
    pg::Vector<int64> seen_; /* channels that were looked at */
    size_t unique_at_ = 1024;

    /* What is wrong; a suspect is a peer whose reverse row is looked at, or 0. */
    struct Key {
        int64 channel;
        int64 user;
        int64 suspect;
    };
    pg::Vector<Key> conversations_;
    pg::Vector<int64> channels_;
    ContactKeys contacts_;
};

} // namespace hermet
