// hermet-replay: plays chat logs into an instance, one plain statement at a time.
//
// A log is a group channel, played by one connection, its lines in order; several logs play at
// once. How a log becomes rows:
//   - The channel's id comes from the file's name, a user's id from the nick in lower case, a
//     message's from its channel and line. Playing a log again removes its channel's rows first and
//     so ends in the same state; --batch N plays the same logs into other channels.
//   - A nick is a user, the same one in all logs, whichever of them names it first.
//   - Whoever speaks, acts, leaves or is renamed without being a member joins first. A join line of
//     a member starts the membership anew: the logs do not show every leave.
//   - A rename changes the nickname in that channel. From then on the new nick is the same user
//     there; the user's own nickname stays, as other logs know it.
//   - "nick: ..." and "nick, ..." at the start mention, when the channel has seen the nick.
//   - "* nick does" is of type action, what is nobody's is of type system with sender 0.
//   - Time is the file's day and the line's minute; the lines of a minute lie a millisecond apart.
//   - A sender marks read now and then: after the send, in a transaction of its own.
#include "chatlog.h"
#include "common.h"

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <unordered_set>

using namespace client;
using chatlog::Line;
using chatlog::Log;

namespace {

const char *const usage =
    "usage: hermet-replay [options] DIR|FILE...\n"
    "  --connections N    play so many logs at once (8)\n"
    "  --target NAME      the instance's schema (im); made when it is missing\n"
    "  --conninfo STRING  how to connect (the PG* variables)\n"
    "  --batch N          play into other channels than batch 0 does\n"
    "  --read-every N     a sender marks read after every Nth message (8; 0 is never)\n"
    "  --oracle           run the independent query too (slow on large instances)\n"
    "  --verbose          name every line that was skipped\n";

constexpr int max_tries = 100;

struct Counts {
    int64_t logs = 0, lines = 0, messages = 0, joins = 0, leaves = 0, renames = 0, mentions = 0;
    int64_t users = 0, read_marks = 0, replaced = 0, retries = 0, refused = 0;
    std::map<std::string, int64_t> skipped; // by kind
    std::vector<std::string> remarks;       // file:line and why
    std::vector<float> send_ms;

    void add(const Counts &o)
    {
        logs += o.logs, lines += o.lines, messages += o.messages, joins += o.joins;
        leaves += o.leaves, renames += o.renames, mentions += o.mentions, users += o.users;
        read_marks += o.read_marks, replaced += o.replaced, retries += o.retries;
        refused += o.refused;
        for (const auto &[kind, n] : o.skipped)
            skipped[kind] += n;
        remarks.insert(remarks.end(), o.remarks.begin(), o.remarks.end());
        send_ms.insert(send_ms.end(), o.send_ms.begin(), o.send_ms.end());
    }
};

// What all connections share.
struct Shared {
    std::vector<Log> logs;
    std::atomic<size_t> next_log{0};
    std::atomic<int64_t> lines_done{0}, messages_done{0};
    std::mutex mutex;
    std::unordered_set<int64_t> users; // those that some connection has written
    std::string conninfo, target, fatal;
    int64_t batch = 0, read_every = 8;
};

// A stable id of `bits` bits for a text or a pair of ids.
int64_t stable_id(const std::string &text, int bits)
{
    uint64_t h = 14695981039346656037ULL;
    for (unsigned char c : text)
        h = (h ^ c) * 1099511628211ULL;
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9ULL;
    h = (h ^ (h >> 27)) * 0x94D049BB133111EBULL;
    h ^= h >> 31;
    return static_cast<int64_t>(h >> (64 - bits)) | 1;
}

class Player {
  public:
    Player(Shared &shared) : shared_(shared), connection_(shared.conninfo)
    {
        const std::string s = connection_.quote_name(shared.target) + ".";
        const char *const tables[] = {"channel WHERE id", "channel_member WHERE channel_id",
                                      "channel_read_record WHERE channel_id",
                                      "message WHERE channel_id"};
        for (size_t i = 0; i < 4; i++)
            connection_.prepare("remove" + std::to_string(i),
                                "DELETE FROM " + s + tables[i] + " = $1");
        connection_.prepare("user", "INSERT INTO " + s +
                                        "biz_user (id, nickname) VALUES ($1, $2)"
                                        " ON CONFLICT (id) DO NOTHING");
        connection_.prepare("channel", "INSERT INTO " + s +
                                           "channel (id, channel_name, channel_type)"
                                           " VALUES ($1, $2, 'group')");
        connection_.prepare("join",
                            "INSERT INTO " + s +
                                "channel_member (id, channel_id, user_id, joined_at)"
                                " VALUES ($1, $2, $3, $4) ON CONFLICT (channel_id, user_id)"
                                " DO UPDATE SET left_at = 0, joined_at = EXCLUDED.joined_at");
        connection_.prepare("leave", "UPDATE " + s +
                                         "channel_member SET left_at = $3"
                                         " WHERE channel_id = $1 AND user_id = $2");
        connection_.prepare("rename", "UPDATE " + s +
                                          "channel_member SET nickname = $3"
                                          " WHERE channel_id = $1 AND user_id = $2");
        connection_.prepare("send",
                            "INSERT INTO " + s +
                                "message (id, channel_id, sender_id, message_type, content,"
                                " mention_user_ids, sent_at) VALUES ($1, $2, $3, $4, $5, $6, $7)");
        connection_.prepare("read",
                            "INSERT INTO " + s +
                                "channel_read_record (id, user_id, channel_id,"
                                " last_read_message_id) VALUES ($1, $2, $3, $4)"
                                " ON CONFLICT (user_id, channel_id) DO UPDATE"
                                " SET last_read_message_id = EXCLUDED.last_read_message_id");
    }

