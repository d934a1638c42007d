#include "pg/policies.h"

extern "C" {
#include "access/table.h"
#include "catalog/pg_authid_d.h"
#include "rewrite/rowsecurity.h"
#include "utils/rls.h"
}

namespace hermet::pg {

namespace {

bool is_for_select(const RowSecurityPolicy *policy)
{
    return policy->polcmd == '*' || policy->polcmd == ACL_SELECT_CHR;
}

bool is_for_current_user(const RowSecurityPolicy *policy)
{
    const Oid *roles = reinterpret_cast<const Oid *>(ARR_DATA_PTR(policy->roles));
    for (int i = 0; i < ARR_DIMS(policy->roles)[0]; i++)
        if (roles[i] == ACL_ID_PUBLIC || has_privs_of_role(GetUserId(), roles[i]))
            return true;
    return false;
}

bool is_true(const Expr *qual)
{
    if (!qual || !IsA(qual, Const))
        return false;
    const Const *constant = reinterpret_cast<const Const *>(qual);
    return !constant->constisnull && DatumGetBool(constant->constvalue);
}

/* One policy that lets everything through, and none that takes away from it. */
bool let_everything_through(List *policies)
{
    bool all = false;
    ListCell *cell;
    foreach (cell, policies) {
        const RowSecurityPolicy *policy = static_cast<RowSecurityPolicy *>(lfirst(cell));
        if (!is_for_select(policy))
            continue;
        if (!policy->permissive)
            return false;
        all |= is_true(policy->qual) && is_for_current_user(policy);
    }
    return all;
}

} // namespace

bool hides_rows(Oid table)
{
    if (check_enable_rls(table, InvalidOid, true) != RLS_ENABLED)
        return false;
    if (row_security_policy_hook_restrictive)
        return true;
    Relation relation = table_open(table, AccessShareLock);
    bool all = relation->rd_rsdesc && let_everything_through(relation->rd_rsdesc->policies);
    table_close(relation, NoLock);
    return !all;
}

} // namespace hermet::pg
