#pragma once
// Control groups of version 2, where this process may make some: they hold whatever a program starts, however it hides,
// limit it and say truly what it used.
//
// Own group and its children are found by /proc/self/mountinfo and /proc/self/cgroup. Limits and peaks of memory need
// the controllers "memory" and "cpu" in the own group, and that no other process lives in it (as with Delegate=yes of
// systemd): then this process moves into a group of its own beside those it makes.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "process/descriptor.h"

namespace nexus::process {

struct Limits {
    std::int64_t memory_bytes = 0;  // 0 = none
    std::int64_t cpu_milli = 0;     // likewise
    std::uint64_t descriptors = 0;  // of each process; likewise
};

// One group; removed, with all that lives in it, by the destructor.
class Cgroup {
public:
    ~Cgroup();
    Cgroup(const Cgroup&) = delete;
    Cgroup& operator=(const Cgroup&) = delete;

    int procs() const { return procs_.get(); }  // a process that writes "0" here is in the group
    std::vector<pid_t> members() const;
    void kill_all() const;             // returns when nobody is left, or after a second
    bool freeze(bool still) const;     // false: not possible
    std::int64_t memory_peak() const;  // 0 = the kernel does not say
    std::optional<std::uint64_t> oom_kills() const;
    bool limits_memory() const { return limits_memory_; }

private:
    friend class Cgroups;
    explicit Cgroup(std::string path) : path_(std::move(path)) {}

    std::string path_;
    Descriptor procs_;
    bool limits_memory_ = false;
};

class Cgroups {
public:
    // Makes the group that holds the others. Nothing when it may not be made. `all`: limits of all together.
    static std::unique_ptr<Cgroups> open(const Limits& all);
    ~Cgroups();
    Cgroups(const Cgroups&) = delete;
    Cgroups& operator=(const Cgroups&) = delete;

    // Null when it cannot be made.
    std::unique_ptr<Cgroup> make(const Limits& limits);
    const std::string& path() const { return path_; }
    bool limits_memory() const { return limits_memory_; }

private:
    explicit Cgroups(std::string path) : path_(std::move(path)) {}

    std::string path_;
    std::string own_;  // where this process moved to, empty when it did not
    bool limits_memory_ = false, limits_cpu_ = false;
    std::uint64_t made_ = 0;
};

// Kills all that lives in the group at `path` and below, and removes it.
void remove_cgroup(const std::string& path);

}  // namespace nexus::process
