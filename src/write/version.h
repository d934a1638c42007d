/*
 * Versions of displayed fields: they rise with every change, by one unless the statement raised
 * them itself, and never go back (SPEC 2: 23514).
 */
#pragma once

#include "pg/trigger.h"

namespace hermet {

/*
 * The new row of a BEFORE UPDATE trigger, its version raised where one of the `shown` columns
 * changed. All columns are indexes into `at`.
 */
HeapTuple raise_version(TriggerData *trigger, const AttrNumber *at, int id, int version,
                        const int *shown, int shown_count);

} // namespace hermet
