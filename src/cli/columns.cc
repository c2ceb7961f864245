#include "cli/columns.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>

#include "cli/text.h"

namespace nexus::cli {
namespace {

bool is_number(std::string_view text) {
    double value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    return fault == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::string Look::span(std::int64_t us) const {
    if (us < 0) return none();
    return plain ? std::to_string(us) : span_text(us);
}

std::string Look::known_span(std::int64_t us) const {
    return us > 0 ? span(us) : none();
}

std::string Look::calendar(std::int64_t unix_us) const {
    if (!plain) return calendar_text(unix_us);
    if (unix_us == 0) return {};
    std::string text = calendar_text(unix_us);
    std::ranges::replace(text, ' ', 'T');
    return fmt::format("{}.{:06}Z", text, unix_us % 1'000'000);
}

std::string Look::moment(std::int64_t unix_us) const {
    return plain ? calendar(unix_us) : moment_text(unix_us, now);
}

std::string Look::count(std::uint64_t number) const {
    return plain ? std::to_string(number) : count_text(number);
}

std::string Look::share(double share) const {
    if (!plain) return percent_text(share);
    return share >= 0 ? fmt::format("{:.4f}", share) : std::string();
}

std::string Look::text(std::string_view text, std::size_t columns) const {
    return text.empty() ? none() : safe_text(text, plain ? std::string::npos : columns);
}

std::string title_of(const char* name, const char* title, bool right) {
    std::string text = title != nullptr ? title : name;
    if (title == nullptr)
        std::ranges::transform(text, text.begin(),
                               [](unsigned char c) { return c == '-' ? ' ' : static_cast<char>(std::toupper(c)); });
    return right ? ">" + text : text;
}

std::string csv_line(const std::vector<std::string>& cells) {
    std::string line;
    for (const std::string& cell : cells) {
        if (&cell != &cells.front()) line.push_back(',');
        std::string text = cell;
        if (!text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos &&
            !is_number(text))
            text.insert(0, "'");
        if (text.find_first_of(",\"\r\n") == std::string::npos) {
            line += text;
            continue;
        }
        line.push_back('"');
        for (const char c : text) line.append(c == '"' ? 2 : 1, c);
        line.push_back('"');
    }
    return line + "\r\n";
}

Look look_of(const Shell& shell) {
    return {.terminal = shell.terminal, .now = now_unix_us(), .plain = shell.format == Format::csv};
}

}  // namespace nexus::cli
