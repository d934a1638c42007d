// Shared by the libpqxx clients: options, random numbers, errors, printed tables and the check.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <map>
#include <pqxx/pqxx>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace client {

// ---- Options: --name value, --name=value, --flag -----------------------------------------------

class Options {
  public:
    // The usage text is the definition: every "--word" in it is an option; one followed by " X"
    // with an upper-case letter takes a value.
    Options(int argc, char **argv, const std::string &usage) : usage_(usage)
    {
        std::set<std::string> valued, flags;
        for (size_t at = usage.find("--"); at != std::string::npos; at = usage.find("--", at + 2)) {
            size_t end = usage.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at);
            std::string name = usage.substr(at + 2, end - at - 2);
            bool takes =
                end + 1 < usage.size() && usage[end] == ' ' && std::isupper(usage[end + 1]);
            (takes ? valued : flags).insert(name);
        }
        for (int i = 1; i < argc; i++) {
            std::string arg = argv[i];
            if (arg.rfind("--", 0) != 0) {
                rest_.push_back(arg);
                continue;
            }
            size_t eq = arg.find('=');
            std::string name = arg.substr(2, eq == std::string::npos ? eq : eq - 2);
            if (flags.count(name) && eq == std::string::npos)
                values_[name] = "1";
            else if (valued.count(name) && eq != std::string::npos)
                values_[name] = arg.substr(eq + 1);
            else if (valued.count(name) && i + 1 < argc)
                values_[name] = argv[++i];
            else
                fail(name == "help" ? "" : "unknown or incomplete option: " + arg);
        }
    }

    bool has(const std::string &name) const { return values_.count(name) > 0; }
    std::string text(const std::string &name, const std::string &otherwise) const
    {
        auto it = values_.find(name);
        return it == values_.end() ? otherwise : it->second;
    }
    int64_t number(const std::string &name, int64_t otherwise) const
    {
        if (!has(name))
            return otherwise;
        char *end = nullptr;
        int64_t n = std::strtoll(values_.at(name).c_str(), &end, 10);
        if (*end != '\0' || n < 0)
            fail("--" + name + " needs a number, not " + values_.at(name));
        return n;
    }
    const std::vector<std::string> &rest() const { return rest_; }

    [[noreturn]] void fail(const std::string &why) const
    {
        if (!why.empty())
            std::cerr << why << "\n";
        std::cerr << usage_;
        std::exit(why.empty() ? 0 : 2);
    }

  private:
    std::string usage_;
    std::map<std::string, std::string> values_;
    std::vector<std::string> rest_;
};

// ---- Random numbers: the same on every machine for the same seed -------------------------------

class Rng {
  public:
    explicit Rng(uint64_t seed) : engine_(seed) {}
    int64_t below(int64_t n) { return static_cast<int64_t>(engine_() % static_cast<uint64_t>(n)); }
    int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
    bool chance(int percent) { return below(100) < percent; }
    template <typename T> const T &pick(const std::vector<T> &from)
    {
        return from[below(from.size())];
    }

  private:
    std::mt19937_64 engine_;
};

inline uint64_t any_seed()
{
    return std::random_device{}() % 1000000;
}

// ---- Errors ------------------------------------------------------------------------------------

struct SqlError {
    std::string state; // five characters; empty when it did not come from the server
    std::string message;
};

// libpqxx 6 gives class 40 its own exceptions, without the SQLSTATE.
inline SqlError describe(const std::exception &e)
{
    std::string text = e.what();
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    if (auto sql = dynamic_cast<const pqxx::sql_error *>(&e))
        return {sql->sqlstate(), text};
    if (dynamic_cast<const pqxx::serialization_failure *>(&e))
        return {"40001", text};
    if (dynamic_cast<const pqxx::deadlock_detected *>(&e))
        return {"40P01", text};
    if (dynamic_cast<const pqxx::transaction_rollback *>(&e))
        return {"40000", text};
    if (dynamic_cast<const pqxx::broken_connection *>(&e))
        return {"08006", text};
    return {"", text};
}

inline bool is_retryable(const SqlError &e)
{
    return e.state == "40001" || e.state == "40P01";
}

// ---- Statements --------------------------------------------------------------------------------

// A piece of SQL that is put into a statement as it is; plain strings become literals.
struct Raw {
    std::string sql;
};

inline std::string literal(const std::string &text)
{
    std::string out = "'";
    for (char c : text)
        out += c == '\'' ? "''" : std::string(1, c);
    return out + "'";
}
inline std::string render(const Raw &raw)
{
    return raw.sql;
}
inline std::string render(int64_t n)
{
    return std::to_string(n);
}
inline std::string render(const std::string &text)
{
    return literal(text);
}

// The pattern with every {} replaced by the next argument.
template <typename... Args> std::string fill(const std::string &pattern, const Args &...args)
{
    const std::vector<std::string> values = {render(args)...};
    std::string sql;
    size_t at = 0;
    for (const auto &value : values) {
        size_t hole = pattern.find("{}", at);
        sql += pattern.substr(at, hole - at) + value;
        at = hole + 2;
    }
    return sql + pattern.substr(at);
}

// ---- Interruption ------------------------------------------------------------------------------

inline std::atomic<bool> interrupted{false};

