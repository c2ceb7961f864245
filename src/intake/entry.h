#pragma once
// An entry of the stream that the producers of the old Nexus write to, as a submission. Pure.
//
// Ids and types are free text there. Where our names are narrower the old text is kept in the task's metadata, under the
// names below, and is what the old wire shows.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/messages.h"

namespace nexus::intake {

// Of the metadata of such tasks.
inline constexpr std::string_view kOldId = "nexus.task_id", kOldType = "nexus.task_type",
                                  kOldPriority = "nexus.priority", kOldCreated = "nexus.created_at",
                                  kOldMetadata = "nexus.metadata";
// A capability is a label: what a task asks for, and what a worker offers.
std::string capability_label(std::string_view capability);

using Fields = std::vector<std::pair<std::string, std::string>>;
struct Entry {
    std::string id;  // "1700000000000-0"
    Fields fields;
};

struct ReadEntry {
    engine::Submission submission;
    std::vector<std::string> warnings;  // what was taken otherwise than it was written
};
// Fault invalid: why it can never become a task.
Result<ReadEntry> to_submission(const Entry& entry);

// A name of ours for a text of theirs.
std::string plain_name(std::string_view text);
// "2026-03-01T12:00:00.000Z".
std::string iso_time(std::int64_t unix_ms);
// Milliseconds and number of an entry's id; zeros where it is none.
std::pair<std::uint64_t, std::uint64_t> parts_of(std::string_view entry_id);

}  // namespace nexus::intake
