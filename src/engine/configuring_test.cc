#include <doctest/doctest.h>

#include "engine/world_test.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

Result<Reconfigured> set(World& world, std::string toml, std::string reason = "") {
    return world.call(Configure{.toml = std::move(toml), .author = "ann", .reason = std::move(reason)});
}
core::Config config_of(World& world) {
    return *world.call(GetConfig{});
}
Result<Reconfigured> back_to(World& world, std::uint32_t version, std::uint32_t current = 0) {
    return world.call(RollBackConfig{.to = version, .version = current, .author = "bob", .reason = "too short"});
}

}  // namespace

TEST_CASE("a change tells what it changed; one that changes nothing makes no version, and a dry run none either") {
    World world;
    const auto done = set(world, "[scheduler]\nlease = \"7s\"\n", "slow net");
    REQUIRE(done.has_value());
    CHECK(done->config.version == 2);
    CHECK(done->changes ==
          std::vector<config::Change>{{.key = "scheduler.lease", .before = "\"5s\"", .after = "\"7s\""}});
    CHECK(set(world, "[scheduler]\nlease = \"7s\"\n")->config.version == 2);
    const auto dry = world.call(Configure{.toml = "[scheduler]\nlease = \"9s\"\n", .dry_run = true});
    REQUIRE(dry.has_value());
    CHECK(dry->changes.size() == 1);
    CHECK(config_of(world).lease == seconds(7));
    CHECK(config_of(world).version == 2);
    CHECK(set(world, "[scheduler]\nlease = \"1s\"\n").error().fault == Fault::invalid);
    core::Config whole;  // lists that it does not have are gone, too
    REQUIRE(set(world, "[queues.mail]\npaused = true\n").has_value());
    REQUIRE(world.call(Configure{.version = 3, .whole = whole}).has_value());
    CHECK(config_of(world).queues.empty());
    CHECK(config_of(world).lease == seconds(5));
}

TEST_CASE("versions of the configuration are listed, shown whole and come back, also after a restart") {
    World world;
    REQUIRE(set(world, "[scheduler]\nlease = \"7s\"\n", "slow net").has_value());
    REQUIRE(world.call(PauseQueue{"mail", true, "ann", "provider is down"}).has_value());
    REQUIRE(world.call(SetPolicy{core::PolicyKind::fcfs, "eve", ""}).has_value());
    world.engine.reset();
    world.open();
    const auto all = world.call(ListConfigVersions{.limit = 2});
    REQUIRE(all.has_value());
    REQUIRE(all->versions.size() == 2);
    CHECK(all->versions[0].version == 4);
    CHECK(all->versions[0].author == "eve");
    CHECK(all->versions[1].reason == "provider is down");
    CHECK(all->versions[1].changes.size() == 3);
    const auto rest = world.call(ListConfigVersions{.limit = 2, .page = all->next});
    REQUIRE(rest.has_value());
    REQUIRE(rest->versions.size() == 1);
    CHECK(rest->versions[0].version == 2);
    CHECK(rest->next.empty());

    const auto second = world.call(ListConfigVersions{.version = 2});
    REQUIRE(second.has_value());
    REQUIRE(second->whole.has_value());
    CHECK(second->whole->lease == seconds(7));
    CHECK(second->whole->queues.empty());
    CHECK(second->versions.front().reason == "slow net");
    CHECK(*world.call(ListConfigVersions{.version = 1})->whole == core::Config{});
    CHECK(world.call(ListConfigVersions{.version = 9}).error().fault == Fault::not_found);

    CHECK(back_to(world, 2, 3).error().fault == Fault::conflict);
    CHECK(back_to(world, 9).error().fault == Fault::not_found);
    const auto back = back_to(world, 2, 4);
    REQUIRE(back.has_value());
    CHECK(back->config.version == 5);
    CHECK(back->changes.size() == 4);
    core::Config expected = *second->whole;
    expected.version = 5;
    CHECK(config_of(world) == expected);
    const auto newest = world.call(ListConfigVersions{.limit = 1});
    CHECK(newest->versions.front().reason == "back to version 2: too short");
    CHECK(newest->versions.front().author == "bob");
    // And forth again: a way back is a version as any other.
    REQUIRE(back_to(world, 4).has_value());
    CHECK(config_of(world).policy == core::PolicyKind::fcfs);
    CHECK(config_of(world).queues.front().paused);
}

TEST_CASE("a version whose followers the history lost is refused, not guessed") {
    World world;
    REQUIRE(set(world, "[scheduler]\nlease = \"7s\"\n").has_value());
    world.history_lost = true;
    REQUIRE(set(world, "[scheduler]\nlease = \"8s\"\n").has_value());
    const auto back = back_to(world, 1);
    REQUIRE_FALSE(back.has_value());
    CHECK(back.error().fault == Fault::not_found);
    CHECK(config_of(world).lease == seconds(8));
}
