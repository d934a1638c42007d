// The model: the write side as plain maps, and the read side's rules worked out by brute force.
// Written from the rules' text alone; it shares nothing with the extension's own definition.
#pragma once

#include "common.h"

#include <functional>
#include <optional>

namespace model {

using Id = int64_t;
using Pair = std::pair<Id, Id>;

struct User {
    std::string nickname, avatar, mobile, status = "active";
    Id deleted_at = 0, info_ver = 1;
};
struct Channel {
    std::string name, avatar, type = "group", status = "active";
    Id info_ver = 1;
};
struct Member {
    Id id = 0, joined_at = 0, left_at = 0, created_at = 0;
    std::string nickname;
};
struct Message {
    Id channel = 0, sender = 0, sent_at = 0, deleted_at = 0;
    std::string type = "text", content;
    std::vector<std::optional<Id>> mentions; // an element may be NULL
    bool mention_all = false;
};
struct Friendship {
    Id id = 0, added_at = 0, deleted_at = 0, created_at = 0;
    std::string remark, group = "friends", tags = "{}", source = "search";
    bool starred = false, blocked = false;
};
struct Setting {
    bool muted = false, pinned = false, hidden = false, marked_unread = false;
    Id closed_at = 0;
};

struct State {
    std::map<Id, User> users;
    std::map<Id, Channel> channels;
    std::map<Pair, Member> members; // by channel, user
    std::map<Id, Message> messages;
    std::map<Pair, Id> reads; // by user, channel: the last message read
    std::map<Pair, Friendship> friendships;
    std::map<Pair, Setting> settings; // by user, channel
    bool spread = false;              // the instance is sharded
};

// What is stored or should be: table -> key -> column -> value, all as text; NULL is "(null)".
using Row = std::map<std::string, std::string>;
using Image = std::map<std::string, std::map<std::string, Row>>;

Image derive(const State &state);

// Whether some single channel has a third member row.
bool has_third_member(const State &state);

// One random statement: its text, the error that it must give, and the members who came back by it,
// whose joined_at is the server's clock and has to be read back.
struct Step {
    std::string sql;
    std::string error;
    std::set<Pair> returned;
};

struct Kind {
    int weight;
    Step (*make)(State &, client::Rng &);
};
extern const std::vector<Kind> people_kinds, channel_kinds, message_kinds;

Step random_step(State &state, client::Rng &rng);

} // namespace model
