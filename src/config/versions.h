#pragma once
// Versions of the live configuration. Each is told by what it changed, as text that a person reads in the audit and that
// this room reads again: so a version is had back by undoing, from the present one, what came after it.
//
//   version = 7
//   scheduler.lease = "5s"
//   queues.mail.running_max = 20
//
// `before` and `after` of a change are two such texts; what was not there stands in one of them only. No threads, clock
// or files.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/toml.h"

namespace nexus::config {

// One change of the configuration as the two texts of an audit entry.
struct Edit {
    std::string before, after;
};
Edit edit_of(const core::Config& before, const core::Config& after);

// The version that an edit made; 0 when the texts are not of a change of the configuration.
std::uint32_t version_of(const Edit& edit);
// Its changes, in the order of the manual.
std::vector<Change> changes_of(const Edit& edit);

// Takes the edits back, the newest of them first, and `config.version` with them. Faults: not_found (they are not all
// that lies between, or name a setting that there is no more), invalid. After a fault `config` is unchanged.
Result<void> undo(const std::vector<Edit>& newest_first, core::Config& config);

}  // namespace nexus::config
