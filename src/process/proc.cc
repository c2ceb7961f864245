#include "process/proc.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

namespace nexus::process {
namespace {

namespace fs = std::filesystem;

std::string folder_of(pid_t process) {
    return "/proc/" + std::to_string(process);
}

std::string whole(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<pid_t> numbers_in(const fs::path& folder) {
    std::vector<pid_t> numbers;
    std::error_code gone;
    for (fs::directory_iterator at(folder, gone), end; !gone && at != end; at.increment(gone)) {
        const std::string name = at->path().filename().string();
        if (std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; }))
            numbers.push_back(static_cast<pid_t>(std::stol(name)));
    }
    return numbers;
}

// 0 when it is gone.
pid_t parent_of(pid_t process) {
    const std::string stat = whole(folder_of(process) + "/stat");
    const std::size_t name_end = stat.rfind(") ");
    return name_end == std::string::npos || stat.size() < name_end + 5
               ? 0
               : static_cast<pid_t>(std::strtol(stat.c_str() + name_end + 4, nullptr, 10));
}

}  // namespace

std::vector<pid_t> all_processes() {
    return numbers_in("/proc");
}

namespace {

// Of a kernel that does not list children.
std::vector<pid_t> searched_children_of(pid_t process) {
    std::vector<pid_t> children;
    for (const pid_t other : all_processes())
        if (parent_of(other) == process) children.push_back(other);
    return children;
}

}  // namespace

std::vector<pid_t> children_of(pid_t process) {
    static const bool lists = fs::exists(folder_of(getpid()) + "/task/" + std::to_string(getpid()) + "/children");
    if (!lists) return searched_children_of(process);
    std::vector<pid_t> children;
    const std::string tasks = folder_of(process) + "/task/";
    for (const pid_t thread : numbers_in(tasks)) {
        std::ifstream file(tasks + std::to_string(thread) + "/children");
        children.insert(children.end(), std::istream_iterator<pid_t>(file), {});
    }
    return children;
}

std::vector<pid_t> descendants_of(pid_t process) {
    std::vector<pid_t> all = children_of(process);
    for (std::size_t i = 0; i < all.size(); ++i) {
        const std::vector<pid_t> next = children_of(all[i]);
        all.insert(all.end(), next.begin(), next.end());
    }
    return all;
}

pid_t group_of(pid_t process) {
    return getpgid(process);
}

bool has_variable(pid_t process, std::string_view variable) {
    const std::string all = '\0' + whole(folder_of(process) + "/environ");
    return all.find('\0' + std::string(variable) + '\0') != std::string::npos;
}

std::uint64_t memory_of(pid_t process) {
    std::ifstream file(folder_of(process) + "/statm");
    std::uint64_t size = 0, resident = 0, shared = 0;
    if (!(file >> size >> resident >> shared) || shared > resident) return 0;
    return (resident - shared) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace nexus::process
