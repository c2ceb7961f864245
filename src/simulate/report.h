#pragma once
// How results are shown: a table for people, one JSON object for programs, an SVG for documents.

#include <string>
#include <utility>
#include <vector>

#include "simulate/metrics.h"

namespace nexus::simulate {

using Arguments = std::vector<std::pair<std::string, std::string>>;

// {"command":...,"args":{...},"results":[{"name":...,metric:number,...},...]}
std::string to_json(const std::string& command, const Arguments& args, const std::vector<Metrics>& results);

// One line per result with the metrics that decide, then the comparisons.
std::string to_table(const std::vector<Metrics>& results);

// How what was told at submission held: its share within 25 %, as a share of what was possible, the coverage of its
// bounds, and the same by regime. `heading`: of the first column.
std::string eta_table(const std::string& heading, const std::vector<Metrics>& results);

struct Series {
    std::string name;
    std::vector<double> y;  // one per label
};
// A line chart over named positions; y logarithmic when asked. Text only, about 3 kB, no outside reference.
std::string line_chart(const std::string& title, const std::string& y_title, const std::vector<std::string>& labels,
                       const std::vector<Series>& series, bool logarithmic);

// Response times by policy; of a sweep over the parameter `swept`, relative to its first value.
std::string response_plot(const std::string& swept, const std::vector<Metrics>& results);
// How far the worlds of several seeds, `first` and up, lie apart.
std::string seeds_table(const std::vector<std::vector<Metrics>>& by_seed, std::uint64_t first);

}  // namespace nexus::simulate
