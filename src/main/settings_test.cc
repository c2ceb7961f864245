#include "main/settings.h"

#include <doctest/doctest.h>

#include <array>

#include "main/log.h"

using namespace nexus;
using namespace nexus::serve;

TEST_CASE("later sources win, and each value knows where it came from") {
    Settings settings;
    REQUIRE(apply_text("[server]\nlisten = \"127.0.0.1:1\"\ndata = \"/a\"\n[scheduler]\nlease = \"7s\"\nttl = \"1h\"\n",
                       "file a.toml", settings));
    const std::array<const char*, 4> environment{"NEXUS_SERVER_DATA=/b", "NEXUS_SCHEDULER_LEASE=8s",
                                                 "NEXUS_SERVER=elsewhere:1", "HOME=/root"};
    REQUIRE(apply_environment(environment, settings));
    REQUIRE(set_value("scheduler.lease", "9s", "flag", settings));
    CHECK_EQ(settings.listen, "127.0.0.1:1");
    CHECK_EQ(settings.data, "/b");
    CHECK(settings.scheduler.lease == seconds(9));
    CHECK(settings.scheduler.ttl == hours(1));
    CHECK_EQ(settings.origins.at("server.listen"), "file a.toml");
    CHECK_EQ(settings.origins.at("server.data"), "environment NEXUS_SERVER_DATA");
    CHECK_EQ(settings.origins.at("scheduler.lease"), "flag");
    CHECK_EQ(settings.origins.count("scheduler.policy"), 0);
    const std::string shown = settings_text(settings, true);
    CHECK_NE(shown.find("lease = \"9s\""), std::string::npos);
    CHECK_NE(shown.find("# environment NEXUS_SERVER_DATA"), std::string::npos);
    CHECK_NE(shown.find("# default"), std::string::npos);
}

TEST_CASE("what is shown is a configuration again") {
    Settings settings;
    settings.data = "a \"quoted\" \\ folder";
    settings.durability = store::Durability::process;
    settings.history_bytes_max = 10ULL << 30;
    settings.scheduler.queues = {{.name = "bulk", .paused = true, .running_max = 3}};
    for (const bool with_origins : {false, true}) {
        Settings back;
        const auto applied = apply_text(settings_text(settings, with_origins), "text", back);
        REQUIRE_MESSAGE(applied.has_value(), (applied ? "" : applied.error().what));
        CHECK_EQ(back.data, settings.data);
        CHECK(back.durability == settings.durability);
        CHECK_EQ(back.history_bytes_max, settings.history_bytes_max);
        CHECK(back.scheduler == settings.scheduler);
    }
}

TEST_CASE("an error changes nothing and says where") {
    static constexpr struct {
        const char* toml;
        const char* says;
    } rows[] = {{"[server]\nlissten = \"127.0.0.1:1\"", "did you mean \"listen\"?"},
                {"[server]\ndata = 5", "line 2: server.data: expected text in quotes"},
                {"[server]\ndurability = \"maybe\"", "disk or process"},
                {"[server]\nhistory_retention = \"5\"", "unit is missing"},
                {"[server]\nhistory_retention = \"1s\"", "1m to 100 years"},
                {"[server]\ndisk_reserve = \"64\"", "is not a size"},
                {"[server]\nmodel = \"oracle\"", "oracle"},
                {"server = 1", "expected a [server] table"},
                {"[scheduler]\nlease = 5", "scheduler.lease"},
                {"[other]", "unknown key"}};
    for (const auto& row : rows) {
        CAPTURE(row.toml);
        Settings settings;
        const auto applied = apply_text(row.toml, "text", settings);
        REQUIRE_FALSE(applied.has_value());
        CHECK_MESSAGE(applied.error().what.find(row.says) != std::string::npos, applied.error().what);
        CHECK(settings.origins.empty());
    }
    Settings settings;
    const std::array<const char*, 1> unknown{"NEXUS_SCHEDULER_LEESE=5s"};
    const auto applied = apply_environment(unknown, settings);
    REQUIRE_FALSE(applied.has_value());
    CHECK_NE(applied.error().what.find("lease"), std::string::npos);
    CHECK_FALSE(set_value("lease", "5s", "flag", settings).has_value());
}

TEST_CASE("only loopback addresses, on different ports") {
    static constexpr struct {
        const char* listen;
        const char* http;
        bool fine;
        Fault fault;
    } rows[] = {{"127.0.0.1:7070", "127.0.0.1:7080", true, {}},
                {"localhost:0", "localhost:0", true, {}},
                {"[::1]:1", "off", true, {}},
                {"127.9.9.9:1", "off", true, {}},
                {"0.0.0.0:7070", "off", false, Fault::denied},
                {"[::]:7070", "off", false, Fault::denied},
                {"127.0.0.1:7070", "192.168.0.1:80", false, Fault::denied},
                {"host:7070", "off", false, Fault::denied},
                {"127.0.0.1:70000", "off", false, Fault::invalid},
                {"127.0.0.1", "off", false, Fault::invalid},
                {"off", "off", false, Fault::invalid},
                {"127.0.0.1:7070", "127.0.0.1:7070", false, Fault::invalid}};
    for (const auto& row : rows) {
        CAPTURE(row.listen);
        CAPTURE(row.http);
        Settings settings;
        settings.listen = row.listen;
        settings.http = row.http;
        const auto checked = check(settings);
        REQUIRE_EQ(checked.has_value(), row.fine);
        if (!row.fine) CHECK(checked.error().fault == row.fault);
    }
}

TEST_CASE("a log line is one short line, whatever it is told") {
    const std::int64_t at = 1'700'000'000'123'456;
    CHECK_EQ(log_line(true, at, engine::LogLevel::info, "ready", "all \"fine\""),
             R"({"ts":"2023-11-14T22:13:20.123456Z","level":"info","event":"ready","msg":"all \"fine\""})");
    CHECK_EQ(log_line(false, at, engine::LogLevel::info, "ready", "all fine"), "22:13:20.123 all fine");
    CHECK_EQ(log_line(false, at, engine::LogLevel::error, "bad", "broken"), "22:13:20.123 error: broken");
    const std::string nasty = "a\n\x1b[2J\"\\" + std::string(100'000, '"');
    const std::string line = log_line(true, at, engine::LogLevel::warning, nasty, nasty);
    CHECK_LE(line.size(), kLogLineBytesMax);
    CHECK_EQ(line.find('\n'), std::string::npos);
    CHECK_EQ(line.find('\x1b'), std::string::npos);
}
