// hermet-ids: many sessions draw ids at once. No id twice, rising within a session for its shard
// value, shard and time as said, the low bits spread evenly over the partitions.
#include "common.h"

#include <mutex>
#include <thread>

using namespace client;

namespace {

const char *const usage = "usage: hermet-ids [options]\n"
                          "  --sessions N       (16)\n"
                          "  --ids N            drawn by each session (100000)\n"
                          "  --batch N          ids a statement; besides, every session makes 200 "
                          "calls of one id (2000)\n"
                          "  --conninfo STRING  how to connect (the PG* variables)\n";

constexpr int64_t epoch_ms = 1735689600000; // 2025-01-01 UTC
constexpr int64_t ahead_ms = 1000;          // how far a burst may run ahead of the clock
constexpr int single_calls = 200;

struct Drawn {
    std::vector<int64_t> batches, singles;
    std::vector<std::string> problems;
};

class Drawer {
  public:
    Drawer(const std::string &conninfo, int64_t shard_value)
        : connection_(conninfo), shard_value_(shard_value)
    {
    }

    Drawn draw(int64_t ids, int64_t batch)
    {
        const int64_t pause = std::max<int64_t>(1, ids / batch / single_calls);
        int64_t statements = 0, left = ids - single_calls;
        while ((left > 0 || drawn_.singles.size() < single_calls) && !interrupted) {
            if (left > 0) {
                take(std::min(left, batch), drawn_.batches);
                left -= batch;
            }
            if (left <= 0 || ++statements % pause == 0)
                take(1, drawn_.singles);
        }
        return std::move(drawn_);
    }

  private:
    void take(int64_t n, std::vector<int64_t> &into)
    {
        pqxx::nontransaction t(connection_);
        const auto before = t.exec1("SELECT hermet.now_ms()")[0].as<int64_t>();
        pqxx::result r = t.exec(fill("SELECT id, hermet.id_shard(id), hermet.id_time(id) FROM "
                                     "(SELECT hermet.next_id({}) AS id"
                                     " FROM generate_series(1, {}) OFFSET 0) ids",
                                     shard_value_, n));
        const auto after = t.exec1("SELECT hermet.now_ms()")[0].as<int64_t>();
        for (const auto &row : r) {
            const auto id = row[0].as<int64_t>(), shard = row[1].as<int64_t>();
            const auto time = row[2].as<int64_t>();
            expect(id > last_, "does not rise after " + std::to_string(last_), id);
            expect(shard == shard_value_ % 1024, "has shard " + std::to_string(shard), id);
            expect((id >> 12 & 1023) == shard, "carries another shard in its bits", id);
            expect((id >> 22) + epoch_ms == time, "carries another time in its bits", id);
            expect(time >= before && time <= after + ahead_ms,
                   "has time " + std::to_string(time) + ", drawn from " + std::to_string(before) +
                       " to " + std::to_string(after),
                   id);
            last_ = id;
            into.push_back(id);
        }
    }

    void expect(bool holds, const std::string &otherwise, int64_t id)
    {
        if (!holds && drawn_.problems.size() < 5)
            drawn_.problems.push_back("id " + std::to_string(id) + " of shard value " +
                                      std::to_string(shard_value_) + " " + otherwise);
    }

    pqxx::connection connection_;
    int64_t shard_value_, last_ = 0;
    Drawn drawn_;
};

// How often the rarest and the most frequent of the 256 low bytes come.
std::pair<int64_t, int64_t> spread(const std::vector<int64_t> &ids)
{
    std::vector<int64_t> counts(256, 0);
    for (int64_t id : ids)
        counts[id & 255]++;
    auto [low, high] = std::minmax_element(counts.begin(), counts.end());
    return {*low, *high};
}

int draw_all(const Options &options)
{
    const std::string conninfo = options.text("conninfo", "");
    const int64_t sessions = options.number("sessions", 16), ids = options.number("ids", 100000);
    const int64_t batch = std::max<int64_t>(1, options.number("batch", 2000));
    if (ids < 2 * single_calls || sessions < 1)
        options.fail("too few ids or sessions");
    {
        pqxx::connection c(conninfo);
        pqxx::work t(c);
        t.exec("CREATE EXTENSION IF NOT EXISTS hermet");
        t.commit();
    }
    std::vector<int64_t> all, singles;
    std::vector<std::string> problems;
    std::mutex mutex;
    std::vector<std::thread> threads;
    auto start = Clock::now();
    for (int64_t i = 0; i < sessions; i++)
        threads.emplace_back([&, i] {
            try {
                // Pairs of sessions share a shard value; half of the values lie beyond 1023.
                Drawn drawn = Drawer(conninfo, i / 2 * 700).draw(ids, batch);
                std::lock_guard<std::mutex> lock(mutex);
                all.insert(all.end(), drawn.batches.begin(), drawn.batches.end());
                singles.insert(singles.end(), drawn.singles.begin(), drawn.singles.end());
                problems.insert(problems.end(), drawn.problems.begin(), drawn.problems.end());
            }
            catch (const std::exception &e) {
                std::lock_guard<std::mutex> lock(mutex);
                problems.push_back(e.what());
            }
        });
    for (auto &t : threads)
        t.join();
    const double elapsed = seconds_since(start);

    const auto [rarest_single, most_single] = spread(singles);
    all.insert(all.end(), singles.begin(), singles.end());
    const auto [rarest, most] = spread(all);
    if (static_cast<int64_t>(all.size()) != sessions * ids && !interrupted)
        problems.push_back("ids are missing: " + std::to_string(all.size()));
    std::sort(all.begin(), all.end());
    for (size_t i = 1; i < all.size(); i++)
        if (all[i] == all[i - 1] && problems.size() < 20)
            problems.push_back("drawn twice: " + std::to_string(all[i]));
    if (rarest * 2 < most)
        problems.push_back("the low bytes are not spread: " + std::to_string(rarest) + " to " +
                           std::to_string(most));
    // Single calls lie milliseconds apart: an id that began every millisecond at 0 would show here.
    const auto even = static_cast<int64_t>(singles.size() / 256);
    if (most_single > even * 4 + 20)
        problems.push_back("the low bytes of single calls are not spread: " +
                           std::to_string(rarest_single) + " to " + std::to_string(most_single));
    for (const auto &p : problems)
        std::cout << p << "\n";
    std::cout << "ids: " << all.size() << " ids of " << sessions << " sessions in "
              << fixed(elapsed, 1) << " s, low bytes " << rarest << " to " << most
              << " times (single calls " << rarest_single << " to " << most_single << "), "
              << problems.size() << " problems\n";
    return problems.empty() ? (interrupted ? 130 : 0) : 1;
}

} // namespace

int main(int argc, char **argv)
{
    Options options(argc, argv, usage);
    catch_interrupts();
    try {
        return draw_all(options);
    }
    catch (const std::exception &e) {
        std::cerr << e.what() << "\n";
        return 1;
    }
}
