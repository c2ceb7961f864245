#include "reach/profiles.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/name.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace nexus::reach {
namespace {

constexpr std::pair<const char*, std::string Profile::*> kTexts[] = {{"server", &Profile::server},
                                                                     {"token_file", &Profile::token_file},
                                                                     {"tls_ca", &Profile::tls_ca},
                                                                     {"tls_cert", &Profile::tls_cert},
                                                                     {"tls_key", &Profile::tls_key}};

Profile profile_of(const toml::table& table) {
    Profile profile;
    for (const auto& [key, member] : kTexts) profile.*member = table[key].value_or(std::string());
    profile.tls = table["tls"].value_or(false);
    return profile;
}

Error system_error(const std::string& path) {
    return {errno == EACCES || errno == EROFS ? Fault::denied : Fault::invalid, path + ": " + std::strerror(errno)};
}

}  // namespace

std::string profiles_path() {
    const char* folder = std::getenv("XDG_CONFIG_HOME");
    if (folder != nullptr && *folder == '/') return std::string(folder) + "/nexus/profiles.toml";
    const char* home = std::getenv("HOME");
    return home == nullptr || *home == '\0' ? "" : std::string(home) + "/.config/nexus/profiles.toml";
}

Result<Profiles> read_profiles(const std::string& path) {
    Profiles profiles;
    std::ifstream file(path, std::ios::binary);
    if (path.empty() || !file.is_open()) return profiles;
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const toml::parse_result parsed = toml::parse(text);
    if (!parsed)
        return fail(Fault::invalid, path + " line " + std::to_string(parsed.error().source().begin.line) + ": " +
                                        std::string(parsed.error().description()));
    profiles.current = parsed.table()["current"].value_or(std::string());
    if (const toml::table* all = parsed.table()["profiles"].as_table())
        for (const auto& [name, node] : *all)
            if (const toml::table* table = node.as_table(); table != nullptr && is_name(name.str()))
                profiles.all[std::string(name.str())] = profile_of(*table);
    return profiles;
}

Result<void> write_profiles(const std::string& path, const Profiles& profiles) {
    if (path.empty()) return fail(Fault::invalid, "there is no home directory to keep profiles in; set HOME");
    toml::table all;
    for (const auto& [name, profile] : profiles.all) {
        toml::table table;
        for (const auto& [key, member] : kTexts)
            if (!(profile.*member).empty()) table.insert(key, profile.*member);
        if (profile.tls) table.insert("tls", true);
        all.insert(name, std::move(table));
    }
    toml::table file;
    if (!profiles.current.empty()) file.insert("current", profiles.current);
    file.insert("profiles", std::move(all));
    std::ostringstream text;
    text << file << "\n";
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    const std::string fresh = path + ".new";
    unlink(fresh.c_str());
    const int descriptor = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) return std::unexpected(system_error(fresh));
    const std::string bytes = text.str();
    const bool written = write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
    close(descriptor);
    if (!written || rename(fresh.c_str(), path.c_str()) != 0) return std::unexpected(system_error(path));
    return {};
}

}  // namespace nexus::reach
