#pragma once
// Priorities beyond kPriorityMax (core/task.h), which no caller may ask for.

#include <cstdint>

namespace nexus::core {

// Of the old Nexus: its 10 is 10, and its 999, which goes before everything, is this.
inline constexpr std::uint8_t kPriorityTop = 11;

}  // namespace nexus::core
