#pragma once
// Where a Redis server is, and as whom it is spoken to:
//
//     redis://[user@]host[:port][/db]     rediss://… the same over TLS     redis+unix:///path/of/socket[?db=n]
//
// A password never stands in an address: addresses are printed and logged. It is the first line of a file.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nexus::redis {

struct Address {
    std::string host;  // a name, or an IP address without brackets; empty = unix_path
    std::uint16_t port = 6379;
    std::string unix_path;
    std::string user;  // empty = Redis' "default"
    std::uint32_t database = 0;
    bool tls = false;
    bool operator==(const Address&) const = default;
};

// Fault invalid, with what is expected. The text is never repeated in the error: it may hold a password.
Result<Address> parse_address(std::string_view url);
// For people and logs: "redis://host:port/db".
std::string to_text(const Address& address);

}  // namespace nexus::redis
