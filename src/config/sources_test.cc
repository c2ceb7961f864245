#include "config/sources.h"

#include <doctest/doctest.h>

#include <array>

using namespace nexus;
using config::Start;

TEST_CASE("later sources win, and each value knows where it came from") {
    Start start;
    REQUIRE(config::take_text(
        "[server]\nlisten = \"127.0.0.1:1\"\ndata = \"/a\"\n[scheduler]\nlease = \"7s\"\nttl = \"1h\"\n", "file a.toml",
        start));
    const std::array<const char*, 4> environment{"NEXUS_SERVER_DATA=/b", "NEXUS_SCHEDULER_LEASE=8s",
                                                 "NEXUS_SERVER=elsewhere:1", "HOME=/root"};
    REQUIRE(config::take_environment(environment, start));
    REQUIRE(config::take_value("scheduler.lease", "9s", "flag", start));
    CHECK_EQ(start.values.server.listen, "127.0.0.1:1");
    CHECK_EQ(start.values.server.data, "/b");
    CHECK(start.values.scheduler.lease == seconds(9));
    CHECK(start.values.scheduler.ttl == hours(1));
    CHECK_EQ(start.origins.at("server.listen"), "file a.toml");
    CHECK_EQ(start.origins.at("server.data"), "environment NEXUS_SERVER_DATA");
    CHECK_EQ(start.origins.at("scheduler.lease"), "flag");
    CHECK_EQ(start.origins.count("scheduler.policy"), 0);
    const std::string shown = config::to_toml(start, true);
    CHECK_NE(shown.find("lease = \"9s\""), std::string::npos);
    CHECK_NE(shown.find("# environment NEXUS_SERVER_DATA"), std::string::npos);
    CHECK_NE(shown.find("# default"), std::string::npos);
}

TEST_CASE("what is shown is a configuration again") {
    Start start;
    start.values.server.data = "a \"quoted\" \\ folder\n[scheduler]\nlease = \"9s\"";
    start.values.server.durability = "process";
    start.values.server.history_bytes_max = 10ULL << 30;
    start.values.scheduler.queues = {{.name = "bulk", .paused = true, .running_max = 3}};
    start.origins["server.data"] = "file a\nlisten = 7";
    for (const bool with_origins : {false, true}) {
        Start back;
        const auto applied = config::take_text(config::to_toml(start, with_origins), "text", back);
        REQUIRE_MESSAGE(applied.has_value(), (applied ? "" : applied.error().what));
        CHECK_EQ(back.values.server.data, start.values.server.data);
        CHECK(back.values.server.durability == start.values.server.durability);
        CHECK_EQ(back.values.server.history_bytes_max, start.values.server.history_bytes_max);
        CHECK(back.values.scheduler == start.values.scheduler);
    }
}

TEST_CASE("field E: names that HTTP answers to are a list, compared in lower case") {
    Start start;
    CHECK_EQ(start.values.server.http_hosts, "");
    REQUIRE(config::take_text("[server]\nhttp_hosts = \"Nexus.Example,box\"", "file a", start));
    CHECK_EQ(start.values.server.http_hosts, "nexus.example,box");
    REQUIRE(config::take_value("server.http_hosts", "[2001:DB8::1],a_b-c.d", "flag", start));
    CHECK_EQ(start.values.server.http_hosts, "[2001:db8::1],a_b-c.d");
    for (const char* bad : {"a,", ",a", "a,,b", "a b", "a:80", "http://a", "a/b", "*", "*.a", "[::1", "\xc3\xa4"}) {
        CAPTURE(bad);
        CHECK_FALSE(config::take_value("server.http_hosts", bad, "flag", start));
        CHECK_EQ(start.values.server.http_hosts, "[2001:db8::1],a_b-c.d");
    }
    REQUIRE(config::take_text("[server]\nhttp_hosts = \"\"", "file a", start));
    CHECK_EQ(start.values.server.http_hosts, "");
}

