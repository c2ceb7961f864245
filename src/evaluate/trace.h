#pragma once
// Workload traces: one finished task a row, as a CSV text or the same compressed by gzip.
//
//   header   submit_time_s,duration_s,type,group_or_user,payload_size,req_cpu,req_mem,req_gpu,user_estimate_s,worker
//   rows     sorted by submit_time_s; an empty field is unknown; no quotes; LF or CR LF
//
// Columns are found by name, in any order; the first three must be there. Times are kept in whole microseconds; a run
// of less than one counts as one. Errors name the file, the line and the column: not_found (no such file), invalid (the
// text is not a trace), corrupt (the compression is broken or cut short). The whole trace is held in memory: about 150
// bytes a row.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "predict/predictor.h"

namespace nexus::evaluate {

struct TraceRow {
    Instant submit;  // since the trace's own zero
    Duration run;    // on the original system; >= 1 us
    std::string type;
    std::string group;           // group_or_user; empty = unknown
    std::string worker;          // where it ran; empty = unknown
    std::uint64_t payload = 0;   // payload_size in the trace's own unit; 0 = unknown
    std::int64_t cpu_milli = 0;  // 0 = unknown
    std::int64_t memory = 0;     // in the trace's own unit; 0 = unknown
    std::int64_t gpu_milli = 0;
    Duration user_estimate;  // 0 = unknown
};

inline constexpr std::size_t kTraceRowsMax = 20'000'000;

enum class TraceFormat : std::uint8_t { csv = 1, sacct, joblog };  // the last two: foreign_trace.h

// At most `limit` rows from the start; 0 = all.
Result<std::vector<TraceRow>> read_trace(const std::string& path, std::size_t limit = 0,
                                         TraceFormat format = TraceFormat::csv);

// The same from memory; `name` is what errors call it.
Result<std::vector<TraceRow>> parse_trace(std::string_view csv, std::string_view name, std::size_t limit = 0);

// What a predictor may know of the row before it runs. The views point into `row`.
predict::Features features_of(const TraceRow& row);

}  // namespace nexus::evaluate
