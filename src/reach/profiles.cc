#include "reach/profiles.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/name.h"
#include "base/private_file.h"

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
    return write_private(path, text.str());
}

}  // namespace nexus::reach
