// Trigger functions where they do not belong, and instances whose tables were changed by hand. All
// of it is rolled back.
#include "fuzz.h"

namespace fuzz {

namespace {

// The pattern with every {} replaced by SQL, as it is.
template <typename... Pieces> std::string put(const std::string &pattern, const Pieces &...pieces)
{
    return fill(pattern, Raw{pieces}...);
}

std::vector<std::string> trigger_functions(Session &session)
{
    std::vector<std::string> all;
    for (const auto &row : session.query("SELECT 'hermet.' || quote_ident(proname) FROM pg_proc"
                                         " WHERE pronamespace = 'hermet'::regnamespace"
                                         "   AND prorettype = 'trigger'::regtype ORDER BY 1"))
        all.push_back(row[0]);
    return all;
}

const std::vector<std::string> events = {"INSERT", "UPDATE", "DELETE", "TRUNCATE"};

std::string any_trigger(Rng &rng, const std::string &on, const std::string &function)
{
    std::string sql = "CREATE ";
    const bool constraint = rng.chance(10);
    sql += constraint ? "CONSTRAINT TRIGGER " : "TRIGGER ";
    sql += rng.chance(50) ? "aaa_fuzz " : "zzzz_fuzz ";
    sql += constraint
               ? "AFTER "
               : rng.pick<std::string>({"BEFORE ", "BEFORE ", "AFTER ", "AFTER ", "INSTEAD OF "});
    std::string on_events;
    for (const auto &event : events)
        if (rng.chance(40))
            on_events += (on_events.empty() ? "" : " OR ") + event;
    sql += (on_events.empty() || rng.chance(40) ? rng.pick(events) : on_events) + " ON " + on;
    if (constraint)
        return sql + " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION " + function +
               "()";
    if (rng.chance(40))
        sql += " REFERENCING NEW TABLE AS n";
    if (rng.chance(30))
        sql += sql.find("REFERENCING") == std::string::npos ? " REFERENCING OLD TABLE AS o"
                                                            : " OLD TABLE AS o";
    sql += rng.chance(60) ? " FOR EACH ROW" : " FOR EACH STATEMENT";
    return sql + " EXECUTE FUNCTION " + function + (rng.chance(20) ? "('x', 1, '')" : "()");
}

// A relation of the caller's own, mostly with the columns and the name that hermet expects.
std::vector<std::string> any_relation(Rng &rng, const Table &table)
{
    std::string columns, more;
    for (const auto &column : table.columns) {
        if (rng.chance(1))
            continue;
        std::string type = column.labels.empty() ? column.type : "text";
        if (rng.chance(2))
            type = rng.pick<std::string>(
                {"int", "text", "numeric", "bytea", "jsonb", "point", "text[]", "oid", "record"});
        columns += (columns.empty() ? "" : ", ") + quote_name(column.name) + " " + type;
    }
    const std::string name = rng.chance(75) ? quote_name(table.name) : "another";
    switch (rng.below(8)) {
        case 0:
            return {name, "CREATE TEMP TABLE " + name + " (" + columns + ") ON COMMIT DROP"};
        case 1:
            return {name,
                    "CREATE TABLE " + name + " (" + columns + ") PARTITION BY LIST (" +
                        quote_name(table.columns[0].name) + ")",
                    "CREATE TABLE part PARTITION OF " + name + " DEFAULT"};
        case 2:
            return {name, "CREATE TABLE base (" + columns + ")",
                    "CREATE VIEW " + name + " AS SELECT * FROM base"};
        case 3:
            return {name, "CREATE FOREIGN DATA WRAPPER hermet_fuzz",
                    "CREATE SERVER hermet_fuzz FOREIGN DATA WRAPPER hermet_fuzz",
                    "CREATE FOREIGN TABLE " + name + " (" + columns + ") SERVER hermet_fuzz"};
        case 4:
            return {name, "CREATE TABLE base (" + columns + ")",
                    "CREATE TABLE " + name + " () INHERITS (base)"};
        default:
            return {name, "CREATE TABLE " + name + " (" + columns + ")"};
    }
}

void write_to(Rng &rng, Session &session, const std::string &name, const Table &table)
{
    for (int64_t n = rng.between(3, 7); n > 0; n--) {
        std::string list, values, set;
        for (const auto &column : table.columns) {
            if (!rng.chance(70))
                continue;
            Column plain = column;
            if (rng.chance(50))
                plain.labels.clear();
            list += (list.empty() ? "" : ", ") + quote_name(column.name);
            values += (values.empty() ? "" : ", ") + value(rng, plain);
        }
        const Column &column = rng.pick(table.columns);
        set = quote_name(column.name) + " = " + value(rng, column);
        switch (rng.below(7)) {
            case 0:
                session.guarded(put("INSERT INTO {} DEFAULT VALUES", name));
                break;
            case 1:
            case 2:
                if (!list.empty())
                    session.guarded(put("INSERT INTO {} ({}) VALUES ({})", name, list, values));
                break;
            case 3:
            case 4:
                session.guarded(put("UPDATE {} SET {}", name, set));
                break;
            case 5:
                session.guarded("DELETE FROM " + name);
                break;
            default:
                session.guarded("TRUNCATE " + name);
        }
    }
    session.guarded("SET CONSTRAINTS ALL IMMEDIATE");
}

std::string a_write_to(Rng &rng, const Instance &instance, const std::string &table)
{
    std::string sql;
    for (int i = 0; i < 200; i++) {
        sql = random_write(rng, instance);
        if (sql.find("INTO " + instance.quoted + "." + table + " ") != std::string::npos ||
            sql.find("UPDATE " + instance.quoted + "." + table + " ") != std::string::npos)
            break;
    }
    return sql;
}

// NULL where none may be, in about half of the columns.
void write_nulls(Rng &rng, Session &session, const Instance &instance, const Table &any)
{
    const Table *table = &any;
    for (const auto &other : instance.read)
        if (other.name == "user_conversation_view" && rng.chance(50))
            table = &other;
    const std::string name = instance.quoted + "." + quote_name(table->name);
    std::string set;
    for (const auto &column : table->columns) {
        session.guarded("ALTER TABLE " + name + " ALTER " + quote_name(column.name) +
                        " DROP NOT NULL");
        if (rng.chance(50) &&
            std::find(table->key.begin(), table->key.end(), column.name) == table->key.end())
            set += (set.empty() ? "" : ", ") + quote_name(column.name) + " = NULL";
    }
    session.guarded("ALTER TABLE " + name + " DISABLE TRIGGER USER");
    session.guarded("UPDATE " + name + " SET " + set);
    session.guarded("ALTER TABLE " + name + " ENABLE TRIGGER USER");
}

// Every way that leads to rows of the read side, for whatever is there.
void touch_everything(Session &session, const Instance &instance)
{
    session.guarded("SET LOCAL search_path = " + instance.quoted);
    for (const char *sql :
         {"UPDATE message SET content = content || 'x'",
          "INSERT INTO message (id, channel_id, sender_id, mention_all)"
          " SELECT 1000 + id % 1000, channel_id, user_id, true FROM channel_member",
          "UPDATE message SET sent_at = sent_at / 2",
          "INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)"
          " SELECT 1000 + id % 1000, user_id, channel_id, 5 FROM channel_member"
          " ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = 6",
          "INSERT INTO conversation_setting (user_id, channel_id, closed_at)"
          " SELECT user_id, channel_id, hermet.now_ms() FROM channel_member"
          " ON CONFLICT (user_id, channel_id) DO UPDATE SET is_muted = true",
          "UPDATE biz_user SET nickname = nickname || '1', info_ver = info_ver + 1",
          "UPDATE friendship SET remark_name = 'r', is_starred = NOT is_starred",
          "UPDATE channel SET channel_name = channel_name || '1'",
          "UPDATE channel_member SET nickname = 'n', joined_at = 1", "DELETE FROM message",
          "UPDATE channel SET channel_status = 'archived'"})
        session.guarded(sql);
    session.guarded("RESET search_path");
}

} // namespace

void fuzz_trigger_calls(const World &world, Session &session)
{
    for (const auto &function : trigger_functions(session)) {
        const std::string state = session.run("SELECT " + function + "()");
        const bool refused = state == "39P01" || state == "0A000";
        world.findings->assert_that(refused, session.who() + ": " + function +
                                                 "() refuses a plain SELECT" +
                                                 (refused ? "" : ", instead: " + state));
        session.run("SELECT * FROM " + function + "()");
        session.run("CREATE EVENT TRIGGER hermet_fuzz ON ddl_command_end EXECUTE FUNCTION " +
                    function + "()");
        session.run("DROP EVENT TRIGGER IF EXISTS hermet_fuzz");
    }
}

// Each function on its own table, in every way that CREATE TRIGGER allows, over rows full of NULL.
void fuzz_firings(Rng &rng, const World &world, Session &session)
{
    std::vector<Table> tables = world.instances[0].write;
    tables.insert(tables.end(), world.instances[0].read.begin(), world.instances[0].read.end());
    for (const auto &function : trigger_functions(session)) {
        const Table *table = &rng.pick(tables);
        for (const auto &other : tables)
            if (function == "hermet.sync_" + other.name ||
                function == "hermet.complete_" + other.name)
                table = &other;
        std::string columns;
        for (const auto &column : table->columns)
            columns += (columns.empty() ? "" : ", ") + quote_name(column.name) + " " +
                       (column.labels.empty() ? column.type : "text");
        const std::string name = "hermet_fuzz_own." + quote_name(table->name);
        for (const auto &event : events)
            for (const std::string when : {"BEFORE", "AFTER"})
                for (const std::string each : {"ROW", "STATEMENT"}) {
                    std::string referencing;
                    if (when == "AFTER" && (event == "INSERT" || event == "UPDATE"))
                        referencing += " NEW TABLE AS n";
                    if (when == "AFTER" && (event == "DELETE" || event == "UPDATE"))
                        referencing += " OLD TABLE AS o";
                    session.query("BEGIN");
                    session.query("CREATE SCHEMA hermet_fuzz_own");
                    session.query(put("CREATE TABLE {} ({})", name, columns));
                    session.query(put("INSERT INTO {} DEFAULT VALUES", name));
                    session.guarded(
                        put("CREATE TRIGGER t {} {} ON {} {} FOR EACH {} EXECUTE FUNCTION {}()",
                            when, event, name,
                            referencing.empty() ? referencing : "REFERENCING" + referencing, each,
                            function));
                    for (const auto &column : table->columns) {
                        const std::string c = quote_name(column.name);
                        session.guarded(
                            put("INSERT INTO {} ({}) VALUES ({})", name, c, value(rng, column)));
                        session.guarded(put("UPDATE {} SET {} = {}", name, c, value(rng, column)));
                    }
                    session.guarded(
                        put("UPDATE {} SET {} = NULL", name, quote_name(table->columns[0].name)));
                    session.guarded("DELETE FROM " + name);
                    session.guarded("TRUNCATE " + name);
                    session.query("ROLLBACK");
                }
    }
}

// Relations of the caller's own, in a schema without an instance.
void fuzz_triggers(Rng &rng, const World &world, Session &session, int64_t rounds)
{
    const auto functions = trigger_functions(session);
    std::vector<Table> tables = world.instances[0].write;
    tables.insert(tables.end(), world.instances[0].read.begin(), world.instances[0].read.end());
    for (int64_t i = 0; i < rounds; i++) {
        const std::string function = rng.pick(functions);
        const Table *table = &rng.pick(tables);
        // Mostly the table that the function is meant for.
        for (const auto &other : tables)
            if (rng.chance(80) &&
                function.find("_" + other.name) + other.name.size() + 1 == function.size())
                table = &other;
        session.query("BEGIN");
        session.guarded("CREATE SCHEMA hermet_fuzz_own");
        session.guarded("SET LOCAL search_path = hermet_fuzz_own");
        const auto relation = any_relation(rng, *table);
        for (size_t k = 1; k < relation.size(); k++)
            session.guarded(relation[k]);
        for (int64_t n = rng.between(1, 3); n > 0; n--)
            session.guarded(any_trigger(rng, relation[0], function));
        write_to(rng, session, relation[0], *table);
        session.query("ROLLBACK");
    }
}

// The instance's own tables, altered; then writes, checks and repairs.
void fuzz_shapes(Rng &rng, const World &world, Session &session, int64_t rounds)
{
    const auto functions = trigger_functions(session);
    for (int64_t i = 0; i < rounds; i++) {
        const Instance &instance = rng.pick(world.instances);
        session.query("BEGIN");
        std::string touched;
        for (int64_t n = rng.between(1, 3); n > 0; n--) {
            const Table &table = rng.pick(rng.chance(65) ? instance.write : instance.read);
            const std::string name = instance.quoted + "." + quote_name(table.name);
            const std::string column = quote_name(rng.pick(table.columns).name);
            auto alter = [&](const std::string &what) {
                session.guarded(put("ALTER TABLE {} {}", name, what));
            };
            touched = quote_name(table.name);
            switch (rng.below(22)) {
                case 0:
                case 1:
                case 2:
                    write_nulls(rng, session, instance, table);
                    break;
                case 3:
                    alter(put("ALTER {} DROP DEFAULT", column));
                    alter(put("ALTER {} TYPE {} USING NULL", column,
                              rng.pick<std::string>({"text", "numeric", "int", "varchar(3)",
                                                     "bytea", "bigint[]", "text[]"})));
                    break;
                case 4:
                    alter(put("DROP COLUMN {} CASCADE", column));
                    break;
                case 5:
                    alter(put("RENAME COLUMN {} TO renamed", column));
                    break;
                case 6:
                    alter("RENAME TO renamed");
                    break;
                case 7:
                    alter("SET SCHEMA public");
                    break;
                case 8:
                    alter("DISABLE TRIGGER USER");
                    break;
                case 9:
                    session.guarded("DROP TRIGGER hermet_guard ON " + name);
                    session.guarded("DROP TRIGGER hermet_after_update ON " + name);
                    break;
                case 10:
                    alter("ADD COLUMN own text GENERATED ALWAYS AS ('x') STORED");
                    break;
                case 11:
                    session.guarded("CREATE TABLE public.child () INHERITS (" + name + ")");
                    session.guarded("INSERT INTO public.child DEFAULT VALUES");
                    break;
                case 12:
                    alter("DROP CONSTRAINT " + quote_name(table.name + "_pkey"));
                    break;
                case 13:
                    alter("ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
                    break;
                case 14:
                    session.guarded(put("CREATE RULE fuzz AS ON {} TO {} DO INSTEAD NOTHING",
                                        rng.pick<std::string>({"INSERT", "UPDATE", "DELETE"}),
                                        name));
                    break;
                case 15:
                    alter("OWNER TO " + world.nobody);
                    break;
                case 16:
                    session.guarded("DROP TABLE " + name + " CASCADE");
                    if (rng.chance(50))
                        session.guarded("CREATE VIEW " + name + " AS SELECT 1 AS id");
                    break;
                case 17:
                    session.guarded("ALTER TYPE " + instance.quoted +
                                    ".channel_status_enum RENAME VALUE 'active' TO 'awake'");
                    break;
                case 18:
                    session.guarded("ALTER SCHEMA " + instance.quoted + " RENAME TO renamed");
                    break;
                case 19:
                    alter(put("ADD CHECK ({} IS NULL) NOT VALID", column));
                    break;
                case 20:
                    alter(
                        put("ALTER {} TYPE varchar(64) COLLATE public.hermet_fuzz_equal", column));
                    break;
                default:
                    for (int k = 0; k < 4; k++)
                        session.guarded(any_trigger(rng, name, rng.pick(functions)));
            }
            if (rng.chance(40))
                session.guarded(random_write(rng, instance));
        }
        for (int64_t n = rng.between(3, 6); n > 0; n--)
            session.guarded(rng.chance(60)   ? a_write_to(rng, instance, touched)
                            : rng.chance(50) ? random_write(rng, instance)
                                             : random_call(rng, world, session));
        touch_everything(session, instance);
        session.guarded("SELECT * FROM hermet.check_consistency(" + literal(instance.schema) + ")");
        session.guarded("SELECT * FROM hermet.health(" + literal(instance.schema) + ")");
        session.guarded("SELECT hermet.upgrade(" + literal(instance.schema) + ")");
        session.query("ROLLBACK");
    }
}

} // namespace fuzz
