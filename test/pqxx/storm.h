// The storm's session: one connection, its random numbers, and the log of what it did.
#pragma once

#include "common.h"

#include <deque>
#include <memory>
#include <tuple>

namespace storm {

using client::Raw;

struct Space {
    int64_t users = 40, channels = 220;
    int64_t singles() const { return channels * 2 / 5; } // channels 1..singles() are single ones
};

// Orders the statements of all sessions in the dump after a failure.
inline std::atomic<int64_t> sequence{0};

class Session {
  public:
    Session(const std::string &conninfo, const std::string &schema, const Space &space,
            uint64_t seed, size_t remembered)
        : rng(seed), space(space), connection_(conninfo), remembered_(remembered)
    {
        exec("SET search_path = " + connection_.quote_name(schema));
        exec("SET client_min_messages = error");
        pid = connection_.backendpid();
    }

    pqxx::result exec(const std::string &sql)
    {
        return remember(sql, [&](pqxx::nontransaction &t) { return t.exec(sql); });
    }

    template <typename... Args> pqxx::result run(const std::string &pattern, const Args &...args)
    {
        return exec(client::fill(pattern, args...));
    }

    using Row = std::tuple<std::string, std::string, std::string, std::string>;
    void copy(const std::string &table, const std::vector<std::string> &columns,
              const std::vector<Row> &rows)
    {
        remember("COPY " + table + " (" + std::to_string(rows.size()) + " rows)",
                 [&](pqxx::nontransaction &t) {
                     pqxx::stream_to stream(t, table, columns);
                     for (const auto &row : rows)
                         stream << row;
                     stream.complete();
                     return pqxx::result();
                 });
    }

    // Random keys. Half of the work goes to a few of them, so that sessions meet.
    int64_t user() { return rng.chance(40) ? rng.between(1, 5) : rng.between(1, space.users); }
    int64_t single() { return rng.between(1, rng.chance(50) ? 6 : space.singles()); }
    int64_t group()
    {
        int64_t first = space.singles() + 1;
        return rng.between(first, rng.chance(50) ? first + 5 : space.channels);
    }
    int64_t channel() { return rng.chance(40) ? single() : group(); }
    // The two users whom a single channel belongs to; anyone for a group.
    int64_t member(int64_t channel, bool second) const
    {
        int64_t a = channel * 7 % space.users + 1, b = channel * 13 % space.users + 1;
        return !second ? a : a != b ? b : a % space.users + 1;
    }
    int64_t member(int64_t channel)
    {
        return channel > space.singles() ? user() : member(channel, rng.chance(50));
    }
    std::string text();
    Raw time()
    {
        static const std::vector<std::string> times = {"hermet.now_ms()",
                                                       "hermet.now_ms()",
                                                       "hermet.now_ms() - 2000",
                                                       "hermet.now_ms() + 2000",
                                                       "1000",
                                                       "hermet.now_ms() - 3600000"};
        return {rng.pick(times)};
    }

    void dump(std::ostream &out) const
    {
        for (const auto &line : log_)
            out << line << "\n";
    }

    client::Rng rng;
    const Space space;
    int pid = 0;
    int64_t longest_ms = 0;

  private:
    template <typename Body> pqxx::result remember(const std::string &what, Body body)
    {
        const int64_t begun = ++sequence;
        auto start = client::Clock::now();
        auto note = [&](const std::string &outcome) {
            longest_ms =
                std::max(longest_ms, static_cast<int64_t>(client::seconds_since(start) * 1000));
            log_.push_back(std::to_string(begun) + ".." + std::to_string(++sequence) + " pid " +
                           std::to_string(pid) + " " + outcome + ": " + what);
            if (log_.size() > remembered_)
                log_.pop_front();
        };
        try {
            pqxx::nontransaction t(connection_);
            pqxx::result r = body(t);
            note(std::to_string(r.affected_rows()) + " rows");
            return r;
        }
        catch (const std::exception &e) {
            note(client::describe(e).state);
            throw;
        }
    }

    pqxx::connection connection_;
    size_t remembered_;
    std::deque<std::string> log_;
};

struct Operation {
    const char *name;
    int weight;
    // One single-row statement, or a multi-row insert of messages: among transactions of these
    // alone no deadlock may happen.
    bool plain;
    void (*run)(Session &);
};

extern const std::vector<Operation> people_operations, channel_operations, message_operations,
    table_operations;
std::vector<Operation> all_operations();

// Users, channels and members for a start, and again after a TRUNCATE.
void populate(Session &s);

} // namespace storm
