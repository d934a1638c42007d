// Hostile values for arguments and columns.
#include "fuzz.h"

namespace fuzz {

namespace {

const std::string lowest = "(-9223372036854775807 - 1)", highest = "9223372036854775807";
const std::string wide = "\xF0\x9F\x98\x80"; // four bytes in UTF-8

std::string any_bigint(Rng &rng)
{
    static const std::vector<std::string> pool = {"0",
                                                  "1",
                                                  "-1",
                                                  "2",
                                                  lowest,
                                                  highest,
                                                  "2147483647",
                                                  "-2147483648",
                                                  "4294967296",
                                                  "1023",
                                                  "4095",
                                                  "-9223372036854775807",
                                                  "9223372036854775806",
                                                  "hermet.now_ms()"};
    return rng.pick(pool) + "::bigint";
}

std::string any_int(Rng &rng)
{
    static const std::vector<std::string> pool = {
        "0", "1", "-1", "64", "256", "2147483647", "(-2147483647 - 1)"};
    return rng.pick(pool);
}

std::string any_float(Rng &rng)
{
    static const std::vector<std::string> pool = {
        "NaN",    "Infinity", "-Infinity",         "0", "-0", "1", "0.5", "-1",
        "5e-324", "1e308",    "1.0000000000000002"};
    return "'" + rng.pick(pool) + "'::float8";
}

std::string any_text(Rng &rng, const std::vector<std::string> &words)
{
    static const std::vector<std::string> pool = {
        "''",
        "' '",
        "'a\"b''c'",
        "'%I%s%n%'",
        "'{s} {scope} {'",
        "'$1'",
        "E'\\n\\t\\\\'",
        "'; DROP SCHEMA public; --'",
        "'pg_catalog'",
        "'pg_toast'",
        "'pg_temp'",
        "'pg_temp_999'",
        "'information_schema'",
        "'hermet'",
        "'public'",
        "'nowhere'",
        "'null'",
        "repeat('x', 63)",
        "repeat('x', 64)",
        "repeat('\xE9\x95\xBF', 22)",
        "repeat('" + wide + "', 16)",
        "repeat('\"', 63)",
        "repeat('" + wide + "', 100000)",
        "'\xC3\xA9'",
        "E'e\\u0301'",
        "E'\\u202e\\ufeff'",
    };
    return !words.empty() && rng.chance(60) ? literal(rng.pick(words)) : rng.pick(pool);
}

std::string any_id_array(Rng &rng)
{
    static const std::vector<std::string> pool = {
        "'{}'::bigint[]",
        "'{NULL}'::bigint[]",
        "'{1,1,1,NULL,2,2}'::bigint[]",
        "'{{1,2},{3,4}}'::bigint[]",
        "'[5:7]={1,2,3}'::bigint[]",
        "'[-2147483647:-2147483646]={3,NULL}'::bigint[]",
        "'{{{NULL}}}'::bigint[]",
        "array_fill(NULL::bigint, ARRAY[100, 20])",
        "'{-9223372036854775808,9223372036854775807}'::bigint[]"};
    if (rng.chance(10))
        return "ARRAY(SELECT i % 50000 FROM generate_series(1, 100000) i)";
    if (rng.chance(50))
        return "ARRAY[" + id(rng) + ", " + id(rng) + "]::bigint[]";
    return rng.pick(pool);
}

std::string any_text_array(Rng &rng)
{
    static const std::vector<std::string> pool = {"'{}'",
                                                  "'{NULL}'",
                                                  "'{a,NULL,\"\",\"null\"}'",
                                                  "'{{a,b},{c,d}}'",
                                                  "'[0:1]={x,y}'",
                                                  "'[-5:-4]={x,NULL}'",
                                                  "'[2147483646:2147483646]={z}'",
                                                  "ARRAY[repeat('" + wide + "', 128)]",
                                                  "ARRAY[repeat('t', 129)]",
                                                  "array_fill('tag'::varchar, ARRAY[5000])"};
    return rng.pick(pool);
}

} // namespace

std::string quote_name(const std::string &name)
{
    std::string out = "\"";
    for (char c : name)
        out += c == '"' ? "\"\"" : std::string(1, c);
    return out + "\"";
}

std::string id(Rng &rng)
{
    static const std::vector<std::string> pool = {"1", "2", "3",    "4",     "1", "2",
                                                  "3", "0", lowest, highest, "-7"};
    return rng.pick(pool);
}

std::string argument(Rng &rng, const std::string &type, const std::vector<std::string> &words)
{
    if (rng.chance(12))
        return "NULL::" + type;
    if (type == "bigint")
        return rng.chance(50) ? id(rng) + "::bigint" : any_bigint(rng);
    if (type == "integer" || type == "smallint")
        return any_int(rng);
    if (type == "double precision" || type == "numeric" || type == "real")
        return any_float(rng);
    if (type == "boolean")
        return rng.chance(50) ? "true" : "false";
    if (type == "bigint[]")
        return any_id_array(rng);
    if (type.find("[]") != std::string::npos)
        return any_text_array(rng) + "::" + type;
    if (type == "json" || type == "jsonb") {
        static const std::vector<std::string> pool = {"null",     "{}",
                                                      "[]",       "0",
                                                      "\"\"",     "{\"a\": [1e400, null]}",
                                                      "[[[[]]]]", "{\"user_id\": \"x\"}"};
        return "'" + rng.pick(pool) + "'::" + type;
    }
    if (type == "regclass")
        return "'pg_class'::regclass";
    if (type == "text" || type == "name" || type == "character varying")
        return "(" + any_text(rng, words) + ")::" + type;
    return "(" + any_text(rng, words) + ")::text::" + type;
}

// Mostly something that a column can hold, so that the triggers get to see it.
std::string value(Rng &rng, const Column &column)
{
    if (rng.chance(2))
        return "NULL";
    if (rng.chance(5))
        return "DEFAULT";
    const std::string &name = column.name;
    if (!column.labels.empty())
        return rng.chance(2)                                ? "'nonsense'"
               : name == "channel_status" && rng.chance(70) ? "'active'"
                                                            : literal(rng.pick(column.labels));
    if (column.type == "boolean")
        return rng.chance(50) ? "true" : "false";
    if (column.type == "bigint") {
        if (name == "deleted_at" || name == "left_at")
            return rng.chance(85) ? "0" : any_bigint(rng);
        if (name.size() > 3 && name.compare(name.size() - 3, 3, "_at") == 0)
            return any_bigint(rng);
        return rng.chance(80) ? id(rng) : std::to_string(rng.between(-300, 300));
    }
    if (column.type == "integer")
        return rng.chance(80) ? std::to_string(rng.between(1, 9)) : any_int(rng);
    if (column.type == "bigint[]")
        return any_id_array(rng);
    if (column.type.find("[]") != std::string::npos)
        return any_text_array(rng);
    if (name == "message_type" && rng.chance(60))
        return rng.chance(50) ? "'text'" : "'system'";
    if (column.width > 0) {
        const std::string n = std::to_string(column.width), more = std::to_string(column.width + 1);
        const std::vector<std::string> pool = {"''",
                                               "' '",
                                               "'a'",
                                               "'A'",
                                               "'\xC3\xA9'",
                                               "E'e\\u0301'",
                                               "repeat('" + wide + "', " + n + ")",
                                               "repeat('x', " + n + ")",
                                               "repeat(' ', " + more + ")", // cut without an error
                                               "repeat('x', " + n + ") || '   '"};
        return rng.chance(3) ? "repeat('x', " + more + ")" : rng.pick(pool);
    }
    const std::vector<std::string> pool = {"''",
                                           "'hello'",
                                           "repeat('" + wide + "', 512)",
                                           "repeat('" + wide + "', 513)",
                                           "repeat(' ', 600)",
                                           "repeat('x', 511) || '" + wide + "y'",
                                           "repeat(E'e\\u0301', 400)",
                                           "repeat('" + wide + "', 300000)"};
    return pool[rng.chance(3) ? pool.size() - 1 : rng.below(pool.size() - 1)];
}

Instance describe_instance(Session &session, const std::string &schema)
{
    Instance instance;
    instance.schema = schema;
    instance.quoted = quote_name(schema);
    const std::string in_schema =
        " JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = " + literal(schema);
    for (const auto &row :
         session.query("SELECT t.side, t.table_name, array_to_string(t.key, ',')"
                       "  FROM hermet.catalog_tables() t WHERE t.side <> 'state' ORDER BY 1, 2")) {
        Table table;
        table.name = row[1];
        std::stringstream keys(row[2]);
        for (std::string key; std::getline(keys, key, ',');)
            table.key.push_back(key);
        for (const auto &c : session.query(
                 "SELECT a.attname, format_type(a.atttypid, NULL), greatest(a.atttypmod - 4, 0),"
                 "       (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM "
                 "pg_enum e"
                 "         WHERE e.enumtypid = a.atttypid)"
                 "  FROM pg_class c" +
                 in_schema +
                 "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
                 " AND NOT a.attisdropped WHERE c.relname = " +
                 literal(table.name) + " ORDER BY a.attnum")) {
            Column column = {c[0], c[1], std::stoi(c[2]), {}};
            std::stringstream labels(c[3]);
            for (std::string label; std::getline(labels, label, ',');)
                column.labels.push_back(label);
            if (column.type.find("[]") != std::string::npos)
                column.width = 0;
            table.columns.push_back(column);
        }
        (row[0] == "write" ? instance.write : instance.read).push_back(table);
    }
    return instance;
}

} // namespace fuzz
