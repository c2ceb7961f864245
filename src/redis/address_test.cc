#include "redis/address.h"

#include <doctest/doctest.h>

#include <array>

using namespace nexus;
using namespace nexus::redis;

TEST_CASE("addresses in every form, and their text again") {
    struct Row {
        const char* url;
        Address want;
        const char* text;
    };
    const std::array rows = {
        Row{"redis://localhost", {.host = "localhost"}, "redis://localhost:6379"},
        Row{"redis://10.0.0.1:7000/3", {.host = "10.0.0.1", .port = 7000, .database = 3}, "redis://10.0.0.1:7000/3"},
        Row{"redis://nexus@store:1/", {.host = "store", .port = 1, .user = "nexus"}, "redis://nexus@store:1"},
        Row{"rediss://[::1]:6380", {.host = "::1", .port = 6380, .tls = true}, "rediss://[::1]:6380"},
        Row{"redis://:pa%40ss@h/1", {.host = "h", .password = "pa@ss", .database = 1}, "redis://h:6379/1"},
        Row{"redis://me:p:w@h", {.host = "h", .user = "me", .password = "p:w"}, "redis://me@h:6379"},
        Row{"redis+sentinel://a,b:1/main/2",
            {.host = "",
             .database = 2,
             .finding = Finding::sentinel,
             .seeds = {{.host = "a", .port = 26'379}, {.host = "b", .port = 1}},
             .master = "main"},
            "redis+sentinel://a:26379,b:1/main/2"},
        Row{"rediss+cluster://[::1]:7001,b",
            {.host = "",
             .tls = true,
             .finding = Finding::cluster,
             .seeds = {{.host = "::1", .port = 7001}, {.host = "b"}}},
            "rediss+cluster://[::1]:7001,b:6379"},
        Row{"redis+unix:///run/r.sock?db=2",
            {.host = "", .unix_path = "/run/r.sock", .database = 2},
            "redis+unix:///run/r.sock?db=2"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.url);
        const auto address = parse_address(row.url);
        REQUIRE(address);
        CHECK(*address == row.want);
        CHECK(to_text(*address) == row.text);
    }
}

TEST_CASE("what is no address is refused, and a password is never repeated") {
    for (const char* url : {"",
                            "redis:/x",
                            "http://x",
                            "redis://",
                            "redis://:1",
                            "redis://h:0",
                            "redis://h:70000",
                            "redis://h:6379/x",
                            "redis://[::1",
                            "redis://[::1]6379",
                            "redis+unix://x",
                            "redis+unix:///x?y=1",
                            "redis://h\n",
                            "redis://h:12x",
                            "redis://a,b",
                            "redis+sentinel://a,b",
                            "redis+sentinel://a/",
                            "redis+sentinel://a,/m",
                            "redis+cluster://a/1",
                            "redis://me:%4@h"}) {
        CAPTURE(url);
        const auto address = parse_address(url);
        REQUIRE_FALSE(address);
        CHECK(address.error().fault == Fault::invalid);
    }
    const auto secret = parse_address("redis://me:hunter2@host:x");
    REQUIRE_FALSE(secret);
    CHECK(secret.error().what.find("hunter2") == std::string::npos);
}

TEST_CASE("the slot of a key is that of Redis, of what stands in braces alone") {
    CHECK_EQ(hash_slot("123456789"), 0x31C3);  // of the specification
    CHECK_EQ(hash_slot("{user1000}.following"), hash_slot("user1000"));
    CHECK_EQ(hash_slot("foo{}{bar}"), hash_slot("foo{}{bar}"));
    CHECK_EQ(hash_slot("foo{{bar}}"), hash_slot("{bar"));
}
