/*
 * After TRUNCATE of any table of the write side: everything is derived anew.
 */
#pragma once

#include "write/firing.h"

namespace hermet {

/*
 * TRUNCATE holds its table exclusively (of a partition this takes it), and every other firing opens
 * all tables of the write side before its first lock: nobody else maintains this instance now, so
 * no key is needed.
 */
void refresh_after_truncate(Firing &firing);

} // namespace hermet
