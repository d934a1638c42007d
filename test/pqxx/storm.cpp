// hermet-storm: many connections do random writes of every kind at once; then what is stored must
// equal the rules, by hermet's own check and by the independent query (oracle.sql).
//
// Every connection draws from its own random numbers, made from the seed. An operation runs alone
// or with others in a transaction, with savepoints, at any isolation level; transactions are rolled
// back, prepared and resolved later, cancelled, timed out. Errors that such a storm must meet are
// counted; any other error is a failure. Beside them one session spoils rows and rebuilds.
#include "storm.h"

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <numeric>
#include <thread>

using namespace client;
using namespace storm;

namespace {

const char *const usage =
    "usage: hermet-storm [options]\n"
    "  --connections N    sessions that write at once (8)\n"
    "  --seconds N        how long in all (10)\n"
    "  --rounds N         stop and check after every N seconds (only at the end)\n"
    "  --users N          (40)\n"
    "  --channels N       (220)\n"
    "  --seed N           (random, printed)\n"
    "  --isolation WORD   rc, rr, ser or mixed (mixed)\n"
    "  --plain            transactions of one single-row statement or one insert of messages, in\n"
    "                     which a deadlock is a failure, and at rc a serialization error too\n"
    "  --no-oracle        leave out the independent query\n"
    "  --ring N           statements that each session remembers for a failure (60)\n"
    "  --dump FILE        where they are written (standard error)\n"
    "  --target NAME      the instance's schema (im); made when it is missing\n"
    "  --statements       the instance is new, and all is done by statements, nothing directly\n"
    "  --conninfo STRING  how to connect (the PG* variables)\n"
    "All rows of the write-side tables are removed first.\n";

// No statement waits that long unless something hangs.
constexpr int64_t hang_ms = 60000;

struct Prepared {
    std::string gid;
    bool commit;
    Clock::time_point due;
};

// What all sessions share: the pause in which a check runs, the transactions to resolve, failures.
class Field {
  public:
    std::atomic<bool> stop{false};
    bool plain = false;
    std::atomic<int64_t> free_slots{0}; // for prepared transactions
    std::string isolation;
    size_t workers = 0;

    // Called by a worker between its transactions.
    void pass()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        if (!paused_)
            return;
        parked_++;
        changed_.notify_all();
        changed_.wait(lock, [&] { return !paused_; });
        parked_--;
    }
    void leave()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        workers--;
        changed_.notify_all();
    }
    void pause()
    {
        std::unique_lock<std::mutex> lock(mutex_);
        paused_ = true;
        changed_.wait(lock, [&] { return parked_ == workers; });
    }
    void resume()
    {
        std::lock_guard<std::mutex> lock(mutex_);
        paused_ = false;
        changed_.notify_all();
    }
    // Until the time is over, or a failure or Ctrl-C ends it.
    void wait_until(Clock::time_point end)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        while (!stop && !interrupted && Clock::now() < end)
            changed_.wait_until(lock, std::min(end, Clock::now() + std::chrono::milliseconds(200)));
    }

    bool take_slot()
    {
        if (free_slots-- > 0)
            return true;
        free_slots++;
        return false;
    }
    void later(const Prepared &p)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        prepared_.push_back(p);
    }
    // One session resolves at a time: when a check has resolved all, none is on its way.
    void resolve(pqxx::nontransaction &t, bool all)
    {
        std::lock_guard<std::mutex> resolving(resolving_);
        std::vector<Prepared> due;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            auto waits = [&](const Prepared &p) { return !all && p.due > Clock::now(); };
            auto split = std::partition(prepared_.begin(), prepared_.end(), waits);
            due.assign(split, prepared_.end());
            prepared_.erase(split, prepared_.end());
        }
        for (const auto &p : due) {
            t.exec((p.commit ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '") + p.gid + "'");
            free_slots++;
        }
    }

    void fail(const std::string &what)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        failures.push_back(what);
        stop = true;
        changed_.notify_all();
    }
    std::vector<std::string> failures;

  private:
    std::mutex mutex_, resolving_;
    std::condition_variable changed_;
    bool paused_ = false;
    size_t parked_ = 0;
    std::vector<Prepared> prepared_;
};

