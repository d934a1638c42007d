/*
 * Stored rows beside derived ones: what check, summary and repair ask.
 */
#pragma once

#include "instance/instance.h"
#include "read/definition.h"

#include <array>

namespace hermet {

/* Which rows are looked at; everything, as it is. */
struct Extent {
    int64 user = 0;
    int64 channel = 0;
    bool has_user = false;    /* only what belongs to this user */
    bool has_channel = false; /* only what belongs to this channel */
    double sample = 1.0;      /* a share of the keys, drawn anew each time */

    /* Only users, or for the columns of channel only channels, with ids from..to. */
    int64 from = PG_INT64_MIN;
    int64 to = PG_INT64_MAX;

    bool has_range() const { return from != PG_INT64_MIN || to != PG_INT64_MAX; }
    bool is_everything() const
    {
        return !has_user && !has_channel && sample >= 1.0 && !has_range();
    }
};

/* Rows looked at, and how many of them are wrong. */
struct Compared {
    int64 rows;
    int64 wrong;
};

/* Every difference as check_consistency() returns it, appended to a set. */
Compared compare_into(ReturnSetInfo *set, Instance &instance, const Derived &derived,
                      const Extent &extent);

/* The same, counted only. Both with the caller's snapshot. */
Compared count_differences(Instance &instance, const Derived &derived, const Extent &extent);

/* The keys of the wrong rows, in key order, as they are now; what a key does not have is 0. */
using WrongKey = std::array<int64, 3>;
pg::Vector<WrongKey> &select_differences(Instance &instance, const Derived &derived,
                                         const Extent &extent);

} // namespace hermet
