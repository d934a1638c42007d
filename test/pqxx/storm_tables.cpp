// What all operations share: texts, the first rows, and the list of the operations.
#include "storm_values.h"

namespace storm {

std::string Session::text()
{
    static const std::vector<std::string> texts = {"",
                                                   "ann",
                                                   "O'Brien",
                                                   "\\back\\slash",
                                                   "\xE6\x9D\x8E\xE5\x9B\x9B",
                                                   "100%",
                                                   "\"quoted\"",
                                                   "{a,b}",
                                                   "NULL",
                                                   "\xF0\x9F\x8C\xBB sunflower",
                                                   " spaced",
                                                   "Stra\xC3\x9F"
                                                   "e",
                                                   "tab\there",
                                                   "line\nbreak",
                                                   "\xC3\xA9t\xC3\xA9"};
    std::string s = rng.pick(texts);
    return rng.chance(50) ? s + std::to_string(rng.below(100)) : s;
}

void populate(Session &s)
{
    s.run("INSERT INTO biz_user (id, nickname, avatar) SELECT i, 'user ' || i, 'a' || i"
          " FROM generate_series(1, {}) i ON CONFLICT (id) DO NOTHING",
          s.space.users);
    s.run("INSERT INTO channel (id, channel_type, channel_name)"
          " SELECT i, CASE WHEN i <= {} THEN 'single' ELSE 'group' END::channel_type_enum,"
          " 'room ' || i FROM generate_series(1, {}) i ON CONFLICT (id) DO NOTHING",
          s.space.singles(), s.space.channels);
    for (bool second : {false, true}) {
        std::string rows;
        for (int64_t c = 1; c <= s.space.channels; c++)
            rows += (rows.empty() ? "(hermet.next_id(), " : ", (hermet.next_id(), ") +
                    std::to_string(c) + ", " + std::to_string(s.member(c, second)) + ")";
        s.exec("INSERT INTO channel_member (id, channel_id, user_id) VALUES " + rows +
               " ON CONFLICT (channel_id, user_id) DO NOTHING");
    }
}

const std::vector<Operation> table_operations = {
    {"truncate", 1, false,
     [](Session &s) {
         static const std::vector<std::string> tables = {"message",
                                                         "channel_read_record",
                                                         "conversation_setting",
                                                         "friendship",
                                                         "channel_member",
                                                         "biz_user",
                                                         "channel",
                                                         "message, channel_read_record"};
         if (s.rng.chance(80))
             return populate(s); // once in a while is enough
         s.exec("TRUNCATE " + s.rng.pick(tables));
     }},
    {"order inboxes", 2, false,
     [](Session &s) {
         s.run("SELECT hermet.order_inboxes(current_schema(), {})", s.rng.between(3, 12));
     }},
};

std::vector<Operation> all_operations()
{
    std::vector<Operation> all;
    for (const auto *part :
         {&people_operations, &channel_operations, &message_operations, &table_operations})
        all.insert(all.end(), part->begin(), part->end());
    return all;
}

} // namespace storm
