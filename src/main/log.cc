#include "main/log.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

#include "base/system_clock.h"
#include "cli/text.h"

namespace nexus::serve {
namespace {

constexpr std::size_t kEventsMax = 256;  // remembered for repeats; then all are forgotten

std::string_view name_of(engine::LogLevel level) {
    switch (level) {
        case engine::LogLevel::debug: return "debug";
        case engine::LogLevel::info: return "info";
        case engine::LogLevel::warning: return "warning";
        case engine::LogLevel::error: return "error";
    }
    return "error";
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out.push_back('\\');
        out.push_back(c);
    }
    return out + "\"";
}

std::string stamp(std::int64_t unix_us) {
    const std::time_t seconds = unix_us / 1'000'000;
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, unix_us % 1'000'000);
}

}  // namespace

std::string log_line(bool json, std::int64_t unix_us, engine::LogLevel level, std::string_view event,
                     std::string_view text) {
    // Quotes and escapes may double a text, and the rest of the line is below 128 bytes.
    const std::string safe = cli::safe_text(text, 400);
    const std::string name = cli::safe_text(event, 64);
    if (json)
        return fmt::format(R"({{"ts":"{}","level":"{}","event":{},"msg":{}}})", stamp(unix_us), name_of(level),
                           quoted(name), quoted(safe));
    const std::string time = stamp(unix_us).substr(11, 12);
    return level == engine::LogLevel::info ? fmt::format("{} {}", time, safe)
                                           : fmt::format("{} {}: {}", time, name_of(level), safe);
}

namespace {

// A pipe is writable when a page of it is free, which takes two lines; a file always is.
bool has_room(int descriptor) {
    pollfd polled{.fd = descriptor, .events = POLLOUT, .revents = 0};
    return poll(&polled, 1, 0) == 1 && (polled.revents & POLLOUT) != 0;
}

}  // namespace

Log::Log() : json_(isatty(STDERR_FILENO) != 1) {}

void Log::write(engine::LogLevel level, std::string_view event, std::string_view text) {
    const std::int64_t now = system_wall().us;
    const std::lock_guard lock(mutex_);
    if (repeats_.size() >= kEventsMax) repeats_.clear();
    Repeats& repeats = repeats_[std::string(event)];
    if (repeats.second != now / 1'000'000) {
        repeats.second = now / 1'000'000;
        repeats.written = 0;
    }
    if (repeats.written == kLogRepeatsMax) {
        ++repeats.left_out;
        return;
    }
    ++repeats.written;
    std::string line =
        log_line(json_, now, level, event,
                 repeats.left_out == 0 ? std::string(text)
                                       : fmt::format("{} ({} more of these were left out)", text, repeats.left_out));
    repeats.left_out = 0;
    if (!has_room(descriptor_)) {
        ++lost_;
        return;
    }
    if (const std::uint64_t lost = std::exchange(lost_, 0); lost > 0)
        put(log_line(json_, now, engine::LogLevel::warning, "log_lost",
                     fmt::format("{} lines were lost: nobody read the log", lost)));
    put(std::move(line));
}

void Log::put(std::string line) {
    line.push_back('\n');
    [[maybe_unused]] const auto written = ::write(descriptor_, line.data(), line.size());  // nobody to tell
}

}  // namespace nexus::serve
