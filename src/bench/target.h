#pragma once
// Where a bench connects, and what it shows there.

#include <optional>
#include <string>
#include <utility>

#include "nexus/client.h"

namespace nexus::bench {

struct Target {
    Target(std::string where) : address(std::move(where)) {}  // plain text, no token
    std::string address;
    std::string token{};
    std::optional<TlsFiles> tls{};
};

// What a server of a bench asks of its clients.
struct Protection {
    bool tokens = false, tls = false;
};

}  // namespace nexus::bench