class Worker {
  public:
    Worker(Field &field, std::unique_ptr<Session> session, int number)
        : session(std::move(session)), field_(field), number_(number)
    {
        for (const auto &op : all_operations())
            if (!field.plain || op.plain) {
                operations_.push_back(op);
                total_weight_ += op.weight;
            }
        set_isolation();
    }

    void loop()
    {
        while (!field_.stop) {
            field_.pass();
            if (field_.stop)
                break;
            if (session->rng.chance(2))
                set_isolation();
            bool hurried = session->rng.chance(2);
            if (hurried)
                attempt("SET", [&] {
                    session->run("SET statement_timeout = {}", session->rng.between(1, 8));
                });
            if (!field_.plain && session->rng.chance(30))
                transaction();
            else
                operation();
            if (hurried)
                settle("SET statement_timeout = " + std::to_string(hang_ms));
        }
        settle("ROLLBACK");
        field_.leave();
    }

    std::unique_ptr<Session> session;
    std::map<std::string, std::pair<int64_t, double>> done; // by operation: how often, ms in all
    std::map<std::string, int64_t> errors;                  // by SQLSTATE

  private:
    void set_isolation()
    {
        static const std::vector<std::string> levels = {"read committed", "repeatable read",
                                                        "serializable"};
        const std::string &wanted = field_.isolation;
        level_ = wanted == "rc"    ? levels[0]
                 : wanted == "rr"  ? levels[1]
                 : wanted == "ser" ? levels[2]
                                   : session->rng.pick(levels);
        settle("SET statement_timeout = " + std::to_string(hang_ms));
        settle("SET default_transaction_isolation = '" + level_ + "'");
    }

    const Operation &choose()
    {
        int64_t at = session->rng.below(total_weight_);
        for (const auto &op : operations_)
            if ((at -= op.weight) < 0)
                return op;
        return operations_.back();
    }

    bool operation()
    {
        const Operation &op = choose();
        auto start = Clock::now();
        bool ok = attempt(op.name, [&] { op.run(*session); });
        if (ok) {
            done[op.name].first++;
            done[op.name].second += seconds_since(start) * 1000;
        }
        return ok;
    }

    // Two to six operations, some inside savepoints, and one of the ways in which it can end.
    void transaction()
    {
        Rng &rng = session->rng;
        if (!attempt("BEGIN", [&] { session->exec("BEGIN"); }))
            return settle("ROLLBACK");
        for (int64_t i = rng.between(2, 6); i > 0; i--) {
            bool guarded = rng.chance(30);
            if (guarded && !attempt("SAVEPOINT", [&] { session->exec("SAVEPOINT s"); }))
                return settle("ROLLBACK");
            bool ok = operation();
            if (!ok && !guarded)
                return settle("ROLLBACK");
            if (!guarded)
                continue;
            const char *end =
                !ok || rng.chance(35) ? "ROLLBACK TO SAVEPOINT s" : "RELEASE SAVEPOINT s";
            if (!attempt(end, [&] { session->exec(end); }))
                return settle("ROLLBACK");
        }
        if (rng.chance(15))
            return settle("ROLLBACK");
        if (rng.chance(12) && field_.take_slot()) {
            std::string gid =
                "hermet_storm_" + std::to_string(number_) + "_" + std::to_string(++gid_);
            auto delay = std::chrono::milliseconds(rng.between(1, 200));
            bool commit = rng.chance(60);
            if (attempt("PREPARE", [&] { session->exec("PREPARE TRANSACTION '" + gid + "'"); }))
                return field_.later({gid, commit, Clock::now() + delay});
            field_.free_slots++;
        }
        else if (attempt("COMMIT", [&] { session->exec("COMMIT"); })) {
            return;
        }
        settle("ROLLBACK");
    }

    // Runs it and counts its error, if it is one of those that a storm must meet.
    template <typename Body> bool attempt(const char *what, Body body)
    {
        try {
            body();
            return true;
        }
        catch (const std::exception &e) {
            SqlError error = describe(e);
            errors[error.state.empty() ? "(none)" : error.state]++;
            if (!is_expected(error))
                field_.fail(std::string(what) + ": " + error.state + " " + error.message);
            return false;
        }
    }

