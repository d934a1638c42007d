// hermet-fuzz: every function with arguments that nobody expects, trigger functions where they do
// not belong, extreme and malformed rows. The server never crashes, never answers with an internal
// error, and afterwards everything that is stored is as the rules say.
//
// Seen to catch: a trigger function fired by another event than its own, that read a row that is
// not there; NULL in a column of a table that only has the name and columns of the write side's;
// NULL written by hand where a message found it; with the sanitizers, a mention too many.
#include "fuzz.h"

#include <thread>

namespace fuzz {

// ---- Findings ----------------------------------------------------------------------------------

void Findings::open_log(const std::string &file)
{
    if (!file.empty())
        log_.open(file);
}

void Findings::log(const std::string &who, const std::string &sql, const std::string &answer)
{
    if (log_.is_open())
        log_ << "-- " << who << ": " << answer << "\n" << sql << ";\n" << std::flush;
}

void Findings::complain(const std::string &what, const std::string &history)
{
    if (complaints_[what]++ == 0)
        std::cout << "# " << what << "\n# after:\n" << history << std::flush;
}

void Findings::assert_that(bool holds, const std::string &what)
{
    std::cout << (holds ? "ok - " : "not ok - ") << what << "\n" << std::flush;
    failed_ += holds ? 0 : 1;
}

// ---- Session -----------------------------------------------------------------------------------

namespace {

// The classes of SQLSTATE that an error may have. Not among them: internal errors (XX), system
// errors (58), resources (53), lost connections (08), an administrator's doing (57P), and what
// PL/pgSQL gives where nobody has chosen a state (P0).
const std::set<std::string> classes = {"0A", "21", "22", "23", "24", "25", "26", "27",
                                       "28", "2B", "2D", "2F", "34", "38", "39", "3B",
                                       "3D", "3F", "40", "42", "44", "54", "55"};

bool allowed(const std::string &state)
{
    // Of those that say that the server cannot go on, one is hermet's: a setting is too low.
    return state == "53400" || (state.size() == 5 && classes.count(state.substr(0, 2)) > 0);
}

std::string cut(const std::string &sql)
{
    constexpr size_t most = 3000;
    return sql.size() <= most
               ? sql
               : sql.substr(0, most) + " ... (" + std::to_string(sql.size()) + " bytes)";
}

} // namespace

Session::Session(const std::string &conninfo, const std::string &role, Findings &findings)
    : connection_(PQconnectdb(conninfo.c_str())), who_(role), findings_(findings)
{
    if (PQstatus(connection_) != CONNECTION_OK) {
        const std::string why = PQerrorMessage(connection_);
        PQfinish(connection_);
        throw std::runtime_error(why);
    }
    PQsetNoticeProcessor(
        connection_, [](void *, const char *) {}, nullptr);
    query("SET statement_timeout = '120s'");
    query("SET lock_timeout = '60s'");
    if (!role.empty())
        query("SET SESSION AUTHORIZATION " + role);
    else
        who_ = "superuser";
}

void Session::remember(const std::string &sql)
{
    if (!in_transaction())
        last_.clear();
    last_.push_back(cut(sql));
    if (last_.size() > 40)
        last_.pop_front();
}

std::string Session::history() const
{
    std::string text = "-- as " + who_ + " in " + PQdb(connection_) + "\n";
    for (const auto &sql : last_)
        text += sql + ";\n";
    return text;
}

std::string Session::judge(const std::string &sql, PGresult *result)
{
    std::unique_ptr<PGresult, decltype(&PQclear)> owner(result, PQclear);
    const char *field = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
    std::string state = field ? field : "";
    const std::string message = result ? PQresultErrorMessage(result) : "";
    findings_.log(who_, sql, state + " " + message);
    if (PQstatus(connection_) == CONNECTION_BAD) {
        findings_.complain("CRASH: the server closed the connection", history());
        throw Crash(sql);
    }
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        findings_.count(state);
        if (!allowed(state))
            findings_.complain(state + ": " + cut(message), history());
        return state.empty() ? "?????" : state;
    }
    findings_.count("00000");
    return "";
}

std::string Session::run(const std::string &sql)
{
    remember(sql);
    return judge(sql, PQexec(connection_, sql.c_str()));
}

std::string Session::guarded(const std::string &sql)
{
    query("SAVEPOINT guard");
    std::string state = run(sql);
    if (!in_transaction())
        return state;
    if (!state.empty())
        query("ROLLBACK TO SAVEPOINT guard");
    query("RELEASE SAVEPOINT guard");
    return state;
}

