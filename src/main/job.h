#pragma once
// The job of `nexus dev`: one task per file of a folder. Its manifest in the data directory makes it continue after any
// kill: the same keys are submitted again, and what was finished is not run again.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "nexus/v1/nexus.pb.h"

namespace nexus::dev {

struct JobFile {
    std::string path;  // below the folder
    std::uint64_t bytes = 0;
    bool operator==(const JobFile&) const = default;
};

struct Job {
    std::string id;
    std::string folder;  // absolute
    bool finished = false;
    std::vector<JobFile> files;
    bool operator==(const Job&) const = default;
};

inline constexpr std::size_t kJobFilesMax = 200'000;
inline constexpr const char* kJobTenant = "dev";

// Regular files below `folder`, in the order of their names; without hidden and build folders, `data`, links and empty
// files. Faults: not_found, denied, exhausted (too many files).
Result<std::vector<JobFile>> find_files(const std::string& folder, const std::string& data);

// Empty when there is none. A manifest that cannot be understood is corrupt.
Result<std::optional<Job>> read_job(const std::string& manifest);
// Replaces the manifest as a whole.
Result<void> write_job(const std::string& manifest, const Job& job);

// "digest.cc", "digest.none": what run times are learned by.
std::string type_of(const std::string& path);
nexus::v1::TaskSpec task_of(const Job& job, const JobFile& file, const std::string& self);

}  // namespace nexus::dev
