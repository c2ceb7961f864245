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

// Whether it can hold a journal at all, whatever it promises.
Result<void> check_kind(const ServerFacts& facts, const AskedOfServer& asked) {
    if (facts.major < 6 || (facts.major == 6 && facts.minor < 2))
        return refuse("Redis " + std::to_string(facts.major) + "." + std::to_string(facts.minor) +
                      " is too old; 6.2 or later is needed");
    if (facts.cluster && asked.finding != redis::Finding::cluster)
        return refuse("this is a node of a Redis Cluster; write redis+cluster:// and the addresses of some nodes");
    if (!facts.cluster && asked.finding == redis::Finding::cluster)
        return refuse("this is no node of a Redis Cluster; write redis:// and its address");
    if (facts.role != "master")
        return refuse("this server is a replica; name its master (INFO replication tells which it is)");
    if (facts.replicas > 0 && asked.finding == redis::Finding::direct && asked.replicas == 0)
        return refuse(std::to_string(facts.replicas) +
                      " replicas follow this server, and who takes over is not told to us; name their Sentinels "
                      "(redis+sentinel://HOST/NAME), or wait for the replicas (--store-replicas), or use a server "
                      "without any (REPLICAOF NO ONE on each of them)");
    if (facts.eviction != "noeviction")
        return refuse("maxmemory-policy is " + facts.eviction +
                      ", so Redis may throw tasks away; set it: CONFIG SET maxmemory-policy noeviction");
    if (!facts.append_only && !asked.allow_volatile)
        return refuse(
            "Redis keeps no append-only file, so its end would lose every task; set appendonly yes, or accept the loss "
            "with --store-volatile");
    return {};
}

// What waiting for replicas needs, so that no failover loses what was acknowledged.
Result<void> check_replicas(const ServerFacts& facts, std::uint64_t k) {
    const std::string wanted = std::to_string(k);
    if (facts.replicas < k + 1)
        return refuse("waiting for " + wanted + " of the replicas needs " + std::to_string(k + 1) +
                      " of them, so that one may be away; " + std::to_string(facts.replicas) + " follow this server");
    if (k < (facts.replicas + 1) / 2)
        return refuse("of " + std::to_string(facts.replicas) + " replicas at least " +
                      std::to_string((facts.replicas + 1) / 2) +
                      " must have a change, so that one of them takes over: start with --store-replicas " +
                      std::to_string((facts.replicas + 1) / 2));
    if (facts.replicas_min < k)
        return refuse("min-replicas-to-write is " + std::to_string(facts.replicas_min) +
                      ", so a master that is cut off goes on alone; set it: CONFIG SET min-replicas-to-write " +
                      wanted);
    return {};
}

}  // namespace

ServerFacts read_facts(std::string_view info, const std::vector<std::string>& config) {
    ServerFacts facts;
    const std::string_view version = line_of(info, "redis_version");
    const std::size_t dot = version.find('.');
    facts.major = static_cast<int>(number(version.substr(0, dot)));
    if (dot != std::string_view::npos) facts.minor = static_cast<int>(number(version.substr(dot + 1)));
    facts.loading = line_of(info, "loading") == "1";
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
        if (config[i] == "min-replicas-to-write") facts.replicas_min = number(config[i + 1]);
    }
    return facts;
}

Result<Durability> level_of(const ServerFacts& facts, const AskedOfServer& asked) {
    if (auto ok = check_kind(facts, asked); !ok) return std::unexpected(std::move(ok).error());
    if (asked.level == Durability::replicated && asked.replicas == 0)
        return refuse("level replicated waits for replicas; say for how many with --store-replicas");
    const bool keeps = facts.append_only && facts.fsync == "always" && !facts.fsync_pauses;
    if (keeps && asked.replicas > 0) {
        if (auto ok = check_replicas(facts, asked.replicas); !ok) return std::unexpected(std::move(ok).error());
        return Durability::replicated;
    }
    const bool fails_over = facts.replicas > 0;
    if (keeps && !fails_over) return Durability::disk;
    if (asked.level == Durability::process) return Durability::process;
    if (!facts.append_only)
        return refuse(
            "without an append-only file Redis gives no more than level process; start with --durability process");
    if (facts.fsync == "always" && facts.fsync_pauses)
        return refuse(
            "no-appendfsync-on-rewrite is yes, so a power cut may lose what was acknowledged; set it: CONFIG SET "
            "no-appendfsync-on-rewrite no, or start with --durability process");
    if (facts.fsync.empty())
        return refuse(
            "Redis does not tell its appendfsync, so level disk cannot be promised; allow CONFIG GET to this user, or "
            "start with --durability process");
    if (keeps)
        return refuse(
            "replicas follow this server, and a failover may lose what was acknowledged last; wait for them "
            "(--store-replicas), or start with --durability process");
    return refuse(
        "appendfsync is " + facts.fsync +
        ", so a power cut may lose what was acknowledged; set it: CONFIG SET appendfsync always, or start with "
        "--durability process");
}

std::string_view meaning_of(Durability level, const ServerFacts& facts) {
    if (level == Durability::replicated) return "what is acknowledged survives the loss of the machine of Redis";
    if (level == Durability::disk) return "what is acknowledged survives a power cut";
    if (!facts.append_only)
        return "what is acknowledged survives the end of nexus alone; the end of Redis loses every task";
    if (facts.replicas > 0)
        return "what is acknowledged survives the end of nexus; a failover of Redis may lose the last seconds";
    if (facts.fsync == "everysec")
        return "what is acknowledged survives the end of nexus; the end of Redis or its machine may lose the last 2 s";
    return "what is acknowledged survives the end of nexus; the end of the machine of Redis may lose the last minutes";
}

}  // namespace nexus::store
