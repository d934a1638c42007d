/*
 * Large inboxes. A page of the list is sorted from all rows of a user, which is quick for the few
 * hundred that nearly everybody has, and lets every message change its rows in place (HOT). For
 * users with more, list_hour in the index puts the rows in order by the hour, and their rows leave
 * HOT once in an hour. Who is one of them is in hermet_large_inbox; the profile of the user guards
 * that.
 */
#pragma once

#include "instance/instance.h"

namespace hermet {

/* Makes the inboxes of more than so many conversations large; returns how many. */
int64 order_inboxes(Instance &instance, int64 conversations);

} // namespace hermet
