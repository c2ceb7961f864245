#include "cli/output.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/must.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

bool has_text(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
}

bool locale_is_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        if (!has_text(name)) continue;
        const std::string_view value = std::getenv(name);
        return value.find("UTF-8") != std::string_view::npos || value.find("utf8") != std::string_view::npos;
    }
    return false;
}

std::string cut_line(std::string line, std::size_t columns_max) {
    if (columns_max == 0 || columns_of(line) <= columns_max) return line;
    std::string cut;
    std::size_t columns = 0;
    bool coloured = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] == '\x1b') {
            coloured = true;
            while (i < line.size() && line[i] != 'm') cut.push_back(line[i++]);
            cut.push_back('m');
            continue;
        }
        const bool starts = (static_cast<unsigned char>(line[i]) & 0xC0) != 0x80;
        if (starts && columns == columns_max) break;
        if (starts) ++columns;
        cut.push_back(line[i]);
    }
    if (coloured) cut.append("\x1b[0m");
    return cut;
}

// Lists and tables over lines, what is empty or single on one. JSON's own text of it is YAML, too.
void add_yaml(const nlohmann::ordered_json& value, std::size_t depth, std::string& out) {
    const std::string indent(2 * depth, ' ');
    const auto add_item = [&](const std::string& head, const nlohmann::ordered_json& item) {
        out += indent + head;
        if (item.is_structured() && !item.empty()) {
            out += '\n';
            add_yaml(item, depth + 1, out);
        } else {
            out += ' ' + item.dump() + '\n';
        }
    };
    if (value.is_object())
        for (const auto& [key, item] : value.items()) add_item(nlohmann::ordered_json(key).dump() + ":", item);
    else
        for (const auto& item : value) add_item("-", item);
    if (depth == 0 && value.empty()) out = "{}\n";
}

}  // namespace

Terminal look_at_terminal(bool no_colour) {
    Terminal terminal{.out_is_tty = isatty(STDOUT_FILENO) == 1, .err_is_tty = isatty(STDERR_FILENO) == 1};
    const char* term = std::getenv("TERM");
    const bool dumb = term == nullptr || std::string_view(term) == "dumb";
    terminal.colour = terminal.out_is_tty && !dumb && !no_colour && !has_text("NO_COLOR");
    terminal.unicode = locale_is_utf8();
    winsize size{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 || ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;
    if (known && size.ws_col > 0) terminal.columns = size.ws_col;
    if (known && size.ws_row > 0) terminal.rows = size.ws_row;
    return terminal;
}

std::string toned(std::string_view text, Tone tone, bool colour) {
    if (!colour || tone == Tone::plain) return std::string(text);
    const char* code = tone == Tone::good    ? "32"
                       : tone == Tone::warn  ? "33"
                       : tone == Tone::bad   ? "31"
                       : tone == Tone::faint ? "2"
                                             : "1";
    return std::string("\x1b[").append(code).append("m").append(text).append("\x1b[0m");
}

void Table::add(std::vector<std::string> cells) {
    MUST(cells.size() == headers_.size());
    rows_.push_back(std::move(cells));
}

std::string Table::text(bool colour, std::size_t columns_max) const {
    std::vector<std::string> titles;
    std::vector<bool> right;
    std::vector<std::size_t> widths;
    for (const std::string& header : headers_) {
        right.push_back(header.starts_with('>'));
        titles.push_back(right.back() ? header.substr(1) : header);
        widths.push_back(columns_of(titles.back()));
    }
    for (const auto& row : rows_)
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
    std::string out;
    const auto put_row = [&](const std::vector<std::string>& row, Tone tone) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string blanks(widths[i] - columns_of(row[i]), ' ');
            if (i > 0) line.append("  ");
            if (right[i]) line.append(blanks);
            line.append(row[i]);
            if (!right[i]) line.append(blanks);
        }
        line = cut_line(std::move(line), columns_max);
        line.erase(line.find_last_not_of(' ') + 1);
        out.append(toned(line, tone, colour)).push_back('\n');
    };
    put_row(titles, Tone::faint);
    for (const auto& row : rows_) put_row(row, Tone::plain);
    return out;
}

std::string json_text(const google::protobuf::Message& message, bool pretty) {
    google::protobuf::util::JsonPrintOptions options;
    options.add_whitespace = pretty;
    options.always_print_primitive_fields = true;
    options.preserve_proto_field_names = true;
    std::string text;
    MUST(google::protobuf::util::MessageToJsonString(message, &text, options).ok());
    if (!pretty) text.push_back('\n');
    return text;
}

std::string yaml_text(const google::protobuf::Message& message) {
    std::string text;
    add_yaml(nlohmann::ordered_json::parse(json_text(message, false)), 0, text);
    return text;
}

bool put(std::string_view text) {
    static bool told = false;
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
    if (written && std::fflush(stdout) == 0) return true;
    if (errno != EPIPE && !told)
        std::fprintf(stderr, "nexus: cannot write to standard output: %s\n", std::strerror(errno));
    told = true;
    return false;
}

}  // namespace nexus::cli