    bool is_expected(const SqlError &e) const
    {
        auto says = [&](const char *part) { return e.message.find(part) != std::string::npos; };
        // A unique or check error of the read side is never the application's fault.
        if (says("_view") || says("_reverse_index"))
            return e.state == "40001" || e.state == "40P01" || e.state == "57014";
        if (e.state == "40P01")
            return !field_.plain;
        if (e.state == "40001")
            return !(field_.plain && field_.isolation == "rc");
        if (e.state == "23514") // a third member, a version that goes back
            return !says("violates check constraint");
        return e.state == "23505" || e.state == "57014";
    }

    // A statement that must go through, whatever is cancelled meanwhile.
    void settle(const std::string &sql)
    {
        for (int tries = 0; tries < 20; tries++)
            if (attempt(sql.c_str(), [&] { session->exec(sql); }))
                return;
        field_.fail("does not go through: " + sql);
    }

    Field &field_;
    int number_;
    std::vector<Operation> operations_;
    int64_t total_weight_ = 0, gid_ = 0;
    std::string level_;
};

// Resolves prepared transactions when they are due, and cancels statements at random moments.
void disturb(Field &field, const std::string &conninfo, const std::vector<int> &pids, uint64_t seed,
             std::atomic<bool> &over)
{
    try {
        pqxx::connection c(conninfo);
        Rng rng(seed);
        while (!over) {
            pqxx::nontransaction t(c);
            field.resolve(t, false);
            if (rng.chance(10))
                t.exec("SELECT pg_cancel_backend(" + std::to_string(rng.pick(pids)) + ")");
            t.exec("SELECT pg_sleep(0.004)");
        }
    }
    catch (const std::exception &e) {
        field.fail(std::string("resolving prepared transactions: ") + e.what());
    }
}

// Spoils rows of the read side, past the guards, and has it rebuilt, over and over, beside all
// others. Cancelled, it goes on. When it stands still, all is mended that it has spoilt.
class Rebuilder {
  public:
    Rebuilder(Field &field, const std::string &conninfo, const std::string &target, uint64_t seed)
        : field_(field), rng_(seed), connection_(conninfo)
    {
        target_ = connection_.quote(target);
        pqxx::nontransaction t(connection_);
        t.exec("SET search_path = " + connection_.quote_name(target));
        t.exec("SET client_min_messages = error");
        pid = connection_.backendpid();
    }

    void loop()
    {
        while (!field_.stop) {
            field_.pass();
            if (field_.stop)
                break;
            for (int64_t i = rng_.between(1, 5); i > 0; i--)
                spoil();
            for (const char *view : {"conversation_view", "contact_view"})
                until_done("CALL hermet.rebuild_" + std::string(view) + "(" + target_ +
                           ", batch_size => " + std::to_string(rng_.between(1, 200)) + ")");
            cycles++;
        }
        field_.leave();
    }

    int pid;
    int64_t cycles = 0, retries = 0;

  private:
    // One row a statement: it takes none of hermet's locks, and must not deadlock with those who
    // do. Only values: whether a row is there, others decide meanwhile.
    void spoil()
    {
        static const std::vector<std::string> ways = {
            "UPDATE user_conversation_view SET unread_count = unread_count + 3, "
            "conversation_name = 'spoilt', last_message_sender_name = 'spoilt' WHERE "
            "(tableoid, ctid) = (SELECT tableoid, ctid FROM user_conversation_view ORDER BY "
            "random() LIMIT 1)",
            "UPDATE user_conversation_view SET peer_nickname = 'spoilt', remark_name = 'spoilt', "
            "closed_at = 5 WHERE (tableoid, ctid) = (SELECT tableoid, ctid FROM "
            "user_conversation_view WHERE peer_user_id IS NOT NULL ORDER BY random() LIMIT 1)",
            "UPDATE user_contact_view SET contact_nickname = 'spoilt', mobile = '1' WHERE "
            "(tableoid, ctid) = (SELECT tableoid, ctid FROM user_contact_view ORDER BY random() "
            "LIMIT 1)",
            "INSERT INTO conversation_reverse_index VALUES (1000000000 + random() * 1000, 1, 1, 1) "
            "ON CONFLICT DO NOTHING",
            "INSERT INTO contact_reverse_index VALUES (1000000000 + random() * 1000, 1, 1) "
            "ON CONFLICT DO NOTHING",
        };
        attempt("SET session_replication_role = replica");
        attempt(rng_.pick(ways));
        until_done("RESET session_replication_role");
    }

