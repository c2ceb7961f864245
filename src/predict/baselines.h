#pragma once
// The models the mixture is measured against, and the stand-in when a better one fails. One state a type, bounded.
//
//   ema        exponential average of the type's runs, alpha 0.3; an unknown type takes 5 s. The old Nexus heuristic.
//   median10   median of the type's last 10 runs
//   mode50     mode of the type's last 50 runs, 0.95 a step
//
// A type never seen is answered by the median (mode) of all types' last runs, then by 5 s; ema goes straight to 5 s.
// Successful runs only are learned. Deterministic; not thread-safe.

#include <memory>
#include <string_view>

#include "predict/predictor.h"

namespace nexus::predict {

std::unique_ptr<Model> make_ema();
std::unique_ptr<Model> make_median10();
std::unique_ptr<Model> make_mode50();

}  // namespace nexus::predict
