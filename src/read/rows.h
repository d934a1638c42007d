/*
 * The columns that maintenance reads and writes directly (pg/walk.h), table by table, and how it
 * numbers them. The first ones are the table's key.
 */
#pragma once

#include "instance/instance.h"

namespace hermet {

namespace user_row {
enum { id, nickname, avatar, mobile, status, deleted_at, version, count };
} // namespace user_row

namespace channel_row {
enum { id, type, status, name, avatar, version, member_count, last_at, last_id, count };
} // namespace channel_row

namespace member_row {
enum { channel, user, id, nickname, joined_at, left_at, created_at, count };
} // namespace member_row

namespace read_row {
enum { user, channel, last_read, count };
} // namespace read_row

namespace friend_row {
enum {
    user,
    contact,
    id,
    remark,
    source,
    tags,
    group,
    starred,
    blocked,
    added_at,
    deleted_at,
    created_at,
    count
};
} // namespace friend_row

namespace message_row {
enum { channel, id, sender, type, content, mentions, to_all, sent_at, deleted_at, count };
} // namespace message_row

namespace setting_row {
enum { user, channel, muted, pinned, hidden, closed_at, marked_unread, count };
} // namespace setting_row

namespace view_row {
enum {
    channel,
    user,
    id,
    type,
    name,
    avatar,
    version,
    peer,
    peer_nickname,
    peer_avatar,
    peer_status,
    remark,
    muted,
    pinned,
    hidden,
    starred,
    marked_unread,
    last_id,
    last_type,
    last_content,
    last_sender,
    last_sender_name,
    last_time,
    cursor,
    unread,
    mentions,
    opened_at,
    closed_at,
    created_at,
    updated_at,
    list_hour,
    count
};
} // namespace view_row

namespace contact_row {
enum {
    user,
    contact,
    id,
    nickname,
    avatar,
    version,
    remark,
    group,
    tags,
    starred,
    blocked,
    mobile,
    source,
    added_at,
    deleted_at,
    created_at,
    updated_at,
    count
};
} // namespace contact_row

namespace reverse_row { /* conversation_reverse_index */
enum { peer, owner, channel, created_at, count };
} // namespace reverse_row

namespace contact_reverse_row {
enum { contact, owner, created_at, count };
} // namespace contact_reverse_row

namespace large_inbox_row {
enum { user, count };
} // namespace large_inbox_row

namespace event_row {
enum { offset, table, key, operation, values, time, transaction, count };
} // namespace event_row

/* The direct way to the rows of a leaf; `relation` is that leaf, opened. */
const pg::Path &path(Instance &instance, Table table, Relation relation, int leaf = 0);

/* By which column of its key a sharded instance spreads a table's rows. */
constexpr int shard_column(Table table)
{
    return table == Table::user_conversation_view ? view_row::user : 0;
}

} // namespace hermet
