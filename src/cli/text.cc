#include "cli/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include "base/utf8.h"

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

// What moves the cursor, hides or turns text around: controls, bidi, zero-width and tag characters, line separators.
bool is_treacherous(char32_t c) {
    static constexpr struct {
        char32_t first, last;
    } ranges[] = {{0x00, 0x1F},     {0x7F, 0x9F},       {0xAD, 0xAD},       {0x34F, 0x34F},    {0x61C, 0x61C},
                  {0x115F, 0x1160}, {0x17B4, 0x17B5},   {0x180B, 0x180F},   {0x200B, 0x200F},  {0x2028, 0x202E},
                  {0x2060, 0x206F}, {0x3164, 0x3164},   {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},  {0xFFA0, 0xFFA0},
                  {0xFFF0, 0xFFFB}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF}};
    return std::ranges::any_of(ranges, [c](const auto& range) { return c >= range.first && c <= range.last; });
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
        const CodePoint next = code_point(text);
        const std::string_view sequence = text.substr(0, std::max<std::size_t>(next.length, 1));
        if (next.length == 0 || is_treacherous(next.value))
            safe.push_back('?');
        else
            safe.append(sequence);
        text.remove_prefix(sequence.size());
        ++used;
    }
    return safe;
}

std::string safe_lines(std::string_view text) {
    std::string safe;
    while (true) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        safe.append(safe_text(text.substr(0, end), std::string::npos));
        if (end == text.size()) return safe;
        safe.push_back('\n');
        text.remove_prefix(end + 1);
    }
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