std::string Session::copy(const std::string &sql, const std::string &data)
{
    remember(sql);
    PGresult *result = PQexec(connection_, sql.c_str());
    if (PQresultStatus(result) != PGRES_COPY_IN)
        return judge(sql, result);
    PQclear(result);
    remember("-- data: " + cut(data));
    PQputCopyData(connection_, data.data(), static_cast<int>(data.size()));
    PQputCopyEnd(connection_, nullptr);
    std::string state;
    while ((result = PQgetResult(connection_))) {
        const std::string one = judge(sql, result);
        state = one.empty() ? state : one;
    }
    return state;
}

std::vector<Row> Session::query(const std::string &sql)
{
    remember(sql);
    PGresult *result = PQexec(connection_, sql.c_str());
    std::vector<Row> rows;
    for (int r = 0; r < PQntuples(result); r++) {
        rows.emplace_back();
        for (int c = 0; c < PQnfields(result); c++)
            rows.back().push_back(PQgetvalue(result, r, c));
    }
    const std::string message = PQresultErrorMessage(result);
    const std::string state = judge(sql, result);
    if (!state.empty())
        throw std::runtime_error("a statement that must succeed gave " + message + sql);
    return rows;
}

} // namespace fuzz

// ---- The program -------------------------------------------------------------------------------

using namespace fuzz;

namespace {

const char *const usage =
    "usage: hermet-fuzz [options]\n"
    "  --rounds N         how often everything is done; the same seed and rounds do the same (1)\n"
    "  --seed N           (random, printed)\n"
    "  --only WORD        rows, calls, firings, triggers or shapes\n"
    "  --log FILE         every statement in full, with its answer\n"
    "  --conninfo STRING  how to connect (the PG* variables)\n"
    "It needs a superuser, and a database that is its own: instances are made and emptied, roles\n"
    "hermet_fuzz_owner and hermet_fuzz_nobody and a second database, hermet_fuzz_empty, are "
    "made.\n";

// Every character that has a meaning somewhere in a query's making.
const std::string odd_schema = "we\"ird {s}{scope} %I$1 '\xC3\xBC\\";

class Fuzzer {
  public:
    Fuzzer(const Options &options, uint64_t seed)
        : conninfo_(options.text("conninfo", "")), only_(options.text("only", "")), rng_(seed)
    {
        findings_.open_log(options.text("log", ""));
        world_.findings = &findings_;
        world_.nobody = "hermet_fuzz_nobody";
        prepare();
    }

    bool go(int64_t rounds)
    {
        for (int64_t i = 0; i < rounds && !interrupted; i++) {
            // The other parts need rows, too.
            part("", [&] {
                Session owner(conninfo_, owner_, findings_);
                for (int k = only_.empty() || only_ == "rows" ? 4 : 1; k > 0; k--) {
                    fuzz_rows(rng_, world_, owner, 250);
                    compare();
                }
            });
            part("calls", [&] {
                for (const auto &database : {conninfo_, empty_})
                    for (const auto &role : {std::string(), owner_, world_.nobody}) {
                        Session session(database, role, findings_);
                        fuzz_calls(rng_, world_, session, database == conninfo_ ? 120 : 60);
                    }
            });
            part("firings", [&] {
                Session nobody(conninfo_, world_.nobody, findings_);
                fuzz_firings(rng_, world_, nobody);
            });
            part("triggers", [&] {
                for (const auto &role : {std::string(), world_.nobody}) {
                    Session session(conninfo_, role, findings_);
                    if (i == 0)
                        fuzz_trigger_calls(world_, session);
                    fuzz_triggers(rng_, world_, session, 100);
                }
            });
            part("shapes", [&] {
                for (const auto &role : {std::string(), owner_}) {
                    Session session(conninfo_, role, findings_);
                    fuzz_shapes(rng_, world_, session, 25);
                }
            });
            compare();
            definitions_run();
        }
        for (const auto &[state, n] : findings_.states())
            std::cout << "# " << state << ": " << n << "\n";
        findings_.assert_that(crashes_ == 0, "no call and no row crashes the server");
        findings_.assert_that(findings_.complaints().empty(),
                              "every error has a SQLSTATE of its own kind, none is internal");
        findings_.assert_that(most_rows_ > 0, "the read side held rows while all of it went on");
        findings_.assert_that(differences_ == 0, "the read side is right after all of it");
        return findings_.clean();
    }

  private:
    template <class Body> void part(const std::string &name, Body body)
    {
        if (interrupted || (!only_.empty() && !name.empty() && only_ != name))
            return;
        try {
            body();
        }
        catch (const Crash &) {
            if (++crashes_ > 5)
                throw std::runtime_error("too many crashes");
            wait_for_recovery();
        }
    }

