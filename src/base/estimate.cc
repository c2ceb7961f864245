#include "base/estimate.h"

#include <iterator>

namespace nexus {

static constexpr std::string_view kSources[] = {
    "none",        "fallback",    "hint",        "global", "prefix", "ema",          "type_mode",   "user_mode",
    "scaled_mode", "joined_mode", "worker_mode", "model",  "forced", "sibling_mode", "sibling_wait"};

std::string_view name_of(EstimateSource source) {
    return kSources[static_cast<unsigned>(source) < std::size(kSources) ? static_cast<unsigned>(source) : 0];
}

EstimateSource source_from_name(std::string_view name) {
    for (unsigned i = 1; i < std::size(kSources); ++i)
        if (name == kSources[i]) return static_cast<EstimateSource>(i);
    return EstimateSource::none;
}

}  // namespace nexus
