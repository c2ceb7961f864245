#include "process/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

namespace nexus::process {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kCpuPeriodUs = 100'000;
constexpr std::chrono::milliseconds kLook{2};
constexpr int kLooks = 500;

bool write_file(const std::string& path, const std::string& text) {
    const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return file.open() && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string whole(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<std::uint64_t> number_in(const std::string& path, const std::string& wanted) {
    std::ifstream file(path);
    std::string name;
    for (std::uint64_t number = 0; file >> name >> number;)
        if (name == wanted) return number;
    return std::nullopt;
}

bool has_word(const std::string& text, const std::string& word) {
    std::istringstream words(text);
    return std::find(std::istream_iterator<std::string>(words), {}, word) != std::istream_iterator<std::string>();
}

// Where the groups of version 2 are mounted, and our own below it. Empty when there are none.
std::string own_path() {
    std::ifstream mounts("/proc/self/mountinfo");
    std::string mount;
    for (std::string line; mount.empty() && std::getline(mounts, line);) {
        const std::size_t dash = line.find(" - cgroup2 ");
        if (dash == std::string::npos) continue;
        std::istringstream words(line);
        for (int field = 0; field < 5; ++field) words >> mount;  // the fifth is the mount point
    }
    if (mount.empty()) return {};
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);)
        if (line.starts_with("0::")) return mount + (line == "0::/" ? "" : line.substr(3));
    return {};
}

bool is_empty(const std::string& group) {
    const auto populated = number_in(group + "/cgroup.events", "populated");
    return !populated || *populated == 0;
}

void limit(const std::string& group, const Limits& limits) {
    if (limits.memory_bytes > 0) {
        write_file(group + "/memory.max", std::to_string(limits.memory_bytes));
        write_file(group + "/memory.swap.max", "0");
        write_file(group + "/memory.oom.group", "1");  // half a program is no use
    }
    if (limits.cpu_milli > 0)
        write_file(group + "/cpu.max",
                   std::to_string(std::max<std::int64_t>(1000, limits.cpu_milli * kCpuPeriodUs / 1000)) + " " +
                       std::to_string(kCpuPeriodUs));
}

}  // namespace

void remove_cgroup(const std::string& path) {
    write_file(path + "/cgroup.kill", "1");
    for (int look = 0; look < kLooks && !is_empty(path); ++look) std::this_thread::sleep_for(kLook);
    std::error_code fault;
    std::vector<std::string> below;
    for (fs::directory_iterator at(path, fault), end; !fault && at != end; at.increment(fault))
        if (at->is_directory(fault)) below.push_back(at->path().string());
    for (const std::string& group : below) rmdir(group.c_str());
    rmdir(path.c_str());
}

std::unique_ptr<Cgroups> Cgroups::open(const Limits& all) {
    const std::string base = own_path();
    static std::atomic<int> opened = 0;  // several of one process, as in tests
    const std::string path = base + "/nexus-" + std::to_string(getpid()) + "-" + std::to_string(++opened);
    if (base.empty() || mkdir(path.c_str(), 0755) != 0) return nullptr;
    std::unique_ptr<Cgroups> groups(new Cgroups(path));
    // A group of version 2 that kills as one is what all this is for; the kernel has it since 5.14.
    if (access((path + "/cgroup.kill").c_str(), W_OK) != 0) return nullptr;
    const std::string offered = whole(base + "/cgroup.controllers");
    const std::string root_marker = base + "/cgroup.type";  // the root has none, and may have processes beside groups
    const bool root = access(root_marker.c_str(), F_OK) != 0;
    if (has_word(offered, "memory") || has_word(offered, "cpu")) {
        const std::string alone = std::to_string(getpid()) + "\n";
        if (!root && whole(base + "/cgroup.procs") == alone) {
            const std::string own = path + "-worker";
            if (mkdir(own.c_str(), 0755) == 0 && write_file(own + "/cgroup.procs", "0"))
                groups->own_ = own;
            else
                rmdir(own.c_str());
        }
        for (const auto& [name, flag] : {std::pair{"memory", &groups->limits_memory_}, {"cpu", &groups->limits_cpu_}})
            *flag = has_word(offered, name) && write_file(base + "/cgroup.subtree_control", std::string("+") + name) &&
                    write_file(path + "/cgroup.subtree_control", std::string("+") + name);
    }
    limit(path, {.memory_bytes = groups->limits_memory_ ? all.memory_bytes : 0,
                 .cpu_milli = groups->limits_cpu_ ? all.cpu_milli : 0});
    return groups;
}

Cgroups::~Cgroups() {
    remove_cgroup(path_);
    if (own_.empty()) return;
    // The way back leads through the group above, which takes processes again once it controls nothing.
    const std::string base = fs::path(path_).parent_path().string();
    write_file(base + "/cgroup.subtree_control", "-memory -cpu");
    if (write_file(base + "/cgroup.procs", "0")) rmdir(own_.c_str());
}

std::unique_ptr<Cgroup> Cgroups::make(const Limits& limits) {
    static std::atomic<std::uint64_t> numbers = 0;
    const std::string path = path_ + "/" + std::to_string(++numbers);
    if (mkdir(path.c_str(), 0755) != 0) return nullptr;
    std::unique_ptr<Cgroup> group(new Cgroup(path));
    group->procs_ = Descriptor(::open((path + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    if (!group->procs_.open()) return nullptr;
    group->limits_memory_ = limits_memory_;
    limit(path,
          {.memory_bytes = limits_memory_ ? limits.memory_bytes : 0, .cpu_milli = limits_cpu_ ? limits.cpu_milli : 0});
    return group;
}

Cgroup::~Cgroup() {
    procs_.close();
    remove_cgroup(path_);
}

std::vector<pid_t> Cgroup::members() const {
    std::ifstream file(path_ + "/cgroup.procs");
    return {std::istream_iterator<pid_t>(file), {}};
}

void Cgroup::kill_all() const {
    if (is_empty(path_)) return;
    write_file(path_ + "/cgroup.kill", "1");
    for (int look = 0; look < kLooks && !is_empty(path_); ++look) std::this_thread::sleep_for(kLook);
}

bool Cgroup::freeze(bool still) const {
    return write_file(path_ + "/cgroup.freeze", still ? "1" : "0");
}

std::int64_t Cgroup::memory_peak() const {
    std::ifstream file(path_ + "/memory.peak");
    std::int64_t peak = 0;
    return file >> peak ? peak : 0;
}

std::optional<std::uint64_t> Cgroup::oom_kills() const {
    return limits_memory_ ? number_in(path_ + "/memory.events", "oom_kill") : std::nullopt;
}

}  // namespace nexus::process
