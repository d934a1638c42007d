// What many chat back ends do: the application copies a message into the members' inbox rows
// itself, member by member. The peer of `make bench`; prints the mean time of a message in ms.
//
//   hermet-app FIRST COUNT MEMBERS SECONDS     into channels FIRST .. FIRST + COUNT - 1
#include <pqxx/pqxx>

#include <chrono>
#include <iostream>
#include <string>

int main(int argc, char **argv)
try {
    if (argc != 5) {
        std::cerr << "usage: hermet-app FIRST COUNT MEMBERS SECONDS\n";
        return 2;
    }
    const long first = std::stol(argv[1]), count = std::stol(argv[2]), members = std::stol(argv[3]);
    const double seconds = std::stod(argv[4]);

    pqxx::connection connection;
    connection.prepare("next", "SELECT nextval('bench.message_id'), hermet.now_ms(), "
                               "bench.member($1::bigint, $2::int, $3::int) "
                               "FROM im.channel WHERE id = $1::bigint FOR NO KEY UPDATE");
    connection.prepare(
        "name",
        "SELECT coalesce(nullif(cm.nickname, ''), u.nickname) FROM im.channel_member cm "
        "JOIN im.biz_user u ON u.id = cm.user_id WHERE cm.channel_id = $1 AND cm.user_id = $2");
    connection.prepare("members", "SELECT user_id FROM im.channel_member WHERE channel_id = $1 AND "
                                  "left_at = 0 ORDER BY user_id");
    connection.prepare("send", "INSERT INTO im.message (id, channel_id, sender_id, content, "
                               "sent_at) VALUES ($1, $2, $3, $4, $5)");
    connection.prepare(
        "channel",
        "UPDATE im.channel SET last_message_id = $2, last_message_at = $3 WHERE id = $1");
    connection.prepare(
        "row",
        "UPDATE im.user_conversation_view SET last_message_id = $3, last_message_type = 'text', "
        "last_message_content = $4, last_message_sender_id = $5, last_message_sender_name = $6, "
        "last_message_time = $7, "
        "list_hour = CASE WHEN list_hour <> 0 THEN $7::bigint / 3600000 + 1 ELSE 0 END, "
        "unread_count = unread_count + ($2 <> $5)::int, closed_at = 0, "
        "updated_at = $7 WHERE channel_id = $1 AND user_id = $2");

    using Clock = std::chrono::steady_clock;
    const std::string content = "forty characters are sent in this message";
    const Clock::time_point begin = Clock::now();
    const auto elapsed = [&] {
        return std::chrono::duration<double>(Clock::now() - begin).count();
    };
    long sent = 0;
    do {
        const long channel = first + sent * 7919 % count;
        pqxx::work work(connection);
        const pqxx::row next = work.exec_prepared1("next", channel, sent % members, members);
        const long id = next[0].as<long>(), at = next[1].as<long>(), sender = next[2].as<long>();
        const std::string name = work.exec_prepared1("name", channel, sender)[0].as<std::string>();
        work.exec_prepared0("send", id, channel, sender, content, at);
        work.exec_prepared0("channel", channel, id, at);
        for (const auto &row : work.exec_prepared("members", channel))
            work.exec_prepared0("row", channel, row[0].as<long>(), id, content, sender, name, at);
        work.commit();
        sent++;
    } while (elapsed() < seconds);
    std::cout << elapsed() * 1000 / static_cast<double>(sent) << "\n";
    return 0;
}
catch (const std::exception &error) {
    std::cerr << "hermet-app: " << error.what() << "\n";
    return 1;
}
