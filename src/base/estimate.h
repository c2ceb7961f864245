#pragma once
// The predicted run time of one execution on a worker of average speed.

#include <cstdint>
#include <string_view>

#include "base/units.h"

namespace nexus {

enum class EstimateSource : std::uint8_t {
    none = 0,      // no model answered: scheduled round-robin, flagged
    fallback,      // the built-in default for a type never seen
    hint,          // the submitter's own guess
    global,        // quantiles over all types
    prefix,        // a type with a similar name, or the same type elsewhere
    ema,           // named baseline
    type_mode,     // mode of recent runs of the type
    user_mode,     // fast mode by type and tenant
    scaled_mode,   // similarity-weighted mode with durations rescaled by payload
    joined_mode,   // the same joined with the tenant's other types
    worker_mode,   // by type and worker
    model,         // a plug-in model
    forced,        // an operator's override
    sibling_mode,  // runs of the same array that ended
    sibling_wait,  // as known so far, of an array that runs and of which none has ended
};

// As shown, stored and told: "type_mode".
std::string_view name_of(EstimateSource source);
// `none` for a name that is unknown.
EstimateSource source_from_name(std::string_view name);

struct Estimate {
    Duration p50;   // point estimate: the centre of the likeliest +-25 % band
    Duration p90;   // 90 % of runs end by then; >= p50
    Duration mean;  // for planning sums
    std::uint16_t confidence_permille = 0;
    EstimateSource source = EstimateSource::none;
    bool operator==(const Estimate&) const = default;
};

}  // namespace nexus
