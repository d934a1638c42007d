// Random values that several kinds of operations use.
#pragma once

#include "storm.h"

namespace storm {

inline const Raw new_id{"hermet.next_id()"};

inline Raw boolean(Session &s, int percent)
{
    return {s.rng.chance(percent) ? "true" : "false"};
}

// A message near the end of a channel, where changes matter most.
inline Raw message_of(Session &s, int64_t channel)
{
    return {"(SELECT id FROM message WHERE channel_id = " + std::to_string(channel) +
            " ORDER BY id DESC OFFSET " + std::to_string(s.rng.chance(50) ? 0 : s.rng.below(6)) +
            " LIMIT 1)"};
}

// Mostly a new id, sometimes one that lies before others or is taken.
inline Raw message_id(Session &s, int64_t channel)
{
    if (s.rng.chance(85))
        return {"hermet.next_id(" + std::to_string(channel) + ")"};
    return {std::to_string(s.rng.between(1, 5000))};
}

inline Raw mentions(Session &s)
{
    if (s.rng.chance(60))
        return {"'{}'"};
    std::string list;
    for (int64_t i = s.rng.between(1, 4); i > 0; i--)
        list += (list.empty() ? "" : ",") + (s.rng.chance(20) ? "NULL" : std::to_string(s.user()));
    return {"'{" + list + "}'"};
}

inline Raw message_type(Session &s)
{
    static const std::vector<std::string> types = {"'text'", "'text'", "'text'", "'image'",
                                                   "'system'"};
    return {s.rng.pick(types)};
}

inline Raw content(Session &s)
{
    if (s.rng.chance(10))
        return {"repeat('\xE9\x95\xBF', " + std::to_string(s.rng.between(510, 515)) + ")"};
    return {"'text " + std::to_string(s.rng.below(1000000)) + "'"};
}

inline Raw message_row(Session &s, int64_t channel, const Raw &id)
{
    std::string row = "(" + id.sql + ", " + std::to_string(channel) + ", " +
                      std::to_string(s.rng.chance(95) ? s.member(channel) : s.user()) + ", " +
                      message_type(s).sql + ", " + content(s).sql + ", " + mentions(s).sql + ", " +
                      boolean(s, 5).sql + ", ";
    return {row + (s.rng.chance(85) ? "hermet.now_ms()" : s.time().sql) + ")"};
}

inline Raw message_row(Session &s, int64_t channel)
{
    return message_row(s, channel, message_id(s, channel));
}

inline const std::string message_columns =
    "INSERT INTO message (id, channel_id, sender_id, message_type,"
    " content, mention_user_ids, mention_all, sent_at) VALUES ";

inline const std::string join_conflict =
    " ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = 0";

} // namespace storm
