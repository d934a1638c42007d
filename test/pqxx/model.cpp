// hermet-model: one connection does random statements against an instance and against a model of it
// in memory, and both must agree: in what is stored, in which statements fail, in what the lists
// give, by the read side and by the join, and inside transactions, savepoints and their rollback as
// well.
#include "model.h"

#include <deque>

using namespace client;
using namespace model;

namespace {

const char *const usage =
    "usage: hermet-model [options]\n"
    "  --steps N          random statements (3000)\n"
    "  --every N          compare after every N of them (1)\n"
    "  --seed N           (random, printed)\n"
    "  --last N           statements shown at a difference (30)\n"
    "  --target NAME      the instance's schema (im); made when it is missing\n"
    "  --statements       the instance is new, and all is done by statements, nothing directly\n"
    "  --conninfo STRING  how to connect (the PG* variables)\n"
    "All rows of the write-side tables are removed first.\n";

struct Stored {
    const char *table, *key, *columns;
};
const std::vector<Stored> stored = {
    {"user_conversation_view", "concat_ws('/', user_id, channel_id)",
     "id, conversation_type, conversation_name, conversation_avatar, conversation_info_ver,"
     " peer_user_id, peer_nickname, peer_avatar, peer_status, remark_name, is_muted, is_pinned,"
     " is_hidden, is_starred, marked_unread, last_message_id, last_message_type, "
     "last_message_content,"
     " last_message_sender_id, last_message_sender_name, last_message_time, last_read_message_id,"
     " unread_count, mention_count, opened_at, closed_at, created_at"},
    {"user_contact_view", "concat_ws('/', user_id, contact_id)",
     "id, contact_nickname, contact_avatar, contact_info_ver, remark_name, group_name, tags, "
     "is_starred,"
     " is_blocked, mobile, source, added_at, deleted_at, created_at"},
    {"conversation_reverse_index", "concat_ws('/', peer_user_id, owner_user_id, channel_id)",
     "created_at"},
    {"contact_reverse_index", "concat_ws('/', contact_user_id, owner_user_id)", "created_at"},
    {"channel", "id", "channel_info_ver, channel_member_count, last_message_id, last_message_at"},
    {"biz_user", "id", "info_ver"},
};

class Run {
  public:
    Run(const Options &options, uint64_t seed)
        : rng_(seed), connection_(options.text("conninfo", "")),
          remembered_(static_cast<size_t>(options.number("last", 30)))
    {
        const std::string target = options.text("target", "im");
        ensure_instance(connection_, target);
        if (options.has("statements"))
            forbid_direct_way(connection_, target);
        state_.spread = is_spread(connection_, target);
        exec("SET search_path = " + connection_.quote_name(target));
        exec("SET client_min_messages = error");
        exec("TRUNCATE biz_user, channel, channel_member, message, channel_read_record, friendship,"
             " conversation_setting");
        // Half of the users are served by the join, and everybody's lists are computed both ways.
        target_ = target;
        exec("SELECT hermet.set_rollout(50, true, " + connection_.quote(target_) + ")");
        exec("DELETE FROM hermet_mismatch");
    }

    // Returns whether model and instance agree.
    bool go(int64_t steps, int64_t every)
    {
        for (int64_t i = 1; i <= steps && !interrupted; i++) {
            bracket();
            if (!statement())
                return false;
            if (i % every == 0 && !(compare() && compare_lists()))
                return false;
            done_ = i;
        }
        while (!saved_.empty())
            end_bracket();
        return compare() && compare_lists();
    }

    void show_last() const
    {
        std::cout << "the last statements:\n";
        for (const auto &sql : last_)
            std::cout << sql << ";\n";
    }
    int64_t done() const { return done_; }
    const std::map<std::string, int64_t> &errors() const { return errors_; }

  private:
    pqxx::result exec(const std::string &sql)
    {
        last_.push_back(sql.size() > 2000 ? sql.substr(0, 2000) + "..." : sql);
        if (last_.size() > remembered_)
            last_.pop_front();
        pqxx::nontransaction t(connection_);
        return t.exec(sql);
    }

