#include "process/household.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "process/proc.h"

namespace nexus::process {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kLook{2};
constexpr int kLooks = 500;

std::string make_scratch_parent() {
    std::error_code fault;
    const fs::path folder = fs::temp_directory_path(fault);
    std::string pattern =
        (fault ? fs::path("/tmp") : folder) / ("nexus-worker-" + std::to_string(getpid()) + "-XXXXXX");
    return mkdtemp(pattern.data()) != nullptr ? pattern : std::string();
}

}  // namespace

// ------------------------------------------------------------------------------------------------------- household

Household::Household(const Limits& all, bool with_groups)
    : scratch_(make_scratch_parent()),
      cgroups_(with_groups ? Cgroups::open(all) : nullptr),
      guard_(std::make_unique<Guard>(cgroups_ ? cgroups_->path() : std::string(), scratch_)) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_DUMPABLE, 0);
}

Household::~Household() {
    clear_orphans({});
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    std::error_code ignored;
    if (!scratch_.empty()) fs::remove_all(scratch_, ignored);
}

std::string Household::make_scratch() {
    std::uint64_t number = 0;
    {
        const std::lock_guard lock(mutex_);
        number = ++scratches_;
    }
    const std::string path = scratch_ + "/" + std::to_string(number);
    return !scratch_.empty() && mkdir(path.c_str(), 0700) == 0 ? path : std::string();
}

void Household::joined(const std::string& mark, pid_t leader) {
    const std::lock_guard lock(mutex_);
    marks_.insert(mark);
    leaders_.insert(leader);
    guard_->watch(leader, mark);
}

void Household::left(const std::string& mark, pid_t leader) {
    const std::lock_guard lock(mutex_);
    marks_.erase(mark);
    leaders_.erase(leader);
    guard_->forget(leader);
}

bool Household::belongs(pid_t orphan, const std::string& mark) const {
    if (!mark.empty() && has_variable(orphan, mark)) return true;
    const std::lock_guard lock(mutex_);
    return std::ranges::all_of(marks_, [&](const std::string& other) { return other == mark; });
}

bool Household::clear_once(const std::string& mark) {
    std::vector<pid_t> orphans;
    {
        const std::unique_lock nobody_starts(starting_);
        orphans = children_of(getpid());
        const std::lock_guard lock(mutex_);
        std::erase_if(orphans, [&](pid_t child) { return leaders_.contains(child) || guard_->is(child); });
    }
    bool clear = true;
    for (const pid_t orphan : orphans) {
        if (waitpid(orphan, nullptr, WNOHANG) != 0) continue;  // reaped, by us or meanwhile by another
        if (!belongs(orphan, mark)) continue;
        clear = false;
        for (const pid_t below : descendants_of(orphan)) ::kill(below, SIGKILL);
        ::kill(orphan, SIGKILL);
    }
    return clear;
}

void Household::clear_orphans(const std::string& mark) {
    for (int look = 0; look < kLooks && !clear_once(mark); ++look) std::this_thread::sleep_for(kLook);
}

// ---------------------------------------------------------------------------------------------------------- family

Family::Family(Household* household, std::string mark, const Limits& limits)
    : household_(household), mark_(std::move(mark)) {
    if (household_ != nullptr && household_->cgroups() != nullptr) group_ = household_->cgroups()->make(limits);
}

Family::~Family() {
    if (household_ != nullptr && leader_ != 0) household_->left(mark_, leader_);
}

void Family::started(pid_t leader) {
    leader_ = leader;
    if (household_ != nullptr) household_->joined(mark_, leader);
}

std::vector<pid_t> Family::everybody() const {
    if (group_) return group_->members();
    std::vector<pid_t> all = descendants_of(leader_);
    all.push_back(leader_);
    return all;
}

void Family::signal(int number) const {
    ::kill(-leader_, number);
    if (household_ == nullptr) return;
    for (const pid_t process : everybody())
        if (group_of(process) != leader_) ::kill(process, number);
}

bool Family::pause(bool still) const {
    const int number = still ? SIGSTOP : SIGCONT;
    if (::kill(-leader_, number) != 0) return false;
    signal(number);
    return true;
}

void Family::end() {
    ::kill(-leader_, SIGKILL);
    if (household_ == nullptr) return;
    if (group_) group_->kill_all();
    household_->clear_orphans(mark_);
}

std::uint64_t Family::memory_now() const {
    std::uint64_t bytes = 0;
    for (const pid_t process : everybody()) bytes += memory_of(process);
    return bytes;
}

}  // namespace nexus::process
