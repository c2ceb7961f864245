#include "main/log.h"

#include <doctest/doctest.h>
#include <unistd.h>

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

TEST_CASE("field M: a log that nobody reads delays nobody, and says later what was lost") {
    int pipe_ends[2];
    REQUIRE_EQ(pipe(pipe_ends), 0);
    Log log(true, pipe_ends[1]);
    // Many times what a pipe holds; events differ, so that none is left out as a repetition.
    for (int i = 0; i < 2000; ++i)
        log.write(engine::LogLevel::info, "event-" + std::to_string(i), std::string(500, 'x'));
    std::string read_back(1 << 20, '\0');
    const ssize_t got = read(pipe_ends[0], read_back.data(), read_back.size());
    REQUIRE_GT(got, 0);
    log.write(engine::LogLevel::info, "after", "read again");
    const ssize_t more = read(pipe_ends[0], read_back.data(), read_back.size());
    REQUIRE_GT(more, 0);
    const std::string told(read_back.data(), static_cast<std::size_t>(more));
    CHECK_NE(told.find("lines were lost: nobody read the log"), std::string::npos);
    CHECK_NE(told.find("read again"), std::string::npos);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}
