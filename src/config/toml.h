#pragma once
// Configuration as TOML text, and back.
//
//   [scheduler]           the scalar keys of setting.h
//   lease = "5s"          durations and sizes are text with a unit; a bare number is refused
//   [[queues]]            a list that is present replaces the whole list; `queues = []` empties it
//   [queues.mail]         changes one entry and leaves the others; makes it when there is none
//   [server]              only where Values are asked for: a running server cannot change it
//
// A text is an edit: keys that are absent keep their value. Unknown keys, wrong types, values out of range and names
// that are no names are Fault::invalid; the message has the line, the key and the nearest known key. After an error
// nothing is changed. No threads, clock or files.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/setting.h"

namespace nexus::config {

inline constexpr std::size_t kTextBytesMax = 256 * 1024;

// The live part. apply(to_toml(c), d) makes d equal to c but for the version.
std::string to_toml(const core::Config& config);

// Each returns the keys that the text named ("scheduler.lease", "queues"). That of the live part calls check(); of Values
// several texts may have to come together before they fit, so whoever has applied the last one checks.
Result<std::vector<std::string>> apply(std::string_view toml, core::Config& config);
Result<std::vector<std::string>> apply(std::string_view toml, Values& values);

// One setting from text, with or without quotes. Not checked either.
Result<void> apply_value(std::string_view name, std::string_view value, Values& values);

// Edits that the server makes itself.
std::string pause_edit(std::string_view queue, bool paused);
std::string policy_edit(std::string_view policy);

// What differs, in the order of the manual. Empty text: not there.
struct Change {
    std::string key;  // "scheduler.lease", "queues.mail.running_max"
    std::string before, after;
    bool operator==(const Change&) const = default;
};
std::vector<Change> diff(const core::Config& before, const core::Config& after);

// What no single key can show: ranges that depend on each other, names of entries, one entry per name.
Result<void> check(const core::Config& config);

}  // namespace nexus::config
