#include "store/redis/server_level.h"

#include <charconv>

namespace nexus::store {
namespace {

// The value of "name:value" in a line of INFO; empty when it is not there.
std::string_view line_of(std::string_view info, std::string_view name) {
    for (std::size_t at = 0; at < info.size();) {
        const std::size_t end = std::min(info.find('\n', at), info.size());
        std::string_view line = info.substr(at, end - at);
        at = end + 1;
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        if (line.size() > name.size() && line.starts_with(name) && line[name.size()] == ':')
            return line.substr(name.size() + 1);
    }
    return {};
}

std::uint64_t number(std::string_view text) {
    std::uint64_t n = 0;
    std::from_chars(text.data(), text.data() + text.size(), n);
    return n;
}

std::unexpected<Error> refuse(std::string what) {
    return fail(Fault::unsupported, std::move(what));
}

}  // namespace

ServerFacts read_facts(std::string_view info, const std::vector<std::string>& config) {
    ServerFacts facts;
    const std::string_view version = line_of(info, "redis_version");
    const std::size_t dot = version.find('.');
    facts.major = static_cast<int>(number(version.substr(0, dot)));
    if (dot != std::string_view::npos) facts.minor = static_cast<int>(number(version.substr(dot + 1)));
    facts.append_only = line_of(info, "aof_enabled") == "1";
    facts.eviction = line_of(info, "maxmemory_policy");
    facts.memory_max = number(line_of(info, "maxmemory"));
    facts.memory_used = number(line_of(info, "used_memory"));
    facts.role = line_of(info, "role");
    facts.replicas = number(line_of(info, "connected_slaves"));
    facts.cluster = line_of(info, "cluster_enabled") == "1";
    for (std::size_t i = 0; i + 1 < config.size(); i += 2) {
        if (config[i] == "appendfsync") facts.fsync = config[i + 1];
        if (config[i] == "no-appendfsync-on-rewrite") facts.fsync_pauses = config[i + 1] == "yes";
    }
    return facts;
}

Result<Durability> level_of(const ServerFacts& facts, Durability asked, bool allow_volatile) {
    const std::string version = std::to_string(facts.major) + "." + std::to_string(facts.minor);
    if (facts.major < 6 || (facts.major == 6 && facts.minor < 2))
        return refuse("Redis " + version + " is too old; 6.2 or later is needed");
    if (facts.cluster)
        return refuse(
            "this is a node of a Redis Cluster, which is not supported yet; name a server with cluster-enabled no");
    if (facts.role != "master")
        return refuse("this server is a replica; name its master (INFO replication tells which it is)");
    if (facts.replicas > 0)
        return refuse(std::to_string(facts.replicas) +
                      " replicas follow this server, and who takes over is not told to us; use a server without "
                      "replicas (REPLICAOF NO ONE on each of them)");
    if (facts.eviction != "noeviction")
        return refuse("maxmemory-policy is " + facts.eviction +
                      ", so Redis may throw tasks away; set it: CONFIG SET maxmemory-policy noeviction");
    if (!facts.append_only) {
        if (!allow_volatile)
            return refuse(
                "Redis keeps no append-only file, so its end would lose every task; set appendonly yes, or "
                "accept the loss with --store-volatile");
        if (asked > Durability::process)
            return refuse(
                "without an append-only file Redis gives no more than level process; start with --durability "
                "process");
        return Durability::process;
    }
    if (facts.fsync == "always" && !facts.fsync_pauses) return Durability::disk;
    if (asked <= Durability::process) return Durability::process;
    if (facts.fsync == "always")
        return refuse(
            "no-appendfsync-on-rewrite is yes, so a power cut may lose what was acknowledged; set it: CONFIG "
            "SET no-appendfsync-on-rewrite no, or start with --durability process");
    if (facts.fsync.empty())
        return refuse(
            "Redis does not tell its appendfsync, so level disk cannot be promised; allow CONFIG GET to this "
            "user, or start with --durability process");
    return refuse(
        "appendfsync is " + facts.fsync +
        ", so a power cut may lose what was acknowledged; set it: CONFIG SET appendfsync always, or start with "
        "--durability process");
}

}  // namespace nexus::store