    void wait_for_recovery()
    {
        for (int i = 0; PQping(conninfo_.c_str()) != PQPING_OK; i++) {
            if (i > 600)
                throw std::runtime_error("the server does not come back");
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
    }

    void prepare()
    {
        Session admin(conninfo_, "", findings_);
        for (const auto &role : {owner_, world_.nobody})
            if (admin.query("SELECT FROM pg_roles WHERE rolname = " + literal(role)).empty())
                admin.query("CREATE ROLE " + role);
        if (admin.query("SELECT FROM pg_database WHERE datname = 'hermet_fuzz_empty'").empty())
            admin.query("CREATE DATABASE hermet_fuzz_empty");
        empty_ = conninfo_ + " dbname=hermet_fuzz_empty";

        admin.query("CREATE EXTENSION IF NOT EXISTS hermet");
        admin.query("GRANT CREATE ON DATABASE " +
                    quote_name(admin.query("SELECT current_database()")[0][0]) + " TO " + owner_ +
                    ", " + world_.nobody);
        if (admin.query("SELECT FROM pg_collation WHERE collname = 'hermet_fuzz_equal'").empty())
            admin.query("CREATE COLLATION public.hermet_fuzz_equal"
                        " (provider = icu, locale = 'und-u-ks-level1', deterministic = false)");
        Session(empty_, "", findings_).query("CREATE EXTENSION IF NOT EXISTS hermet");

        Session owner(conninfo_, owner_, findings_);
        for (const auto &schema : {std::string("im"), odd_schema}) {
            if (owner.query("SELECT FROM pg_namespace WHERE nspname = " + literal(schema))
                    .empty()) {
                owner.query("SELECT hermet.create_tables(" + literal(schema) + ")");
                refuse_lowest(owner, schema);
            }
            world_.instances.push_back(describe_instance(owner, schema));
            world_.words.insert(world_.words.end(), 5, schema);
        }
        for (const auto *side : {&world_.instances[0].write, &world_.instances[0].read})
            for (const auto &table : *side)
                world_.words.push_back(table.name);
    }

    // Tests make sharded instances without their CHECKs; then ids would come in that no query can
    // look for in partitions.
    static void refuse_lowest(Session &owner, const std::string &schema)
    {
        const Raw name{quote_name(schema)};
        if (owner.query(fill("SELECT FROM hermet.shard_counts({}) WHERE user_shards > 0", schema))
                .empty())
            return;
        const Raw lowest{"-406693723983389443"};
        owner.query(fill("ALTER TABLE {}.channel_member ADD CHECK (user_id >= {})", name, lowest));
        owner.query(fill("ALTER TABLE {}.friendship ADD CHECK (friend_id >= {})", name, lowest));
    }

    void compare()
    {
        pqxx::connection c(conninfo_);
        for (const auto &instance : world_.instances) {
            {
                pqxx::work t(c);
                const auto rows = t.exec1("SELECT count(*) FROM " + instance.quoted +
                                          ".user_conversation_view")[0]
                                      .as<int64_t>();
                most_rows_ = std::max(most_rows_, rows);
            }
            differences_ += check_with_hermet(c, instance.schema);
            differences_ += check_with_oracle(c, instance.schema);
        }
    }

    // What hermet.definition() says is SQL, whatever the schema is called.
    void definitions_run()
    {
        Session session(conninfo_, "", findings_);
        for (const auto &instance : world_.instances)
            for (const auto &table :
                 {"user_conversation_view", "user_contact_view", "conversation_reverse_index",
                  "contact_reverse_index", "channel"})
                session.query("SELECT count(*) FROM (" +
                              session.query("SELECT hermet.definition(" + literal(table) + ", " +
                                            literal(instance.schema) + ")")[0][0] +
                              ") d");
    }

    std::string conninfo_, empty_, only_;
    const std::string owner_ = "hermet_fuzz_owner";
    Rng rng_;
    Findings findings_;
    World world_;
    int crashes_ = 0;
    int64_t most_rows_ = 0;
    size_t differences_ = 0;
};

} // namespace

int main(int argc, char **argv)
{
    Options options(argc, argv, usage);
    catch_interrupts();
    const auto seed =
        static_cast<uint64_t>(options.number("seed", static_cast<int64_t>(any_seed())));
    const auto rounds = options.number("rounds", 1);
    std::cout << "# seed " << seed << ", " << rounds << " round(s)\n" << std::flush;
    try {
        if (Fuzzer(options, seed).go(rounds))
            return 0;
    }
    catch (const std::exception &e) {
        std::cout << "not ok - " << e.what() << "\n";
    }
    std::cout << "# again: --seed " << seed << " --rounds " << rounds << "\n";
    return 1;
}
