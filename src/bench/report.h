#pragma once
// A measurement as a table or as one JSON object on stdout.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace nexus::bench {

using Json = nlohmann::ordered_json;

struct Report {
    std::string command;  // "bench core"
    Json args;
    std::string name;  // of the one result
    Json metrics;      // name -> number
};
void print(const Report& report, const std::string& output);  // "table" or "json"
// Of one command with the same metrics: a line each, or one JSON object.
void print(const std::vector<Report>& reports, const std::string& output);

// The q-quantile (0..1) of `sorted`; 0 when it is empty.
std::int64_t quantile(const std::vector<std::int64_t>& sorted, double q);

// To stderr.
void progress(const std::string& line);

}  // namespace nexus::bench
