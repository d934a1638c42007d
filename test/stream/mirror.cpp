// A consumer of the change stream: keeps both views of an instance in a second database, from the
// stream alone. It shares no code with the extension; docs/change-stream.md tells what it does and
// why. What it does with an event is in mirror.sql.
#include "pgoutput.h"

#include <chrono>
#include <iostream>
#include <pqxx/pqxx>
#include <thread>

namespace {

constexpr const char *mirror_sql =
#include "bin/mirror.inc"
    ;

const char *const usage = R"(hermet-mirror SOURCE TARGET INSTANCE [once]
  SOURCE    the primary: a connection string of a role with REPLICATION
  TARGET    the second database, and by search_path the schema in it that is the copy's
  INSTANCE  the schema of the instance whose events are read: its events must be enabled, and
            published by "cqrs_events"
  once      ends when nothing is left to read
)";

const std::string slot = "mirror";
const std::string publication = "cqrs_events";
constexpr int batch = 10000; // events, and then to the end of the transaction

class Mirror {
  public:
    Mirror(const std::string &source, const std::string &target, const std::string &instance)
        : source_name_(source), source_(source), target_(target), instance_(instance)
    {
    }

    void run(bool once)
    {
        set_out();
        for (;;) {
            if (step())
                continue;
            if (once)
                return;
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
    }

  private:
    // Makes the first copy, or finds where the last run has ended.
    void set_out()
    {
        {
            pqxx::work work(target_);
            if (work.exec1("SELECT to_regclass('progress')")[0].is_null())
                work.exec(mirror_sql);
            // The slot must not hear of what could still be lost here.
            work.exec("SET synchronous_commit = on");
            work.exec("SELECT start_session()");
            work.commit();
        }
        if (!position().empty())
            return see_no_gap();
        drop_slot(); // of a first copy that did not get to its end
        copy();
    }

    std::string position()
    {
        pqxx::nontransaction query(target_);
        pqxx::result found = query.exec("SELECT position FROM progress");
        return found.empty() ? "" : found[0][0].as<std::string>();
    }

    // The slot is told what is here already, never more. If it is further, somebody else has read
    // from it.
    void see_no_gap()
    {
        pqxx::nontransaction query(source_);
        pqxx::result found =
            query.exec_params("SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND "
                              "database = current_database()"
                              " AND confirmed_flush_lsn <= $2::pg_lsn AND wal_status <> 'lost'",
                              slot, position());
        if (found.empty())
            throw std::runtime_error("the slot does not go on where this copy ends: drop the "
                                     "copy's schema, and begin anew");
    }

    void drop_slot()
    {
        pqxx::nontransaction query(source_);
        query.exec_params("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                          "WHERE slot_name = $1",
                          slot);
    }

    // All rows as of the moment at which the slot begins: only the replication protocol can show
    // that snapshot.
    void copy()
    {
        pqxx::connection replication(source_name_ + " replication=database");
        pqxx::nontransaction command(replication);
        pqxx::row made = command.exec1("CREATE_REPLICATION_SLOT " + slot +
                                       " LOGICAL pgoutput (SNAPSHOT 'export')");
        pqxx::work from(source_);
        from.exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
        from.exec("SET TRANSACTION SNAPSHOT " +
                  from.quote(made["snapshot_name"].as<std::string>()));
        pqxx::work to(target_);
        for (const auto &kept : to.exec("SELECT table_name FROM kept"))
            copy_table(from, to, kept[0].as<std::string>());
        to.exec("SELECT note_all()");
        to.exec("SELECT refresh()");
        to.exec_params("INSERT INTO progress VALUES ($1, 0)",
                       made["consistent_point"].as<std::string>());
        to.commit();
    }

    void copy_table(pqxx::work &from, pqxx::work &to, const std::string &table)
    {
        // By name, what is needed and no more: passwd is not readable for everybody.
        std::string columns =
            to.exec1(
                  "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
                  " WHERE attnum > 0 AND attrelid = " +
                  to.quote(table) + "::regclass")[0]
                .as<std::string>();
        from.exec("DECLARE rows CURSOR FOR SELECT to_jsonb(t)::text FROM (SELECT " + columns +
                  " FROM " + from.quote_name(instance_) + "." + table + ") t");
        std::string insert = "INSERT INTO ";
        insert.append(table).append(" SELECT * FROM jsonb_populate_recordset(NULL::");
        insert.append(table).append(", $1::jsonb)");
        for (;;) {
            pqxx::result rows = from.exec("FETCH 1000 FROM rows");
            if (rows.empty())
                break;
            std::string list;
            for (const auto &row : rows)
                list += (list.empty() ? "[" : ",") + row[0].as<std::string>();
            list += "]";
            to.exec_params(insert, list);
        }
        from.exec("CLOSE rows");
        to.exec("ANALYZE " + table);
    }

    // Some whole transactions of the primary become one here, with the position behind the last of
    // them. If the slot does not hear of it before a crash, it gives them again, and they are known
    // by their position.
    bool step()
    {
        pqxx::work to(target_);
        pqxx::row progress = to.exec1("SELECT position, position - '0/0' FROM progress FOR UPDATE");
        auto known = progress[1].as<uint64_t>();
        pqxx::work from(source_);
        from.exec("DECLARE changes NO SCROLL CURSOR FOR"
                  " SELECT lsn, data FROM pg_logical_slot_peek_binary_changes(" +
                  from.quote(slot) + ", NULL, " + std::to_string(batch) +
                  ", 'proto_version', '1', 'messages', 'true', 'publication_names', " +
                  from.quote(publication) + ")");
        pgoutput::Decoder decoder;
        std::string position;
        int64_t events = 0;
        bool is_known = false;
        for (;;) {
            pqxx::result changes = from.exec("FETCH 1000 FROM changes");
            if (changes.empty())
                break;
            for (const auto &change : changes) {
                pgoutput::Message message = decoder.decode(pqxx::binarystring(change[1]).str());
                if (message.kind == pgoutput::Message::begin)
                    is_known = message.commit_lsn < known;
                else if (message.kind == pgoutput::Message::commit)
                    position =
                        is_known ? progress[0].as<std::string>() : change[0].as<std::string>();
                else if (message.kind == pgoutput::Message::insert && !is_known) {
                    apply(to, message.row);
                    events++;
                }
            }
        }
        from.commit();
        if (position.empty()) {
            beat(progress[0].as<std::string>());
            return false;
        }
        to.exec("SELECT refresh()");
        to.exec_params("UPDATE progress SET position = $1, events = events + $2", position, events);
        to.commit();
        pqxx::nontransaction confirm(source_);
        confirm.exec_params("SELECT pg_replication_slot_advance($1, $2)", slot, position);
        return true;
    }

    // Where others write and nobody writes events, the slot would hold the log of the server back
    // for ever: an empty message comes along in the stream, and moves it on.
    void beat(const std::string &position)
    {
        pqxx::nontransaction query(source_);
        query.exec_params("SELECT pg_logical_emit_message(true, 'mirror', '')"
                          " WHERE pg_current_wal_flush_lsn() - $1::pg_lsn > 16777216",
                          position);
    }

    void apply(pqxx::work &to, const pgoutput::Row &event)
    {
        auto text = [&](const char *column) {
            const auto &value = event.at(column);
            return value ? value->c_str() : nullptr;
        };
        to.exec_params("SELECT apply_event($1, $2, $3::jsonb, $4::jsonb)", text("table_name"),
                       text("operation"), text("key"), text("new_values"));
    }

    std::string source_name_;
    pqxx::connection source_;
    pqxx::connection target_;
    std::string instance_;
};

} // namespace

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5 || (argc == 5 && std::string(argv[4]) != "once")) {
        std::cerr << usage;
        return 2;
    }
    try {
        Mirror(argv[1], argv[2], argv[3]).run(argc == 5);
    }
    catch (const std::exception &e) {
        std::cerr << "hermet-mirror: " << e.what() << "\n";
        return 1;
    }
    return 0;
}
