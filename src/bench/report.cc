#include "bench/report.h"

#include <fmt/format.h>

#include <cstdio>

namespace nexus::bench {

void print(const Report& report, const std::string& output) {
    if (output == "json") {
        Json result = {{"name", report.name}};
        result.update(report.metrics);
        const Json json = {{"command", report.command}, {"args", report.args}, {"results", Json::array({result})}};
        fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
        return;
    }
    fmt::print("{} {}\n", report.command, report.name);
    for (const auto& [name, value] : report.metrics.items()) {
        if (value.is_number_float())
            fmt::print("  {:<26} {:>16.3f}\n", name, value.get<double>());
        else
            fmt::print("  {:<26} {:>16}\n", name, value.dump());
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
