/*
 * Rollout: which users' lists come from the read side. The others' come from the join of the write
 * side, which gives the same rows. See hermet.set_rollout().
 */
#pragma once

#include "instance/instance.h"

namespace hermet {

struct Rollout {
    double percent = 100.0;
    bool shadow = false; /* compute both, and compare */

    /* Who is in at one percentage is in at every higher one; nobody at 0, everybody at 100. */
    bool includes(int64 user) const;
};

/* What the last hermet.set_rollout() of this instance said. */
Rollout read_rollout(const Instance &instance);

} // namespace hermet
