#include "engine/config_text.h"

#include <doctest/doctest.h>

using namespace nexus;
using engine::apply_config_text;

TEST_CASE("config_text comes back as it was") {
    core::Config config;
    config.policy = core::PolicyKind::round_robin;
    config.lease = milliseconds(7500);
    config.breaker = false;
    config.tasks_max = 12'345;
    config.placement = core::Placement::fastest;
    config.queues = {{.name = "bulk", .paused = true, .running_max = 7}, {.name = "mail", .count_fair = true}};
    config.tenants = {{.name = "acme", .share = 3, .running_max = 5, .waiting_max = 9}};
    config.types = {{.name = "thumb", .running_max = 2}};
    core::Config back;
    const auto named = apply_config_text(engine::config_text(config), back);
    REQUIRE_MESSAGE(named.has_value(), (named ? "" : named.error().what));
    CHECK_EQ(named->size(), engine::config_keys().size() + 3);
    CHECK(back == config);
    CHECK_EQ(engine::config_text(back), engine::config_text(config));
}

TEST_CASE("a text changes what it names and nothing else") {
    core::Config config;
    config.queues = {{.name = "bulk", .running_max = 7}};
    REQUIRE(apply_config_text("[scheduler]\nlease = \"9s\"\n", config).has_value());
    CHECK_EQ(config.lease.us, seconds(9).us);
    CHECK_EQ(config.queues.size(), 1);
    CHECK_EQ(config.ttl.us, core::Config{}.ttl.us);
    REQUIRE(apply_config_text("queues = []", config).has_value());
    CHECK(config.queues.empty());
    REQUIRE(apply_config_text("", config).has_value());
    CHECK_EQ(config.lease.us, seconds(9).us);
}

TEST_CASE("a foreign table is passed over") {
    core::Config config;
    const std::string_view text = "[server]\nlisten = 7\n[scheduler]\npolicy = \"fcfs\"\n";
    CHECK_FALSE(apply_config_text(text, config).has_value());
    REQUIRE(apply_config_text(text, config, "server").has_value());
    CHECK(config.policy == core::PolicyKind::fcfs);
}

TEST_CASE("bad configurations are refused by key and line, and change nothing") {
    static constexpr struct {
        std::string_view toml, says;
    } rows[] = {
        {"[scheduler]\nleese = \"5s\"", "line 2: unknown key \"leese\" (did you mean \"lease\"?)"},
        {"[schedular]\nlease = \"5s\"", "did you mean \"scheduler\"?"},
        {"[scheduler]\nlease = \"5s\"\nlease = \"6s\"", "line 3"},
        {"[scheduler]\nlease = 5", "line 2: scheduler.lease: expected a duration with a unit in quotes"},
        {"[scheduler]\nlease = \"5\"", "unit is missing"},
        {"[scheduler]\nlease = \"5x\"", "the units are"},
        {"[scheduler]\nlease = \"-1s\"", "must not be negative"},
        {"[scheduler]\nlease = \"1e9d\"", "is not a duration"},
        {"[scheduler]\nlease = \"1s\"", "scheduler.lease: 1s is out of range: 2s to 1d"},
        {"[scheduler]\nclose_grace = \"6s\"", "scheduler.close_grace (6s) must be at most scheduler.lease (5s)"},
        {"[scheduler]\nbackoff_first = \"2m\"\nbackoff_max = \"1m\"", "backoff_max (1m)"},
        {"[scheduler]\nattempts_max = 0", "0 is out of range: 1 to 1000"},
        {"[scheduler]\nattempts_max = nan", "single value"},
        {"[scheduler]\nattempts_max = \"3\"", "expected a whole number"},
        {"[scheduler]\nattempts_max = -3", "out of range"},
        {"[scheduler]\nattempts_max = 99999999999999999999", "line 2"},
        {"[scheduler]\nbreaker = 1", "expected true or false"},
        {"[scheduler]\npolicy = \"predictiv\"", "did you mean \"predictive\"?"},
        {"[scheduler]\nlease = [\"5s\"]", "single value"},
        {"scheduler = 5", "expected a [scheduler] table"},
        {"[[queues]]\nrunning_max = 5", "name is missing"},
        {"[[queues]]\nname = \"a b\"", "a name is"},
        {"[[queues]]\nname = \"a\"\n[[queues]]\nname = \"a\"", "stands there twice"},
        {"[[tenants]]\nname = \"a\"\nshare = 0", "line 3: tenants.share: 0 is out of range"},
        {"[[tenants]]\nname = \"a\"\nshare = 9223372036854775807", "out of range"},
        {"[[types]]\nname = \"a\"\nrunnin_max = 1", "did you mean \"running_max\"?"},
        {"[queues]\nname = \"a\"", "[[queues]]"},
        {"lease: 5s", "line 1"},
        {"&anchor", "line 1"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.toml);
        core::Config config;
        const auto applied = apply_config_text(row.toml, config);
        REQUIRE_FALSE(applied.has_value());
        CHECK(applied.error().fault == Fault::invalid);
        CHECK_MESSAGE(applied.error().what.find(row.says) != std::string::npos, applied.error().what);
        CHECK(config == core::Config{});
    }
    core::Config config;
    CHECK_FALSE(apply_config_text(std::string(engine::kConfigTextBytesMax + 1, '\n'), config).has_value());
    CHECK_FALSE(apply_config_text(std::string(100'000, '['), config).has_value());
}

TEST_CASE("odd but legal files") {
    core::Config config;
    CHECK(apply_config_text("\xEF\xBB\xBF[scheduler]\r\n\tlease\t=\t\"8s\"\r\n", config).has_value());
    CHECK_EQ(config.lease.us, seconds(8).us);
}

TEST_CASE("single values") {
    core::Config config;
    REQUIRE(engine::set_config_value("lease", "6s", config).has_value());
    REQUIRE(engine::set_config_value("policy", "round-robin", config).has_value());
    REQUIRE(engine::set_config_value("breaker", "false", config).has_value());
    CHECK_EQ(*engine::config_value("lease", config), "\"6s\"");
    CHECK_EQ(*engine::config_value("policy", config), "\"round-robin\"");
    CHECK_EQ(*engine::config_value("breaker", config), "false");
    CHECK_FALSE(engine::set_config_value("lease", "5", config).has_value());
    CHECK_FALSE(engine::set_config_value("leas", "5s", config).has_value());
    CHECK_FALSE(engine::set_config_value("close_grace", "7s", config).has_value());
    CHECK_FALSE(engine::config_value("nothing", config).has_value());
}
