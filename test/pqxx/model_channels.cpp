// Channels and members of the model: each statement as SQL and as the same change of the maps.
#include "model_values.h"

namespace model {

namespace {

// ---- channels

Step upsert_channel(State &s, Rng &r)
{
    Id id = any_channel(r);
    std::string name = any_text(r);
    Step step{fill("INSERT INTO channel (id, channel_type, channel_name) VALUES ({}, {}, {})"
                   " ON CONFLICT (id) DO UPDATE SET channel_name = EXCLUDED.channel_name,"
                   " channel_status = 'active'",
                   id, natural_type(id), name),
              "",
              {}};
    if (s.channels.count(id))
        update_one(step, s.channels, id, [&](Channel &c) { c.name = name, c.status = "active"; });
    else
        s.channels[id] = {name, "", natural_type(id), "active", 1};
    return step;
}

Step update_channel(State &s, Rng &r)
{
    Id id = some(s.channels, r, 1);
    std::string value = any_text(r), set;
    std::function<void(Channel &)> change;
    const Id more = r.chance(90) ? r.between(0, 3) : -1;
    switch (r.below(8)) {
        case 0:
            set = fill("channel_avatar = {}", value),
            change = [=](Channel &c) { c.avatar = value; };
            break;
        case 1:
        case 2: {
            static const std::vector<std::string> all = {"active", "active", "creating", "failed",
                                                         "archived"};
            std::string status = r.pick(all);
            set = fill("channel_status = {}", status),
            change = [=](Channel &c) { c.status = status; };
            break;
        }
        case 3:
        case 4: {
            std::string type = r.chance(60) ? natural_type(id) : r.chance(50) ? "single" : "group";
            set = fill("channel_type = {}", type), change = [=](Channel &c) { c.type = type; };
            break;
        }
        case 5:
            set = fill("channel_info_ver = channel_info_ver + {}, channel_name = {}", more, value);
            change = [=](Channel &c) { c.info_ver += more, c.name = value; };
            break;
        case 6: // written over with what is right
            set = "channel_member_count = 77, last_message_at = 5", change = [](Channel &) {};
            break;
        default:
            set = fill("channel_name = {}", value), change = [=](Channel &c) { c.name = value; };
    }
    Step step{"UPDATE channel SET " + set + fill(" WHERE id = {}", id), "", {}};
    update_one(step, s.channels, id, change);
    return step;
}

Step delete_channel(State &s, Rng &r)
{
    Id id = some(s.channels, r, 1);
    s.channels.erase(id);
    return {fill("DELETE FROM channel WHERE id = {}", id), "", {}};
}

Step move_channel(State &s, Rng &r)
{
    Id from = some(s.channels, r, 1), to = any_channel(r);
    Step step{fill("UPDATE channel SET id = {} WHERE id = {}", to, from), "", {}};
    change_key(step, s.channels, from, to);
    return step;
}

// ---- members

Pair some_member(const State &s, Rng &r)
{
    return some(s.members, r, {1, 1});
}

Step insert_member(State &s, Rng &r)
{
    Pair key{any_channel(r), any_user(r)};
    Member m{new_id(r), any_time(r), r.chance(80) ? 0 : any_time(r), any_time(r), any_text(r)};
    Step step{
        fill("INSERT INTO channel_member (id, channel_id, user_id, joined_at, left_at, created_at,"
             " nickname) VALUES ({}, {}, {}, {}, {}, {}, {})",
             m.id, key.first, key.second, m.joined_at, m.left_at, m.created_at, m.nickname),
        "",
        {}};
    insert(step, s.members, key, m);
    return step;
}

Step join_members(State &s, Rng &r)
{
    Id channel = any_channel(r), first = any_user(r);
    Id last = r.chance(60) ? first : r.between(first, users), id = new_id(r), at = any_time(r);
    Step step{fill("INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)"
                   " SELECT {} + i, {}, i, {}, {} FROM generate_series({}, {}) i"
                   " ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = 0",
                   id, channel, at, at, first, last),
              "",
              {}};
    for (Id user = first; user <= last; user++) {
        Pair key{channel, user};
        if (s.members.count(key))
            update_one(step, s.members, key, [](Member &m) { m.left_at = 0; });
        else
            s.members[key] = {id + user, at, 0, at, ""};
    }
    return step;
}

Step update_member(State &s, Rng &r)
{
    Pair key = some_member(s, r);
    const Id at = any_time(r), id = new_id(r);
    std::string value = any_text(r), set;
    std::function<void(Member &)> change;
    switch (r.below(7)) {
        case 0:
        case 1:
            set = fill("left_at = {}", at), change = [=](Member &m) { m.left_at = at; };
            break;
        case 2:
            set = "left_at = 0", change = [](Member &m) { m.left_at = 0; };
            break;
        case 3:
            set = fill("left_at = 0, joined_at = {}", at);
            change = [=](Member &m) { m.left_at = 0, m.joined_at = at; };
            break;
        case 4:
            set = fill("joined_at = {}, role = 'admin'", at),
            change = [=](Member &m) { m.joined_at = at; };
            break;
        case 5:
            set = fill("id = {}, created_at = {}", id, at);
            change = [=](Member &m) { m.id = id, m.created_at = at; };
            break;
        default:
            set = fill("nickname = {}", value), change = [=](Member &m) { m.nickname = value; };
    }
    Step step{"UPDATE channel_member SET " + set, "", {}};
    if (r.chance(10) && set.find("id =") != 0) {
        step.sql += fill(" WHERE user_id = {}", key.second);
        update(
            step, s.members, [&](const Pair &k, const Member &) { return k.second == key.second; },
            change);
    }
    else {
        step.sql += fill(" WHERE channel_id = {} AND user_id = {}", key.first, key.second);
        update_one(step, s.members, key, change);
    }
    return step;
}

Step delete_members(State &s, Rng &r)
{
    Pair key = some_member(s, r);
    if (r.chance(85)) {
        s.members.erase(key);
        return {fill("DELETE FROM channel_member WHERE channel_id = {} AND user_id = {}", key.first,
                     key.second),
                "",
                {}};
    }
    erase(s.members, [&](const Pair &k, const Member &) { return k.first == key.first; });
    return {fill("DELETE FROM channel_member WHERE channel_id = {}", key.first), "", {}};
}

Step move_member(State &s, Rng &r)
{
    Pair from = some_member(s, r), to{any_channel(r), any_user(r)};
    Step step{fill("UPDATE channel_member SET channel_id = {}, user_id = {} WHERE channel_id = {}"
                   " AND user_id = {}",
                   to.first, to.second, from.first, from.second),
              "",
              {}};
    change_key(step, s.members, from, to);
    return step;
}

} // namespace

const std::vector<Kind> channel_kinds = {
    {50, upsert_channel}, {60, update_channel}, {8, delete_channel},
    {8, move_channel},    {40, insert_member},  {60, join_members},
    {90, update_member},  {20, delete_members}, {15, move_member},
};

} // namespace model
