/*
 * The lock protocol: what keeps two transactions that do not see each other's rows from leaving a
 * wrong row between them. Every value that is copied into the read side, and every fact that
 * decides what is copied, is read after its key was locked, under a snapshot taken after that.
 *
 * Three classes of keys, taken in this order, each class in one order of its keys:
 *
 *   channel(c)  exclusive: the channel, its members, its messages change
 *               shared: a read mark or a setting of c changes
 *   owner(u)    exclusive: friendships of u change, or a single conversation row of u may be
 *               created, refreshed, deleted; never shared, so that a transaction that opens a
 *               single channel and then befriends its members has no lock to strengthen
 *   profile(u)  exclusive: biz_user u changes
 *               shared: something of u is copied, or u becomes or ceases to be copied from
 *
 * and what they guard:
 *
 *   conversation row: existence, cursor, counters, last message, settings: channel
 *                     remark_name, is_starred: owner; peer columns, version: profile(peer)
 *                     sender name: channel and profile(sender)
 *                     whether it is in a large inbox: profile(user)
 *   contact row:      everything: profile(friend), which a friendship's writer holds shared; its
 * own columns besides: owner
 *
 * The tuple of channel(c) is always locked before its key: an UPDATE of channel cannot do it the
 * other way round. docs/architecture.md has the table of operations and the reasons.
 */
#pragma once

#include "read/rows.h"

namespace hermet {

/* What channel says under its lock. */
struct ChannelState {
    int64 id;
    bool single;
    bool active;
    int32 member_count;
    TransactionId written_by; /* who wrote the row, and in which of his commands */
    CommandId written_in;
};

/*
 * Tuples, then keys, of channels (sorted, without duplicates), exclusively. The states of those
 * that exist, in order of id. (On a read node no tuples: see lock_instance().)
 */
pg::Vector<ChannelState> &lock_channels(Instance &instance, const pg::Vector<int64> &ids);

/* Keys of channels, shared: for what concerns one member only. */
void share_channels(Instance &instance, const pg::Vector<int64> &ids);

/* Whether this transaction has, or for so many keys gets without waiting, the whole instance. */
bool holds_all_keys(Instance &instance, size_t keys);

/* Keys of owners, exclusively, and of profiles; ids need not be sorted or unique. */
void lock_owners(Instance &instance, const pg::Vector<int64> &ids);
void lock_profiles(Instance &instance, const pg::Vector<int64> &ids, bool exclusive);

} // namespace hermet
