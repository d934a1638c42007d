// Every function of schema hermet, found in the catalog, with arguments that nobody expects.
#include "fuzz.h"

namespace fuzz {

namespace {

struct Function {
    std::string name;
    bool is_set, is_procedure;
    size_t defaults;
    std::vector<std::string> types, names;
};

std::vector<std::string> split(const std::string &list)
{
    std::vector<std::string> parts;
    std::stringstream in(list);
    for (std::string part; std::getline(in, part, '|');)
        parts.push_back(part);
    return parts;
}

std::vector<Function> functions(Session &session)
{
    std::vector<Function> all;
    for (const auto &row :
         session.query("SELECT p.proname, p.proretset, p.prokind = 'p', p.pronargdefaults,"
                       "  (SELECT string_agg(format_type(t, NULL), '|' ORDER BY o)"
                       "     FROM unnest(p.proargtypes) WITH ORDINALITY u (t, o)),"
                       "  array_to_string(p.proargnames[1:p.pronargs], '|')"
                       " FROM pg_proc p WHERE p.pronamespace = 'hermet'::regnamespace AND "
                       "p.prokind IN ('f', 'p')"
                       " AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)"
                       " ORDER BY 1, 5"))
        all.push_back({row[0], row[1] == "t", row[2] == "t", static_cast<size_t>(std::stoi(row[3])),
                       split(row[4]), split(row[5])});
    return all;
}

std::string call_of(Rng &rng, const Function &function, const std::vector<std::string> &words)
{
    std::string list;
    const size_t n = function.types.size();
    const bool named = function.names.size() == n && rng.chance(40);
    size_t given = n;
    if (!named && rng.chance(50))
        given -= static_cast<size_t>(rng.below(static_cast<int64_t>(function.defaults) + 1));
    for (size_t i = 0; i < given; i++) {
        if (named && i >= n - function.defaults && rng.chance(50))
            continue;
        list += (list.empty() ? "" : ", ") +
                (named ? quote_name(function.names[i]) + " => " : std::string()) +
                argument(rng, function.types[i], words);
    }
    return "hermet." + quote_name(function.name) + "(" + list + ")";
}

std::string statement_of(Rng &rng, const Function &function, const std::string &call)
{
    if (function.is_procedure)
        return "CALL " + call;
    switch (rng.below(8)) {
        case 0:
            return "SELECT " + call;
        case 1:
            return "SELECT " + call + " FROM generate_series(1, 3)";
        case 2:
            return "SELECT " + call + " LIMIT 1";
        case 3:
            return "SELECT 1 WHERE EXISTS (SELECT FROM " + call + ")";
        case 4:
            return "SELECT 1/0 FROM " + call;
        case 5: // as an expression, where a set cannot be
            return "SELECT 1 ORDER BY CASE WHEN " + call + " IS NULL THEN 1 END";
        default:
            return "SELECT * FROM " + call;
    }
}

// What makes or unmakes an instance is rolled back, so that there is one to go on with; and so is
// what would leave it wrong.
bool stays(const std::string &name)
{
    return name != "detach" && name != "attach" && name != "create_tables" &&
           name != "complete_schema" && name != "begin_bulk_load" && name.rfind("migrate", 0) != 0;
}

} // namespace

std::string random_call(Rng &rng, const World &world, Session &session)
{
    const auto all = functions(session);
    const Function &function = rng.pick(all);
    return statement_of(rng, function, call_of(rng, function, world.words));
}

void fuzz_calls(Rng &rng, const World &world, Session &session, int64_t calls)
{
    const auto all = functions(session);
    for (int64_t done = 0; done < calls;) {
        // Each function gets its turn, in random order.
        const Function &function =
            rng.chance(50) ? all[static_cast<size_t>(done) % all.size()] : rng.pick(all);
        const std::string sql = statement_of(rng, function, call_of(rng, function, world.words));
        if (function.is_procedure || (stays(function.name) && rng.chance(15))) {
            session.run(sql);
            done++;
            continue;
        }
        static const std::vector<std::string> modes = {"", "", " ISOLATION LEVEL REPEATABLE READ",
                                                       " ISOLATION LEVEL SERIALIZABLE",
                                                       " READ ONLY"};
        session.query("BEGIN" + rng.pick(modes));
        session.guarded(sql);
        for (int64_t n = rng.below(3); n > 0; n--, done++)
            session.guarded(random_call(rng, world, session));
        session.query("ROLLBACK");
        done++;
    }
}

} // namespace fuzz
