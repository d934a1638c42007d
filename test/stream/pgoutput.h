// The messages of pgoutput, protocol version 1, as far as a publication of inserts needs them:
// https://www.postgresql.org/docs/15/protocol-logicalrep-message-formats.html
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace pgoutput {

// Column name -> its text; nothing = NULL.
using Row = std::map<std::string, std::optional<std::string>>;

struct Message {
    enum { begin, commit, insert, other } kind;
    uint64_t commit_lsn; // of a begin: where the transaction's commit stands
    Row row;             // of an insert
};

class Decoder {
  public:
    Message decode(const std::string &message)
    {
        data_ = &message;
        at_ = 0;
        switch (byte()) {
            case 'B':
                return {Message::begin, number(8), {}};
            case 'C':
                return {Message::commit, 0, {}};
            case 'I':
                return {Message::insert, 0, inserted()};
            case 'R':
                remember();
                return {Message::other, 0, {}};
            case 'M':
            case 'O':
            case 'Y':
                return {Message::other, 0, {}};
            default:
                throw std::runtime_error("the publication must be of inserts only");
        }
    }

  private:
    uint64_t number(size_t bytes)
    {
        uint64_t n = 0;
        for (size_t i = 0; i < bytes; i++)
            n = n << 8 | byte();
        return n;
    }
    uint8_t byte() { return static_cast<uint8_t>(data_->at(at_++)); }
    std::string name()
    {
        std::string s = data_->c_str() + at_;
        at_ += s.size() + 1;
        return s;
    }

    void remember()
    {
        auto &columns = relations_[number(4)];
        columns.clear();
        name(); // schema
        name(); // table
        number(1);
        for (uint64_t n = number(2); n > 0; n--) {
            number(1);
            columns.push_back(name());
            number(8); // type and its modifier
        }
    }

    Row inserted()
    {
        const auto &columns = relations_.at(number(4));
        number(1);
        Row row;
        uint64_t count = number(2);
        for (uint64_t i = 0; i < count; i++) {
            auto &value = row[columns.at(i)];
            if (byte() != 't')
                continue; // NULL; an insert has no other kind
            size_t length = number(4);
            value = data_->substr(at_, length);
            at_ += length;
        }
        return row;
    }

    const std::string *data_ = nullptr;
    size_t at_ = 0;
    std::map<uint64_t, std::vector<std::string>> relations_;
};

} // namespace pgoutput
