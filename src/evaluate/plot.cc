#include "evaluate/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace nexus::evaluate {
namespace {

constexpr int kCells = 64;     // of the density, each way
constexpr double kSide = 360;  // of a panel, pixels
constexpr double kLeft = 60;   // of the first panel
constexpr double kTop = 50;
constexpr double kRight = 550;     // left edge of the second panel
constexpr int kSteps = 60;         // points of the error curve
constexpr double kErrorTop = 1.5;  // of the error curve, |ln(predicted / actual)|

double log10_us(Duration d) {
    return std::log10(static_cast<double>(std::max<std::int64_t>(d.us, 1)));
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '<')
            out += "&lt;";
        else if (c == '&')
            out += "&amp;";
        else if (static_cast<unsigned char>(c) >= 0x20)
            out += c;
    }
    return out;
}

// 1 us .. 1000 s and beyond, as a person would say it.
std::string power_name(int power) {
    static constexpr std::array<std::string_view, 4> kUnits = {"us", "ms", "s", "ks"};
    const int unit = std::clamp(power / 3, 0, 3);
    std::string digits = "1";
    for (int i = unit * 3; i < power; ++i) digits += '0';
    return digits + " " + std::string(kUnits[static_cast<std::size_t>(unit)]);
}

void density(std::string& svg, const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes) {
    double low = 1e9;
    double high = -1e9;
    for (std::size_t i = 0; i < rows.size(); ++i)
        for (const double v : {log10_us(rows[i].run), log10_us(outcomes[i].p50)}) {
            low = std::min(low, v);
            high = std::max(high, v);
        }
    low = std::floor(low);
    high = std::max(low + 1, std::ceil(high));
    std::vector<std::uint32_t> cells(kCells * kCells);
    const auto cell_of = [&](double v) {
        return std::clamp(static_cast<int>((v - low) / (high - low) * kCells), 0, kCells - 1);
    };
    std::uint32_t most = 1;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        auto& cell = cells[static_cast<std::size_t>(cell_of(log10_us(outcomes[i].p50)) * kCells +
                                                    cell_of(log10_us(rows[i].run)))];
        most = std::max(most, ++cell);
    }
    const double step = kSide / kCells;
    for (int y = 0; y < kCells; ++y)
        for (int x = 0; x < kCells; ++x) {
            const std::uint32_t count = cells[static_cast<std::size_t>(y * kCells + x)];
            if (count == 0) continue;
            const double opacity = 0.12 + 0.88 * std::log1p(count) / std::log1p(most);
            svg += fmt::format(
                "<rect x='{:.1f}' y='{:.1f}' width='{:.2f}' height='{:.2f}' fill='#2a78c8' opacity='{:.2f}'/>\n",
                kLeft + x * step, kTop + kSide - (y + 1) * step, step, step, opacity);
        }
    for (int power = static_cast<int>(low); power <= static_cast<int>(high); ++power) {
        const double at = (power - low) / (high - low) * kSide;
        svg += fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='middle'>{}</text>", kLeft + at, kTop + kSide + 16,
                           power_name(power));
        svg += fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='end'>{}</text>\n", kLeft - 5,
                           kTop + kSide - at + 4, power_name(power));
    }
    // The diagonal and the two lines that bound the estimates within 25 %.
    for (const double factor : {1.0, 0.75, 1.25}) {
        const double shift = std::log10(factor) / (high - low) * kSide;
        svg += fmt::format("<line x1='{:.1f}' y1='{:.1f}' x2='{:.1f}' y2='{:.1f}' class='{}'/>\n",
                           kLeft + std::max(0.0, -shift), kTop + kSide - std::max(0.0, shift),
                           kLeft + kSide - std::max(0.0, shift), kTop + std::max(0.0, -shift),
                           factor == 1.0 ? "axis" : "bound");
    }
}

void error_curve(std::string& svg, const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes) {
    std::string error_points;
    std::string hit_points;
    for (std::size_t step = 0; step < kSteps; ++step) {
        const std::size_t from = rows.size() * step / kSteps;
        const std::size_t to = rows.size() * (step + 1) / kSteps;
        if (from == to) continue;
        double error = 0;
        double hits = 0;
        for (std::size_t i = from; i < to; ++i) {
            const double actual = static_cast<double>(rows[i].run.us);
            const double predicted = static_cast<double>(std::max<std::int64_t>(outcomes[i].p50.us, 1));
            error += std::min(kErrorTop, std::abs(std::log(predicted / actual)));
            hits += std::abs(predicted - actual) <= 0.25 * actual ? 1 : 0;
        }
        const auto count = static_cast<double>(to - from);
        const double x = kRight + (static_cast<double>(step) + 0.5) / kSteps * kSide;
        error_points += fmt::format("{:.1f},{:.1f} ", x, kTop + kSide * (1 - error / count / kErrorTop));
        hit_points += fmt::format("{:.1f},{:.1f} ", x, kTop + kSide * (1 - hits / count));
    }
    svg += fmt::format("<polyline points='{}' fill='none' stroke='#c8452a' stroke-width='1.5'/>\n", error_points);
    svg += fmt::format("<polyline points='{}' fill='none' stroke='#2a9a4a' stroke-width='1.5'/>\n", hit_points);
    for (int tick = 0; tick <= 5; ++tick) {
        const double y = kTop + kSide * (1 - tick / 5.0);
        svg += fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='end' fill='#2a9a4a'>{} %</text>", kRight - 5,
                           y + 4, tick * 20);
        svg += fmt::format("<text x='{:.1f}' y='{:.1f}' fill='#c8452a'>{:.1f}</text>\n", kRight + kSide + 5, y + 4,
                           tick * kErrorTop / 5);
    }
}

}  // namespace

std::string plot_svg(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes, std::string_view title) {
    std::string svg =
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 960 460' width='960' height='460' "
        "font-family='sans-serif' "
        "font-size='11'>\n<style>text{fill:#777}.axis{stroke:#777}.bound{stroke:#777;stroke-dasharray:4 3}"
        ".frame{fill:none;stroke:#999}</style>\n";
    svg += fmt::format("<text x='{}' y='22' font-size='15'>{}</text>\n", kLeft, escaped(title));
    density(svg, rows, outcomes);
    error_curve(svg, rows, outcomes);
    for (const double left : {kLeft, kRight})
        svg += fmt::format("<rect x='{}' y='{}' width='{}' height='{}' class='frame'/>\n", left, kTop, kSide, kSide);
    svg += fmt::format("<text x='{}' y='{}'>predicted (up) against actual (right); dashed: within 25 %</text>\n", kLeft,
                       kTop - 8);
    svg += fmt::format(
        "<text x='{}' y='{}'>share within 25 % (left), mean |ln predicted/actual| (right), over the trace</text>\n",
        kRight, kTop - 8);
    return svg + "</svg>\n";
}

}  // namespace nexus::evaluate
