// Reads IRC logs: one file into lines that each say one thing, whatever bytes are in them.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace chatlog {

struct Line {
    enum Kind { message, action, system, join, leave, rename, malformed };
    Kind kind = malformed;
    int number = 0;   // in its file, from 1
    int minute = -1;  // of the day; -1 where the line carries no time
    std::string nick; // who speaks, joins, leaves, is renamed
    std::string text; // what is said; the new nick of a rename; why a line is malformed
};

struct Log {
    std::string path, name; // the name is the file's without folder and ".log"
    int64_t day_ms = 0;     // midnight UTC of the day in the file's name
    int64_t replaced = 0;   // bytes that were no UTF-8, or NUL
    std::vector<Line> lines;
};

// The length of the UTF-8 character at this place, 0 when there is none that a database takes.
inline size_t character_at(const std::string &s, size_t at)
{
    auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
    auto follows = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
    unsigned first = byte(at), second = byte(at + 1);
    if (first == 0)
        return 0;
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return follows(at + 1) ? 2 : 0;
    if (first >= 0xE0 && first <= 0xEF) {
        bool overlong = first == 0xE0 && second < 0xA0, surrogate = first == 0xED && second > 0x9F;
        return follows(at + 1) && follows(at + 2) && !overlong && !surrogate ? 3 : 0;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        bool overlong = first == 0xF0 && second < 0x90, beyond = first == 0xF4 && second > 0x8F;
        bool whole = follows(at + 1) && follows(at + 2) && follows(at + 3);
        return whole && !overlong && !beyond ? 4 : 0;
    }
    return 0;
}

// Every byte that is no part of a character becomes U+FFFD.
inline std::string to_utf8(const std::string &s, int64_t &replaced)
{
    std::string out;
    out.reserve(s.size());
    for (size_t at = 0; at < s.size();) {
        size_t n = character_at(s, at);
        out += n ? s.substr(at, n) : "\xEF\xBF\xBD";
        replaced += n == 0;
        at += n ? n : 1;
    }
    return out;
}

inline std::string lower(std::string s)
{
    for (char &c : s)
        c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return s;
}

inline bool is_nick(const std::string &s)
{
    return !s.empty() && s.size() <= 64 && s.find(' ') == std::string::npos;
}

// "=== ...": joins, leaves, renames; anything else is a system line.
inline Line parse_notice(const std::string &text)
{
    Line line;
    line.kind = Line::system;
    line.text = text;
    size_t space = text.find(' ');
    if (space == std::string::npos || !is_nick(text.substr(0, space)))
        return line;
    const std::string nick = text.substr(0, space), said = text.substr(space);
    const std::string known = " is now known as ";
    if (said.rfind(known, 0) == 0) {
        std::string renamed = said.substr(known.size());
        renamed = renamed.substr(0, renamed.find(' '));
        if (is_nick(renamed))
            return {Line::rename, 0, -1, nick, renamed};
        return line;
    }
    size_t host = said.find("]  has ");
    if (said.rfind(" [", 0) != 0 || host == std::string::npos)
        return line;
    const std::string verb = said.substr(host + 7);
    if (verb.rfind("joined", 0) == 0)
        return {Line::join, 0, -1, nick, ""};
    if (verb.rfind("left", 0) == 0 || verb.rfind("quit", 0) == 0)
        return {Line::leave, 0, -1, nick, ""};
    return line;
}

inline Line parse(const std::string &raw)
{
    if (raw.empty())
        return {Line::malformed, 0, -1, "", "empty line"};
    if (raw.rfind("=== ", 0) == 0)
        return parse_notice(raw.substr(4));
    auto digit = [&](size_t i) { return raw[i] >= '0' && raw[i] <= '9'; };
    if (raw.size() < 8 || raw[0] != '[' || !digit(1) || !digit(2) || raw[3] != ':' || !digit(4) ||
        !digit(5) || raw[6] != ']' || raw[7] != ' ')
        return {Line::malformed, 0, -1, "", "neither [hh:mm] nor ==="};
    int hour = std::stoi(raw.substr(1, 2)), minute = std::stoi(raw.substr(4, 2));
    if (hour > 23 || minute > 59)
        return {Line::malformed, 0, -1, "", "no such time of day"};
    const std::string rest = raw.substr(8);
    const int at = hour * 60 + minute;
    if (rest.rfind("<", 0) == 0) {
        size_t end = rest.find('>');
        std::string nick = end == std::string::npos ? "" : rest.substr(1, end - 1);
        // A nick has no spaces; some logs show "[a] b" for the nick "[a]b".
        nick.erase(std::remove(nick.begin(), nick.end(), ' '), nick.end());
        if (!is_nick(nick))
            return {Line::malformed, 0, at, "", "no nick between < and >"};
        size_t text = rest.find_first_not_of(' ', end + 1);
        return {Line::message, 0, at, nick, text == std::string::npos ? "" : rest.substr(text)};
    }
    if (rest.rfind(" * ", 0) == 0 || rest.rfind("* ", 0) == 0) {
        const std::string told = rest.substr(rest.find('*') + 2);
        const std::string nick = told.substr(0, told.find(' '));
        if (!is_nick(nick))
            return {Line::malformed, 0, at, "", "no nick after *"};
        size_t text = told.find(' ');
        return {Line::action, 0, at, nick, text == std::string::npos ? "" : told.substr(text + 1)};
    }
    return {Line::system, 0, at, "", rest};
}

// Days since 1970-01-01 of a date of the Gregorian calendar.
inline int64_t day_number(int64_t year, int64_t month, int64_t day)
{
    const int64_t months = year * 12 + month - 3; // the year of this count begins in March
    const int64_t y = months / 12, m = months % 12;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 719469;
}

inline Log read(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw std::runtime_error("cannot read " + path);
    Log log;
    log.path = path;
    log.name = path.substr(path.find_last_of('/') + 1);
    if (size_t dot = log.name.rfind(".log"); dot != std::string::npos)
        log.name.resize(dot);
    int year = 0, month = 0, day = 0;
    if (std::sscanf(log.name.c_str(), "%4d-%2d-%2d", &year, &month, &day) != 3)
        year = 2000, month = 1, day = 1; // a name without a date still needs a time after 1970
    log.day_ms = day_number(year, month, day) * 86400000;
    for (std::string raw; std::getline(file, raw);) {
        if (!raw.empty() && raw.back() == '\r')
            raw.pop_back();
        Line line = parse(to_utf8(raw, log.replaced));
        line.number = static_cast<int>(log.lines.size()) + 1;
        log.lines.push_back(line);
    }
    return log;
}

} // namespace chatlog
