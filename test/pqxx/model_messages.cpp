// Messages, read marks and settings of the model, and statements that write several tables.
#include "model_values.h"

namespace model {

namespace {

// ---- messages

const char *const message_columns =
    "INSERT INTO message (id, channel_id, sender_id, message_type,"
    " content, mention_user_ids, mention_all, sent_at, deleted_at) VALUES ";

Message any_message(Rng &r, Id channel)
{
    Message m;
    m.channel = channel, m.sender = any_user(r), m.sent_at = any_time(r);
    m.deleted_at = r.chance(90) ? 0 : any_time(r);
    m.type = any_message_type(r), m.content = any_content(r), m.mentions = any_mentions(r);
    m.mention_all = r.chance(10);
    return m;
}
Id any_message_id(const State &s, Rng &r)
{
    Id next = s.messages.empty() ? 1 : s.messages.rbegin()->first + 1;
    Id id = r.chance(60) && next < message_ids ? next : r.between(1, message_ids);
    // In a sharded instance an id is unique in its channel only, which the state knows nothing of.
    while (s.spread && s.messages.count(id))
        id = r.between(1, 4 * message_ids);
    return id;
}
Raw row_of(Id id, const Message &m)
{
    return raw("({}, {}, {}, {}, {}, {}, {}, {}, {})", id, m.channel, m.sender, m.type, m.content,
               sql(m.mentions), sql(m.mention_all), m.sent_at, m.deleted_at);
}

Step send_message(State &s, Rng &r)
{
    Id id = any_message_id(s, r);
    Message m = any_message(r, any_channel(r));
    Step step{message_columns + row_of(id, m).sql, "", {}};
    insert(step, s.messages, id, m);
    return step;
}

Step send_messages(State &s, Rng &r)
{
    Step step{message_columns, "", {}};
    for (Id n = r.between(1, 5); n > 0; n--) {
        Id id = any_message_id(s, r);
        Message m = any_message(r, any_channel(r));
        step.sql += row_of(id, m).sql + (n > 1 ? ", " : " ON CONFLICT DO NOTHING");
        s.messages.insert({id, m});
    }
    return step;
}

Step update_message(State &s, Rng &r)
{
    Id id = some_message(s, r);
    const Message m = any_message(r, any_channel(r));
    const Id at = time_or_zero(r);
    std::string set;
    std::function<void(Message &)> change;
    switch (r.below(9)) {
        case 0:
            set = fill("content = {}", m.content),
            change = [=](Message &o) { o.content = m.content; };
            break;
        case 1:
            set = fill("mention_user_ids = {}, mention_all = {}", sql(m.mentions),
                       sql(m.mention_all));
            change = [=](Message &o) { o.mentions = m.mentions, o.mention_all = m.mention_all; };
            break;
        case 2:
            set = fill("message_type = {}", m.type), change = [=](Message &o) { o.type = m.type; };
            break;
        case 3:
            set = fill("sender_id = {}", m.sender),
            change = [=](Message &o) { o.sender = m.sender; };
            break;
        case 4:
            set = fill("sent_at = {}", m.sent_at),
            change = [=](Message &o) { o.sent_at = m.sent_at; };
            break;
        case 5:
            set = fill("channel_id = {}", m.channel),
            change = [=](Message &o) { o.channel = m.channel; };
            break;
        default:
            set = fill("deleted_at = {}", at), change = [=](Message &o) { o.deleted_at = at; };
    }
    Step step{"UPDATE message SET " + set, "", {}};
    if (r.chance(12)) {
        step.sql += fill(" WHERE sender_id = {}", m.sender);
        update(
            step, s.messages, [&](Id, const Message &o) { return o.sender == m.sender; }, change);
    }
    else {
        step.sql += fill(" WHERE id = {}", id);
        update_one(step, s.messages, id, change);
    }
    return step;
}

Step delete_messages(State &s, Rng &r)
{
    Id id = some_message(s, r), channel = any_channel(r);
    if (r.chance(75)) {
        s.messages.erase(id);
        return {fill("DELETE FROM message WHERE id = {}", id), "", {}};
    }
    erase(s.messages, [&](Id k, const Message &m) { return m.channel == channel && k > id; });
    return {fill("DELETE FROM message WHERE channel_id = {} AND id > {}", channel, id), "", {}};
}

Step move_message(State &s, Rng &r)
{
    Id from = some_message(s, r), to = any_message_id(s, r);
    Step step{fill("UPDATE message SET id = {} WHERE id = {}", to, from), "", {}};
    change_key(step, s.messages, from, to);
    return step;
}

Step merge_messages(State &s, Rng &r)
{
    Id channel = any_channel(r), id = r.between(1, message_ids), sender = any_user(r);
    Step step{fill("MERGE INTO message m USING generate_series({}, {}) v (id) ON m.id = v.id"
                   " WHEN MATCHED AND m.deleted_at <> 0 THEN DELETE"
                   " WHEN MATCHED THEN UPDATE SET deleted_at = 77, channel_id = {}"
                   " WHEN NOT MATCHED THEN INSERT (id, channel_id, sender_id, content, sent_at)"
                   " VALUES (v.id, {}, {}, 'merged', 400)",
                   id, id + 2, channel, channel, sender),
              "",
              {}};
    for (Id i = id; i <= id + 2; i++) {
        auto it = s.messages.find(i);
        if (it == s.messages.end()) {
            Message m;
            m.channel = channel, m.sender = sender, m.content = "merged", m.sent_at = 400;
            s.messages[i] = m;
        }
        else if (it->second.deleted_at != 0) {
            s.messages.erase(it);
        }
        else {
            it->second.deleted_at = 77, it->second.channel = channel;
        }
    }
    return step;
}

// ---- read marks and settings

const char *const mark_read = " ON CONFLICT (user_id, channel_id)"
                              " DO UPDATE SET last_read_message_id = EXCLUDED.last_read_message_id";

Step upsert_read(State &s, Rng &r)
{
    Pair key = some_pair(r);
    Id mark = r.chance(70) ? some_message(s, r) : r.between(0, message_ids + 50);
    s.reads[key] = mark;
    return {fill("INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)"
                 " VALUES ({}, {}, {}, {})",
                 new_id(r), key.first, key.second, mark) +
                mark_read,
            "",
            {}};
}

Step change_reads(State &s, Rng &r)
{
    Pair key = some(s.reads, r, {1, 1}), to = some_pair(r);
    Step step;
    Id more = r.between(-20, 20);
    switch (r.below(3)) {
        case 0:
            s.reads.erase(key);
            return {fill("DELETE FROM channel_read_record WHERE user_id = {} AND channel_id = {}",
                         key.first, key.second),
                    "",
                    {}};
        case 1:
            step.sql = fill("UPDATE channel_read_record SET user_id = {}, channel_id = {}"
                            " WHERE user_id = {} AND channel_id = {}",
                            to.first, to.second, key.first, key.second);
            change_key(step, s.reads, key, to);
            return step;
        default:
            step.sql = fill(
                "UPDATE channel_read_record SET last_read_message_id = last_read_message_id + {}"
                " WHERE user_id = {}",
                more, key.first);
            update(
                step, s.reads, [&](const Pair &k, Id) { return k.first == key.first; },
                [=](Id &mark) { mark += more; });
            return step;
    }
}

Raw any_setting(Rng &r, std::function<void(Setting &)> &change)
{
    const bool on = r.chance(60);
    const Id at = time_or_zero(r);
    switch (r.below(6)) {
        case 0:
            change = [=](Setting &o) { o.muted = on; };
            return raw("is_muted = {}", sql(on));
        case 1:
            change = [=](Setting &o) { o.pinned = on; };
            return raw("is_pinned = {}", sql(on));
        case 2:
            change = [=](Setting &o) { o.hidden = on; };
            return raw("is_hidden = {}", sql(on));
        case 3:
            change = [=](Setting &o) { o.marked_unread = on; };
            return raw("marked_unread = {}", sql(on));
        default:
            change = [=](Setting &o) { o.closed_at = at; };
            return raw("closed_at = {}", at);
    }
}

Step upsert_setting(State &s, Rng &r)
{
    Pair key = some_pair(r);
    Id closed = time_or_zero(r);
    bool pinned = r.chance(50);
    std::function<void(Setting &)> change;
    Raw set = any_setting(r, change);
    if (s.settings.count(key))
        change(s.settings[key]);
    else
        s.settings[key].closed_at = closed, s.settings[key].pinned = pinned;
    return {fill("INSERT INTO conversation_setting (user_id, channel_id, closed_at, is_pinned)"
                 " VALUES ({}, {}, {}, {}) ON CONFLICT (user_id, channel_id) DO UPDATE SET {}",
                 key.first, key.second, closed, sql(pinned), set),
            "",
            {}};
}

Step change_settings(State &s, Rng &r)
{
    Pair key = some(s.settings, r, {1, 1}), to = some_pair(r);
    std::function<void(Setting &)> change;
    Raw set = any_setting(r, change);
    Step step;
    switch (r.below(4)) {
        case 0:
            s.settings.erase(key);
            return {fill("DELETE FROM conversation_setting WHERE user_id = {} AND channel_id = {}",
                         key.first, key.second),
                    "",
                    {}};
        case 1:
            step.sql = fill("UPDATE conversation_setting SET user_id = {}, channel_id = {}"
                            " WHERE user_id = {} AND channel_id = {}",
                            to.first, to.second, key.first, key.second);
            change_key(step, s.settings, key, to);
            return step;
        default:
            step.sql =
                fill("UPDATE conversation_setting SET {} WHERE channel_id = {}", set, key.second);
            update(
                step, s.settings,
                [&](const Pair &k, const Setting &) { return k.second == key.second; }, change);
            return step;
    }
}

// ---- several tables in one statement

Step begin_chat(State &s, Rng &r)
{
    Id c = any_channel(r), a = any_user(r), b = a % users + 1, id = any_message_id(s, r);
    Id member = new_id(r), at = any_time(r);
    Message m = any_message(r, c);
    Step step{
        fill("WITH c AS (INSERT INTO channel (id, channel_type) VALUES ({}, {}) ON CONFLICT (id)"
             " DO UPDATE SET channel_status = 'active'),"
             " m AS (INSERT INTO channel_member (id, channel_id, user_id, joined_at, created_at)"
             " VALUES ({}, {}, {}, {}, {}), ({}, {}, {}, {}, {})"
             " ON CONFLICT (channel_id, user_id) DO NOTHING) {}{} ON CONFLICT DO NOTHING",
             c, natural_type(c), member, c, a, at, at, member + 1, c, b, at, at,
             Raw{message_columns}, row_of(id, m)),
        "",
        {}};
    if (s.channels.count(c))
        s.channels[c].status = "active";
    else
        s.channels[c].type = natural_type(c);
    s.members.insert({{c, a}, {member, at, 0, at, ""}});
    s.members.insert({{c, b}, {member + 1, at, 0, at, ""}});
    s.messages.insert({id, m});
    return step;
}

Step send_and_read(State &s, Rng &r)
{
    Id id = any_message_id(s, r);
    Message m = any_message(r, any_channel(r));
    Step step{
        fill("WITH sent AS ({}{} RETURNING *) INSERT INTO channel_read_record (id, user_id,"
             " channel_id, last_read_message_id) SELECT {}, sender_id, channel_id, id FROM sent{}",
             Raw{message_columns}, row_of(id, m), new_id(r), Raw{mark_read}),
        "",
        {}};
    insert(step, s.messages, id, m);
    s.reads[{m.sender, m.channel}] = id;
    return step;
}

Step truncate(State &s, Rng &r)
{
    switch (r.below(8)) {
        case 0:
            s.users.clear();
            return {"TRUNCATE biz_user", "", {}};
        case 1:
            s.channels.clear();
            return {"TRUNCATE channel", "", {}};
        case 2:
            s.members.clear();
            return {"TRUNCATE channel_member", "", {}};
        case 3:
            s.messages.clear();
            return {"TRUNCATE message", "", {}};
        case 4:
            s.reads.clear();
            return {"TRUNCATE channel_read_record", "", {}};
        case 5:
            s.friendships.clear();
            return {"TRUNCATE friendship", "", {}};
        case 6:
            s.settings.clear();
            return {"TRUNCATE conversation_setting", "", {}};
        default:
            s.messages.clear(), s.reads.clear();
            return {"TRUNCATE message, channel_read_record", "", {}};
    }
}

} // namespace

const std::vector<Kind> message_kinds = {
    {120, send_message},  {30, send_messages},   {120, update_message}, {30, delete_messages},
    {20, move_message},   {15, merge_messages},  {70, upsert_read},     {40, change_reads},
    {50, upsert_setting}, {40, change_settings}, {30, begin_chat},      {20, send_and_read},
    {3, truncate},
};

} // namespace model
