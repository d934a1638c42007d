// Users and friendships of the model: each statement as SQL and as the same change of the maps.
#include "model_values.h"

namespace model {

namespace {

// ---- users

Step insert_user(State &s, Rng &r)
{
    Id id = any_user(r);
    User u{any_text(r), any_text(r), "", "active", 0, 1};
    Step step{fill("INSERT INTO biz_user (id, nickname, avatar) VALUES ({}, {}, {})", id,
                   u.nickname, u.avatar),
              "",
              {}};
    insert(step, s.users, id, u);
    return step;
}

Step upsert_user(State &s, Rng &r)
{
    Id id = any_user(r);
    std::string name = any_text(r);
    Step step{fill("INSERT INTO biz_user (id, nickname) VALUES ({}, {}) ON CONFLICT (id)"
                   " DO UPDATE SET nickname = EXCLUDED.nickname",
                   id, name),
              "",
              {}};
    if (s.users.count(id))
        update_one(step, s.users, id, [&](User &u) { u.nickname = name; });
    else
        s.users[id].nickname = name;
    return step;
}

Step update_user(State &s, Rng &r)
{
    Id id = some(s.users, r, 1);
    bool many = r.chance(15);
    std::string value = any_text(r), set;
    std::function<void(User &)> change;
    const Id at = time_or_zero(r), more = r.chance(90) ? r.between(0, 3) : -1;
    switch (r.below(9)) {
        case 0:
            set = fill("avatar = {}", value), change = [=](User &u) { u.avatar = value; };
            break;
        case 1: {
            std::string mobile = r.chance(30) ? "" : "m" + std::to_string(r.below(12));
            set = fill("mobile = {}", mobile), change = [=](User &u) { u.mobile = mobile; };
            many = false;
            break;
        }
        case 2:
        case 3: {
            static const std::vector<std::string> all = {"active", "active", "disabled", "deleted"};
            std::string status = r.pick(all);
            set = fill("user_status = {}, deleted_at = {}", status, at);
            change = [=](User &u) { u.status = status, u.deleted_at = at; };
            break;
        }
        case 4:
            set = fill("info_ver = info_ver + {}, nickname = {}", more, value);
            change = [=](User &u) { u.info_ver += more, u.nickname = value; };
            break;
        case 5:
            set = fill("passwd = {}", value), change = [](User &) {};
            break;
        default:
            set = fill("nickname = {}", value), change = [=](User &u) { u.nickname = value; };
    }
    Step step{"UPDATE biz_user SET " + set +
                  fill(many ? " WHERE id % 2 = {}" : " WHERE id = {}", many ? id % 2 : id),
              "",
              {}};
    update(
        step, s.users, [&](Id key, const User &) { return many ? key % 2 == id % 2 : key == id; },
        change);
    return step;
}

Step delete_user(State &s, Rng &r)
{
    Id id = some(s.users, r, 1);
    s.users.erase(id);
    return {fill("DELETE FROM biz_user WHERE id = {}", id), "", {}};
}

Step move_user(State &s, Rng &r)
{
    Id from = some(s.users, r, 1), to = any_user(r);
    Step step{fill("UPDATE biz_user SET id = {} WHERE id = {}", to, from), "", {}};
    change_key(step, s.users, from, to);
    return step;
}

Step merge_users(State &s, Rng &r)
{
    Id a = any_user(r), b = a % users + 1;
    std::string name = any_text(r);
    Step step{fill("MERGE INTO biz_user u USING (VALUES ({}), ({})) v (id) ON u.id = v.id"
                   " WHEN MATCHED AND u.deleted_at <> 0 THEN DELETE"
                   " WHEN MATCHED THEN UPDATE SET nickname = {}"
                   " WHEN NOT MATCHED THEN INSERT (id, nickname) VALUES (v.id, {})",
                   a, b, name, name),
              "",
              {}};
    for (Id id : {a, b}) {
        if (!s.users.count(id))
            s.users[id].nickname = name;
        else if (s.users[id].deleted_at != 0)
            s.users.erase(id);
        else
            update_one(step, s.users, id, [&](User &u) { u.nickname = name; });
    }
    return step;
}

// ---- friendships

Step upsert_friend(State &s, Rng &r)
{
    Pair key{any_user(r), any_user(r)};
    Friendship f;
    f.id = new_id(r), f.remark = any_text(r), f.added_at = any_time(r), f.created_at = any_time(r);
    f.deleted_at = r.chance(80) ? 0 : any_time(r);
    f.starred = r.chance(50), f.blocked = r.chance(20);
    if (s.friendships.count(key)) {
        s.friendships[key].deleted_at = 0, s.friendships[key].remark = f.remark;
    }
    else {
        s.friendships[key] = f;
    }
    return {
        fill("INSERT INTO friendship (id, user_id, friend_id, remark_name, added_at, created_at,"
             " deleted_at, is_starred, is_blocked) VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {})"
             " ON CONFLICT (user_id, friend_id)"
             " DO UPDATE SET deleted_at = 0, remark_name = EXCLUDED.remark_name",
             f.id, key.first, key.second, f.remark, f.added_at, f.created_at, f.deleted_at,
             sql(f.starred), sql(f.blocked)),
        "",
        {}};
}

Step change_friends(State &s, Rng &r)
{
    Pair key = some(s.friendships, r, {1, 1}), to{any_user(r), any_user(r)};
    const Id at = time_or_zero(r), id = new_id(r);
    const bool on = r.chance(50);
    static const std::vector<std::string> all_tags = {"{}", "{a,\"b c\"}", "{NULL,\"\"}", "{a}"};
    const std::string value = any_text(r), tags = r.pick(all_tags);
    std::string set;
    std::function<void(Friendship &)> change;
    Step step;
    switch (r.below(10)) {
        case 0:
            s.friendships.erase(key);
            return {fill("DELETE FROM friendship WHERE user_id = {} AND friend_id = {}", key.first,
                         key.second),
                    "",
                    {}};
        case 1:
            step.sql = fill("UPDATE friendship SET user_id = {}, friend_id = {} WHERE user_id = {}"
                            " AND friend_id = {}",
                            to.first, to.second, key.first, key.second);
            change_key(step, s.friendships, key, to);
            return step;
        case 2:
        case 3:
            set = fill("remark_name = {}", value),
            change = [=](Friendship &f) { f.remark = value; };
            break;
        case 4:
            set = fill("is_starred = {}", sql(on)), change = [=](Friendship &f) { f.starred = on; };
            break;
        case 5:
            set = fill("is_blocked = {}, group_name = {}", sql(on), value);
            change = [=](Friendship &f) { f.blocked = on, f.group = value; };
            break;
        case 6:
            set = fill("tags = {}, source = 'group'", tags);
            change = [=](Friendship &f) { f.tags = tags, f.source = "group"; };
            break;
        case 7:
            set = fill("added_at = {}, created_at = {}", at, at + 1);
            change = [=](Friendship &f) { f.added_at = at, f.created_at = at + 1; };
            break;
        default:
            set = fill("deleted_at = {}", at), change = [=](Friendship &f) { f.deleted_at = at; };
    }
    bool many = r.chance(15);
    if (r.chance(5) && !many)
        set += fill(", id = {}", id);
    step.sql = "UPDATE friendship SET " + set +
               (many ? fill(" WHERE friend_id = {}", key.second)
                     : fill(" WHERE user_id = {} AND friend_id = {}", key.first, key.second));
    const bool new_key = set.find(", id = ") != std::string::npos;
    update(
        step, s.friendships,
        [&](const Pair &k, const Friendship &) { return many ? k.second == key.second : k == key; },
        [&](Friendship &f) {
            change(f);
            if (new_key)
                f.id = id;
        });
    return step;
}

} // namespace

const std::vector<Kind> people_kinds = {
    {20, insert_user}, {30, upsert_user}, {90, update_user},   {12, delete_user},
    {10, move_user},   {10, merge_users}, {60, upsert_friend}, {80, change_friends},
};

} // namespace model
