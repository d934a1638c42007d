// Users, friendships and applications, each change as one random operation.
#include "storm_values.h"

namespace storm {

namespace {

Raw mobile(Session &s)
{
    return {s.rng.chance(40) ? "''" : "'138" + std::to_string(s.rng.below(60)) + "'"};
}

// "column = random value" for a user's displayed columns.
Raw user_change(Session &s)
{
    switch (s.rng.below(7)) {
        case 0:
            return {"mobile = " + mobile(s).sql};
        case 1:
            return {"user_status = 'deleted', deleted_at = hermet.now_ms()"};
        case 2:
            return {"user_status = 'deleted'"};
        case 3:
            return {"deleted_at = hermet.now_ms()"};
        case 4:
            return {"user_status = 'disabled'"};
        default:
            return {"user_status = 'active', deleted_at = 0"};
    }
}

Raw friendship_change(Session &s)
{
    static const std::vector<std::string> changes = {"remark_name = ''",
                                                     "remark_name = 'Remark '' 1'",
                                                     "remark_name = 'other'",
                                                     "is_starred = true",
                                                     "is_starred = false",
                                                     "is_blocked = NOT is_blocked",
                                                     "group_name = 'family'",
                                                     "tags = '{a,\"b c\",NULL}'",
                                                     "tags = '{}'",
                                                     "source = 'qrcode'",
                                                     "deleted_at = hermet.now_ms()",
                                                     "deleted_at = 0",
                                                     "deleted_at = 0, added_at = hermet.now_ms()",
                                                     "created_at = created_at + 1"};
    return {s.rng.pick(changes)};
}

const std::string some_friend =
    "INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES"
    " ({}, {}, {}, {}) ON CONFLICT (user_id, friend_id)"
    " DO UPDATE SET deleted_at = 0, remark_name = EXCLUDED.remark_name";

} // namespace

const std::vector<Operation> people_operations = {
    // ---- users
    {"user: upsert", 8, true,
     [](Session &s) {
         s.run("INSERT INTO biz_user (id, nickname, avatar) VALUES ({}, {}, {}) ON CONFLICT (id)"
               " DO UPDATE SET nickname = EXCLUDED.nickname, avatar = EXCLUDED.avatar",
               s.user(), s.text(), s.text());
     }},
    {"user: insert", 6, true,
     [](Session &s) {
         s.run("INSERT INTO biz_user (id, nickname, mobile) VALUES ({}, {}, {})", s.user(),
               s.text(), mobile(s));
     }},
    {"user: rename", 25, true,
     [](Session &s) {
         s.run("UPDATE biz_user SET nickname = {} WHERE id = {}", s.text(), s.user());
     }},
    {"user: avatar", 8, true,
     [](Session &s) {
         s.run("UPDATE biz_user SET avatar = {} WHERE id = {}", s.text(), s.user());
     }},
    {"user: passwd", 2, true,
     [](Session &s) {
         s.run("UPDATE biz_user SET passwd = {} WHERE id = {}", s.text(), s.user());
     }},
    {"user: mobile, status", 20, true,
     [](Session &s) { s.run("UPDATE biz_user SET {} WHERE id = {}", user_change(s), s.user()); }},
    {"user: raise version", 3, true,
     [](Session &s) {
         s.run("UPDATE biz_user SET info_ver = info_ver + 3, nickname = {} WHERE id = {}", s.text(),
               s.user());
     }},
    {"user: lower version", 1, true,
     [](Session &s) {
         s.run("UPDATE biz_user SET info_ver = info_ver - 1 WHERE id = {}", s.user());
     }},
    {"user: delete", 6, true,
     [](Session &s) { s.run("DELETE FROM biz_user WHERE id = {}", s.user()); }},
    {"user: key", 3, true,
     [](Session &s) {
         s.run("UPDATE biz_user SET id = {} WHERE id = {}", s.rng.between(1, s.space.users + 3),
               s.user());
     }},
    {"users: rename many", 2, false,
     [](Session &s) {
         s.run("UPDATE biz_user SET nickname = left(nickname, 40) || {} WHERE id % 7 = {}",
               s.text(), s.rng.below(7));
     }},
    {"users: merge", 3, false,
     [](Session &s) {
         int64_t a = s.user();
         s.run("MERGE INTO biz_user u USING (VALUES ({}, {}), ({}, {})) v (id, nickname)"
               " ON u.id = v.id WHEN MATCHED AND u.id % 5 = 0 THEN DELETE"
               " WHEN MATCHED THEN UPDATE SET nickname = v.nickname"
               " WHEN NOT MATCHED THEN INSERT (id, nickname) VALUES (v.id, v.nickname)",
               a, s.text(), a % s.space.users + 1, s.text());
     }},
    // ---- friendships
    {"friend: upsert", 16, true,
     [](Session &s) { s.run(some_friend, new_id, s.user(), s.user(), s.text()); }},
    {"friend: peer of a single channel", 10, true,
     [](Session &s) {
         int64_t c = s.single();
         bool turned = s.rng.chance(50);
         s.run(some_friend, new_id, s.member(c, turned), s.member(c, !turned), s.text());
     }},
    {"friend: change", 25, true,
     [](Session &s) {
         int64_t c = s.single();
         bool turned = s.rng.chance(50);
         s.run("UPDATE friendship SET {} WHERE user_id = {} AND friend_id = {}",
               friendship_change(s), s.member(c, turned), s.member(c, !turned));
     }},
    {"friend: delete", 4, true,
     [](Session &s) {
         s.run("DELETE FROM friendship WHERE user_id = {} AND friend_id = {}", s.user(), s.user());
     }},
    {"friend: key", 4, true,
     [](Session &s) {
         s.run("UPDATE friendship SET user_id = {}, friend_id = {} WHERE user_id = {} AND "
               "friend_id = {}",
               s.user(), s.user(), s.user(), s.user());
     }},
    {"friends: both ways", 8, false,
     [](Session &s) {
         int64_t a = s.user(), b = a % s.space.users + 1;
         s.run("INSERT INTO friendship (id, user_id, friend_id) VALUES ({}, {}, {}), ({}, {}, {})"
               " ON CONFLICT (user_id, friend_id) DO UPDATE SET deleted_at = 0",
               new_id, a, b, new_id, b, a);
     }},
    {"friends: all of a user", 3, false,
     [](Session &s) {
         s.run("UPDATE friendship SET {} WHERE user_id = {}", friendship_change(s), s.user());
     }},
    {"friends: add with channel", 6, false,
     [](Session &s) {
         int64_t c = s.single(), a = s.member(c, false), b = s.member(c, true);
         s.run("INSERT INTO channel (id, channel_type, creator_id) VALUES ({}, 'single', {})"
               " ON CONFLICT (id) DO UPDATE SET channel_status = 'active'",
               c, a);
         s.run("INSERT INTO channel_member (id, channel_id, user_id) VALUES ({}, {}, {}), ({}, {}, "
               "{})" +
                   join_conflict,
               new_id, c, a, new_id, c, b);
         s.run("INSERT INTO friendship (id, user_id, friend_id) VALUES ({}, {}, {}), ({}, {}, {})"
               " ON CONFLICT (user_id, friend_id) DO UPDATE SET deleted_at = 0",
               new_id, a, b, new_id, b, a);
     }},
    // ---- applications
    {"application: ask", 2, true,
     [](Session &s) {
         s.run("INSERT INTO channel_application (id, applicant_id, application_type, target_id)"
               " VALUES ({}, {}, 'contact', {})",
               new_id, s.user(), s.user());
     }},
    {"application: approve", 2, false,
     [](Session &s) {
         s.run("UPDATE channel_application SET application_status = 'approved', reviewer_id = {}"
               " WHERE target_id = {}",
               s.user(), s.user());
     }},
};

} // namespace storm
