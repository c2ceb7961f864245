#include "main/scheduler_keys.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

#include "main/configuration.h"

namespace nexus::serve {
namespace {

constexpr std::string_view kFlag = "--scheduler-keys";
constexpr std::size_t kKeysMax = 1000;

}  // namespace

cli::Answer<std::vector<std::string>> keys_of_file(const std::string& path) {
    struct stat about{};
    if (stat(path.c_str(), &about) != 0)
        return failed({Fault::not_found, std::strerror(errno)}, "read the keys of " + path);
    if (!S_ISREG(about.st_mode)) return failed({Fault::invalid, "is no regular file"}, "read the keys of " + path);
    if ((about.st_mode & 077) != 0)
        return failed({Fault::denied, "others may read it"}, "read the keys of " + path, "chmod 600 " + path);
    std::ifstream file(path);
    std::vector<std::string> keys;
    for (std::string line; std::getline(file, line);) {
        const std::size_t first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line[first] == '#') continue;
        keys.push_back(line.substr(first, line.find_last_not_of(" \t\r") + 1 - first));
        if (keys.size() > kKeysMax) return failed({Fault::invalid, "more than 1000 keys"}, "read the keys of " + path);
    }
    if (keys.empty()) return failed({Fault::invalid, "has no key; write one a line"}, "read the keys of " + path);
    return keys;
}

std::vector<std::string> keys_of_text(const std::string& text) {
    std::vector<std::string> keys;
    std::istringstream stream(text);
    for (std::string key; std::getline(stream, key, ',');)
        if (!key.empty()) keys.push_back(key);
    return keys;
}

void hide_keys(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--") return;  // what follows is not ours
        char* value = nullptr;
        if (word == kFlag && i + 1 < argc) value = argv[i + 1];
        if (word.starts_with(kFlag) && word.substr(kFlag.size()).starts_with("=")) value = argv[i] + kFlag.size() + 1;
        if (value != nullptr) std::memset(value, '*', std::strlen(value));
    }
}

}  // namespace nexus::serve
