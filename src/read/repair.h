/*
 * Repair: find what differs, lock it as the triggers do, derive and write it anew.
 */
#pragma once

#include "read/compare.h"
#include "read/contact.h"

namespace hermet {

/* What a repair wrote, by table. */
struct Repaired {
    Changes conversations;
    Changes conversation_reverse;
    Changes contacts;
    Changes contact_reverse;
    Changes channels;
};

/*
 * Locks and derives rows that are, or may be, wrong, and what hermet owns of `channels`. `suspects`
 * are parallel to the keys, or none: see refresh_by_definition().
 */
void mend_conversations(Instance &instance, const ConversationKeys &keys,
                        const pg::Vector<int64> &suspects, const pg::Vector<int64> &channels,
                        Repaired &repaired);
void mend_contacts(Instance &instance, const ContactKeys &keys, Repaired &repaired);

/* Conversation rows, their reverse index, and what hermet owns of channel. */
void repair_conversations(Instance &instance, const Extent &extent, Repaired &repaired);

/* Contact rows and their reverse index. */
void repair_contacts(Instance &instance, const Extent &extent, Repaired &repaired);

/* Everything; clears the incidents. */
Repaired repair_all(Instance &instance);

} // namespace hermet