// The first Ctrl-C asks for a clean end, the second one ends at once.
inline void catch_interrupts()
{
    auto handler = [](int signal) {
        interrupted = true;
        std::signal(signal, SIG_DFL);
    };
    std::signal(SIGINT, handler);
    std::signal(SIGTERM, handler);
}

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start)
{
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// ---- Printed tables ----------------------------------------------------------------------------

inline std::string fixed(double value, int digits)
{
    std::ostringstream out;
    out << std::fixed << std::setprecision(digits) << value;
    return out.str();
}

// Width on the screen: continuation bytes of UTF-8 take no room.
inline size_t width(const std::string &s)
{
    return std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

// The first row is the heading; columns in which every value is a number are aligned right.
inline void print_table(std::ostream &out, const std::vector<std::vector<std::string>> &rows)
{
    size_t columns = rows.at(0).size();
    std::vector<size_t> widths(columns, 0);
    std::vector<bool> numeric(columns, rows.size() > 1);
    for (size_t r = 0; r < rows.size(); r++)
        for (size_t c = 0; c < columns; c++) {
            const std::string &cell = rows[r][c];
            widths[c] = std::max(widths[c], width(cell));
            if (r > 0 && cell.find_first_not_of("0123456789.-%") != std::string::npos)
                numeric[c] = false;
        }
    for (size_t r = 0; r < rows.size(); r++) {
        out << " ";
        for (size_t c = 0; c < columns; c++) {
            std::string room(widths[c] - width(rows[r][c]), ' ');
            out << (c ? " | " : "") << (numeric[c] ? room + rows[r][c] : rows[r][c] + room);
        }
        out << "\n";
        if (r > 0)
            continue;
        for (size_t c = 0; c < columns; c++)
            out << (c ? "+" : "") << std::string(widths[c] + 2, '-');
        out << "\n";
    }
}

inline std::vector<std::vector<std::string>> with_heading(const pqxx::result &result)
{
    std::vector<std::vector<std::string>> rows(1);
    for (pqxx::row::size_type c = 0; c < result.columns(); c++)
        rows[0].push_back(result.column_name(c));
    for (const auto &row : result) {
        rows.emplace_back();
        for (const auto &field : row)
            rows.back().push_back(field.is_null() ? "" : field.c_str());
    }
    return rows;
}

// ---- The checks --------------------------------------------------------------------------------

// Every query of a check reads under the one snapshot of its own transaction.
using CheckTransaction = pqxx::transaction<pqxx::repeatable_read>;

// The extension's own check; prints at most `shown` problems and returns how many there are.
inline size_t check_with_hermet(pqxx::connection &c, const std::string &target, size_t shown = 20)
{
    CheckTransaction t(c);
    pqxx::result r = t.exec("SELECT table_name, key, problem, column_name, expected, actual"
                            " FROM hermet.check_consistency(" +
                            t.quote(target) + ")");
    if (!r.empty()) {
        auto rows = with_heading(r);
        rows.resize(std::min(rows.size(), shown + 1));
        print_table(std::cout, rows);
    }
    return r.size();
}

// oracle.sql, compiled in by the Makefile: the rules a second time, written from their text alone.
inline const char *const oracle_query =
#include "bin/oracle.inc"
    ;

inline size_t check_with_oracle(pqxx::connection &c, const std::string &target, size_t shown = 20)
{
    CheckTransaction t(c);
    std::string query = oracle_query;
    const std::string placeholder = ":\"schema\"", schema = t.quote_name(target);
    for (size_t at = query.find(placeholder); at != std::string::npos;
         at = query.find(placeholder, at + schema.size()))
        query.replace(at, placeholder.size(), schema);
    pqxx::result r = t.exec(query);
    if (!r.empty()) {
        auto rows = with_heading(r);
        rows.resize(std::min(rows.size(), shown + 1));
        print_table(std::cout, rows);
    }
    return r.size();
}

// Makes the instance when the schema is not there yet.
inline void ensure_instance(pqxx::connection &c, const std::string &target)
{
    pqxx::work t(c);
    t.exec("SET LOCAL client_min_messages = warning");
    t.exec("CREATE EXTENSION IF NOT EXISTS hermet");
    if (t.exec("SELECT 1 FROM pg_namespace WHERE nspname = " + t.quote(target)).empty())
        t.exec("SELECT hermet.create_tables(" + t.quote(target) + ")");
    t.commit();
}

inline bool is_spread(pqxx::connection &c, const std::string &target)
{
    pqxx::work t(c);
    return t
        .exec1("SELECT EXISTS (SELECT FROM pg_class WHERE relkind = 'p' AND relnamespace = " +
               t.quote(target) + "::regnamespace)")[0]
        .as<bool>();
}

// Gives every table an empty child, and every partition a rule that says nothing: then hermet reads
// and writes none of them directly, and its statements do all the work.
inline void forbid_direct_way(pqxx::connection &c, const std::string &target)
{
    pqxx::work t(c);
    for (const auto &row : t.exec("SELECT format('CREATE RULE nothing AS ON DELETE TO %s WHERE "
                                  "false DO INSTEAD NOTHING', oid::regclass) FROM pg_class WHERE "
                                  "relkind = 'r' AND relispartition AND relnamespace = " +
                                  t.quote(target) + "::regnamespace"))
        t.exec(row[0].as<std::string>());
    t.exec("CREATE SCHEMA " + t.quote_name(target + "_children"));
    for (const auto &row : t.exec("SELECT format('CREATE TABLE %I.%I () INHERITS (%s)', " +
                                  t.quote(target + "_children") +
                                  ", relname, oid::regclass) FROM pg_class WHERE relkind = 'r'"
                                  " AND NOT relispartition AND relnamespace = " +
                                  t.quote(target) + "::regnamespace"))
        t.exec(row[0].as<std::string>());
    t.commit();
}

} // namespace client
