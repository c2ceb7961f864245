#pragma once
// The server's log on standard error: JSON lines for machines, short lines on a terminal.
//
//   {"ts":"2026-03-01T12:00:00.123456Z","level":"info","event":"ready","msg":"..."}
//
// One line is at most 1 KiB; control characters never reach the terminal. An event that repeats more than
// kLogRepeatsMax times a second is counted instead, and the count goes with the next line. Any thread.

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "engine/runner.h"

namespace nexus::serve {

inline constexpr std::size_t kLogLineBytesMax = 1024;
inline constexpr std::uint32_t kLogRepeatsMax = 20;

class Log {
public:
    Log();  // as standard error is
    Log(bool json, int descriptor) : json_(json), descriptor_(descriptor) {}
    // Never waits: a line that finds no room, because nobody reads the pipe, is lost, counted, and told of by the next
    // one that does.
    void write(engine::LogLevel level, std::string_view event, std::string_view text);

private:
    struct Repeats {
        std::int64_t second = 0;
        std::uint32_t written = 0;
        std::uint64_t left_out = 0;
    };
    void put(std::string line);

    bool json_ = true;
    int descriptor_ = 2;
    std::mutex mutex_;  // guards all below and the order of lines
    std::uint64_t lost_ = 0;
    std::map<std::string, Repeats, std::less<>> repeats_;
};

// One line without its end; the clock is an argument so that it can be tested.
std::string log_line(bool json, std::int64_t unix_us, engine::LogLevel level, std::string_view event,
                     std::string_view text);

}  // namespace nexus::serve
