#pragma once
// The live configuration (core::Config) as TOML text, and back. One table of keys stands behind the configuration file,
// the environment, `nexus config` and the API, so that a key has one name, one meaning and one set of limits.
//
//   [scheduler]                 scalar keys, see config_keys()
//   lease = "5s"                durations are text with a unit; a bare number is refused
//   [[queues]]                  name, paused, count_fair, running_max
//   [[tenants]]                 name, share, running_max, waiting_max
//   [[types]]                   name, running_max
//
// A text names what it changes: keys that are absent keep their value; a list that is present replaces the whole list
// (`queues = []` empties it). Unknown keys, wrong types and values out of range are Fault::invalid, the message names
// the key, the line and the nearest known key. On an error the configuration is unchanged.
// No threads, no clock, no files.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/config.h"

namespace nexus::engine {

inline constexpr std::size_t kConfigTextBytesMax = 256 * 1024;

struct ConfigKey {
    std::string_view name;  // without "scheduler."
    std::string_view help;  // one sentence, with the unit and the range where it is not obvious
};
// All scalar keys in the order of the manual.
std::span<const ConfigKey> config_keys();

// The whole configuration as TOML. apply_config_text(config_text(c), d) makes d equal to c but for the version.
std::string config_text(const core::Config& config);

// Returns the keys that the text named ("scheduler.lease", "queues"), in its order. A top-level table called `foreign`
// is someone else's and is passed over.
Result<std::vector<std::string>> apply_config_text(std::string_view toml, core::Config& config,
                                                   std::string_view foreign = {});

// One scalar key from and to text as TOML would write it; text values also without their quotes.
Result<void> set_config_value(std::string_view key, std::string_view value, core::Config& config);
Result<std::string> config_value(std::string_view key, const core::Config& config);

// What no single key can show: ranges that depend on each other. Called by apply_config_text and set_config_value.
Result<void> check_config(const core::Config& config);

}  // namespace nexus::engine
