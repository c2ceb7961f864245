#pragma once
// What may come next on a command line that is being typed: verbs and flags from the parser's own table, and the names
// that the server knows. A completion must never hang a shell, so a server that does not answer at once adds nothing.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace nexus::cli {

// The hidden verb behind the scripts of `nexus completion`: `words` are those after `nexus`, the last one is unfinished.
// Prints a candidate a line, with a tab and its description where there is one. Answers the exit code.
inline constexpr const char* kCompleteVerb = "__complete";
int complete(const CLI::App& root, const std::vector<std::string>& words);

}  // namespace nexus::cli
