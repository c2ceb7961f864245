#pragma once
// MUST: an invariant of ours. Checked in every build; a broken one ends the process with file, line and text.

namespace nexus {

[[noreturn]] void must_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace nexus

// One condition each: write two MUSTs rather than MUST(a && b).
#define MUST(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 : ::nexus::must_failed(#condition, __FILE__, __LINE__))
