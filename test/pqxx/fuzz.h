// What the parts of the fuzzer share: a session that judges every answer, and hostile values.
#pragma once

#include "common.h"

#include <deque>
#include <fstream>
#include <libpq-fe.h>
#include <memory>
#include <stdexcept>

namespace fuzz {

using namespace client;

// The server's process is gone: nothing more can be learnt from this session.
struct Crash : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// What was found, over all sessions. The same complaint is shown once.
class Findings {
  public:
    void open_log(const std::string &file);
    void log(const std::string &who, const std::string &sql, const std::string &answer);
    void complain(const std::string &what, const std::string &history);
    // One of the assertions that the program makes as a whole, in TAP.
    void assert_that(bool holds, const std::string &what);
    void count(const std::string &state) { states_[state]++; }

    bool clean() const { return complaints_.empty() && failed_ == 0; }
    const std::map<std::string, int64_t> &states() const { return states_; }
    const std::map<std::string, int64_t> &complaints() const { return complaints_; }

  private:
    std::map<std::string, int64_t> complaints_, states_;
    int failed_ = 0;
    std::ofstream log_;
};

using Row = std::vector<std::string>; // NULL is an empty string

// A connection by libpq itself: it gives the SQLSTATE of every error, and sends COPY data as it is.
class Session {
  public:
    Session(const std::string &conninfo, const std::string &role, Findings &findings);
    ~Session() { PQfinish(connection_); }
    Session(const Session &) = delete;
    Session &operator=(const Session &) = delete;

    // Hostile SQL: any error is fine but those that are never. Returns the SQLSTATE, or "".
    std::string run(const std::string &sql);
    std::string copy(const std::string &sql, const std::string &data);
    // The same inside a savepoint, so that the transaction goes on.
    std::string guarded(const std::string &sql);
    // SQL of the fuzzer's own: any error is a bug in the fuzzer.
    std::vector<Row> query(const std::string &sql);

    const std::string &who() const { return who_; }
    bool in_transaction() const { return PQtransactionStatus(connection_) != PQTRANS_IDLE; }
    std::string history() const;

  private:
    std::string judge(const std::string &sql, PGresult *result);
    void remember(const std::string &sql);

    PGconn *connection_;
    std::string who_;
    Findings &findings_;
    std::deque<std::string> last_;
};

// ---- Hostile values ----------------------------------------------------------------------------

struct Column {
    std::string name, type;
    int width;                       // of a varchar(width), else 0
    std::vector<std::string> labels; // of an enum
};

struct Table {
    std::string name;
    std::vector<std::string> key;
    std::vector<Column> columns;
};

struct Instance {
    std::string schema; // as it is
    std::string quoted;
    std::vector<Table> write, read;
};

std::string quote_name(const std::string &name);
std::string id(Rng &rng); // one of a few, so that rows meet; every extreme is among them
std::string argument(Rng &rng, const std::string &type, const std::vector<std::string> &words);
std::string value(Rng &rng, const Column &column);
Instance describe_instance(Session &session, const std::string &schema);

// ---- The parts ---------------------------------------------------------------------------------

struct World {
    std::vector<Instance> instances;
    std::vector<std::string> words; // names that exist
    std::string nobody;             // the unprivileged role
    Findings *findings;
};

std::string random_write(Rng &rng, const Instance &instance);
void fuzz_rows(Rng &rng, const World &world, Session &session, int64_t statements);
void fuzz_calls(Rng &rng, const World &world, Session &session, int64_t calls);
void fuzz_trigger_calls(const World &world, Session &session);
void fuzz_firings(Rng &rng, const World &world, Session &session);
void fuzz_triggers(Rng &rng, const World &world, Session &session, int64_t rounds);
void fuzz_shapes(Rng &rng, const World &world, Session &session, int64_t rounds);
std::string random_call(Rng &rng, const World &world, Session &session);

} // namespace fuzz
