#include "base/ids.h"

namespace nexus {
namespace {

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool is_dash_position(std::size_t i) {
    return i == 8 || i == 13 || i == 18 || i == 23;
}

}  // namespace

std::string uuid_text(std::uint64_t hi, std::uint64_t lo) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text(36, '-');
    int nibble = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_dash_position(i)) continue;
        const std::uint64_t word = nibble < 16 ? hi : lo;
        text[i] = kDigits[(word >> (60 - 4 * (nibble % 16))) & 15];
        ++nibble;
    }
    return text;
}

bool parse_uuid(std::string_view text, std::uint64_t& hi, std::uint64_t& lo) {
    if (text.size() != 36) return false;
    std::uint64_t words[2] = {0, 0};
    int nibble = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (is_dash_position(i)) {
            if (text[i] != '-') return false;
            continue;
        }
        const int value = hex_value(text[i]);
        if (value < 0) return false;
        std::uint64_t& word = words[nibble / 16];
        word = (word << 4) | static_cast<std::uint64_t>(value);
        ++nibble;
    }
    hi = words[0];
    lo = words[1];
    return true;
}

TaskId make_task_id(std::int64_t unix_ms, std::uint32_t bucket, std::uint64_t random) {
    const auto ms = static_cast<std::uint64_t>(unix_ms) & 0xFFFF'FFFF'FFFFULL;
    return {.hi = (ms << 16) | 0x7000 | (bucket & (kBuckets - 1)),
            .lo = 0x8000'0000'0000'0000ULL | (random & 0x3FFF'FFFF'FFFF'FFFFULL)};
}

std::uint32_t bucket_of(TaskId task) {
    return static_cast<std::uint32_t>(task.hi & (kBuckets - 1));
}

SessionId make_session_id(std::uint32_t shard, std::uint32_t epoch, std::uint64_t count) {
    return {(shard & 0xFFFULL) << 52 | (epoch & 0x3F'FFFFULL) << 30 | (count & 0x3FFF'FFFFULL)};
}

}  // namespace nexus
