#include "bench/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace nexus::bench {

namespace {

void print_json(const std::vector<Report>& reports) {
    Json results = Json::array();
    for (const Report& report : reports) {
        Json result = {{"name", report.name}};
        result.update(report.metrics);
        if (reports.size() > 1) result["args"] = report.args;
        results.push_back(std::move(result));
    }
    Json json = {{"command", reports.front().command}};
    if (reports.size() == 1) json["args"] = reports.front().args;
    json["results"] = std::move(results);
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

void print(const Report& report, const std::string& output) {
    if (output == "json") return print_json({report});
    fmt::print("{} {}\n", report.command, report.name);
    for (const auto& [name, value] : report.metrics.items()) {
        if (value.is_number_float())
            fmt::print("  {:<26} {:>16.3f}\n", name, value.get<double>());
        else
            fmt::print("  {:<26} {:>16}\n", name, value.dump());
    }
}

void print(const std::vector<Report>& reports, const std::string& output) {
    if (reports.empty()) return;
    if (output == "json") return print_json(reports);
    fmt::print("{:<26}", reports.front().command);
    for (const auto& [name, value] : reports.front().metrics.items())
        fmt::print(" {:>{}}", name, std::max<std::size_t>(name.size(), 10));
    fmt::print("\n");
    for (const Report& report : reports) {
        fmt::print("{:<26}", report.name);
        for (const auto& [name, value] : report.metrics.items()) {
            const std::string text =
                value.is_number_float() ? fmt::format("{:.2f}", value.get<double>()) : value.dump();
            fmt::print(" {:>{}}", text, std::max<std::size_t>(name.size(), 10));
        }
        fmt::print("\n");
    }
}

std::int64_t quantile(const std::vector<std::int64_t>& sorted, double q) {
    if (sorted.empty()) return 0;
    const auto at = static_cast<std::size_t>(q * static_cast<double>(sorted.size()));
    return sorted[at < sorted.size() ? at : sorted.size() - 1];
}

void progress(const std::string& line) {
    fmt::print(stderr, "{}\n", line);
}

}  // namespace nexus::bench
