/*
 * Values of enum types by their labels.
 */
#pragma once

#include "pg/server.h"

namespace hermet::pg {

bool is_label(Datum value, const char *label);

/* 22P02 if the type has no such label. */
Datum enum_value(Oid type, const char *label);

} // namespace hermet::pg
