#pragma once
// Parameters of the core that experiments turn: `--set NAME=VALUE` and `--sweep NAME=V1,V2,...`.

#include <string>

#include "base/result.h"
#include "core/config.h"

namespace nexus::simulate {

// size-weight (c), credit (mean tasks per priority level), overtake-cap (mean tasks), overtake-max-s, placement
// (balanced | fastest), breaker (0 | 1), breaker-ratio, speculation (0 | 1). Anything else: invalid.
Result<void> set_config(core::Config& config, const std::string& name, const std::string& value);

}  // namespace nexus::simulate
