#pragma once
// The configuration a server starts with: a file, the folder beside it, the environment and flags; the later one wins.
// And what lets a running server read them again (api/configuration.h).

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/configuration.h"
#include "base/result.h"
#include "cli/failure.h"
#include "config/sources.h"

namespace nexus::serve {

struct StartFlags {
    std::string file, folder;
    std::map<std::string, std::string> named;  // "server.listen" -> value, of the settings with a flag of their own
    std::vector<std::string> set;              // key=value
};
// One flag per setting that has one and is among `only` (empty: all), but for names that the verb has already, --config
// and --set. `flags` must outlive the parsing.
void add_start_flags(CLI::App& verb, StartFlags& flags, std::span<const std::string_view> only = {});
cli::Answer<config::Start> read_start(const StartFlags& flags);
// Files and folders of files, checked together; without environment and flags.
Result<config::Start> read_files(const std::vector<std::string>& paths);
// For a server that was started with `started`.
std::unique_ptr<api::StartFiles> start_files(const StartFlags& flags, config::Start started);

// `error` as the end of a verb; `doing` says what was tried.
std::unexpected<cli::Failure> failed(const Error& error, std::string_view doing, std::string next = {});

}  // namespace nexus::serve
