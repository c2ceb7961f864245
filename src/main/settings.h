#pragma once
// The configuration of a server: file < environment < flags, with the origin of every value.
//
//   [server]     this file's keys, see server_keys(); they need a restart
//   [scheduler]  and the lists [[queues]], [[tenants]], [[types]]: the live part, engine/config_text.h. It is what a
//   new
//                data directory begins with; a journal brings its own, unless --config-wins
//
// In the environment a key is NEXUS_SERVER_LISTEN, NEXUS_SCHEDULER_LEASE. A flag is --set scheduler.lease=3s, or the
// flag of its own that serve has. Unknown keys are refused everywhere and the nearest known one is named.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "core/config.h"
#include "store/journal_store.h"

namespace nexus::serve {

struct Settings {
    std::string listen = "127.0.0.1:7070";
    std::string http = "127.0.0.1:7080";
    std::string data = "./nexus-data";
    store::Durability durability = store::Durability::disk;
    std::string model = "mixture";
    Duration history_retention = hours(24 * 30);
    std::uint64_t history_bytes_max = 0;
    std::uint64_t reserve_bytes = 64ULL << 20;
    core::Config scheduler;
    std::map<std::string, std::string>
        origins;  // key -> "file x.toml", "environment NEXUS_...", "flag"; absent = default
};

struct ServerKey {
    std::string_view name;  // without "server."
    std::string_view help;
};
std::span<const ServerKey> server_keys();

Result<void> apply_file(const std::string& path, Settings& settings);
// The text of a file; `origin` is how it is called in messages.
Result<void> apply_text(std::string_view toml, const std::string& origin, Settings& settings);
// `environment` is a list of NAME=value. Names that begin with NEXUS_SERVER_ or NEXUS_SCHEDULER_ are ours.
Result<void> apply_environment(std::span<const char* const> environment, Settings& settings);
// key = "server.listen" or "scheduler.lease".
Result<void> set_value(std::string_view key, std::string_view value, const std::string& origin, Settings& settings);

// What no single key can show: addresses that are loopback, ports that differ.
Result<void> check(const Settings& settings);
// All of it as TOML; with origins each value has a comment that says where it came from.
std::string settings_text(const Settings& settings, bool with_origins);

}  // namespace nexus::serve
