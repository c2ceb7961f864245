#pragma once
// The configuration a server starts with, read from file, environment and flags, and the verbs that look at it without a
// server: `nexus config validate`, `show` and `keys`.

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/failure.h"
#include "config/sources.h"

namespace nexus::serve {

struct StartFlags {
    std::string file;
    std::map<std::string, std::string> named;  // "server.listen" -> value, of the settings with a flag of their own
    std::vector<std::string> set;              // key=value
};
// One flag per setting that has one, --config and --set. `flags` must outlive the parsing.
void add_start_flags(CLI::App& verb, StartFlags& flags);
cli::Answer<config::Start> read_start(const StartFlags& flags);

// `error` as the end of a verb; `doing` says what was tried.
std::unexpected<cli::Failure> failed(const Error& error, std::string_view doing, std::string next = {});

void add_config_verbs(CLI::App& root, int& exit_code);

}  // namespace nexus::serve
