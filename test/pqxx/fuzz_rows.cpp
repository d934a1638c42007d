// Extreme rows on the write side: whatever a column can hold, and what it cannot.
#include "fuzz.h"

namespace fuzz {

namespace {

std::string full_name(const Instance &instance, const Table &table)
{
    return instance.quoted + "." + quote_name(table.name);
}

bool is_key(const Table &table, const std::string &name)
{
    return std::find(table.key.begin(), table.key.end(), name) != table.key.end();
}

std::string comma(const std::string &list)
{
    return list.empty() ? "" : ", ";
}

// An id, the columns without a default, and a few of the others.
std::vector<const Column *> some_columns(Rng &rng, const Table &table)
{
    std::vector<const Column *> some;
    for (const auto &column : table.columns) {
        const std::string &n = column.name;
        bool needed = is_key(table, n) || n == "id" || n == "channel_id" || n == "user_id" ||
                      n == "sender_id" || n == "channel_type" || n == "applicant_id" ||
                      n == "application_type" || n == "target_id" || n == "mention_user_ids";
        if (rng.chance(needed ? 99 : 35))
            some.push_back(&column);
    }
    return some;
}

std::string names(const std::vector<const Column *> &columns)
{
    std::string list;
    for (const auto *column : columns)
        list += comma(list) + quote_name(column->name);
    return list;
}

std::string row(Rng &rng, const Table &table, const std::vector<const Column *> &columns)
{
    std::string list;
    for (const auto *column : columns) {
        // Rows should come in, so an id that is only unique is drawn from many.
        bool own_id = column->name == "id" && table.name != "biz_user" && table.name != "channel";
        list += comma(list) + (own_id && rng.chance(85) ? std::to_string(rng.between(-500, 500))
                                                        : value(rng, *column));
    }
    return "(" + list + ")";
}

std::string assignments(Rng &rng, const Table &table)
{
    std::string list;
    for (int64_t n = rng.between(1, 3), i = 0; i < n; i++) {
        const Column &column = rng.pick(table.columns);
        // Keys change seldom, or nothing would meet anything for long.
        if (is_key(table, column.name) && rng.chance(70))
            continue;
        if (list.find("\"" + column.name + "\" =") == std::string::npos)
            list += comma(list) + "\"" + column.name + "\" = " + value(rng, column);
    }
    return list.empty() ? "updated_at = 0" : list;
}

std::string some_rows(Rng &rng, const Table &table)
{
    if (rng.chance(3))
        return "";
    std::string condition;
    for (const auto &key : table.key)
        if (condition.empty() || rng.chance(80))
            condition += (condition.empty() ? " WHERE " : " AND ") + quote_name(key) +
                         (rng.chance(3) ? " <= " : " = ") + id(rng);
    return condition;
}

std::string insert(Rng &rng, const Instance &instance, const Table &table)
{
    const auto columns = some_columns(rng, table);
    if (columns.empty())
        return "INSERT INTO " + full_name(instance, table) + " DEFAULT VALUES";
    std::string rows;
    for (int64_t n = rng.chance(70) ? 1 : rng.between(2, 12); n > 0; n--)
        rows += comma(rows) + row(rng, table, columns);
    std::string sql =
        "INSERT INTO " + full_name(instance, table) + " (" + names(columns) + ") VALUES " + rows;
    if (rng.chance(40)) {
        std::string key;
        for (const auto &name : table.key)
            key += comma(key) + quote_name(name);
        sql += " ON CONFLICT (" + key + ") DO " +
               (rng.chance(30) ? "NOTHING" : "UPDATE SET " + assignments(rng, table));
    }
    return sql;
}

std::string merge(Rng &rng, const Instance &instance, const Table &table)
{
    std::string on, list;
    for (const auto &name : table.key)
        on += (on.empty() ? "" : " AND ") + ("t." + quote_name(name)) + " = s.k";
    const auto columns = some_columns(rng, table);
    return "MERGE INTO " + full_name(instance, table) + " t USING (VALUES (" + id(rng) +
           "::bigint), (" + id(rng) + "), (NULL)) s (k) ON " + on +
           " WHEN MATCHED AND s.k < 0 THEN DELETE WHEN MATCHED THEN UPDATE SET " +
           assignments(rng, table) + " WHEN NOT MATCHED THEN " +
           (columns.empty() ? std::string("DO NOTHING")
                            : "INSERT (" + names(columns) + ") VALUES " + row(rng, table, columns));
}

// A line of COPY's text format that fits, or does not.
std::string copy_line(Rng &rng, const std::vector<const Column *> &columns)
{
    std::string line;
    for (const auto *column : columns) {
        std::string field;
        if (!column->labels.empty())
            field = rng.pick(column->labels);
        else if (column->type == "bigint")
            field = rng.chance(70) ? std::to_string(rng.between(-9, 500))
                                   : rng.pick<std::string>(
                                         {"9223372036854775807", "0", "7", "-9223372036854775808"});
        else if (column->type == "integer")
            field = std::to_string(rng.between(0, 9));
        else if (column->type == "boolean")
            field = rng.chance(50) ? "t" : "f";
        else if (column->type.find("[]") != std::string::npos)
            field = rng.pick<std::string>({"{}", "{1,NULL}", "[3:4]={1,2}", "{{1},{2}}"});
        else
            field = rng.pick<std::string>({"", "x", "\\t\\n\\\\", "\xF0\x9F\x98\x80", "\\x41"});
        if (rng.chance(1))
            field = rng.pick<std::string>({"\\N", "9223372036854775808", "{", "[1:0]={}", "\\.",
                                           "\xFF\xFE", "\xED\xA0\x80", "1e3", "NaN",
                                           std::string(1, '\0'), std::string(100000, '{')});
        line += (line.empty() && &columns.front() == &column ? "" : "\t") + field;
    }
    if (rng.chance(2))
        line += "\tone too many";
    return line + "\n";
}

void copy(Rng &rng, const Instance &instance, const Table &table, Session &session)
{
    std::vector<const Column *> columns;
    for (const auto &column : table.columns)
        if (is_key(table, column.name) || column.name == "id" || rng.chance(60))
            columns.push_back(&column);
    std::string data;
    for (int64_t n = rng.between(0, 8); n > 0; n--)
        data += copy_line(rng, columns);
    static const std::vector<std::string> formats = {"",
                                                     "",
                                                     "",
                                                     "",
                                                     " (FORMAT csv, DELIMITER E'\\t')",
                                                     " (FORMAT binary)",
                                                     " (HEADER match)",
                                                     " (FREEZE)",
                                                     " (NULL 'x')"};
    if (rng.chance(10))
        data =
            rng.pick<std::string>({"\\.\n", std::string("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19),
                                   "\"", std::string(3, '\0'), "\\"});
    session.copy("COPY " + full_name(instance, table) + " (" + names(columns) + ") FROM STDIN" +
                     rng.pick(formats),
                 data);
}

} // namespace

std::string random_write(Rng &rng, const Instance &instance)
{
    const Table &table = rng.pick(instance.write);
    const std::string name = full_name(instance, table);
    switch (rng.below(20)) {
        case 0:
            return rng.chance(6) ? "TRUNCATE " + name : insert(rng, instance, table);
        case 1:
            return "DELETE FROM " + name + some_rows(rng, table);
        case 2:
        case 3:
        case 4:
        case 5:
        case 6:
        case 7:
            return "UPDATE " + name + " SET " + assignments(rng, table) + some_rows(rng, table);
        case 8:
            return merge(rng, instance, table);
        case 9: {
            const Table &other = rng.pick(instance.write);
            return "WITH w AS (" + insert(rng, instance, other) + " RETURNING 1), v AS (UPDATE " +
                   name + " SET " + assignments(rng, table) + some_rows(rng, table) +
                   " RETURNING 1) SELECT count(*) FROM w, v";
        }
        case 10: {
            const Table &read = rng.pick(instance.read);
            return rng.chance(50)
                       ? "UPDATE " + full_name(instance, read) + " SET " + assignments(rng, read)
                       : "DELETE FROM " + full_name(instance, read);
        }
        default:
            return insert(rng, instance, table);
    }
}

void fuzz_rows(Rng &rng, const World &world, Session &session, int64_t statements)
{
    static const std::vector<std::string> levels = {"READ COMMITTED", "READ COMMITTED",
                                                    "REPEATABLE READ", "SERIALIZABLE"};
    for (int64_t done = 0; done < statements;) {
        const bool bracketed = rng.chance(25);
        if (bracketed)
            session.query("BEGIN ISOLATION LEVEL " + rng.pick(levels));
        for (int64_t n = bracketed ? rng.between(2, 6) : 1; n > 0; n--, done++) {
            const Instance &instance = rng.pick(world.instances);
            if (!bracketed && rng.chance(12))
                copy(rng, instance, rng.pick(instance.write), session);
            else if (bracketed)
                session.guarded(random_write(rng, instance));
            else
                session.run(random_write(rng, instance));
        }
        if (bracketed)
            session.run(rng.chance(80) ? "COMMIT" : "ROLLBACK");
    }
}

} // namespace fuzz
