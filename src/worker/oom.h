#pragma once
// Whether the kernel kills for memory here. Reads /proc and /sys/fs/cgroup; any thread.

#include <cstdint>
#include <optional>
#include <string>

namespace nexus::worker {

// How many processes of this process's control group (of version 2, or of version 1 with a memory controller) the
// kernel has killed for lack of memory so far. Nothing when it does not say.
std::optional<std::uint64_t> oom_kills();

// The same by the files below these two: `groups` as /proc/self/cgroup, `mount` as /sys/fs/cgroup.
std::optional<std::uint64_t> oom_kills_below(const std::string& groups, const std::string& mount);

}  // namespace nexus::worker
