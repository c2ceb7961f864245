#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

namespace nexus::cli {

std::string span_text(std::int64_t us) {
    if (us < 0) return "-";
    if (us == 0) return "0";
    if (us < 1'000) return fmt::format("{} us", us);
    if (us < 9'950) return fmt::format("{:.1f} ms", static_cast<double>(us) / 1e3);
    if (us < 999'500) return fmt::format("{} ms", (us + 500) / 1'000);
    if (us < 9'950'000) return fmt::format("{:.1f} s", static_cast<double>(us) / 1e6);
    const std::int64_t seconds = us / 1'000'000 + (us % 1'000'000 >= 500'000 ? 1 : 0);
    if (seconds < 60) return fmt::format("{} s", seconds);
    if (seconds < 3'600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
    if (seconds < 86'400) return fmt::format("{}h{:02}m", seconds / 3'600, seconds / 60 % 60);
    return fmt::format("{}d{:02}h", seconds / 86'400, seconds / 3'600 % 24);
}

std::string moment_text(std::int64_t at_unix_us, std::int64_t now_unix_us) {
    if (at_unix_us == 0) return "-";
    const std::int64_t ahead = at_unix_us - now_unix_us;
    if (std::abs(ahead) < 500'000) return "now";
    return ahead > 0 ? "in " + span_text(ahead) : span_text(-ahead) + " ago";
}

std::string done_text(std::int64_t at_unix_us, std::int64_t now_unix_us) {
    if (at_unix_us == 0) return "-";
    const std::int64_t ahead = at_unix_us - now_unix_us;
    if (ahead < 0) return "soon";
    return ahead < 1'000'000 ? "within a second" : "in " + span_text(ahead);
}

std::string calendar_text(std::int64_t at_unix_us) {
    if (at_unix_us == 0) return "-";
    const std::time_t seconds = at_unix_us / 1'000'000;
    std::tm parts{};
    if (gmtime_r(&seconds, &parts) == nullptr) return "-";
    std::array<char, 64> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts);
    return {text.data(), size};
}

std::string count_text(std::uint64_t count) {
    std::string digits = std::to_string(count);
    for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
    return digits;
}

std::string bytes_text(std::uint64_t bytes) {
    static constexpr std::array<std::string_view, 5> units{"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024) return fmt::format("{} B", bytes);
    double amount = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    while (amount >= 1023.95 && unit + 1 < units.size()) {
        amount /= 1024;
        ++unit;
    }
    return fmt::format("{:.1f} {}", amount, units[unit]);
}

std::string percent_text(double share) {
    if (!(share >= 0)) return "-";
    const double percent = share * 100;
    if (percent > 99 && percent < 100) return fmt::format("{:.1f} %", std::floor(percent * 10) / 10);
    return fmt::format("{:.0f} %", percent);
}

std::string rate_text(double share) {
    return share == 0 ? "none yet" : percent_text(share);
}

std::string bar_text(double share, std::size_t width, bool unicode) {
    static constexpr std::array<std::string_view, 8> eighths{" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    if (!(share > 0)) share = 0;
    share = std::min(share, 1.0);
    std::string bar;
    if (!unicode) {
        const auto full = static_cast<std::size_t>(std::lround(share * static_cast<double>(width)));
        return bar.append(full, '#').append(width - full, '.');
    }
    const auto cells = static_cast<std::size_t>(std::lround(share * static_cast<double>(width) * 8));
    for (std::size_t i = 0; i < width; ++i) {
        if (cells >= (i + 1) * 8)
            bar.append("█");
        else
            bar.append(eighths[cells > i * 8 ? cells - i * 8 : 0]);
    }
    return bar;
}

namespace {

// Length of the valid UTF-8 sequence at the front of `text`; 0 when there is none.
std::size_t sequence_length(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xF0 && lead < 0xF5 ? 4
                               : lead >= 0xE0                ? 3
                               : lead >= 0xC2                ? 2
                                                             : 0;
    if (length == 0 || lead >= 0xF5 || length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
    return length;
}

bool is_control(std::string_view sequence) {
    const auto lead = static_cast<unsigned char>(sequence[0]);
    if (sequence.size() == 1) return lead < 0x20 || lead == 0x7F;
    const auto next = static_cast<unsigned char>(sequence[1]);
    if (lead == 0xC2) return next < 0xA0;  // C1 controls: a terminal may take 0x9B for an escape
    // U+202A-202E and U+2066-2069 turn the direction of writing around.
    if (lead != 0xE2 || sequence.size() != 3) return false;
    const auto last = static_cast<unsigned char>(sequence[2]);
    return (next == 0x80 && last >= 0xAA && last <= 0xAE) || (next == 0x81 && last >= 0xA6 && last <= 0xA9);
}

}  // namespace

std::string safe_text(std::string_view text, std::size_t columns) {
    std::string safe;
    std::size_t used = 0;
    while (!text.empty()) {
        if (used == columns) {
            while (columns_of(safe) + 2 > columns && !safe.empty()) {
                while ((static_cast<unsigned char>(safe.back()) & 0xC0) == 0x80) safe.pop_back();
                safe.pop_back();
            }
            return safe.append("..");
        }
        const std::size_t length = sequence_length(text);
        const std::string_view sequence = text.substr(0, std::max<std::size_t>(length, 1));
        if (length == 0 || is_control(sequence))
            safe.push_back('?');
        else
            safe.append(sequence);
        text.remove_prefix(sequence.size());
        ++used;
    }
    return safe;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::size_t columns_of(std::string_view text) {
    std::size_t columns = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\x1b') {
            while (i < text.size() && text[i] != 'm') ++i;
            continue;
        }
        if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) ++columns;
    }
    return columns;
}

}  // namespace nexus::cli
