#pragma once
// `nexus evaluate --eta`: recorded workloads on equal workers, and how the finish times told at submission hold.

#include <string>

#include "base/result.h"
#include "evaluate/command.h"

namespace nexus::simulate {

// A table, or one JSON object. Errors: invalid, not_found, corrupt, unavailable, of a trace or a model.
Result<std::string> measure_etas(const evaluate::EtaQuestion& question);

}  // namespace nexus::simulate
