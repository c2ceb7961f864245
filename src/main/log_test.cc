#include "main/log.h"

#include <doctest/doctest.h>

using namespace nexus;
using namespace nexus::serve;

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
