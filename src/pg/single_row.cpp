#include "pg/single_row.h"

extern "C" {
#include "access/table.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
}

namespace hermet::pg {

namespace {

/* 0: there is none of this name and type. */
AttrNumber find_column(TupleDesc columns, const Column &column)
{
    for (int i = 0; i < columns->natts; i++) {
        Form_pg_attribute attribute = TupleDescAttr(columns, i);
        if (!attribute->attisdropped && attribute->atttypid == column.type &&
            namestrcmp(&attribute->attname, column.name) == 0)
            return attribute->attnum;
    }
    return InvalidAttrNumber;
}

bool read_row(Relation relation, const Column *columns, int n, Datum *values)
{
    TupleTableSlot *slot = table_slot_create(relation, nullptr);
    TableScanDesc scan = table_beginscan(relation, GetActiveSnapshot(), 0, nullptr);
    bool found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
    for (int i = 0; i < n && found; i++) {
        AttrNumber number = find_column(RelationGetDescr(relation), columns[i]);
        bool null = true;
        if (number != InvalidAttrNumber)
            values[i] = slot_getattr(slot, number, &null);
        found = !null;
    }
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    return found;
}

} // namespace

bool read_single_row(Oid relation, const Column *columns, int n, Datum *values)
{
    Relation opened = OidIsValid(relation) ? try_table_open(relation, AccessShareLock) : nullptr;
    if (!opened)
        return false;
    bool found = opened->rd_rel->relkind == RELKIND_RELATION &&
                 opened->rd_rel->relam == HEAP_TABLE_AM_OID && read_row(opened, columns, n, values);
    table_close(opened, NoLock);
    return found;
}

} // namespace hermet::pg
