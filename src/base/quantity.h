#pragma once
// Durations and sizes as people write them: "5s", "1m30s", "250ms", "64MiB". Used by the configuration, the environment
// and the command line, so that one spelling works everywhere.
//
//   duration  one or more number-unit pairs, units us, ms, s, m, h, d, each smaller than the one before; a number may
//             have decimals. "0" is the only duration that needs no unit
//   size      a whole number and B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)
//
// Errors are Fault::invalid and say what is expected; the caller adds which key or flag it was (Error::during).

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace nexus {

inline constexpr Duration kDurationTextMax = hours(24 * 36'500);  // 100 years: beyond it is a typing error

Result<Duration> parse_duration(std::string_view text);
// The shortest exact spelling in one unit: "5s", "1500ms", "7d", "0s". parse_duration gives the same value back.
std::string duration_text(Duration duration);

Result<std::uint64_t> parse_size(std::string_view text);
// The shortest exact spelling: "64MiB", "1500B", "0B".
std::string size_text(std::uint64_t bytes);

// "1 task", "1,200 tasks": the count with commas, the noun with an s unless there is just one.
std::string counted(std::uint64_t count, std::string_view noun);

}  // namespace nexus
