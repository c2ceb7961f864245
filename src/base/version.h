#pragma once
// The version of this release, as the server, the command line and the metrics tell it. CMakeLists.txt has the same.

#include <string_view>

namespace nexus {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace nexus
