#include "config/toml.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace nexus;
using config::apply;

TEST_CASE("to_toml comes back as it was") {
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
    const auto named = apply(config::to_toml(config), back);
    REQUIRE_MESSAGE(named.has_value(), (named ? "" : named.error().what));
    const auto live = std::ranges::count_if(config::settings(), [](const auto& setting) { return setting.live(); });
    CHECK_EQ(named->size(), live + 3);
    CHECK(back == config);
    CHECK_EQ(config::to_toml(back), config::to_toml(config));
}

TEST_CASE("a text changes what it names and nothing else") {
    core::Config config;
    config.queues = {{.name = "bulk", .running_max = 7}};
    REQUIRE(apply("[scheduler]\nlease = \"9s\"\n", config).has_value());
    CHECK_EQ(config.lease.us, seconds(9).us);
    CHECK_EQ(config.queues.size(), 1);
    CHECK_EQ(config.ttl.us, core::Config{}.ttl.us);
    REQUIRE(apply("queues = []", config).has_value());
    CHECK(config.queues.empty());
    REQUIRE(apply("", config).has_value());
    CHECK_EQ(config.lease.us, seconds(9).us);
}

TEST_CASE("one entry of a list is changed and the others stay") {
    core::Config config;
    config.queues = {{.name = "bulk", .running_max = 7}, {.name = "mail", .count_fair = true}};
    REQUIRE(apply(config::pause_edit("bulk", true), config).has_value());
    REQUIRE(apply(config::pause_edit("alpha:1.x", true), config).has_value());
    REQUIRE(apply("[tenants.acme]\nshare = 3\n[tenants.zeta]\nwaiting_max = 9\n", config).has_value());
    CHECK(config.queues == std::vector<core::QueueLimits>{{.name = "alpha:1.x", .paused = true},
                                                          {.name = "bulk", .paused = true, .running_max = 7},
                                                          {.name = "mail", .count_fair = true}});
    CHECK(config.tenants == std::vector<core::TenantLimits>{{.name = "acme", .share = 3},
                                                            {.name = "zeta", .share = 1, .waiting_max = 9}});
    REQUIRE(apply(config::policy_edit("fcfs"), config).has_value());
    CHECK(config.policy == core::PolicyKind::fcfs);
}

// A queue paused under such a name came out of `config get` as a limit of a tenant, and `config set` then set it.
TEST_CASE("a name cannot bring in another setting") {
    const std::string evil = "q\"\n[[tenants]]\nname = \"acme\"\nrunning_max = 1\n[[queues]]\nname = \"x";
    core::Config config;
    const auto paused = apply(config::pause_edit(evil, true), config);
    REQUIRE_FALSE(paused.has_value());
    CHECK_NE(paused.error().what.find("queues: a name must match"), std::string::npos);
    CHECK(config == core::Config{});
    // Wherever the name came from, it is refused, and the writer keeps it one name.
    config.queues = {{.name = evil, .paused = true}};
    CHECK_FALSE(config::check(config).has_value());
    core::Config back;
    CHECK_FALSE(apply(config::to_toml(config), back).has_value());
    CHECK(back == core::Config{});
    CHECK_EQ(config::to_toml(config).find("\n[[tenants]]"), std::string::npos);
    CHECK_FALSE(apply(config::policy_edit("fcfs\"\nlease = \"9s"), back).has_value());
    CHECK(back == core::Config{});
}

TEST_CASE("the server's part only where it may be set") {
    const std::string_view text = "[server]\nlisten = \"127.0.0.1:7\"\n[scheduler]\npolicy = \"fcfs\"\n";
    core::Config config;
    const auto applied = apply(text, config);
    REQUIRE_FALSE(applied.has_value());
    CHECK_NE(applied.error().what.find("cannot be changed while it runs"), std::string::npos);
    config::Values values;
    REQUIRE(apply(text, values).has_value());
    CHECK(values.scheduler.policy == core::PolicyKind::fcfs);
    CHECK_EQ(values.server.listen, "127.0.0.1:7");
}

TEST_CASE("what differs") {
    core::Config before;
    before.queues = {{.name = "bulk", .running_max = 7}};
    core::Config after = before;
    CHECK(config::diff(before, after).empty());
    after.lease = seconds(9);
    after.queues = {{.name = "mail", .paused = true}};
    using Change = config::Change;
    CHECK(config::diff(before, after) == std::vector<Change>{{"scheduler.lease", "\"5s\"", "\"9s\""},
                                                             {"queues.bulk.paused", "false", ""},
                                                             {"queues.bulk.count_fair", "false", ""},
                                                             {"queues.bulk.running_max", "7", ""},
                                                             {"queues.mail.paused", "", "true"},
                                                             {"queues.mail.count_fair", "", "false"},
                                                             {"queues.mail.running_max", "", "0"}});
}