    void until_done(const std::string &sql)
    {
        for (int tries = 0; !attempt(sql); tries++) {
            retries++;
            if (tries == 200)
                return field_.fail("does not go through: " + sql);
        }
    }

    bool attempt(const std::string &sql)
    {
        try {
            pqxx::nontransaction t(connection_);
            t.exec(sql);
            return true;
        }
        catch (const std::exception &e) {
            SqlError error = describe(e);
            static const std::set<std::string> expected = {"57014", "40001", "40P01"};
            if (!expected.count(error.state))
                field_.fail(sql + ": " + error.state + " " + error.message);
            return field_.stop && !expected.count(error.state);
        }
    }

    Field &field_;
    Rng rng_;
    pqxx::connection connection_;
    std::string target_;
};

// All sessions stand still. Returns the number of differences.
size_t check(Field &field, pqxx::connection &c, const Options &options)
{
    const std::string target = options.text("target", "im");
    {
        pqxx::nontransaction t(c);
        field.resolve(t, true);
        for (const auto &row :
             t.exec("SELECT gid FROM pg_prepared_xacts WHERE gid LIKE 'hermet_storm_%'"
                    " AND database = current_database()"))
            field.fail("a transaction was prepared that reported an error: " +
                       row[0].as<std::string>());
    }
    size_t differences = check_with_hermet(c, target);
    std::cout << "check_consistency: " << differences << " problems\n";
    if (!options.has("no-oracle")) {
        size_t n = check_with_oracle(c, target);
        std::cout << "independent query: " << n << " differences\n";
        differences += n;
    }
    return differences;
}

void report(const std::vector<std::unique_ptr<Worker>> &workers)
{
    std::map<std::string, std::pair<int64_t, double>> done;
    std::map<std::string, int64_t> errors;
    int64_t longest = 0;
    for (const auto &w : workers) {
        for (const auto &[name, n] : w->done) {
            done[name].first += n.first;
            done[name].second += n.second;
        }
        for (const auto &[state, n] : w->errors)
            errors[state] += n;
        longest = std::max(longest, w->session->longest_ms);
    }
    std::vector<std::vector<std::string>> rows = {{"operation", "done", "mean ms"}};
    for (const auto &[name, n] : done)
        rows.push_back({name, std::to_string(n.first), fixed(n.second / n.first, 2)});
    print_table(std::cout, rows);
    std::cout << "\n";
    rows = {{"SQLSTATE", "errors"}};
    for (const auto &[state, n] : errors)
        rows.push_back({state, std::to_string(n)});
    print_table(std::cout, rows);
    std::cout << "\nlongest statement: " << longest << " ms\n";
}

