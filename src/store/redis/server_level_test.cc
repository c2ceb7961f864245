#include "store/redis/server_level.h"

#include <doctest/doctest.h>

#include <functional>

using namespace nexus;
using namespace nexus::store;

namespace {

ServerFacts good() {
    return {.major = 7, .append_only = true, .fsync = "always", .eviction = "noeviction", .role = "master"};
}

}  // namespace

TEST_CASE("facts are read from what the server answers") {
    const ServerFacts facts = read_facts(
        "# Server\r\nredis_version:6.2.14\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:2000000\r\n"
        "maxmemory_policy:allkeys-lru\r\naof_enabled:1\r\nrole:slave\r\nconnected_slaves:2\r\ncluster_enabled:1\r\n",
        {"no-appendfsync-on-rewrite", "yes", "appendfsync", "everysec", "min-replicas-to-write", "2"});
    CHECK_EQ(facts.major, 6);
    CHECK_EQ(facts.minor, 2);
    CHECK_EQ(facts.memory_used, 1'048'576);
    CHECK_EQ(facts.memory_max, 2'000'000);
    CHECK(facts.eviction == "allkeys-lru");
    CHECK(facts.append_only);
    CHECK(facts.fsync == "everysec");
    CHECK(facts.fsync_pauses);
    CHECK(facts.role == "slave");
    CHECK_EQ(facts.replicas, 2);
    CHECK_EQ(facts.replicas_min, 2);
    CHECK(facts.cluster);
    CHECK_FALSE(facts.knows_script_flags());
}

TEST_CASE("the level is what the server can hold; less than asked is refused with what to set") {
    struct Row {
        const char* name;
        std::function<void(ServerFacts&)> change;
        bool allow_volatile;
        // Of asking for disk, and for process; 0 = refused with this word in the sentence.
        int disk, process;
        const char* says;
    };
    const int no = 0, process = int(Durability::process), disk = int(Durability::disk);
    const std::vector<Row> rows = {
        {"always", [](auto&) {}, false, disk, disk, ""},
        {"everysec", [](auto& f) { f.fsync = "everysec"; }, false, no, process, "appendfsync always"},
        {"fsync no", [](auto& f) { f.fsync = "no"; }, false, no, process, "appendfsync always"},
        {"fsync unknown", [](auto& f) { f.fsync = ""; }, false, no, process, "CONFIG GET"},
        {"pauses", [](auto& f) { f.fsync_pauses = true; }, false, no, process, "no-appendfsync-on-rewrite no"},
        {"no AOF", [](auto& f) { f.append_only = false; }, false, no, no, "appendonly yes"},
        {"no AOF, allowed", [](auto& f) { f.append_only = false; }, true, no, process, "--durability process"},
        {"evicts", [](auto& f) { f.eviction = "volatile-lru"; }, true, no, no, "maxmemory-policy noeviction"},
        {"old", [](auto& f) { f.major = 6, f.minor = 0; }, true, no, no, "6.2 or later"},
        {"6.2", [](auto& f) { f.major = 6, f.minor = 2; }, false, disk, disk, ""},
        {"replica", [](auto& f) { f.role = "slave"; }, true, no, no, "name its master"},
        {"has replicas", [](auto& f) { f.replicas = 1; }, true, no, no, "--store-replicas"},
        {"cluster", [](auto& f) { f.cluster = true; }, true, no, no, "redis+cluster://"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        ServerFacts facts = good();
        row.change(facts);
        for (const Durability asked : {Durability::disk, Durability::process}) {
            const int want = asked == Durability::disk ? row.disk : row.process;
            const auto level = level_of(facts, {.level = asked, .allow_volatile = row.allow_volatile});
            REQUIRE_EQ(level.has_value(), want != no);
            if (level) CHECK_EQ(int(*level), want);
            if (level) continue;
            CHECK(level.error().fault == Fault::unsupported);
            CHECK(level.error().what.find(row.says) != std::string::npos);
        }
    }
}

TEST_CASE("with replicas a failover counts: who waits for enough of them keeps everything") {
    struct Row {
        const char* name;
        Durability asked;
        std::uint64_t wait, replicas, replicas_min;
        const char* fsync;
        int level;  // 0 = refused with this word in the sentence
        const char* says;
    };
    const int no = 0, process = int(Durability::process), replicated = int(Durability::replicated);
    const std::vector<Row> rows = {
        {"none waited for", Durability::process, 0, 2, 0, "always", process, ""},
        {"none waited for, disk asked", Durability::disk, 0, 2, 0, "always", no, "--store-replicas"},
        {"one of two", Durability::replicated, 1, 2, 1, "always", replicated, ""},
        {"one of two is more than disk", Durability::disk, 1, 2, 1, "always", replicated, ""},
        {"the master goes on alone", Durability::disk, 1, 2, 0, "always", no, "min-replicas-to-write 1"},
        {"nobody may be away", Durability::disk, 1, 1, 1, "always", no, "needs 2"},
        {"too few of four", Durability::disk, 1, 4, 1, "always", no, "--store-replicas 2"},
        {"in memory alone", Durability::replicated, 1, 2, 1, "everysec", no, "appendfsync always"},
        {"in memory alone, process asked", Durability::process, 1, 2, 1, "everysec", process, ""},
        {"for none", Durability::replicated, 0, 2, 1, "always", no, "say for how many"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        ServerFacts facts = good();
        facts.replicas = row.replicas;
        facts.replicas_min = row.replicas_min;
        facts.fsync = row.fsync;
        const auto level =
            level_of(facts, {.level = row.asked, .replicas = row.wait, .finding = redis::Finding::sentinel});
        REQUIRE_EQ(level.has_value(), row.level != no);
        if (level) CHECK_EQ(int(*level), row.level);
        if (!level) CHECK(level.error().what.find(row.says) != std::string::npos);
    }
}