TEST_CASE("each setting has a name, a meaning and a range that its default is in") {
    std::vector<std::string_view> names;
    const config::Values defaults;
    for (const config::Setting& setting : config::settings()) {
        CAPTURE(setting.name);
        names.push_back(setting.name);
        CHECK_FALSE(setting.meaning.empty());
        CHECK_FALSE(setting.meaning.ends_with('.'));
        CHECK_LE(setting.min, setting.max);
        config::Values values;
        const std::string text = config::value_text(setting, defaults);
        const auto done = config::apply_value(setting.name, text, values);
        CHECK_MESSAGE(done.has_value(), (done ? "" : done.error().what));
        CHECK(values == defaults);
        if (setting.kind == config::Kind::choice) CHECK_FALSE(config::range_text(setting).empty());
    }
    std::ranges::sort(names);
    CHECK(std::ranges::adjacent_find(names) == names.end());
    CHECK_EQ(config::environment_name(*config::find_setting("scheduler.close_grace")), "NEXUS_SCHEDULER_CLOSE_GRACE");
    CHECK_EQ(config::range_text(*config::find_setting("scheduler.lease")), "2s to 1d");
    CHECK_EQ(config::range_text(*config::find_setting("server.durability")), "disk, process or replicated");
}

TEST_CASE("bad configurations are refused by key and line, and change nothing") {
    static constexpr struct {
        std::string_view toml, says;
    } rows[] = {
        {"[scheduler]\nleese = \"5s\"", "line 2: unknown key \"leese\" (did you mean \"lease\"?)"},
        {"[schedular]\nlease = \"5s\"", "did you mean \"scheduler\"?"},
        {"[scheduler]\nlease = \"5s\"\nlease = \"6s\"", "line 3"},
        {"gr\xc3\xb6\xc3\x9f = 1", "line 1: a character beyond ASCII outside of quotes: quote it"},
        {"# \xc3\xbc\n[scheduler]\nlease = \"8s\" \xc3\xbc", "line 3: a character beyond ASCII"},
        {"[[queues]]\nname = \"\"\"a\\\n\xc3\xbc'\"\"\"\"\xc3\xbc", "line 3: a character beyond ASCII"},
        {"[[queues]]\nname\xe2\x84\xae = 1", "line 2: a character beyond ASCII"},
        {"[[queues]]\nname = \"gr\xc3\xb6\xc3\x9f\"", "line 2"},
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
        {"[[queues]]\nname = \"a b\"", "queues.name: must match"},
        {"[[queues]]\nname = \"a\"\n[[queues]]\nname = \"a\"", "queues: duplicate entry \"a\""},
        {"[[tenants]]\nname = \"a\"\nshare = 0", "line 3: tenants.share: 0 is out of range"},
        {"[[tenants]]\nname = \"a\"\nshare = 9223372036854775807", "out of range"},
        {"[[types]]\nname = \"a\"\nrunnin_max = 1", "did you mean \"running_max\"?"},
        {"[queues]\nname = \"a\"", "[[queues]]"},
        {"queues = 5", "[[queues]]"},
        {"[queues.\"a b\"]\npaused = true", "line 1: queues: a name must match"},
        {"[queues.a]\nname = \"b\"", "unknown key \"name\""},
        {"[queues.a]\npaused = 3", "line 2: queues.paused: expected true or false"},
        {"lease: 5s", "line 1"},
        {"&anchor", "line 1"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.toml);
        core::Config config;
        const auto applied = apply(row.toml, config);
        REQUIRE_FALSE(applied.has_value());
        CHECK(applied.error().fault == Fault::invalid);
        CHECK_MESSAGE(applied.error().what.find(row.says) != std::string::npos, applied.error().what);
        CHECK(config == core::Config{});
    }
    core::Config config;
    CHECK_FALSE(apply(std::string(config::kTextBytesMax + 1, '\n'), config).has_value());
    CHECK_FALSE(apply(std::string(100'000, '['), config).has_value());
}

TEST_CASE("odd but legal files") {
    core::Config config;
    CHECK(apply("\xEF\xBB\xBF[scheduler]\r\n\tlease\t=\t\"8s\"\r\n", config).has_value());
    CHECK_EQ(config.lease.us, seconds(8).us);
    CHECK(apply("# gr\xc3\xb6\xc3\x9f"
                "er: 'it\"s\n[scheduler]\nlease = '9s' # \xc3\xbc\n",
                config)
              .has_value());
    CHECK_EQ(config.lease.us, seconds(9).us);
}

TEST_CASE("single values") {
    config::Values values;
    const auto shown = [&](std::string_view name) { return config::value_text(*config::find_setting(name), values); };
    REQUIRE(config::apply_value("scheduler.lease", "6s", values).has_value());
    REQUIRE(config::apply_value("scheduler.policy", "round_robin", values).has_value());
    REQUIRE(config::apply_value("scheduler.breaker", "false", values).has_value());
    REQUIRE(config::apply_value("server.disk_reserve", "\"1MiB\"", values).has_value());
    CHECK_EQ(shown("scheduler.lease"), "\"6s\"");
    CHECK_EQ(shown("scheduler.policy"), "\"round-robin\"");
    CHECK_EQ(shown("scheduler.breaker"), "false");
    CHECK_EQ(shown("server.disk_reserve"), "\"1MiB\"");
    const config::Values before = values;
    for (const auto& [name, value] : {std::pair{"scheduler.lease", "5"},
                                      {"scheduler.leas", "5s"},
                                      {"scheduler", "1"},
                                      {"server.", "1"},
                                      {"lease", "5s"},
                                      {"", ""}}) {
        CAPTURE(name);
        CHECK_FALSE(config::apply_value(name, value, values).has_value());
    }
    CHECK(values == before);
    // Fits only together with another one that may still come: config::check() judges.
    REQUIRE(config::apply_value("scheduler.close_grace", "7s", values).has_value());
    CHECK_FALSE(config::check(values.scheduler).has_value());
}
