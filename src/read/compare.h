/*
 * Stored rows beside derived ones: what check, summary and repair ask.
 */
#pragma once

#include "instance/instance.h"
#include "read/definition.h"

namespace hermet {

/* Which rows are looked at; everything, as it is. */
struct Extent {
    int64 user = 0;
    int64 channel = 0;
    bool has_user = false;    /* only what belongs to this user */
    bool has_channel = false; /* only what belongs to this channel */
    double sample = 1.0;      /* a share of the users, or of the channels, drawn anew each time */
};

/*
 * Every difference as check_consistency() returns it, appended to a set. Returns their number; rows
 * looked at, and how many of them are wrong, besides.
 */
int64 compare_into(ReturnSetInfo *set, const Instance &instance, const Derived &derived,
                   const Extent &extent, int64 *rows, int64 *wrong);

/* Rows looked at, and how many of them are wrong. With the caller's snapshot. */
void count_differences(const Instance &instance, const Derived &derived, const Extent &extent,
                       int64 *rows, int64 *wrong);

/* The keys of the wrong rows, in key order, as they are now. */
pg::Result select_differences(const Instance &instance, const Derived &derived,
                              const Extent &extent);

} // namespace hermet
