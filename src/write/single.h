/*
 * A single channel has two members, left or not: a third one is an error (SPEC 3: 23514).
 */
#pragma once

#include "instance/instance.h"

namespace hermet {

/* Judges channels to which a statement added a member, or which it made. Needs them locked. */
void require_two_members(Instance &instance, const pg::Vector<int64> &channels);

} // namespace hermet
