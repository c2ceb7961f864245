#include "simulate/report.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace nexus::simulate {
namespace {

constexpr const char* kColours[] = {"#1f6feb", "#d1242f", "#1a7f37", "#9a6700",
                                    "#8250df", "#57606a", "#bf3989", "#0a7ea4"};

std::string escaped(const std::string& text) {
    std::string made;
    for (const char c : text) {
        if (c == '<')
            made += "&lt;";
        else if (c == '>')
            made += "&gt;";
        else if (c == '&')
            made += "&amp;";
        else
            made += c;
    }
    return made;
}

// A table whose columns are as wide as what is in them: the first to the left, the others to the right.
using Rows = std::vector<std::vector<std::string>>;
std::string aligned(const Rows& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string out;
    for (const auto& row : rows) {
        std::string line = fmt::format("{:<{}}", row[0], widths[0]);
        for (std::size_t i = 1; i < row.size(); ++i) line += fmt::format("  {:>{}}", row[i], widths[i]);
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    return out;
}

// The picture's frame and the place of values in it.
struct Frame {
    double left = 60, top = 34, width = 460, height = 230;
    double low = 0, high = 1;
    bool logarithmic = false;
    double x(std::size_t at, std::size_t count) const {
        return left + (count < 2 ? width / 2 : width * static_cast<double>(at) / static_cast<double>(count - 1));
    }
    double y(double value) const {
        const double at = logarithmic ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low))
                                      : (value - low) / (high - low);
        return top + height * (1 - std::clamp(at, 0.0, 1.0));
    }
};

Frame frame_of(const std::vector<Series>& series, bool logarithmic) {
    double low = 1e300, high = -1e300;
    for (const Series& one : series) {
        for (const double y : one.y) {
            if (!std::isfinite(y) || (logarithmic && y <= 0)) continue;
            low = std::min(low, y);
            high = std::max(high, y);
        }
    }
    if (low > high) low = 0.1, high = 1;
    Frame frame{.logarithmic = logarithmic};
    frame.low = logarithmic ? low / 1.15 : std::min(0.0, low);
    frame.high = logarithmic ? high * 1.15 : (high > 0 ? high * 1.08 : 1);
    return frame;
}

}  // namespace

std::string to_json(const std::string& command, const Arguments& args, const std::vector<Metrics>& results) {
    nlohmann::ordered_json root;
    root["command"] = command;
    root["args"] = nlohmann::ordered_json::object();
    for (const auto& [name, value] : args) root["args"][name] = value;
    root["results"] = nlohmann::ordered_json::array();
    for (const Metrics& one : results) {
        nlohmann::ordered_json row;
        row["name"] = one.name;
        for (const MetricName& metric : metric_names()) row[metric.name] = one.*metric.value;
        if (one.has_oracle) {
            row["oracle_gap_mean"] = one.oracle_gap_mean;
            row["oracle_gap_p99"] = one.oracle_gap_p99;
        }
        row["stable"] = one.stable;
        row["digest"] = one.digest;
        root["results"].push_back(std::move(row));
    }
    return root.dump() + "\n";
}

std::string eta_table(const std::string& heading, const std::vector<Metrics>& results) {
    Rows rows{{heading, "eta25", "run25", "of_run", "p10", "p90", "placed", "within", "p90", "width", "queued",
               "within", "p90", "width", "backlog", "within", "p90", "width"}};
    const bool again =
        std::any_of(results.begin(), results.end(), [](const Metrics& one) { return one.eta_again_share > 0; });
    if (again) rows.front().insert(rows.front().end(), {"again", "within"});
    for (const Metrics& one : results) {
        std::vector<std::string> row{one.name,
                                     fmt::format("{:.3f}", one.eta_within_25),
                                     fmt::format("{:.3f}", one.run_within_25),
                                     fmt::format("{:.2f}", one.eta_of_run),
                                     fmt::format("{:.3f}", one.eta_p10_coverage),
                                     fmt::format("{:.3f}", one.eta_p90_coverage)};
        const auto regime = [&](double part, double within, double by_p90, double width) {
            row.push_back(fmt::format("{:.2f}", part));
            for (const double value : {within, by_p90})
                row.push_back(part > 0 ? fmt::format("{:.3f}", value) : std::string("-"));
            row.push_back(part > 0 ? fmt::format("{:.2f}x", width) : std::string("-"));
        };
        regime(one.eta_placed_share, one.eta_placed_within_25, one.eta_placed_p90_coverage, one.eta_placed_width);
        regime(one.eta_queued_share, one.eta_queued_within_25, one.eta_queued_p90_coverage, one.eta_queued_width);
        regime(one.eta_backlog_share, one.eta_backlog_within_25, one.eta_backlog_p90_coverage, one.eta_backlog_width);
        if (again) {
            row.push_back(fmt::format("{:.2f}", one.eta_again_share));
            row.push_back(fmt::format("{:.3f}", one.eta_again_within_25));
        }
        rows.push_back(std::move(row));
    }
    return aligned(rows);
}

