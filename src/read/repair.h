/*
 * Repair: find what differs, lock it as the triggers do, derive and write it anew.
 */
#pragma once

#include "read/compare.h"
#include "read/conversation.h"

namespace hermet {

/* What a repair wrote, by table. */
struct Repaired {
    Changes conversations;
    Changes conversation_reverse;
    Changes contacts;
    Changes contact_reverse;
    Changes channels;
};

/* Conversation rows, their reverse index, and what hermet owns of channel. */
void repair_conversations(Instance &instance, const Extent &extent, Repaired &repaired);

/* Contact rows and their reverse index. */
void repair_contacts(Instance &instance, const Extent &extent, Repaired &repaired);

/* Everything; clears the incidents. */
Repaired repair_all(Instance &instance);

} // namespace hermet