    // Opens or closes a transaction or a savepoint now and then.
    void bracket()
    {
        if (saved_.size() < 4 && rng_.chance(saved_.empty() ? 8 : 12)) {
            exec(saved_.empty() ? "BEGIN" : "SAVEPOINT s" + std::to_string(saved_.size()));
            saved_.push_back(state_);
        }
        else if (!saved_.empty() && rng_.chance(20)) {
            end_bracket();
        }
    }
    void end_bracket()
    {
        const std::string name = "s" + std::to_string(saved_.size() - 1);
        const bool keep = rng_.chance(60);
        if (saved_.size() == 1) {
            exec(keep ? "COMMIT" : "ROLLBACK");
        }
        else {
            if (!keep)
                exec("ROLLBACK TO SAVEPOINT " + name);
            exec("RELEASE SAVEPOINT " + name);
        }
        if (!keep)
            state_ = saved_.back();
        saved_.pop_back();
    }

    bool statement()
    {
        State before = state_;
        Step step = random_step(state_, rng_);
        const bool guarded = !saved_.empty();
        if (guarded)
            exec("SAVEPOINT guard");
        const int64_t clock = now();
        SqlError error;
        try {
            exec(step.sql);
        }
        catch (const std::exception &e) {
            error = describe(e);
            errors_[error.state]++;
        }
        if (error.state != step.error) {
            std::cout << "the model expects " << (step.error.empty() ? "no error" : step.error)
                      << ", the statement gave "
                      << (error.state.empty() ? "none" : error.state + " " + error.message) << "\n";
            return false;
        }
        if (!error.state.empty()) {
            state_ = before;
            if (guarded)
                exec("ROLLBACK TO SAVEPOINT guard");
        }
        if (guarded)
            exec("RELEASE SAVEPOINT guard");
        return !error.state.empty() || read_back(step, clock);
    }

    int64_t now()
    {
        pqxx::nontransaction t(connection_);
        return t.exec1("SELECT hermet.now_ms()")[0].as<int64_t>();
    }

    // Who came back joined at the clock's time.
    bool read_back(const Step &step, int64_t clock)
    {
        for (const auto &key : step.returned) {
            pqxx::nontransaction t(connection_);
            auto joined_at =
                t.exec1(fill("SELECT joined_at FROM channel_member WHERE channel_id = {}"
                             " AND user_id = {}",
                             key.first, key.second))[0]
                    .as<int64_t>();
            state_.members.at(key).joined_at = joined_at;
            if (joined_at >= clock && joined_at <= clock + 600000)
                continue;
            std::cout << "user " << key.second << " came back to channel " << key.first << " at "
                      << clock << ", joined_at is " << joined_at << "\n";
            return false;
        }
        return true;
    }

    Image read_stored()
    {
        Image image;
        pqxx::nontransaction t(connection_);
        for (const auto &s : stored) {
            auto &rows = image[s.table];
            pqxx::result result = t.exec(std::string("SELECT ") + s.key + " AS key, " + s.columns +
                                         " FROM " + s.table);
            for (const auto &from : result) {
                Row row;
                for (pqxx::row::size_type c = 1; c < from.size(); c++)
                    row[from[c].name()] = from[c].is_null() ? "(null)" : from[c].c_str();
                rows[from[0].c_str()] = row;
            }
        }
        return image;
    }

    bool compare()
    {
        const Image expected = derive(state_), actual = read_stored();
        if (expected == actual)
            return true;
        std::vector<std::vector<std::string>> rows = {
            {"table", "key", "column", "expected", "stored"}};
        for (const auto &[table, wanted] : expected) {
            const auto &found = actual.at(table);
            for (const auto &[key, row] : wanted) {
                auto other = found.find(key);
                if (other == found.end()) {
                    rows.push_back({table, key, "", "a row", "none"});
                    continue;
                }
                for (const auto &[column, value] : row)
                    if (other->second.at(column) != value)
                        rows.push_back({table, key, column, value, other->second.at(column)});
            }
            for (const auto &row : found)
                if (!wanted.count(row.first))
                    rows.push_back({table, row.first, "", "none", "a row"});
        }
        print_table(std::cout, rows);
        return false;
    }

    using Order = std::vector<std::string>;

    // The keys of a user's rows that are shown, in the order of the list.
    template <class Place>
    static Order in_order(const std::map<std::string, Row> &rows, const std::string &user,
                          const Place &place)
    {
        std::map<decltype(place("", Row())), std::string> places;
        for (const auto &[key, row] : rows) {
            const auto slash = key.find('/');
            const auto other = key.substr(slash + 1);
            const bool closed = row.count("is_hidden") &&
                                (row.at("closed_at") != "0" || row.at("is_hidden") == "t");
            if (key.substr(0, slash) == user && !closed)
                places[place(other, row)] = other;
        }
        Order order;
        for (const auto &item : places)
            order.push_back(item.second);
        return order;
    }

