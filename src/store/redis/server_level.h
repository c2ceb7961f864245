#pragma once
// What a Redis server, configured as it is, can promise (contract C18). Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "redis/address.h"
#include "store/journal_store.h"

namespace nexus::store {

struct ServerFacts {
    int major = 0, minor = 0;
    bool loading = false;  // it reads its file and tells of no other thing what holds later
    bool append_only = false;
    std::string fsync;                              // always, everysec, no; empty = the server does not tell
    bool fsync_pauses = false;                      // while the file is rewritten
    std::string eviction;                           // maxmemory-policy
    std::uint64_t memory_max = 0, memory_used = 0;  // bytes; no limit = 0
    std::string role;
    std::uint64_t replicas = 0;      // that follow it now
    std::uint64_t replicas_min = 0;  // min-replicas-to-write
    bool cluster = false;

    bool knows_script_flags() const { return major >= 7; }
};
// From the answer of INFO, and of CONFIG GET *appendfsync* min-replicas-to-write as name, value, name, value (empty when
// it was refused).
ServerFacts read_facts(std::string_view info, const std::vector<std::string>& config);

struct AskedOfServer {
    Durability level = Durability::disk;  // at least
    bool allow_volatile = false;          // what the server loses with its memory may be lost
    std::uint64_t replicas = 0;           // that must have each change: WAIT k
    redis::Finding finding = redis::Finding::direct;
};
// The level in force. Fault unsupported, with what to set, when it is below what is asked, or when the server cannot be a
// journal at all.
Result<Durability> level_of(const ServerFacts& facts, const AskedOfServer& asked);

// What a level means on such a server, as a sentence: "survives the end of nexus; …".
std::string_view meaning_of(Durability level, const ServerFacts& facts);

}  // namespace nexus::store
