#pragma once
// Where a Redis server is, and as whom it is spoken to:
//
//     redis://[user[:password]@]host[:port][/db]      rediss://… the same over TLS
//     redis+unix:///path/of/socket[?db=n]
//     redis+sentinel://[user[:password]@]host[:port],host[:port],…/name[/db]     the master that these Sentinels name
//     redis+cluster://[user[:password]@]host[:port],host[:port],…                the node that has our keys
//     rediss+sentinel://, rediss+cluster://                                      over TLS
//
// A password is never part of a text that is printed or logged. In a file of its own it is safer than in an address.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nexus::redis {

enum class Finding : std::uint8_t { direct, sentinel, cluster };

struct Node {
    std::string host;  // a name, or an IP address without brackets
    std::uint16_t port = 6379;
    bool operator==(const Node&) const = default;
};

struct Address {
    std::string host;  // of direct; empty = unix_path
    std::uint16_t port = 6379;
    std::string unix_path{};
    std::string user{};      // empty = Redis' "default"
    std::string password{};  // a password file wins over it
    std::uint32_t database = 0;
    bool tls = false;
    Finding finding = Finding::direct;
    std::vector<Node> seeds{};  // of sentinel and cluster: whom to ask
    std::string master{};       // of sentinel: the name of what is looked for
    bool operator==(const Address&) const = default;
};

// Fault invalid, with what is expected. The text is never repeated in the error: it may hold a password.
Result<Address> parse_address(std::string_view url);
// For people and logs, without the password: "redis://host:port/db".
std::string to_text(const Address& address);

// The hash slot of a key in a Redis Cluster: of what stands between the first { and }, if anything does.
std::uint16_t hash_slot(std::string_view key);

}  // namespace nexus::redis
