// Messages, read marks and settings, each change as one random operation.
#include "storm_values.h"

namespace storm {

namespace {

Raw setting_change(Session &s)
{
    static const std::vector<std::string> columns = {"is_muted", "is_pinned", "is_hidden",
                                                     "marked_unread"};
    if (s.rng.chance(35))
        return {"closed_at = " + s.time().sql};
    return {s.rng.pick(columns) + " = " + boolean(s, 60).sql};
}

} // namespace

const std::vector<Operation> message_operations = {
    // ---- messages
    {"message: send", 120, true,
     [](Session &s) { s.run(message_columns + "{}", message_row(s, s.channel())); }},
    {"messages: send several", 15, true,
     [](Session &s) {
         // New ids only: taken ones, met in two orders, are a deadlock of the application's own.
         std::string rows = message_row(s, s.channel(), new_id).sql;
         for (int64_t i = s.rng.below(6); i > 0; i--)
             rows += ", " + message_row(s, s.channel(), new_id).sql;
         s.exec(message_columns + rows);
     }},
    {"message: edit", 10, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE message SET content = {} WHERE channel_id = {} AND id = {}", content(s), c,
               message_of(s, c));
     }},
    {"message: mentions, type", 8, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE message SET mention_user_ids = {}, mention_all = {}, message_type = {}"
               " WHERE channel_id = {} AND id = {}",
               mentions(s), boolean(s, 20), message_type(s), c, message_of(s, c));
     }},
    {"message: recall, restore", 14, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE message SET deleted_at = {} WHERE channel_id = {} AND id = {}",
               s.rng.chance(70) ? s.time() : Raw{"0"}, c, message_of(s, c));
     }},
    {"message: delete", 8, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("DELETE FROM message WHERE channel_id = {} AND id = {}", c, message_of(s, c));
     }},
    {"message: move", 4, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE message SET channel_id = {} WHERE channel_id = {} AND id = {}", s.channel(),
               c, message_of(s, c));
     }},
    {"message: sender, time", 6, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE message SET sender_id = {}, sent_at = {} WHERE channel_id = {} AND id = {}",
               s.member(c), s.time(), c, message_of(s, c));
     }},
    {"message: key", 3, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE message SET id = {} WHERE channel_id = {} AND id = {}", message_id(s, c), c,
               message_of(s, c));
     }},
    {"messages: a user's recalled", 1, false,
     [](Session &s) {
         s.run("UPDATE message SET deleted_at = hermet.now_ms() WHERE sender_id = {} AND "
               "channel_id % 5 = {}",
               s.user(), s.rng.below(5));
     }},
    {"messages: old ones deleted", 3, false,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("DELETE FROM message WHERE channel_id = {} AND id < (SELECT id FROM message"
               " WHERE channel_id = {} ORDER BY id DESC OFFSET 40 LIMIT 1)",
               c, c);
     }},
    {"messages: merge", 3, false,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("MERGE INTO message m USING (VALUES (1, {}, {}, 'merged'), (2, {}, {}, 'merged'))"
               " v (id, channel_id, sender_id, content) ON m.channel_id = v.channel_id AND m.id = "
               "v.id"
               " WHEN MATCHED AND m.deleted_at <> 0 THEN DELETE"
               " WHEN MATCHED THEN UPDATE SET deleted_at = hermet.now_ms()"
               " WHEN NOT MATCHED THEN INSERT (id, channel_id, sender_id, content)"
               " VALUES (hermet.next_id(), v.channel_id, v.sender_id, v.content)",
               c, s.member(c), c, s.user());
     }},
    {"messages: copy", 4, false,
     [](Session &s) {
         std::vector<Session::Row> rows;
         const int64_t first = s.run("SELECT hermet.next_id() AS id")[0][0].as<int64_t>();
         for (int64_t i = 0, n = s.rng.between(1, 30); i < n; i++) {
             int64_t c = s.channel();
             rows.push_back({std::to_string(first + i * 4096), std::to_string(c),
                             std::to_string(s.member(c)), "copied\tline"});
         }
         s.copy("message", {"id", "channel_id", "sender_id", "content"}, rows);
     }},
    {"message: send and read in one", 6, false,
     [](Session &s) {
         int64_t c = s.channel();
         s.run(
             "WITH sent AS (" + message_columns +
                 "{} RETURNING id, sender_id)"
                 " INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)"
                 " SELECT hermet.next_id(), sender_id, {}, id FROM sent ON CONFLICT (user_id, "
                 "channel_id)"
                 " DO UPDATE SET last_read_message_id = EXCLUDED.last_read_message_id",
             message_row(s, c), c);
     }},
    // ---- read marks
    {"read: up to now", 40, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)"
               " SELECT {}, {}, {}, coalesce(max(id), 0) FROM message WHERE channel_id = {}"
               " ON CONFLICT (user_id, channel_id)"
               " DO UPDATE SET last_read_message_id = EXCLUDED.last_read_message_id",
               new_id, s.member(c), c, c);
     }},
    {"read: back, ahead", 8, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE channel_read_record SET last_read_message_id = coalesce({}, 0) + {}"
               " WHERE user_id = {} AND channel_id = {}",
               s.rng.chance(70) ? message_of(s, c) : Raw{"0"},
               s.rng.chance(20) ? int64_t(1) << 40 : 0, s.member(c), c);
     }},
    {"read: delete", 3, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("DELETE FROM channel_read_record WHERE user_id = {} AND channel_id = {}",
               s.member(c), c);
     }},
    {"read: key", 3, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE channel_read_record SET user_id = {}, channel_id = {}"
               " WHERE user_id = {} AND channel_id = {}",
               s.user(), s.channel(), s.member(c), c);
     }},
    {"reads: all of a user", 2, false,
     [](Session &s) {
         s.run("UPDATE channel_read_record r SET last_read_message_id = c.last_message_id"
               " FROM channel c WHERE c.id = r.channel_id AND r.user_id = {}",
               s.user());
     }},
    // ---- settings
    {"setting: upsert", 25, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("INSERT INTO conversation_setting (user_id, channel_id) VALUES ({}, {})"
               " ON CONFLICT (user_id, channel_id) DO UPDATE SET {}",
               s.member(c), c, setting_change(s));
     }},
    {"setting: update", 8, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE conversation_setting SET {} WHERE user_id = {} AND channel_id = {}",
               setting_change(s), s.member(c), c);
     }},
    {"setting: delete", 3, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("DELETE FROM conversation_setting WHERE user_id = {} AND channel_id = {}",
               s.member(c), c);
     }},
    {"setting: key", 3, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE conversation_setting SET channel_id = {} WHERE user_id = {} AND channel_id "
               "= {}",
               s.channel(), s.member(c), c);
     }},
    {"settings: all of a user", 1, false,
     [](Session &s) {
         s.run("UPDATE conversation_setting SET {} WHERE user_id = {}", setting_change(s),
               s.user());
     }},
};

} // namespace storm
