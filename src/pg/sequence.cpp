#include "pg/sequence.h"

extern "C" {
#include "access/relation.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "commands/sequence.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
}

namespace hermet::pg {

namespace {

/* A sequence is a table of one row on one page. `lsn`: what has to be on disk to keep the value. */
int64 read_last(Oid sequence, XLogRecPtr *lsn)
{
    Relation relation = relation_open(sequence, AccessShareLock);
    Buffer buffer = ReadBuffer(relation, 0);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    Page page = BufferGetPage(buffer);
    ItemId item = PageGetItemId(page, FirstOffsetNumber);
    HeapTupleHeader tuple = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
    const FormData_pg_sequence_data *data = reinterpret_cast<const FormData_pg_sequence_data *>(
        reinterpret_cast<char *>(tuple) + tuple->t_hoff);
    int64 value = data->is_called ? data->last_value : data->last_value - 1;
    if (lsn)
        *lsn = PageGetLSN(page);
    UnlockReleaseBuffer(buffer);
    relation_close(relation, NoLock);
    return value;
}

} // namespace

Oid find_identity(Oid table, const char *column)
{
    AttrNumber number = get_attnum(table, column);
    return number > 0 ? getIdentitySequence(table, number, true) : InvalidOid;
}

int64 draw(Oid sequence)
{
    return nextval_internal(sequence, false);
}

int64 last_drawn(Oid sequence)
{
    return read_last(sequence, nullptr);
}

int64 last_drawn_durably(Oid sequence)
{
    XLogRecPtr lsn;
    int64 value = read_last(sequence, &lsn);
    XLogFlush(lsn);
    return value;
}

} // namespace hermet::pg