std::string to_table(const std::vector<Metrics>& results) {
    Rows rows{{"policy", "mean_s", "p50_s", "p99_s", "p999_s", "p99_slow", "cv", "spread", "idle_s", "max_wait",
               "run25", "eta25", "eta90"}};
    for (const Metrics& one : results)
        rows.push_back({one.name, fmt::format("{:.3f}", one.mean_response_s), fmt::format("{:.3f}", one.p50_response_s),
                        fmt::format("{:.2f}", one.p99_response_s), fmt::format("{:.2f}", one.p999_response_s),
                        fmt::format("{:.2f}", one.p99_slowdown), fmt::format("{:.2f}", one.cv_response_by_type),
                        fmt::format("{:.3f}", one.utilization_spread), fmt::format("{:.1f}", one.idle_while_waiting_s),
                        fmt::format("{:.1f}", one.max_wait_s), fmt::format("{:.3f}", one.run_within_25),
                        fmt::format("{:.3f}", one.eta_within_25), fmt::format("{:.3f}", one.eta_p90_coverage),
                        one.stable ? "" : "unstable"});
    std::string out = aligned(rows) + "\n";
    rows = {{"policy", "rr_mean", "rr_p99", "ll_mean", "ll_p99", "gap_mean", "gap_p99", "decisions", "ns_p50", "ns_p99",
             "tasks/s", "digest"}};
    for (const Metrics& one : results)
        rows.push_back(
            {one.name, fmt::format("{:.2f}x", one.mean_vs_round_robin), fmt::format("{:.2f}x", one.p99_vs_round_robin),
             fmt::format("{:.2f}x", one.mean_vs_least_loaded), fmt::format("{:.2f}x", one.p99_vs_least_loaded),
             one.has_oracle ? fmt::format("{:+.1f}%", 100 * one.oracle_gap_mean) : "-",
             one.has_oracle ? fmt::format("{:+.1f}%", 100 * one.oracle_gap_p99) : "-",
             fmt::format("{:.0f}", one.decisions), fmt::format("{:.0f}", one.decision_ns_p50),
             fmt::format("{:.0f}", one.decision_ns_p99), fmt::format("{:.0f}", one.simulated_tasks_per_s), one.digest});
    out += aligned(rows) + "\n";
    out += eta_table("policy", results);
    for (const Metrics& one : results)
        if (one.bad_trade > 0)
            out +=
                fmt::format("{}: bad trade, p99 {:.1f} % worse than fcfs and least-loaded, mean {:.2f}x and {:.2f}x\n",
                            one.name, 100 * one.bad_trade, one.mean_vs_fcfs, one.mean_vs_least_loaded);
    for (const Metrics& one : results) {
        if (one.unfinished + one.dead + one.fallback_decisions + one.seconds_to_isolate <= 0) continue;
        out += fmt::format("{}: {:.0f} unfinished, {:.0f} dead, {:.0f} fallback decisions", one.name, one.unfinished,
                           one.dead, one.fallback_decisions);
        if (one.tasks_to_isolate >= 0)
            out += fmt::format(", isolated after {:.0f} tasks ({:.1f} s), back {:.1f} s after the trouble",
                               one.tasks_to_isolate, one.seconds_to_isolate, one.seconds_to_readmit);
        out += "\n";
    }
    return out;
}

