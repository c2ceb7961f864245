#pragma once
// Where results go: a table for people, JSON for programs. Results are written to standard output, everything else to
// standard error, so that a pipe carries results only.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace nexus::cli {

enum class Format : std::uint8_t { table = 1, wide, json, jsonl, yaml, name, csv };

// What the terminal can do; a pipe, TERM=dumb or NO_COLOR takes it back.
struct Terminal {
    bool out_is_tty = false;
    bool err_is_tty = false;
    bool colour = false;   // of standard output
    bool unicode = false;  // the locale speaks UTF-8
    std::size_t columns = 100;
    std::size_t rows = 30;
};
Terminal look_at_terminal(bool no_colour);

enum class Tone : std::uint8_t { plain, good, warn, bad, faint, strong };
std::string toned(std::string_view text, Tone tone, bool colour);

// Rows of cells, printed in columns two blanks apart. A header starting with '>' makes the column right-aligned.
class Table {
public:
    explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
    void add(std::vector<std::string> cells);
    // With its header line; no trailing blanks. `columns_max` cuts each line, 0 = no limit.
    std::string text(bool colour, std::size_t columns_max = 0) const;
    bool empty() const { return rows_.empty(); }

private:
    std::vector<std::string> headers_;
    std::vector<std::vector<std::string>> rows_;
};

// Protobuf JSON with the names of the .proto file and every field present; int64 are strings, as protobuf JSON has it.
// `pretty` spreads it over lines.
std::string json_text(const google::protobuf::Message& message, bool pretty);

// The same as YAML: every text in double quotes, so that none is taken for a number or a truth value.
std::string yaml_text(const google::protobuf::Message& message);

// Writes and flushes to standard output. False when it is closed or full; a closed pipe is not worth a message, other
// faults are reported on standard error, once.
bool put(std::string_view text);

}  // namespace nexus::cli
