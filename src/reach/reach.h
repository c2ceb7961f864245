#pragma once
// How a verb reaches a server: its address, the token and the certificates. Each is taken from its flag, else from the
// environment, else from a profile, else it is the default. A profile that nobody named is not used with another server
// than its own: its token is that one's business.

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "nexus/client.h"

namespace nexus::reach {

inline constexpr std::string_view kServerDefault = "127.0.0.1:7070";

struct Flags {
    std::string server, profile, token_file, tls_ca, tls_cert, tls_key;
    bool tls = false;
};
// --server, --profile, --token-file, --tls, --tls-ca, --tls-cert, --tls-key, in a group of this name.
void add_flags(CLI::App& verb, Flags& flags, const std::string& group);

struct Access {
    std::string server;
    std::string token;  // empty: none
    std::optional<TlsFiles> tls;
};
// Faults: not_found (a profile, a file), invalid.
Result<Access> resolve(const Flags& flags);

}  // namespace nexus::reach
