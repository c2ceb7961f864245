#include "cli/moment.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "base/quantity.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

// Reads from the front of a text; failed for good after the first thing that is not there.
class Scan {
public:
    explicit Scan(std::string_view text) : rest_(text) {}
    // A number of exactly `digits` digits from `least` to `most`.
    int number(std::size_t digits, int least, int most) {
        int value = 0;
        for (std::size_t i = 0; i < digits; ++i) value = value * 10 + digit();
        good_ = good_ && value >= least && value <= most;
        return value;
    }
    bool skip(std::string_view any_of) {
        if (!good_ || rest_.empty() || any_of.find(rest_[0]) == std::string_view::npos) return false;
        rest_.remove_prefix(1);
        return true;
    }
    void need(std::string_view any_of) { good_ = skip(any_of) && good_; }
    // The digits of a fraction, as microseconds; at least one.
    std::int64_t fraction_us() {
        std::int64_t us = 0, unit = 100'000;
        do {
            us += unit * digit();
            unit /= 10;
        } while (good_ && !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9');
        return us;
    }
    bool done() const { return good_ && rest_.empty(); }

private:
    int digit() {
        good_ = good_ && !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9';
        if (!good_) return 0;
        const int value = rest_[0] - '0';
        rest_.remove_prefix(1);
        return value;
    }

    std::string_view rest_;
    bool good_ = true;
};

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
    Scan scan(text);
    const int year = scan.number(4, 1, 9999);
    scan.need("-");
    const int month = scan.number(2, 1, 12);
    scan.need("-");
    const int day = scan.number(2, 1, 31);
    scan.need("Tt");
    const int hour = scan.number(2, 0, 23);
    scan.need(":");
    const int minute = scan.number(2, 0, 59);
    scan.need(":");
    const int second = scan.number(2, 0, 59);
    const std::int64_t fraction = scan.skip(".") ? scan.fraction_us() : 0;
    int offset_minutes = 0;
    if (!scan.skip("Zz")) {
        const int sign = scan.skip("+") ? 1 : -1;
        if (sign < 0) scan.need("-");
        offset_minutes = 60 * scan.number(2, 0, 23);
        scan.need(":");
        offset_minutes = sign * (offset_minutes + scan.number(2, 0, 59));
    }
    const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!scan.done() || !date.ok()) return std::nullopt;
    const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
    const std::int64_t seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    return seconds * 1'000'000 + fraction;
}

}  // namespace

Answer<std::int64_t> parse_moment(std::string_view text, std::int64_t now_unix_us) {
    if (text.starts_with('+')) {
        const auto span = parse_duration(text.substr(1));
        if (!span) return failure(kExitUsage, span.error().what);
        return now_unix_us + span->us;
    }
    if (const auto at = parse_rfc3339(text)) return *at;
    return failure(kExitUsage, fmt::format("\"{}\" is not a time", safe_text(text, 40)),
                   "e.g. 2026-03-01T12:00:00Z, 2026-03-01T13:00:00+01:00 (date -Is), or +10m from now");
}

}  // namespace nexus::cli