TEST_CASE("files are read in order, and what a later one says over an earlier is told") {
    Start start;
    REQUIRE(config::take_text("[scheduler]\nlease = \"7s\"\nttl = \"1h\"\n[queues.a]\nrunning_max = 1\n",
                              "file nexus.toml", start));
    // Fits only together with the file that follows.
    REQUIRE(config::take_text("[scheduler]\nlease = \"8s\"\nbackoff_first = \"1h\"\n", "file nexus.d/10.toml", start));
    CHECK_FALSE(config::check(start).has_value());
    REQUIRE(config::take_text("[scheduler]\nbackoff_max = \"2h\"\n[queues.b]\nrunning_max = 2\n",
                              "file nexus.d/20.toml", start));
    CHECK(config::check(start).has_value());
    CHECK(start.values.scheduler.lease == seconds(8));
    CHECK_EQ(start.origins.at("scheduler.lease"), "file nexus.d/10.toml, over file nexus.toml");
    CHECK_EQ(start.values.scheduler.queues.size(), 2);
    const std::string shown = config::to_toml(start, true);
    CHECK_NE(shown.find("# file nexus.d/10.toml, over file nexus.toml"), std::string::npos);
    CHECK_NE(shown.find("[[queues]]  # file nexus.d/20.toml, over file nexus.toml"), std::string::npos);
    Start back;
    REQUIRE(config::take_text(shown, "text", back));
    CHECK(back.values == start.values);
}

TEST_CASE("files that are read again change what they name, and nothing else") {
    core::Config live;
    live.lease = seconds(30);  // by `config set`
    live.ttl = hours(5);       // the same; no file names it
    live.queues = {{.name = "bulk", .paused = true}, {.name = "mail"}};
    live.tenants = {{.name = "acme", .share = 9}};
    Start read;
    REQUIRE(config::take_text("[scheduler]\nlease = \"7s\"\nattempts_max = 5\n[queues.mail]\nrunning_max = 4\n",
                              "file a", read));
    const std::array<const char*, 2> environment{"NEXUS_SCHEDULER_ATTEMPTS_MAX=8", "NEXUS_SCHEDULER_CRASHES_MAX=9"};
    REQUIRE(config::take_environment(environment, read));
    const auto laid = config::laid_over(live, read);
    REQUIRE(laid.has_value());
    core::Config expected = live;
    expected.lease = seconds(7);
    expected.attempts_max = 8;  // the environment wins over the file that names it too; alone it says nothing
    expected.queues = {{.name = "bulk", .paused = true}, {.name = "mail", .running_max = 4}};
    CHECK(*laid == expected);

    REQUIRE(config::take_text("tenants = []\nqueues = []\n", "file b", read));
    const auto emptied = config::laid_over(live, read);
    REQUIRE(emptied.has_value());
    CHECK(emptied->queues.empty());
    CHECK(emptied->tenants.empty());
}

TEST_CASE("what a running server cannot take over is named") {
    config::Server running, read;
    CHECK(config::restart_keys(running, read).empty());
    read.listen = "127.0.0.1:9";
    read.reserve_bytes = 1;
    CHECK(config::restart_keys(running, read) == std::vector<std::string>{"server.listen", "server.disk_reserve"});
}

TEST_CASE("a running server tells where each value comes from") {
    Start started;
    REQUIRE(
        config::take_text("[server]\ndata = \"/d\"\n[scheduler]\nlease = \"7s\"\nttl = \"1h\"\n", "file a", started));
    core::Config live = started.values.scheduler;
    live.ttl = hours(2);
    live.attempts_max = 9;
    const Start now = config::in_force(started, live);
    CHECK(now.values.scheduler == live);
    CHECK_EQ(now.origins.at("server.data"), "file a");
    CHECK_EQ(now.origins.at("scheduler.lease"), "file a");
    CHECK_EQ(now.origins.at("scheduler.ttl"), "the journal: changed while it ran");
    CHECK_EQ(now.origins.at("scheduler.attempts_max"), "the journal: changed while it ran");
    live.ttl = core::Config{}.ttl;
    CHECK_EQ(config::in_force(started, live).origins.count("scheduler.ttl"), 0);
}

