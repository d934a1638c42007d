/*
 * Read nodes: maintenance by row triggers while logical replication applies.
 */
#pragma once

namespace hermet {

/* Called once, when the library is loaded. */
void register_following();

} // namespace hermet
