#pragma once
// What the programs of one worker have in common: nobody of them outlives it, and nothing they leave stays.
//
//   Orphans    this process adopts whatever its programs abandon (PR_SET_CHILD_SUBREAPER), reaps it, and kills it when
//              the attempt that it came from ends
//   Groups     each attempt lives in a control group of its own where that is allowed (cgroup.h)
//   Scratch    each attempt has a directory for temporary files, which goes with it
//   Death      a small guard process outlives this one by a step: when this process is gone, however it went, the guard
//              kills what it left behind and removes its files
//   Secrets    this process cannot be read by its programs: neither its memory nor its environment (PR_SET_DUMPABLE)
//
// Make it before any thread exists: it forks. One per process. Members may come and go on any thread.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "process/cgroup.h"
#include "process/guard.h"

namespace nexus::process {

class Household {
public:
    // `all`: what its programs together may use, where control groups are allowed. `with_groups`: whether they are wanted.
    explicit Household(const Limits& all = {}, bool with_groups = true);
    ~Household();
    Household(const Household&) = delete;
    Household& operator=(const Household&) = delete;

    Guard& guard() { return *guard_; }
    Cgroups* cgroups() { return cgroups_.get(); }
    // A new directory of its own for an attempt; empty when there is no room for one.
    std::string make_scratch();
    // Held while a child is made that is not known yet.
    std::shared_mutex& starting() { return starting_; }

    void joined(const std::string& mark, pid_t leader);
    void left(const std::string& mark, pid_t leader);
    // Kills and reaps orphans: those of the attempt with this mark, and those of nobody once nobody else runs. Returns
    // when none are left, or after a second.
    void clear_orphans(const std::string& mark);

private:
    bool clear_once(const std::string& mark);
    bool belongs(pid_t orphan, const std::string& mark) const;

    std::string scratch_;
    std::unique_ptr<Cgroups> cgroups_;
    std::unique_ptr<Guard> guard_;
    std::shared_mutex starting_;
    mutable std::mutex mutex_;  // guards what follows
    std::set<std::string> marks_;
    std::set<pid_t> leaders_;
    std::uint64_t scratches_ = 0;
};

// One attempt's processes: its leader's group and all that came of it. Without a household: the group alone. It must be
// there until its leader is reaped.
class Family {
public:
    Family(Household* household, std::string mark, const Limits& limits);
    ~Family();
    Family(const Family&) = delete;
    Family& operator=(const Family&) = delete;

    int group_file() const { return group_ ? group_->procs() : -1; }  // see Launch::group_file
    void started(pid_t leader);
    // To everybody.
    void signal(int number) const;
    bool pause(bool still) const;
    // The leader is dead but not reaped, which is the caller's: nobody else stays.
    void end();

    std::int64_t memory_peak() const { return group_ ? group_->memory_peak() : 0; }
    std::uint64_t memory_now() const;
    bool limits_memory() const { return group_ && group_->limits_memory(); }
    std::optional<std::uint64_t> oom_kills() const { return group_ ? group_->oom_kills() : std::nullopt; }

private:
    std::vector<pid_t> everybody() const;

    Household* const household_;
    const std::string mark_;
    std::unique_ptr<Cgroup> group_;
    pid_t leader_ = 0;
};

}  // namespace nexus::process
