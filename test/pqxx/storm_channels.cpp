// Channels and their members, each change as one random operation.
#include "storm_values.h"

namespace storm {

const std::vector<Operation> channel_operations = {
    // ---- channels
    {"channel: upsert", 10, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("INSERT INTO channel (id, channel_type, channel_name) VALUES ({}, {}, {})"
               " ON CONFLICT (id) DO UPDATE SET channel_status = 'active',"
               " channel_name = EXCLUDED.channel_name",
               c, std::string(c <= s.space.singles() ? "single" : "group"), s.text());
     }},
    {"channel: rename", 8, true,
     [](Session &s) {
         s.run("UPDATE channel SET channel_name = {} WHERE id = {}", s.text(), s.channel());
     }},
    {"channel: avatar", 4, true,
     [](Session &s) {
         s.run("UPDATE channel SET channel_avatar = {}, channel_info_ver = channel_info_ver + {}"
               " WHERE id = {}",
               s.text(), s.rng.below(2), s.channel());
     }},
    {"channel: lower version", 1, true,
     [](Session &s) {
         s.run("UPDATE channel SET channel_info_ver = 0 WHERE id = {}", s.channel());
     }},
    {"channel: status", 12, true,
     [](Session &s) {
         static const std::vector<std::string> statuses = {"active", "active",   "active",
                                                           "failed", "archived", "creating"};
         s.run("UPDATE channel SET channel_status = {} WHERE id = {}", s.rng.pick(statuses),
               s.channel());
     }},
    {"channel: type", 6, true,
     [](Session &s) {
         int64_t c = s.rng.chance(95) ? s.single() : s.group();
         s.run("UPDATE channel SET channel_type = {} WHERE id = {}",
               std::string(s.rng.chance(70) ? "single" : "group"), c);
     }},
    {"channel: owned columns", 4, true,
     [](Session &s) {
         s.run("UPDATE channel SET channel_member_count = 99, last_message_at = 1 WHERE id = {}",
               s.channel());
     }},
    {"channel: delete", 3, true,
     [](Session &s) { s.run("DELETE FROM channel WHERE id = {}", s.channel()); }},
    {"channel: key", 2, true,
     [](Session &s) {
         int64_t c = s.single();
         s.run("UPDATE channel SET id = {} WHERE id = {}",
               s.rng.chance(50) ? s.single() : s.group(), c);
     }},
    {"channels: status of many", 2, false,
     [](Session &s) {
         s.run("UPDATE channel SET channel_status = 'active' WHERE channel_status <> 'active'"
               " AND id % 3 = {}",
               s.rng.below(3));
     }},
    {"chat: channel, members, message in one", 6, false,
     [](Session &s) {
         int64_t c = s.channel();
         int64_t a = s.member(c, false), b = s.member(c, true);
         s.run("WITH c AS (INSERT INTO channel (id, channel_type) VALUES ({}, {}) ON CONFLICT (id)"
               " DO UPDATE SET channel_status = 'active'), m AS (INSERT INTO channel_member"
               " (id, channel_id, user_id) VALUES ({}, {}, {}), ({}, {}, {})" +
                   join_conflict + ") " + message_columns + "{}",
               c, std::string(c <= s.space.singles() ? "single" : "group"), new_id, c, a, new_id, c,
               b, message_row(s, c));
     }},
    // ---- members
    {"member: join or come back", 30, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("INSERT INTO channel_member (id, channel_id, user_id) VALUES ({}, {}, {})" +
                   join_conflict,
               new_id, c, s.member(c));
     }},
    {"member: insert", 6, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("INSERT INTO channel_member (id, channel_id, user_id, joined_at, nickname, left_at)"
               " VALUES ({}, {}, {}, {}, {}, {})",
               new_id, c, s.member(c), s.time(), s.text(), s.rng.chance(80) ? Raw{"0"} : s.time());
     }},
    {"member: third of a single channel", 1, true,
     [](Session &s) {
         s.run("INSERT INTO channel_member (id, channel_id, user_id) VALUES ({}, {}, {})", new_id,
               s.single(), s.user());
     }},
    {"member: leave", 14, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE channel_member SET left_at = {} WHERE channel_id = {} AND user_id = {}",
               s.time(), c, s.member(c));
     }},
    {"member: come back at", 4, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE channel_member SET left_at = 0, joined_at = {}"
               " WHERE channel_id = {} AND user_id = {}",
               s.time(), c, s.member(c));
     }},
    {"member: nickname", 12, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE channel_member SET nickname = {} WHERE channel_id = {} AND user_id = {}",
               s.text(), c, s.member(c));
     }},
    {"member: role", 2, true,
     [](Session &s) {
         s.run("UPDATE channel_member SET role = 'admin' WHERE channel_id = {} AND user_id = {}",
               s.group(), s.user());
     }},
    {"member: id, created_at", 3, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("UPDATE channel_member SET id = {}, created_at = created_at + 1"
               " WHERE channel_id = {} AND user_id = {}",
               new_id, c, s.member(c));
     }},
    {"member: delete", 6, true,
     [](Session &s) {
         int64_t c = s.channel();
         s.run("DELETE FROM channel_member WHERE channel_id = {} AND user_id = {}", c, s.member(c));
     }},
    {"member: key", 4, true,
     [](Session &s) {
         int64_t c = s.group();
         s.run("UPDATE channel_member SET channel_id = {}, user_id = {}"
               " WHERE channel_id = {} AND user_id = {}",
               s.group(), s.user(), c, s.user());
     }},
    {"members: leave everything", 1, false,
     [](Session &s) {
         s.run("UPDATE channel_member SET left_at = hermet.now_ms() WHERE user_id = {} AND left_at "
               "= 0",
               s.user());
     }},
    {"members: everyone joins", 3, false,
     [](Session &s) {
         s.run("INSERT INTO channel_member (id, channel_id, user_id) SELECT hermet.next_id(), {}, i"
               " FROM generate_series({}, {}) i" +
                   join_conflict,
               s.group(), s.rng.between(1, 10), s.rng.between(11, s.space.users));
     }},
    {"members: end of a channel", 1, false,
     [](Session &s) { s.run("DELETE FROM channel_member WHERE channel_id = {}", s.channel()); }},
};

} // namespace storm
