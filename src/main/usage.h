#pragma once
// The answer to a mistaken command line: what is wrong, the nearest thing that exists, and where to read on.

#include <string>

#include <CLI/CLI.hpp>

namespace nexus {

// `error` was thrown by root.parse().
std::string usage_text(const CLI::App& root, const CLI::Error& error);

}  // namespace nexus
