#pragma once
// What every verb of the command line shares: the flags --server, --timeout, -o, --quiet and --no-color, the session,
// the terminal, and the loop behind --watch.

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/session.h"

namespace nexus::cli {

struct Shell {
    Session& session;
    Interrupt& interrupt;
    Terminal terminal;
    Format format = Format::table;
    bool quiet = false;
    Duration limit;                    // as given with --timeout; 0 = not given
    std::vector<std::string> columns;  // as given with --columns, all of them known; empty = not given

    // A message as it is: JSON or YAML.
    bool wants_json() const { return wants_document() || format == Format::jsonl; }
    // The same, of a list as one document.
    bool wants_document() const { return format == Format::json || format == Format::yaml; }
    // One message as JSON, spread over lines or on one line, or as YAML, as --output asks.
    bool put_json(const google::protobuf::Message& message) const {
        return put(format == Format::yaml ? "---\n" + yaml_text(message) : json_text(message, format == Format::json));
    }
    // A line for the person at the terminal, on standard error; --quiet swallows it.
    void say(std::string_view line) const;
    void say_more(const std::string& page_token) const;  // to people, if there is more of a list
    // Cut to the width of a terminal, whole when piped or --output wide.
    bool put_table(const Table& table) const;
};

struct Verb {
    const char* name = "";
    const char* help = "";
    const char* examples = "";  // whole command lines, one a line
    std::string columns{};      // of what it lists, "id,type": it has --columns and -o csv then (columns.h)
};

// Adds a verb with the shared flags. `run` is called when it was chosen, with flags parsed and a session made (no
// connection is opened before the first call); its answer becomes `exit_code`, a Failure is reported first.
CLI::App* add_verb(CLI::App& parent, const Verb& verb, int& exit_code, std::function<Answer<int>(Shell&)> run);
// As add_verb, with --watch: `show` is repeated each second until Ctrl-C, on a terminal over the last picture.
CLI::App* add_watched_verb(CLI::App& parent, const Verb& verb, int& exit_code, std::function<Answer<int>(Shell&)> show);
// A noun that only groups verbs, found or made: several rooms add to one.
CLI::App* add_noun(CLI::App& root, const char* name, const char* help);

// The name in the audit log: --author, else the user's name, else "unknown".
std::string default_author();

// A flag whose value is a duration ("5s"); a wrong one is a usage error. `us` must outlive the parsing.
CLI::Option* add_duration(CLI::App& verb, const std::string& flags, std::int64_t& us, const std::string& help);

std::int64_t now_unix_us();

}  // namespace nexus::cli