    void play(const Log &log)
    {
        begin(log);
        for (const Line &line : log.lines) {
            if (interrupted)
                return;
            tell_time(line);
            try {
                play(line);
            }
            catch (const std::exception &e) {
                SqlError error = describe(e);
                if (error.state.empty() || error.state == "08006")
                    throw;
                counts.refused++;
                remark(line, error.state + " " + error.message);
            }
            counts.lines++;
            shared_.lines_done++;
        }
        counts.logs++;
        counts.replaced += log.replaced;
    }

    Counts counts;

  private:
    void begin(const Log &log)
    {
        log_ = &log;
        channel_ = stable_id(std::to_string(shared_.batch) + "/" + log.name, 40);
        users_.clear();
        members_.clear();
        minute_ = 0, in_minute_ = 0, days_ = 0, sends_ = 0;
        for (int i = 0; i < 4; i++)
            run("remove" + std::to_string(i), channel_);
        run("channel", channel_, "#" + log.name);
    }

    // Times go forward only. A clock that falls by more than half a day has passed midnight.
    void tell_time(const Line &line)
    {
        in_minute_ = std::min(in_minute_ + 1, 59999);
        if (line.minute < 0 || line.minute == minute_)
            return;
        if (line.minute < minute_ - 720)
            days_++;
        else if (line.minute < minute_)
            return;
        minute_ = line.minute, in_minute_ = 0;
    }
    int64_t now() const { return log_->day_ms + days_ * 86400000 + minute_ * 60000LL + in_minute_; }

    void play(const Line &line)
    {
        switch (line.kind) {
            case Line::join:
                join(user(line.nick));
                break;
            case Line::leave:
                run("leave", channel_, member(line.nick), now());
                members_.erase(user(line.nick));
                counts.leaves++;
                break;
            case Line::rename: {
                int64_t who = member(line.nick);
                run("rename", channel_, who, line.text);
                users_[chatlog::lower(line.text)] = who;
                counts.renames++;
                break;
            }
            case Line::message:
                send(line, member(line.nick), "text");
                break;
            case Line::action:
                send(line, member(line.nick), "action");
                break;
            case Line::system:
                send(line, 0, "system");
                break;
            case Line::malformed:
                counts.skipped[line.text]++;
                remark(line, line.text);
        }
    }

    // The user whom this nick means in this log; written when no connection has done so yet.
    int64_t user(const std::string &nick)
    {
        const std::string folded = chatlog::lower(nick);
        auto known = users_.find(folded);
        if (known != users_.end())
            return known->second;
        int64_t id = stable_id(folded, 48);
        bool first;
        {
            std::lock_guard<std::mutex> lock(shared_.mutex);
            first = shared_.users.insert(id).second;
        }
        if (first) {
            run("user", id, nick);
            counts.users++;
        }
        users_[folded] = id;
        return id;
    }

    int64_t member(const std::string &nick)
    {
        int64_t id = user(nick);
        if (!members_.count(id))
            join(id);
        return id;
    }

    void join(int64_t who)
    {
        run("join", pair_id("m", who), channel_, who, now());
        members_.insert(who);
        counts.joins++;
    }

