/*
 * Shadow: a list that was served is computed the other way, too, under the same snapshot, and
 * compared. What differs is counted, and the last differences are kept in hermet_mismatch. The call
 * that it follows never fails for it, nor waits for anybody.
 */
#pragma once

#include "list/list.h"

namespace hermet {

/* Where the rows that were served came from. */
enum class Served { from_view, from_view_under_policies, from_join };

void shadow(Instance &instance, const Listing &listing, const ListRequest &request,
            const pg::RowStore &served, Served from);

} // namespace hermet
