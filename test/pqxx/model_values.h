// What the model's statements share: random values, and what every change of a row brings with it.
#pragma once

#include "model.h"

namespace model {

using client::fill;
using client::Raw;
using client::Rng;

inline constexpr Id users = 6, singles = 4, channels = 9, message_ids = 300;

// ---- random values

inline Id any_user(Rng &r)
{
    return r.between(1, users);
}
inline Id any_channel(Rng &r)
{
    return r.between(1, channels);
}
inline Id new_id(Rng &r)
{
    return r.between(1000, 1000000000000);
}
// Early times, and some that lie after any clock: a comeback sets joined_at to the clock.
inline Id any_time(Rng &r)
{
    return r.chance(75) ? r.between(1, 900) : 4000000000000 + r.below(900);
}
inline Id time_or_zero(Rng &r)
{
    return r.chance(50) ? 0 : any_time(r);
}

inline std::string natural_type(Id channel)
{
    return channel <= singles ? "single" : "group";
}

inline std::string any_text(Rng &r)
{
    static const std::vector<std::string> texts = {
        "",      "ann",  "O'Brien",          "\\b", "\xE6\x9D\x8E",
        "{a,b}", "NULL", "\xF0\x9F\x8C\xBB", " x ", "A"};
    return r.pick(texts);
}
inline std::string any_content(Rng &r)
{
    if (r.chance(90))
        return any_text(r);
    std::string s;
    for (Id i = r.between(510, 514); i > 0; i--)
        s += "\xE9\x95\xBF";
    return s;
}
inline std::string any_message_type(Rng &r)
{
    static const std::vector<std::string> types = {"text", "text", "image", "system"};
    return r.pick(types);
}
inline std::vector<std::optional<Id>> any_mentions(Rng &r)
{
    std::vector<std::optional<Id>> list;
    for (Id i = r.chance(50) ? 0 : r.between(1, 4); i > 0; i--)
        list.push_back(r.chance(20) ? std::nullopt : std::optional<Id>(any_user(r)));
    return list;
}

inline Raw sql(bool b)
{
    return {b ? "true" : "false"};
}
inline Raw sql(const std::vector<std::optional<Id>> &mentions)
{
    std::string list;
    for (const auto &m : mentions)
        list += (list.empty() ? "" : ",") + (m ? std::to_string(*m) : "NULL");
    return {"'{" + list + "}'"};
}
template <typename... Args> Raw raw(const std::string &pattern, const Args &...args)
{
    return {fill(pattern, args...)};
}

// A key that exists, or the other one when there is none.
template <typename Map>
typename Map::key_type some(const Map &map, Rng &r, const typename Map::key_type &otherwise)
{
    return map.empty() ? otherwise : std::next(map.begin(), r.below(map.size()))->first;
}
inline Id some_message(const State &s, Rng &r)
{
    return some(s.messages, r, 1);
}
inline Pair some_pair(Rng &r)
{
    return {any_user(r), any_channel(r)};
}

// ---- what every change of a row brings with it

inline void changed(Step &step, const User &before, User &after)
{
    auto shown = [](const User &u) {
        return std::tie(u.nickname, u.avatar, u.mobile, u.status, u.deleted_at);
    };
    if (after.info_ver < before.info_ver)
        step.error = "23514";
    else if (after.info_ver == before.info_ver && shown(after) != shown(before))
        after.info_ver++;
}
inline void changed(Step &step, const Channel &before, Channel &after)
{
    auto shown = [](const Channel &c) { return std::tie(c.name, c.avatar); };
    if (after.info_ver < before.info_ver)
        step.error = "23514";
    else if (after.info_ver == before.info_ver && shown(after) != shown(before))
        after.info_ver++;
}
template <typename Any> void changed(Step &, const Any &, Any &) {}

// UPDATE of the rows that fit; a member who comes back is noted.
template <typename Map, typename Fits, typename Change>
inline void update(Step &step, Map &map, Fits fits, Change change)
{
    for (auto &[key, row] : map) {
        if (!fits(key, row))
            continue;
        auto before = row;
        change(row);
        changed(step, before, row);
        if constexpr (std::is_same_v<typename Map::mapped_type, Member>)
            if (before.left_at != 0 && row.left_at == 0 && row.joined_at == before.joined_at)
                step.returned.insert(key);
    }
}
template <typename Map, typename Change>
inline void update_one(Step &step, Map &map, const typename Map::key_type &wanted, Change change)
{
    update(
        step, map, [&](const auto &key, const auto &) { return key == wanted; }, change);
}
template <typename Map, typename Fits> void erase(Map &map, Fits fits)
{
    for (auto it = map.begin(); it != map.end();)
        it = fits(it->first, it->second) ? map.erase(it) : std::next(it);
}
template <typename Map>
inline void insert(Step &step, Map &map, const typename Map::key_type &key,
                   const typename Map::mapped_type &row)
{
    if (!map.insert({key, row}).second)
        step.error = "23505";
}
template <typename Map>
inline void change_key(Step &step, Map &map, const typename Map::key_type &from,
                       const typename Map::key_type &to)
{
    auto it = map.find(from);
    if (it == map.end() || from == to)
        return;
    auto row = it->second;
    map.erase(it);
    insert(step, map, to, row);
}

} // namespace model
