#include "read/rows.h"

namespace hermet {

namespace {

/* A type that is InvalidOid here is whatever the table has: such values are only copied. */
const pg::Column user_columns[user_row::count] = {
    {"id", INT8OID},        {"nickname", VARCHAROID},    {"avatar", VARCHAROID},
    {"mobile", VARCHAROID}, {"user_status", ANYENUMOID}, {"deleted_at", INT8OID},
    {"info_ver", INT4OID},
};

const pg::Column channel_columns[channel_row::count] = {
    {"id", INT8OID},
    {"channel_type", ANYENUMOID},
    {"channel_status", ANYENUMOID},
    {"channel_name", VARCHAROID},
    {"channel_avatar", VARCHAROID},
    {"channel_info_ver", INT4OID},
    {"channel_member_count", INT4OID},
    {"last_message_at", INT8OID},
    {"last_message_id", INT8OID},
};

const pg::Column member_columns[member_row::count] = {
    {"channel_id", INT8OID},  {"user_id", INT8OID},   {"id", INT8OID},
    {"nickname", VARCHAROID}, {"joined_at", INT8OID}, {"left_at", INT8OID},
    {"created_at", INT8OID},
};

const pg::Column read_columns[read_row::count] = {
    {"user_id", INT8OID}, {"channel_id", INT8OID}, {"last_read_message_id", INT8OID}};

const pg::Column friend_columns[friend_row::count] = {
    {"user_id", INT8OID},        {"friend_id", INT8OID},  {"id", INT8OID},
    {"remark_name", VARCHAROID}, {"source", ANYENUMOID},  {"tags", VARCHARARRAYOID},
    {"group_name", VARCHAROID},  {"is_starred", BOOLOID}, {"is_blocked", BOOLOID},
    {"added_at", INT8OID},       {"deleted_at", INT8OID}, {"created_at", INT8OID},
};

const pg::Column message_columns[message_row::count] = {
    {"channel_id", INT8OID},      {"id", INT8OID},      {"sender_id", INT8OID},
    {"message_type", VARCHAROID}, {"content", TEXTOID}, {"mention_user_ids", INT8ARRAYOID},
    {"mention_all", BOOLOID},     {"sent_at", INT8OID}, {"deleted_at", INT8OID},
};

const pg::Column setting_columns[setting_row::count] = {
    {"user_id", INT8OID},       {"channel_id", INT8OID}, {"is_muted", BOOLOID},
    {"is_pinned", BOOLOID},     {"is_hidden", BOOLOID},  {"closed_at", INT8OID},
    {"marked_unread", BOOLOID},
};

const pg::Column view_columns[view_row::count] = {
    {"channel_id", INT8OID},
    {"user_id", INT8OID},
    {"id", INT8OID},
    {"conversation_type", ANYENUMOID},
    {"conversation_name", VARCHAROID},
    {"conversation_avatar", VARCHAROID},
    {"conversation_info_ver", INT4OID},
    {"peer_user_id", INT8OID},
    {"peer_nickname", VARCHAROID},
    {"peer_avatar", VARCHAROID},
    {"peer_status", ANYENUMOID},
    {"remark_name", VARCHAROID},
    {"is_muted", BOOLOID},
    {"is_pinned", BOOLOID},
    {"is_hidden", BOOLOID},
    {"is_starred", BOOLOID},
    {"marked_unread", BOOLOID},
    {"last_message_id", INT8OID},
    {"last_message_type", VARCHAROID},
    {"last_message_content", VARCHAROID},
    {"last_message_sender_id", INT8OID},
    {"last_message_sender_name", VARCHAROID},
    {"last_message_time", INT8OID},
    {"last_read_message_id", INT8OID},
    {"unread_count", INT4OID},
    {"mention_count", INT4OID},
    {"opened_at", INT8OID},
    {"closed_at", INT8OID},
    {"created_at", INT8OID},
    {"updated_at", INT8OID},
    {"list_hour", INT8OID},
};

const pg::Column contact_columns[contact_row::count] = {
    {"user_id", INT8OID},
    {"contact_id", INT8OID},
    {"id", INT8OID},
    {"contact_nickname", VARCHAROID},
    {"contact_avatar", VARCHAROID},
    {"contact_info_ver", INT4OID},
    {"remark_name", VARCHAROID},
    {"group_name", VARCHAROID},
    {"tags", VARCHARARRAYOID},
    {"is_starred", BOOLOID},
    {"is_blocked", BOOLOID},
    {"mobile", VARCHAROID},
    {"source", ANYENUMOID},
    {"added_at", INT8OID},
    {"deleted_at", INT8OID},
    {"created_at", INT8OID},
    {"updated_at", INT8OID},
};

const pg::Column reverse_columns[reverse_row::count] = {
    {"peer_user_id", INT8OID},
    {"owner_user_id", INT8OID},
    {"channel_id", INT8OID},
    {"created_at", INT8OID},
};

const pg::Column contact_reverse_columns[contact_reverse_row::count] = {
    {"contact_user_id", INT8OID},
    {"owner_user_id", INT8OID},
    {"created_at", INT8OID},
};

const pg::Column large_inbox_columns[large_inbox_row::count] = {{"user_id", INT8OID}};

const pg::Column event_columns[event_row::count] = {
    {"event_offset", INT8OID},   {"table_name", TEXTOID},  {"key", JSONBOID},
    {"operation", TEXTOID},      {"new_values", JSONBOID}, {"transaction_time", INT8OID},
    {"transaction_id", XID8OID},
};

/* In the order of enum Table. */
const pg::PathColumns tables[table_count] = {
    {user_columns, user_row::count, 1, nullptr},
    {channel_columns, channel_row::count, 1, nullptr},
    {member_columns, member_row::count, 2, nullptr},
    {read_columns, read_row::count, 2, nullptr},
    {friend_columns, friend_row::count, 2, nullptr},
    {message_columns, message_row::count, 2, nullptr},
    {setting_columns, setting_row::count, 2, nullptr},
    {view_columns, view_row::count, 2, "user_conversation_view_peer_check"},
    {contact_columns, contact_row::count, 2, nullptr},
    {reverse_columns, reverse_row::count, 3, nullptr},
    {contact_reverse_columns, contact_reverse_row::count, 2, nullptr},
    {large_inbox_columns, large_inbox_row::count, 1, nullptr},
    {event_columns, event_row::count, 1, nullptr},
};

/* Without list_hour, which is the last one: see Instance. */
const pg::PathColumns earlier_view = {view_columns, view_row::list_hour, 2,
                                      "user_conversation_view_peer_check"};

} // namespace

const pg::Path &path(Instance &instance, Table table, Relation relation, int leaf)
{
    bool earlier = table == Table::user_conversation_view && !instance.has_list_hour;
    return find_path(instance, table, leaf, relation,
                     earlier ? earlier_view : tables[static_cast<int>(table)]);
}

} // namespace hermet
