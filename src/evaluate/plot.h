#pragma once
// A picture of one replay as SVG text: predicted against actual as a log-log density, and the error over time.

#include <string>
#include <string_view>
#include <vector>

#include "evaluate/replay.h"

namespace nexus::evaluate {

// One standalone SVG document of 960 x 460 pixels, readable on light and dark pages.
std::string plot_svg(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes, std::string_view title);

}  // namespace nexus::evaluate