int storm_for(const Options &options)
{
    Space space{options.number("users", 40), options.number("channels", 220)};
    const uint64_t seed = options.number("seed", static_cast<int64_t>(any_seed()));
    const std::string conninfo = options.text("conninfo", ""),
                      target = options.text("target", "im");
    const auto connections = options.number("connections", 8),
               seconds = options.number("seconds", 10);
    const auto round = std::max<int64_t>(1, options.number("rounds", seconds));
    Field field;
    field.plain = options.has("plain");
    field.isolation = options.text("isolation", "mixed");
    if (space.users < 12 || space.channels < 20 || connections < 1)
        options.fail("a storm needs at least 12 users, 20 channels and a connection");
    if (!std::set<std::string>{"rc", "rr", "ser", "mixed"}.count(field.isolation))
        options.fail("unknown isolation: " + field.isolation);
    std::cout << "seed " << seed << ", " << connections << " connections, " << seconds
              << " s, isolation " << field.isolation << (field.plain ? ", plain" : "") << "\n"
              << std::flush;

    pqxx::connection control(conninfo);
    ensure_instance(control, target);
    if (options.has("statements"))
        forbid_direct_way(control, target);
    field.free_slots = pqxx::nontransaction(control)
                           .exec1("SELECT current_setting('max_prepared_transactions')")[0]
                           .as<int64_t>();
    if (!field.free_slots)
        std::cout << "max_prepared_transactions is 0: no prepared transactions\n";

    std::vector<std::unique_ptr<Worker>> workers;
    std::vector<int> pids;
    const auto remembered = static_cast<size_t>(options.number("ring", 60));
    for (int i = 0; i < connections; i++) {
        auto session =
            std::make_unique<Session>(conninfo, target, space, seed * 1000 + i, remembered);
        pids.push_back(session->pid);
        workers.push_back(std::make_unique<Worker>(field, std::move(session), i));
    }
    workers[0]->session->exec("TRUNCATE biz_user, channel, channel_member, message, friendship,"
                              " channel_read_record, conversation_setting, channel_application,"
                              " hermet_incident");
    populate(*workers[0]->session);

    std::unique_ptr<Rebuilder> rebuilder;
    if (pqxx::nontransaction(control)
            .exec1("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0]
            .as<bool>()) {
        rebuilder = std::make_unique<Rebuilder>(field, conninfo, target, seed * 1000 + 999);
        pids.push_back(rebuilder->pid);
    }
    else {
        std::cout << "not a superuser: nothing is spoilt and rebuilt\n";
    }

    std::atomic<bool> over{false};
    field.workers = workers.size() + (rebuilder ? 1 : 0);
    std::vector<std::thread> threads;
    for (auto &w : workers)
        threads.emplace_back([&w] { w->loop(); });
    if (rebuilder)
        threads.emplace_back([&rebuilder] { rebuilder->loop(); });
    std::thread disturber([&] { disturb(field, conninfo, pids, seed, over); });

    size_t differences = 0;
    const auto end = Clock::now() + std::chrono::seconds(seconds);
    while (!field.stop && !interrupted && Clock::now() < end) {
        field.wait_until(std::min(end, Clock::now() + std::chrono::seconds(round)));
        field.pause();
        differences = check(field, control, options);
        field.stop = field.stop || differences || interrupted || Clock::now() >= end;
        field.resume();
    }
    field.stop = true;
    for (auto &t : threads)
        t.join();
    over = true;
    disturber.join();

    report(workers);
    if (rebuilder)
        std::cout << "rebuilt beside it: " << rebuilder->cycles << " times, interrupted "
                  << rebuilder->retries << " times\n";
    std::cout << "rows that hermet had to recompute (health counts them): "
              << pqxx::nontransaction(control).exec1(
                     "SELECT count(*) FROM " + control.quote_name(target) + ".hermet_incident")[0]
              << "\n";
    int64_t total = 0;
    for (const auto &w : workers) {
        for (const auto &d : w->done)
            total += d.second.first;
        if (w->session->longest_ms >= hang_ms)
            field.fail("a statement waited for " + std::to_string(w->session->longest_ms) + " ms");
    }
    for (const auto &f : field.failures)
        std::cout << "failure: " << f << "\n";
    if (differences || !field.failures.empty()) {
        std::ofstream file(options.text("dump", "/dev/stderr"));
        for (const auto &w : workers)
            w->session->dump(file);
    }
    std::cout << "storm: " << total << " operations, " << differences << " differences";
    if (!field.failures.empty())
        std::cout << ", " << field.failures.size() << " failures";
    std::cout << "\n";
    return differences || !field.failures.empty() ? 1 : interrupted ? 130 : 0;
}

} // namespace

int main(int argc, char **argv)
{
    Options options(argc, argv, usage);
    catch_interrupts();
    try {
        return storm_for(options);
    }
    catch (const std::exception &e) {
        std::cerr << e.what() << "\n";
        return 1;
    }
}