    // All pages of a list, of a random size.
    Order read_pages(const std::string &function, const std::string &key, const std::string &user)
    {
        const auto size = std::to_string(rng_.between(1, 5));
        const std::string begin =
            "SELECT " + key + ", cursor FROM hermet." + function + "(" + user + ", " + size + ", ";
        const std::string end = ", target => " + connection_.quote(target_) + ")";
        std::string after = "NULL";
        Order order;
        for (;;) {
            std::string sql = begin;
            sql += after;
            sql += end;
            const auto rows = exec(sql);
            if (rows.empty())
                return order;
            for (const auto &row : rows)
                order.push_back(row[0].c_str());
            after = connection_.quote(rows[rows.size() - 1][1].as<std::string>());
        }
    }

    bool same_order(const std::string &what, const std::string &user, const Order &expected,
                    const Order &actual)
    {
        if (expected == actual)
            return true;
        std::cout << what << " of user " << user << ", expected:";
        for (const auto &item : expected)
            std::cout << " " << item;
        std::cout << ", given:";
        for (const auto &item : actual)
            std::cout << " " << item;
        std::cout << "\n";
        return false;
    }

    // A user's lists, and the totals; what both ways give differently is noted by shadow.
    bool compare_lists()
    {
        if (state_.members.empty())
            return true;
        auto member = state_.members.begin();
        std::advance(member, rng_.below(static_cast<int64_t>(state_.members.size())));
        const auto user = std::to_string(member->first.second);
        const Image image = derive(state_);

        const auto conversations = in_order(
            image.at("user_conversation_view"), user, [](const std::string &id, const Row &row) {
                return std::make_tuple(row.at("is_pinned") != "t",
                                       -std::max(std::stoll(row.at("last_message_time")),
                                                 std::stoll(row.at("opened_at"))),
                                       -std::stoll(id));
            });
        const auto contacts =
            in_order(image.at("user_contact_view"), user, [](const std::string &, const Row &row) {
                const auto &remark = row.at("remark_name");
                return std::make_tuple(row.at("is_starred") != "t",
                                       remark.empty() ? row.at("contact_nickname") : remark,
                                       std::stoll(row.at("id")));
            });
        if (!same_order("conversation_list", user, conversations,
                        read_pages("conversation_list", "channel_id", user)) ||
            !same_order("contact_list", user, contacts,
                        read_pages("contact_list", "contact_id", user)))
            return false;
        exec("SELECT hermet.unread_totals(" + user + ", " + connection_.quote(target_) + ")");
        const auto mismatches = exec("SELECT row_to_json(m) FROM hermet_mismatch m");
        for (const auto &row : mismatches)
            std::cout << "read side and join differ: " << row[0].c_str() << "\n";
        return mismatches.empty();
    }

    Rng rng_;
    pqxx::connection connection_;
    std::string target_;
    size_t remembered_;
    State state_;
    std::vector<State> saved_; // at BEGIN and at every savepoint that is open
    std::deque<std::string> last_;
    std::map<std::string, int64_t> errors_;
    int64_t done_ = 0;
};

} // namespace

int main(int argc, char **argv)
{
    Options options(argc, argv, usage);
    catch_interrupts();
    const auto seed =
        static_cast<uint64_t>(options.number("seed", static_cast<int64_t>(any_seed())));
    const auto steps = options.number("steps", 3000),
               every = std::max<int64_t>(1, options.number("every", 1));
    std::cout << "seed " << seed << ", " << steps << " steps, compared after every " << every
              << "\n"
              << std::flush;
    try {
        Run run(options, seed);
        bool agree = false;
        try {
            agree = run.go(steps, every);
        }
        catch (const std::exception &e) {
            std::cout << e.what() << "\n";
        }
        if (!agree)
            run.show_last();
        for (const auto &[state, n] : run.errors())
            std::cout << "expected errors " << state << ": " << n << "\n";
        std::cout << "model: " << run.done() << " steps, " << (agree ? "no" : "a")
                  << " difference\n";
        return agree ? (interrupted ? 130 : 0) : 1;
    }
    catch (const std::exception &e) {
        std::cerr << e.what() << "\n";
        return 1;
    }
}
