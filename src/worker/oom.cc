#include "worker/oom.h"

#include <fstream>

namespace nexus::worker {
namespace {

// Of a file of lines "name number".
std::optional<std::uint64_t> number_in(const std::string& path, const std::string& wanted) {
    std::ifstream file(path);
    std::string name;
    for (std::uint64_t number = 0; file >> name >> number;)
        if (name == wanted) return number;
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> oom_kills_below(const std::string& groups, const std::string& mount) {
    std::ifstream file(groups);
    for (std::string line; std::getline(file, line);) {  // number:controllers:/path
        const std::size_t first = line.find(':');
        const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        const std::string path = line.substr(second + 1);
        std::optional<std::uint64_t> kills;
        if (controllers.empty()) kills = number_in(mount + path + "/memory.events", "oom_kill");
        if (controllers == "memory") {
            kills = number_in(mount + "/memory" + path + "/memory.oom_control", "oom_kill");
            // Inside a container the mount shows the group itself, whatever its path is outside.
            if (!kills) kills = number_in(mount + "/memory/memory.oom_control", "oom_kill");
        }
        if (kills) return kills;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> oom_kills() {
    return oom_kills_below("/proc/self/cgroup", "/sys/fs/cgroup");
}

}  // namespace nexus::worker
