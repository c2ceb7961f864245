#pragma once
// The tables at the end of `nexus dev`.

#include <cstddef>
#include <cstdint>
#include <string>

#include "cli/output.h"
#include "main/job_progress.h"

namespace nexus::dev {

// `ended_before` of the tasks had ended before this run; it took `wall_us` > 0.
std::string summary_text(const JobProgress& progress, std::size_t ended_before, std::int64_t wall_us,
                         const cli::Terminal& terminal);

}  // namespace nexus::dev