    void send(const Line &line, int64_t sender, const char *type)
    {
        std::string mentioned = sender ? mentions(line.text) : "";
        int64_t id = (channel_ << 20) + line.number;
        auto start = Clock::now();
        run("send", id, channel_, sender, type, line.text, "{" + mentioned + "}", now());
        counts.send_ms.push_back(static_cast<float>(seconds_since(start) * 1000));
        counts.messages++;
        shared_.messages_done++;
        sends_++;
        if (!sender || !shared_.read_every || sends_ % shared_.read_every)
            return;
        run("read", pair_id("r", sender), sender, channel_, id);
        counts.read_marks++;
    }

    // The nicks at the start of a text: "one, two: text".
    std::string mentions(const std::string &text)
    {
        std::string found;
        for (size_t at = 0, end; (end = text.find_first_of(" ,:", at)) != std::string::npos;) {
            if (text[end] == ' ')
                break;
            auto known = users_.find(chatlog::lower(text.substr(at, end - at)));
            if (known == users_.end())
                break;
            found += (found.empty() ? "" : ",") + std::to_string(known->second);
            counts.mentions++;
            at = text.find_first_not_of(' ', end + 1);
            if (at == std::string::npos)
                break;
        }
        return found;
    }

    int64_t pair_id(const char *kind, int64_t who) const
    {
        return stable_id(kind + std::to_string(channel_) + "/" + std::to_string(who), 62);
    }

    // One statement is one transaction. Deadlocks and serialization errors are tried again.
    template <typename... Args> void run(const std::string &statement, const Args &...args)
    {
        for (int tries = 1;; tries++) {
            try {
                pqxx::nontransaction t(connection_);
                t.exec_prepared0(statement, args...);
                return;
            }
            catch (const std::exception &e) {
                if (!is_retryable(describe(e)) || tries == max_tries)
                    throw;
                counts.retries++;
            }
        }
    }

    void remark(const Line &line, const std::string &why)
    {
        counts.remarks.push_back(log_->path + ":" + std::to_string(line.number) + ": " + why);
    }

