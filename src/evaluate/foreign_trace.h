#pragma once
// Records of other tools as a trace: what people have at hand to see how well their run times can be predicted.
//
//   sacct    Slurm: `sacct -P -o JobID,JobName,User,Submit,ElapsedRaw,State,NodeList,...`; one row a completed job, its
//            steps are left out. Needs Submit (or Start) and ElapsedRaw (or Elapsed); JobName is the type, and User,
//            NodeList, ReqCPUS (AllocCPUS), ReqMem and Timelimit are used when they are there
//   joblog   GNU parallel: `parallel --joblog F`; one row a job that succeeded, the program's name is the type
//
// Rows are sorted by submission here. Errors name the file, the line and the column.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "evaluate/trace.h"

namespace nexus::evaluate {

Result<std::vector<TraceRow>> parse_sacct(std::string_view text, std::string_view name);
Result<std::vector<TraceRow>> parse_joblog(std::string_view text, std::string_view name);

}  // namespace nexus::evaluate
