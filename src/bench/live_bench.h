#pragma once
// Measurements of a real server: a child process on this machine, with its store on this disk.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/report.h"

namespace nexus::bench {

struct EndToEndOptions {
    std::uint64_t tasks = 100'000;
    std::string rate = "max";  // tasks per second, or max
    std::uint32_t workers = 2;
    std::uint32_t slots = 50;
    std::uint32_t payload = 100;
    std::uint32_t batch = 0;     // 0: 500 at rate max, else 1
    std::uint32_t inflight = 0;  // 0: 4 batches, or 64 single calls
    std::string store = "sqlite";
    std::string durability = "disk";
    bool tell_started = false;  // workers also report each start
    std::string auth = "none";  // none or tokens
    bool tls = false;           // on both sides
    std::uint64_t seed = 1;
};
// `complete` is false when tasks were lost or duplicated.
Result<Report> run_end_to_end(EndToEndOptions options, bool& complete);

// The same with nothing asked and nothing encrypted, and as the options say, in turns: three of each.
Result<std::vector<Report>> run_beside(const EndToEndOptions& options, bool& complete);

struct RecoverOptions {
    std::uint64_t pending = 100'000;
    std::uint32_t payload = 100;
    std::string store = "sqlite";
    std::uint64_t seed = 1;
};
Result<Report> run_recover(const RecoverOptions& options);

}  // namespace nexus::bench