std::string line_chart(const std::string& title, const std::string& y_title, const std::vector<std::string>& labels,
                       const std::vector<Series>& series, bool logarithmic) {
    const Frame frame = frame_of(series, logarithmic);
    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 700 320\" font-family=\"sans-serif\""
        " font-size=\"11\"><rect width=\"700\" height=\"320\" fill=\"#fff\"/>"
        "<text x=\"60\" y=\"20\" font-size=\"14\">{}</text>\n",
        escaped(title));
    for (int n = 0; n <= 4; ++n) {
        const double part = n / 4.0;
        const double value = logarithmic ? frame.low * std::pow(frame.high / frame.low, part)
                                         : frame.low + (frame.high - frame.low) * part;
        out += fmt::format(
            "<path d=\"M60 {0:.1f}h460\" stroke=\"#ddd\"/><text x=\"54\" y=\"{1:.1f}\" text-anchor=\"end\">"
            "{2:.3g}</text>\n",
            frame.y(value), frame.y(value) + 4, value);
    }
    for (std::size_t n = 0; n < labels.size(); ++n)
        out += fmt::format("<text x=\"{:.1f}\" y=\"282\" text-anchor=\"middle\">{}</text>\n", frame.x(n, labels.size()),
                           escaped(labels[n]));
    out += fmt::format("<text x=\"60\" y=\"306\" fill=\"#555\">{}</text>\n", escaped(y_title));
    for (std::size_t n = 0; n < series.size(); ++n) {
        const char* colour = kColours[n % std::size(kColours)];
        std::string path;
        for (std::size_t at = 0; at < series[n].y.size(); ++at) {
            if (!std::isfinite(series[n].y[at])) continue;
            path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", frame.x(at, labels.size()),
                                frame.y(series[n].y[at]));
        }
        out += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>", path, colour);
        out += fmt::format("<text x=\"530\" y=\"{}\" fill=\"{}\">{}</text>\n", 44 + 16 * n, colour,
                           escaped(series[n].name));
    }
    return out + "</svg>\n";
}

std::string response_plot(const std::string& swept, const std::vector<Metrics>& results) {
    std::vector<std::string> labels;
    std::vector<Series> series;
    if (swept.empty()) {
        labels = {"mean", "p50", "p95", "p99", "p99.9"};
        for (const Metrics& one : results)
            series.push_back({one.name,
                              {one.mean_response_s, one.p50_response_s, one.p95_response_s, one.p99_response_s,
                               one.p999_response_s}});
        return line_chart("Response time by policy", "seconds, logarithmic", labels, series, true);
    }
    series = {{"mean", {}}, {"p99", {}}, {"p99.9", {}}, {"p99 slowdown", {}}, {"max wait", {}}};
    for (const Metrics& one : results) {
        labels.push_back(one.name.substr(one.name.find('=') + 1));
        labels.back().pop_back();
        series[0].y.push_back(one.mean_response_s / results[0].mean_response_s);
        series[1].y.push_back(one.p99_response_s / results[0].p99_response_s);
        series[2].y.push_back(one.p999_response_s / results[0].p999_response_s);
        series[3].y.push_back(one.p99_slowdown / results[0].p99_slowdown);
        series[4].y.push_back(one.max_wait_s / std::max(1e-9, results[0].max_wait_s));
    }
    return line_chart("Effect of " + swept, "relative to the first value", labels, series, false);
}

std::string seeds_table(const std::vector<std::vector<Metrics>>& by_seed, std::uint64_t first) {
    Rows rows{{"policy", "mean_s", "p99_s", "p99_slow"}};
    for (std::size_t n = 0; n < by_seed.front().size(); ++n) {
        const auto range = [&](double Metrics::* value) {
            double low = by_seed.front()[n].*value, high = low;
            for (const std::vector<Metrics>& world : by_seed) {
                low = std::min(low, world[n].*value);
                high = std::max(high, world[n].*value);
            }
            return fmt::format("{:.3f} .. {:.3f}", low, high);
        };
        rows.push_back({by_seed.front()[n].name, range(&Metrics::mean_response_s), range(&Metrics::p99_response_s),
                        range(&Metrics::p99_slowdown)});
    }
    return fmt::format("\nabove: medians over seeds {} to {}, factors as geometric means; below: least to greatest\n",
                       first, first + by_seed.size() - 1) +
           aligned(rows);
}

}  // namespace nexus::simulate
