#include "base/quantity.h"

#include <array>
#include <limits>

namespace nexus {
namespace {

struct Unit {
    std::string_view name;
    std::int64_t factor;
};

// Largest first: the order in which they may follow each other.
constexpr std::array<Unit, 6> kDurationUnits{{{.name = "d", .factor = 86'400'000'000},
                                              {.name = "h", .factor = 3'600'000'000},
                                              {.name = "m", .factor = 60'000'000},
                                              {.name = "s", .factor = 1'000'000},
                                              {.name = "ms", .factor = 1'000},
                                              {.name = "us", .factor = 1}}};

constexpr std::array<Unit, 9> kSizeUnits{{{.name = "TiB", .factor = 1LL << 40},
                                          {.name = "TB", .factor = 1'000'000'000'000},
                                          {.name = "GiB", .factor = 1LL << 30},
                                          {.name = "GB", .factor = 1'000'000'000},
                                          {.name = "MiB", .factor = 1LL << 20},
                                          {.name = "MB", .factor = 1'000'000},
                                          {.name = "KiB", .factor = 1LL << 10},
                                          {.name = "kB", .factor = 1'000},
                                          {.name = "B", .factor = 1}}};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Takes leading digits off `text`. False when there are none or they exceed int64.
bool take_digits(std::string_view& text, std::int64_t& value) {
    std::size_t used = 0;
    value = 0;
    while (used < text.size() && is_digit(text[used])) {
        if (__builtin_mul_overflow(value, std::int64_t{10}, &value)) return false;
        if (__builtin_add_overflow(value, std::int64_t{text[used] - '0'}, &value)) return false;
        ++used;
    }
    text.remove_prefix(used);
    return used > 0;
}

std::string_view take_letters(std::string_view& text) {
    std::size_t used = 0;
    while (used < text.size() && !is_digit(text[used]) && text[used] != '.') ++used;
    const std::string_view letters = text.substr(0, used);
    text.remove_prefix(used);
    return letters;
}

std::unexpected<Error> bad_duration(std::string_view text, std::string_view why) {
    std::string what = "\"";
    what.append(text.substr(0, 40)).append("\" is not a duration: ").append(why);
    return fail(Fault::invalid, std::move(what));
}

// The fraction ".25" of one unit, in microseconds; digits beyond the microsecond are refused.
bool take_fraction(std::string_view& text, std::int64_t factor, std::int64_t& us) {
    us = 0;
    if (text.empty() || text[0] != '.') return true;
    text.remove_prefix(1);
    bool any = false;
    while (!text.empty() && is_digit(text[0])) {
        if (factor % 10 != 0 && text[0] != '0') return false;
        factor /= 10;
        us += factor * (text[0] - '0');
        text.remove_prefix(1);
        any = true;
    }
    return any;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
    if (text == "0") return Duration{};
    if (text.empty()) return bad_duration(text, "it is empty; write e.g. 5s or 250ms");
    if (text[0] == '-') return bad_duration(text, "it must not be negative");
    std::string_view rest = text;
    std::size_t unit_min = 0;  // units must become smaller
    Duration sum;
    while (!rest.empty()) {
        std::int64_t whole = 0;
        if (!take_digits(rest, whole)) return bad_duration(text, "write a number and a unit, e.g. 5s, 1m30s or 250ms");
        const std::string_view from_fraction = rest;
        const std::size_t digits = from_fraction.find_first_not_of(".0123456789");
        if (digits == std::string_view::npos) return bad_duration(text, "the unit is missing (us, ms, s, m, h, d)");
        std::string_view after = from_fraction.substr(digits);
        const std::string_view unit = take_letters(after);
        std::size_t found = unit_min;
        while (found < kDurationUnits.size() && kDurationUnits[found].name != unit) ++found;
        if (found == kDurationUnits.size())
            return bad_duration(text, "the units are us, ms, s, m, h and d, largest first");
        std::int64_t fraction_us = 0;
        if (!take_fraction(rest, kDurationUnits[found].factor, fraction_us) ||
            rest.size() != from_fraction.size() - digits)
            return bad_duration(text, "the decimals cannot be kept exactly in microseconds");
        std::int64_t us = 0;
        if (__builtin_mul_overflow(whole, kDurationUnits[found].factor, &us))
            return bad_duration(text, "it is longer than 100 years");
        sum = sum + Duration{us} + Duration{fraction_us};
        rest = after;
        unit_min = found + 1;
    }
    if (sum > kDurationTextMax) return bad_duration(text, "it is longer than 100 years");
    return sum;
}

std::string duration_text(Duration duration) {
    if (duration.us == 0) return "0s";
    for (const Unit& unit : kDurationUnits)
        if (duration.us % unit.factor == 0) return std::to_string(duration.us / unit.factor).append(unit.name);
    return std::to_string(duration.us).append("us");
}

Result<std::uint64_t> parse_size(std::string_view text) {
    std::string_view rest = text;
    std::int64_t whole = 0;
    if (take_digits(rest, whole)) {
        for (const Unit& unit : kSizeUnits) {
            if (rest != unit.name) continue;
            std::int64_t bytes = 0;
            if (__builtin_mul_overflow(whole, unit.factor, &bytes)) break;
            return static_cast<std::uint64_t>(bytes);
        }
        if (rest.empty() && whole == 0) return std::uint64_t{0};
    }
    return fail(Fault::invalid, std::string("\"")
                                    .append(text.substr(0, 40))
                                    .append("\" is not a size: write a whole number and a unit, e.g. 64MiB or 10GB"));
}

std::string size_text(std::uint64_t bytes) {
    if (bytes == 0) return "0B";
    for (const Unit& unit : kSizeUnits) {
        const auto factor = static_cast<std::uint64_t>(unit.factor);
        if (bytes % factor == 0) return std::to_string(bytes / factor).append(unit.name);
    }
    return std::to_string(bytes).append("B");
}

std::string counted(std::uint64_t count, std::string_view noun) {
    std::string text = std::to_string(count);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
    return text.append(" ").append(noun).append(count == 1 ? "" : "s");
}

}  // namespace nexus