    Shared &shared_;
    pqxx::connection connection_;
    const Log *log_ = nullptr;
    int64_t channel_ = 0, days_ = 0, sends_ = 0;
    int minute_ = 0, in_minute_ = 0;
    std::unordered_map<std::string, int64_t> users_; // by nick in lower case, in this log
    std::unordered_set<int64_t> members_;
};

void work(Shared &shared, Counts &total)
{
    try {
        Player player(shared);
        for (size_t i; !interrupted && (i = shared.next_log++) < shared.logs.size();)
            player.play(shared.logs[i]);
        std::lock_guard<std::mutex> lock(shared.mutex);
        total.add(player.counts);
    }
    catch (const std::exception &e) {
        std::lock_guard<std::mutex> lock(shared.mutex);
        shared.fatal = e.what();
        interrupted = true; // the other connections stop too
    }
}

std::string clock_text(double seconds)
{
    auto s = static_cast<int64_t>(seconds + 0.5);
    return std::to_string(s / 60) + ":" + (s % 60 < 10 ? "0" : "") + std::to_string(s % 60);
}

void show_progress(const Shared &shared, int64_t lines, Clock::time_point start, bool tty)
{
    double elapsed = seconds_since(start), done = static_cast<double>(shared.lines_done);
    double share = lines ? done / static_cast<double>(lines) : 1;
    double rate = static_cast<double>(shared.messages_done) / std::max(elapsed, 0.001);
    std::string left = done > 0 ? clock_text(elapsed / share - elapsed) : "?";
    std::ostringstream text;
    if (tty) {
        auto filled = static_cast<size_t>(share * 30);
        text << "\r[" << std::string(filled, '#') << std::string(30 - filled, '.') << "] ";
    }
    text << std::setw(3) << static_cast<int>(share * 100) << "%  " << shared.lines_done << " of "
         << lines << " lines, " << fixed(rate, 0) << " messages/s, " << left << " left";
    std::cerr << text.str() << (tty ? "\033[K" : "\n") << std::flush;
}

void report(Counts &c, double elapsed)
{
    std::sort(c.send_ms.begin(), c.send_ms.end());
    auto percentile = [&](double p) {
        size_t n = c.send_ms.size();
        return n ? fixed(c.send_ms[std::min(n - 1, static_cast<size_t>(p * n))], 2) : "0";
    };
    int64_t skipped = 0;
    for (const auto &kind : c.skipped)
        skipped += kind.second;
    auto n = [](int64_t v) { return std::to_string(v); };
    std::vector<std::vector<std::string>> rows = {{"what", "value"},
                                                  {"logs", n(c.logs)},
                                                  {"lines", n(c.lines)},
                                                  {"users", n(c.users)},
                                                  {"messages", n(c.messages)},
                                                  {"joins", n(c.joins)},
                                                  {"leaves", n(c.leaves)},
                                                  {"renames", n(c.renames)},
                                                  {"mentions", n(c.mentions)},
                                                  {"read marks", n(c.read_marks)},
                                                  {"replaced bytes", n(c.replaced)},
                                                  {"skipped lines", n(skipped)}};
    for (const auto &[kind, count] : c.skipped)
        rows.push_back({"- " + kind, n(count)});
    rows.push_back({"refused lines", n(c.refused)});
    rows.push_back({"retries", n(c.retries)});
    rows.push_back({"seconds", fixed(elapsed, 1)});
    rows.push_back({"messages a second", fixed(c.messages / std::max(elapsed, 0.001), 0)});
    rows.push_back({"p50 of a send, ms", percentile(0.50)});
    rows.push_back({"p99 of a send, ms", percentile(0.99)});
    std::cout << "\n";
    print_table(std::cout, rows);
}

// Whether what is stored now equals the rules.
bool check(pqxx::connection &c, const Shared &shared, bool with_oracle)
{
    auto start = Clock::now();
    size_t problems = check_with_hermet(c, shared.target);
    std::cout << "\ncheck_consistency: " << problems << " problems ("
              << fixed(seconds_since(start), 1) << " s)\n\n";
    {
        CheckTransaction t(c);
        print_table(std::cout, with_heading(t.exec("SELECT * FROM hermet.consistency_summary(" +
                                                   t.quote(shared.target) + ")")));
    }
    if (with_oracle) {
        size_t differences = check_with_oracle(c, shared.target);
        std::cout << "\nindependent query: " << differences << " differences\n";
        problems += differences;
    }
    return problems == 0;
}

void load(Shared &shared, const Options &options)
{
    namespace fs = std::filesystem;
    std::vector<std::string> paths;
    for (const auto &given : options.rest()) {
        if (!fs::is_directory(given)) {
            paths.push_back(given);
            continue;
        }
        for (const auto &entry : fs::directory_iterator(given))
            if (entry.path().extension() == ".log")
                paths.push_back(entry.path());
    }
    if (paths.empty())
        options.fail("no log to play");
    std::sort(paths.begin(), paths.end());
    for (const auto &path : paths)
        shared.logs.push_back(chatlog::read(path));
}

int replay(const Options &options)
{
    Shared shared;
    shared.conninfo = options.text("conninfo", "");
    shared.target = options.text("target", "im");
    shared.batch = options.number("batch", 0);
    shared.read_every = options.number("read-every", 8);
    load(shared, options);
    int64_t lines = 0;
    for (const auto &log : shared.logs)
        lines += static_cast<int64_t>(log.lines.size());

    pqxx::connection control(shared.conninfo);
    ensure_instance(control, shared.target);

    Counts total;
    std::vector<std::thread> players;
    std::atomic<size_t> running{0};
    std::condition_variable ended;
    auto start = Clock::now();
    auto wanted = static_cast<size_t>(options.number("connections", 8));
    for (size_t i = 0; i < std::max<size_t>(1, std::min(wanted, shared.logs.size())); i++) {
        running++;
        players.emplace_back([&] {
            work(shared, total);
            std::lock_guard<std::mutex> lock(shared.mutex);
            running--;
            ended.notify_all();
        });
    }
    const bool tty = isatty(STDERR_FILENO);
    const auto pause = std::chrono::milliseconds(tty ? 200 : 5000);
    for (std::unique_lock<std::mutex> lock(shared.mutex);
         !ended.wait_for(lock, pause, [&] { return running == 0; });)
        show_progress(shared, lines, start, tty);
    for (auto &player : players)
        player.join();
    double elapsed = seconds_since(start);
    show_progress(shared, lines, start, tty);
    if (!shared.fatal.empty()) {
        std::cerr << "\nstopped: " << shared.fatal << "\n";
        return 1;
    }
    report(total, elapsed);
    size_t shown = options.has("verbose") ? total.remarks.size() : 0;
    if (total.refused)
        shown = std::max<size_t>(shown, 20);
    for (size_t i = 0; i < std::min(shown, total.remarks.size()); i++)
        std::cout << total.remarks[i] << "\n";
    bool clean = check(control, shared, options.has("oracle"));
    if (interrupted) {
        std::cout << "\ninterrupted: the next run plays the unfinished logs again\n";
        return 130;
    }
    return clean && total.refused == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char **argv)
{
    Options options(argc, argv, usage);
    catch_interrupts();
    try {
        return replay(options);
    }
    catch (const std::exception &e) {
        std::cerr << e.what() << "\n";
        return 1;
    }
}
