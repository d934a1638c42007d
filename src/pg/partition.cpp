#include "pg/partition.h"

extern "C" {
#include "catalog/partition.h"
#include "catalog/pg_type_d.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/partcache.h"
#include "utils/relcache.h"
}

namespace hermet::pg {

namespace {

/*
 * What the server adds to a value v that our operator class hashes: the class subtracts the seed of
 * partition hashing, and combining one column's hash adds a constant. Their sum mod 256.
 */
constexpr int hash_offset = 230;
constexpr int most_partitions = 256;

bool is_modulo(PartitionKey key, AttrNumber column)
{
    return key->strategy == PARTITION_STRATEGY_HASH && key->partnatts == 1 &&
           key->partattrs[0] == column && key->partopcintype[0] == INT8OID &&
           key->partsupfunc[0].fn_oid == F_INT8MI;
}

} // namespace

int find_partitions(Relation table, const char *column, Oid **partitions)
{
    if (table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE ||
        !is_modulo(RelationGetPartitionKey(table), get_attnum(RelationGetRelid(table), column)))
        return 0;
    PartitionDesc partition = RelationGetPartitionDesc(table, true);
    const PartitionBoundInfoData *bounds = partition->boundinfo;
    int n = partition->nparts > 0 ? bounds->nindexes : 0; /* the greatest modulus */
    if (n == 0 || n > most_partitions || (n & (n - 1)) != 0)
        return 0;
    *partitions = static_cast<Oid *>(palloc(n * sizeof(Oid)));
    for (int i = 0; i < n; i++) {
        int index = bounds->indexes[(i + hash_offset) % n];
        (*partitions)[i] = index < 0 ? InvalidOid : partition->oids[index];
    }
    return n;
}

Relation try_open(Oid table, LOCKMODE mode)
{
    if (!OidIsValid(table))
        return nullptr;
    LockRelationOid(table, mode);
    Relation relation = RelationIdGetRelation(table);
    if (RelationIsValid(relation))
        pgstat_init_relation(relation);
    else
        UnlockRelationOid(table, mode);
    return relation;
}

Oid find_root(Relation relation)
{
    Oid table = RelationGetRelid(relation);
    Oid parent = relation->rd_rel->relispartition ? get_partition_parent(table, true) : InvalidOid;
    return OidIsValid(parent) ? parent : table;
}

} // namespace hermet::pg
