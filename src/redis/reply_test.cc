#include "redis/reply.h"

#include <doctest/doctest.h>

#include <array>

using namespace nexus;
using namespace nexus::redis;

TEST_CASE("commands are lists of counted words, whatever bytes they hold") {
    Commands commands;
    commands.add({"SET", "k", std::string_view("\0\r\n", 3)});
    commands.begin(1);
    commands.word("PING");
    CHECK_EQ(commands.count(), 2);
    CHECK(commands.bytes() == std::string("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\0\r\n\r\n*1\r\n$4\r\nPING\r\n", 43));
    commands.clear();
    CHECK(commands.bytes().empty());
}

TEST_CASE("replies of every kind, whole however the bytes arrive") {
    const std::string bytes =
        "+OK\r\n:-7\r\n$-1\r\n*-1\r\n$0\r\n\r\n-NOSCRIPT No matching script\r\n"
        "*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n*0\r\n";
    for (const std::size_t step : {std::size_t{1}, std::size_t{3}, bytes.size()}) {
        ReplyReader reader;
        std::vector<Reply> replies;
        for (std::size_t at = 0; at < bytes.size(); at += step) {
            REQUIRE(reader.feed(std::string_view(bytes).substr(at, step)));
            for (;;) {
                auto reply = reader.next();
                REQUIRE(reply);
                if (!*reply) break;
                replies.push_back(std::move(**reply));
            }
        }
        REQUIRE_EQ(replies.size(), 7);
        CHECK(replies[0].text == "OK");
        CHECK_EQ(replies[1].number, -7);
        CHECK(replies[2].type == Reply::Type::nil);
        CHECK(replies[3].type == Reply::Type::nil);
        CHECK(replies[4].is_text());
        CHECK(replies[4].text.empty());
        CHECK(replies[5].is_error());
        CHECK(replies[5].error_code() == "NOSCRIPT");
        REQUIRE_EQ(replies[6].items.size(), 3);
        CHECK(replies[6].items[0].text == "a");
        REQUIRE_EQ(replies[6].items[1].items.size(), 2);
        CHECK_EQ(replies[6].items[1].items[0].number, 1);
        CHECK(replies[6].items[1].items[1].type == Reply::Type::nil);
        CHECK(replies[6].items[2].is_list());
    }
}

TEST_CASE("what is no reply is refused, a half one is dropped with its reader") {
    ReplyReader reader;
    REQUIRE(reader.feed("HTTP/1.1 400 Bad Request\r\n"));
    const auto reply = reader.next();
    REQUIRE_FALSE(reply);
    CHECK(reply.error().fault == Fault::corrupt);
    ReplyReader boasting;  // takes room for what came, not for what was announced
    REQUIRE(boasting.feed("*2000000000\r\n*2000000000\r\n:1\r\n"));
    CHECK_FALSE(boasting.next().value().has_value());
    ReplyReader half;
    REQUIRE(half.feed("*2\r\n$3\r\nabc\r\n$5\r\nab"));
    const auto nothing = half.next();
    REQUIRE(nothing);
    CHECK_FALSE(nothing->has_value());
}