TEST_CASE("an error changes nothing and says where") {
    static constexpr struct {
        const char* toml;
        const char* says;
    } rows[] = {{"[server]\nlissten = \"127.0.0.1:1\"", "did you mean \"listen\"?"},
                {"[server]\ndata = 5", "line 2: server.data: expected text in quotes"},
                {"[server]\ndurability = \"maybe\"", "disk, process or replicated"},
                {"[server]\nhistory_retention = \"5\"", "unit is missing"},
                {"[server]\nhistory_retention = \"1s\"", "1m to 36500d"},
                {"[server]\ndisk_reserve = \"64\"", "is not a size"},
                {"[server]\nmodel = \"\"", "server.model: must be 1 to 4096 bytes"},
                {"server = 1", "expected a [server] table"},
                {"[scheduler]\nlease = 5", "scheduler.lease"},
                {"[other]", "unknown key"}};
    for (const auto& row : rows) {
        CAPTURE(row.toml);
        Start start;
        const auto applied = config::take_text(row.toml, "text", start);
        REQUIRE_FALSE(applied.has_value());
        CHECK_MESSAGE(applied.error().what.find(row.says) != std::string::npos, applied.error().what);
        CHECK(start.origins.empty());
    }
    Start start;
    const std::array<const char*, 1> unknown{"NEXUS_SCHEDULER_LEESE=5s"};
    const auto applied = config::take_environment(unknown, start);
    REQUIRE_FALSE(applied.has_value());
    CHECK_NE(applied.error().what.find("lease"), std::string::npos);
    CHECK_FALSE(config::take_value("lease", "5s", "flag", start).has_value());
}

TEST_CASE("K5: beyond loopback only with TLS and with asking who calls, or by order") {
    static constexpr struct {
        const char* name;
        const char *auth, *cert, *client_ca;
        bool insecure, fine, open;
        const char* says;
    } rows[] = {{"nothing", "none", "", "", false, false, true, "--tls-cert"},
                {"tokens alone", "tokens", "", "", false, false, true, "--tls-cert"},
                {"TLS alone", "none", "c.pem", "", false, false, true, "--auth tokens"},
                {"TLS and tokens", "tokens", "c.pem", "", false, true, false, ""},
                {"TLS and certificates", "none", "c.pem", "ca.pem", false, true, false, ""},
                {"by order", "none", "", "", true, true, true, ""},
                {"an order that is not needed", "tokens", "c.pem", "", true, true, false, ""}};
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Start start;
        config::Server& server = start.values.server;
        server.listen = "0.0.0.0:7070";
        server.auth = row.auth;
        server.tls_cert = row.cert;
        server.tls_key = *row.cert == '\0' ? "" : "k.pem";
        server.tls_client_ca = row.client_ca;
        server.insecure = row.insecure;
        const auto checked = config::check(start);
        CHECK_EQ(checked.has_value(), row.fine);
        if (!checked) CHECK(checked.error().fault == Fault::denied);
        if (!checked) CHECK_NE(checked.error().what.find(row.says), std::string::npos);
        CHECK_EQ(config::is_open_beyond_loopback(server), row.open);
    }
}

TEST_CASE("half of TLS is refused") {
    static constexpr struct {
        const char *cert, *key, *client_ca, *subjects;
        bool fine;
    } rows[] = {{"c", "k", "", "", true},          {"c", "", "", "", false},   {"", "k", "", "", false},
                {"", "", "ca", "", false},         {"c", "k", "ca", "", true}, {"c", "k", "", "w=worker", false},
                {"c", "k", "ca", "w=worker", true}};
    for (const auto& row : rows) {
        CAPTURE(row.cert);
        Start start;
        start.values.server.tls_cert = row.cert;
        start.values.server.tls_key = row.key;
        start.values.server.tls_client_ca = row.client_ca;
        start.values.server.tls_subjects = row.subjects;
        CHECK_EQ(config::check(start).has_value(), row.fine);
    }
}

TEST_CASE("only loopback addresses when nothing protects, on different ports") {
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
                {"127.evil.example:7070", "off", false, Fault::denied},
                {"127.0.0.1:70000", "off", false, Fault::invalid},
                {"127.0.0.1", "off", false, Fault::invalid},
                {"off", "off", false, Fault::invalid},
                {"unix:/run/nexus.sock", "127.0.0.1:7080", true, {}},
                {"unix:", "off", false, Fault::invalid},
                {"127.0.0.1:7070", "unix:/run/nexus.sock", false, Fault::invalid},
                {"127.0.0.1:7070", "127.0.0.1:7070", false, Fault::invalid}};
    for (const auto& row : rows) {
        CAPTURE(row.listen);
        CAPTURE(row.http);
        Start start;
        start.values.server.listen = row.listen;
        start.values.server.http = row.http;
        const auto checked = config::check(start);
        REQUIRE_EQ(checked.has_value(), row.fine);
        if (!row.fine) CHECK(checked.error().fault == row.fault);
    }
}
