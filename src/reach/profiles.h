#pragma once
// Profiles of the command line: a name for a server with the token and the certificates that go with it, so that they
// need not be said each time. They are in ~/.config/nexus/profiles.toml (or below XDG_CONFIG_HOME), mode 0600, and hold
// where the token's file is, never a token.

#include <map>
#include <string>

#include "base/result.h"

namespace nexus::reach {

struct Profile {
    std::string server, token_file, tls_ca, tls_cert, tls_key;
    bool tls = false;
    bool operator==(const Profile&) const = default;
};

struct Profiles {
    std::string current;  // that is used when none is named; empty: none
    std::map<std::string, Profile, std::less<>> all;
};

std::string profiles_path();
// No file is no profiles. Faults: denied, invalid (names the line).
Result<Profiles> read_profiles(const std::string& path);
// Whole or not at all. Faults: denied, invalid.
Result<void> write_profiles(const std::string& path, const Profiles& profiles);

}  // namespace nexus::reach
