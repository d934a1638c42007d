// The rules of the read side over the model's write side. The numbers are those of the rules.
#include "model.h"

namespace model {

namespace {

std::string text(bool b)
{
    return b ? "t" : "f";
}
std::string text(Id n)
{
    return std::to_string(n);
}

const User *find_user(const State &s, Id id)
{
    auto it = s.users.find(id);
    return it == s.users.end() ? nullptr : &it->second;
}

// The first characters of a UTF-8 text.
std::string first_characters(const std::string &s, size_t wanted)
{
    size_t at = 0;
    for (; at < s.size(); at++)
        if ((s[at] & 0xC0) != 0x80 && wanted-- == 0)
            break;
    return s.substr(0, at);
}

// Rule 1: the other member row; an active one first, then the lowest user id.
std::optional<Id> find_peer(const State &s, Id channel, Id user)
{
    std::optional<Id> left;
    for (const auto &[key, member] : s.members) {
        if (key.first != channel || key.second == user)
            continue;
        if (member.left_at == 0)
            return key.second;
        if (!left)
            left = key.second;
    }
    return left;
}

// Rule 4: the highest id that is not recalled.
std::pair<Id, const Message *> last_message(const State &s, Id channel)
{
    for (auto it = s.messages.rbegin(); it != s.messages.rend(); ++it)
        if (it->second.channel == channel && it->second.deleted_at == 0)
            return {it->first, &it->second};
    return {0, nullptr};
}

std::string sender_name(const State &s, const Message &m)
{
    auto member = s.members.find({m.channel, m.sender});
    if (member == s.members.end())
        return "";
    if (!member->second.nickname.empty())
        return member->second.nickname;
    const User *user = find_user(s, m.sender);
    return user ? user->nickname : "";
}

// Rules 2 and 3: who and what the conversation shows.
void put_face(const State &s, Row &row, const Channel &c, Id user, std::optional<Id> peer)
{
    row["conversation_type"] = c.type;
    if (c.type == "group") {
        row["conversation_name"] = c.name;
        row["conversation_avatar"] = c.avatar;
        row["conversation_info_ver"] = text(c.info_ver);
        for (auto column :
             {"peer_user_id", "peer_nickname", "peer_avatar", "peer_status", "remark_name"})
            row[column] = "(null)";
        row["is_starred"] = text(false);
        return;
    }
    const User *u = find_user(s, *peer);
    const User shown = u ? *u : User();
    auto friendship = s.friendships.find({user, *peer});
    bool live = friendship != s.friendships.end() && friendship->second.deleted_at == 0;
    const std::string remark = live ? friendship->second.remark : "";
    row["peer_user_id"] = text(*peer);
    row["peer_nickname"] = shown.nickname;
    row["peer_avatar"] = row["conversation_avatar"] = shown.avatar;
    row["peer_status"] = shown.deleted_at != 0 ? "deleted" : shown.status;
    row["remark_name"] = remark;
    row["is_starred"] = text(live && friendship->second.starred);
    row["conversation_name"] = remark.empty() ? shown.nickname : remark;
    row["conversation_info_ver"] = text(shown.info_ver);
}

// Rule 5.
void put_counts(const State &s, Row &row, Id channel, Id user, const Member &member)
{
    auto read = s.reads.find({user, channel});
    const Id cursor = read == s.reads.end() ? 0 : read->second;
    Id unread = 0, mentioned = 0;
    for (const auto &[id, m] : s.messages) {
        if (m.channel != channel || id <= cursor || m.sender == user ||
            m.sent_at < member.joined_at || m.deleted_at != 0 || m.type == "system")
            continue;
        unread++;
        bool named = std::count(m.mentions.begin(), m.mentions.end(), std::optional<Id>(user)) > 0;
        mentioned += m.mention_all || named;
    }
    row["last_read_message_id"] = text(cursor);
    row["unread_count"] = text(unread);
    row["mention_count"] = text(mentioned);
}

void put_conversation(const State &s, Image &image, const Pair &key, const Member &member)
{
    const auto [channel, user] = key;
    auto found = s.channels.find(channel);
    if (member.left_at != 0 || found == s.channels.end() || found->second.status != "active")
        return;
    const Channel &c = found->second;
    std::optional<Id> peer;
    if (c.type == "single" && !(peer = find_peer(s, channel, user)))
        return;
    Row row;
    put_face(s, row, c, user, peer);
    put_counts(s, row, channel, user, member);
    const auto [last_id, last] = last_message(s, channel);
    const Message message = last ? *last : Message();
    row["last_message_id"] = text(last_id);
    row["last_message_type"] = last ? message.type : "";
    row["last_message_content"] = first_characters(message.content, 512);
    row["last_message_sender_id"] = text(message.sender);
    row["last_message_sender_name"] = last ? sender_name(s, message) : "";
    row["last_message_time"] = text(message.sent_at);
    auto stored = s.settings.find({user, channel}); // Rule 6.
    const Setting setting = stored == s.settings.end() ? Setting() : stored->second;
    row["is_muted"] = text(setting.muted);
    row["is_pinned"] = text(setting.pinned);
    row["is_hidden"] = text(setting.hidden);
    row["marked_unread"] = text(setting.marked_unread);
    row["closed_at"] = text(setting.closed_at > message.sent_at ? setting.closed_at : 0);
    row["id"] = text(member.id);
    row["opened_at"] = text(member.joined_at);
    row["created_at"] = text(member.created_at);
    image["user_conversation_view"][text(user) + "/" + text(channel)] = row;
    if (peer) // Rule 8.
        image["conversation_reverse_index"][text(*peer) + "/" + text(user) + "/" + text(channel)] =
            {{"created_at", text(member.created_at)}};
}

// Rules 7 and 8.
void put_contact(const State &s, Image &image, const Pair &key, const Friendship &f)
{
    if (f.deleted_at != 0)
        return;
    const auto [user, friend_id] = key;
    image["contact_reverse_index"][text(friend_id) + "/" + text(user)] = {
        {"created_at", text(f.created_at)}};
    const User *found = find_user(s, friend_id);
    const User shown = found ? *found : User();
    if (shown.deleted_at != 0 || shown.status == "deleted")
        return;
    image["user_contact_view"][text(user) + "/" + text(friend_id)] = {
        {"id", text(f.id)},
        {"contact_nickname", shown.nickname},
        {"contact_avatar", shown.avatar},
        {"contact_info_ver", text(shown.info_ver)},
        {"remark_name", f.remark},
        {"group_name", f.group},
        {"tags", f.tags},
        {"is_starred", text(f.starred)},
        {"is_blocked", text(f.blocked)},
        {"mobile", shown.mobile},
        {"source", f.source},
        {"added_at", text(f.added_at)},
        {"deleted_at", text(f.deleted_at)},
        {"created_at", text(f.created_at)}};
}

} // namespace

Image derive(const State &s)
{
    Image image;
    for (auto table : {"user_conversation_view", "user_contact_view", "conversation_reverse_index",
                       "contact_reverse_index", "channel", "biz_user"})
        image[table];
    for (const auto &[key, member] : s.members)
        put_conversation(s, image, key, member);
    for (const auto &[key, friendship] : s.friendships)
        put_contact(s, image, key, friendship);
    for (const auto &[id, channel] : s.channels) {
        Id active = 0;
        for (const auto &[key, member] : s.members)
            active += key.first == id && member.left_at == 0;
        const auto [last_id, last] = last_message(s, id);
        image["channel"][text(id)] = {{"channel_info_ver", text(channel.info_ver)},
                                      {"channel_member_count", text(active)},
                                      {"last_message_id", text(last_id)},
                                      {"last_message_at", text(last ? last->sent_at : 0)}};
    }
    for (const auto &[id, user] : s.users)
        image["biz_user"][text(id)] = {{"info_ver", text(user.info_ver)}};
    return image;
}

bool has_third_member(const State &s)
{
    std::map<Id, int> rows;
    for (const auto &member : s.members) {
        auto channel = s.channels.find(member.first.first);
        if (channel != s.channels.end() && channel->second.type == "single" &&
            ++rows[channel->first] > 2)
            return true;
    }
    return false;
}

// Two live users may not have one mobile.
static bool has_mobile_twice(const State &s)
{
    std::set<std::string> seen;
    for (const auto &[id, user] : s.users)
        if (user.deleted_at == 0 && !user.mobile.empty() && !seen.insert(user.mobile).second)
            return true;
    return false;
}

Step random_step(State &state, client::Rng &rng)
{
    std::vector<Kind> kinds;
    for (const auto *part : {&people_kinds, &channel_kinds, &message_kinds})
        kinds.insert(kinds.end(), part->begin(), part->end());
    int64_t total = 0;
    for (const auto &kind : kinds)
        total += kind.weight;
    int64_t at = rng.below(total);
    auto chosen = kinds.begin();
    while ((at -= chosen->weight) >= 0)
        ++chosen;
    Step step = chosen->make(state, rng);
    if (step.error.empty() && has_mobile_twice(state))
        step.error = "23505";
    if (step.error.empty() && has_third_member(state))
        step.error = "23514";
    return step;
}

} // namespace model
