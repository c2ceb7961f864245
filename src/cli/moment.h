#pragma once
// Points in time as a person gives them.

#include <cstdint>
#include <string_view>

#include "cli/failure.h"

namespace nexus::cli {

// "2026-03-01T12:00:00Z", with a fraction and an offset if wanted ("…T13:00:00.25+01:00"), exactly as RFC 3339 has it;
// or "+10m" from now. In microseconds since 1970, what is finer is cut. A date that no calendar has is refused, and so is
// second 60: the clocks that we compare with have none.
Answer<std::int64_t> parse_moment(std::string_view text, std::int64_t now_unix_us);

}  // namespace nexus::cli
