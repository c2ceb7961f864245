#pragma once
// The configuration a server starts with: files, then the environment, then flags; the later one wins, and every value
// knows where it came from. Files are read by the caller: this room sees text only. What one of them says may fit only
// together with the others, so check() comes last.
//
// In the environment a setting is NEXUS_SERVER_LISTEN, NEXUS_SCHEDULER_LEASE; a flag is --set scheduler.lease=3s, or the
// flag of its own that `nexus serve` has. After an error nothing is changed.

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/setting.h"

namespace nexus::config {

struct Start {
    Values values;
    // key -> "file x.toml", "environment NEXUS_...", "flag"; absent: the default.
    std::map<std::string, std::string> origins;
    std::vector<std::string> texts;  // of the files, in the order in which they were taken
};

// `origin` says where the text or value comes from.
Result<void> take_text(std::string_view toml, const std::string& origin, Start& start);
Result<void> take_value(std::string_view name, std::string_view value, const std::string& origin, Start& start);
// `environment` is a list of NAME=value. Names that begin with NEXUS_SERVER_ or NEXUS_SCHEDULER_ are ours, and win over
// those of the old Nexus (REDIS_URL).
Result<void> take_environment(std::span<const char* const> environment, Start& start);

// The configuration in force when files, environment and flags are read again: `live`, with the keys that the files name
// as `read` has them. What only the environment and flags name was read at the start and stays as it is now.
Result<core::Config> laid_over(const core::Config& live, const Start& read);
// The settings of [server] that differ: those that a running server cannot take over.
std::vector<std::string> restart_keys(const Server& running, const Server& read);
// Where each value of a running server comes from: `started` it began with, `live` is in force.
Start in_force(const Start& started, const core::Config& live);

// What no single key can show: what is reachable from outside is protected, ports differ, and check() of the live part.
Result<void> check(const Start& start);
// Whether a caller has to prove who it is.
bool asks_who_calls(const Server& server);
// What server.insecure allows is the case.
bool is_open_beyond_loopback(const Server& server);
// All of it as TOML; with origins each value has a comment that says where it came from.
std::string to_toml(const Start& start, bool with_origins);

}  // namespace nexus::config
