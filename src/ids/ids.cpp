/*
 * Ids of 63 bits: 41 of milliseconds since 2025-01-01 UTC, 10 of shard value, 12 of sequence.
 *
 * Time and sequence together are one number of 53 bits, and that is the value of the sequence
 * hermet.id_sequence: nextval() makes it unique, and as it only ever rises, so it stays when the
 * clock steps back. Where it lags behind the clock, one session moves it on, by whole milliseconds,
 * so that the low bits run on and ids spread over the partitions.
 */
#include "pg/function.h"
#include "pg/lock.h"
#include "pg/sql.h"

extern "C" {
#include "commands/sequence.h"
}

namespace hermet {

namespace {

constexpr int64 epoch_ms = INT64CONST(1735689600000); /* 2025-01-01 00:00 UTC */
constexpr int sequence_bits = 12;
constexpr int shard_bits = 10;
constexpr int64 shard_mask = (INT64CONST(1) << shard_bits) - 1;
constexpr int64 sequence_mask = (INT64CONST(1) << sequence_bits) - 1;

Oid sequence_oid()
{
    Oid schema = get_namespace_oid("hermet", false);
    Oid oid = get_relname_relid("id_sequence", schema);
    if (!OidIsValid(oid))
        ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE),
                errmsg("sequence hermet.id_sequence does not exist"));
    return oid;
}

/* Ticks that the clock has reached: what the sequence's value should not lag behind. */
int64 clock_ms()
{
    return pg::now_ms() - epoch_ms;
}

/*
 * Moves the sequence on to the clock. Sessions that find it behind come here one at a time. While
 * one is between its nextval() and its setval(), each other backend can draw at most one more
 * value before it finds the sequence behind, too, and waits; so a jump of more values than there
 * can be backends never meets one that was given out.
 */
int64 catch_up(Oid sequence)
{
    pg::SequenceLock lock;
    lock.acquire();
    int64 value = nextval_internal(sequence, false);
    if ((value >> sequence_bits) < clock_ms()) {
        int64 next = value + 1;
        int64 ms = (next >> sequence_bits) + 1 + MaxBackends / (sequence_mask + 1);
        ms = Max(ms, clock_ms());
        value = (ms << sequence_bits) | (next & sequence_mask);
        pg::set_sequence(sequence, value);
    }
    lock.release();
    return value;
}

} // namespace

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(next_id)
{
    int64 shard = PG_GETARG_INT64(0) & shard_mask;
    Oid sequence = sequence_oid();
    int64 value = nextval_internal(sequence, false);
    if ((value >> sequence_bits) < clock_ms())
        value = catch_up(sequence);
    PG_RETURN_INT64((value >> sequence_bits) << (shard_bits + sequence_bits) |
                    shard << sequence_bits | (value & sequence_mask));
}

HERMET_FUNCTION(id_shard)
{
    PG_RETURN_INT32((PG_GETARG_INT64(0) >> sequence_bits) & shard_mask);
}

HERMET_FUNCTION(id_time)
{
    PG_RETURN_INT64((PG_GETARG_INT64(0) >> (shard_bits + sequence_bits)) + epoch_ms);
}

HERMET_FUNCTION(now_ms)
{
    PG_RETURN_INT64(pg::now_ms());
}
