#pragma once
// The words of a command line before the parser of flags sees them.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace nexus {

struct Arguments {
    std::vector<std::string> words;    // for CLI11
    std::vector<std::string> program;  // what stands after `--` of `task submit`, byte for byte
};

// Takes the program off, so that nothing of it is ever read as a flag or a list; and moves the flags that all verbs share
// behind their verb when they stand before it: `nexus --server X status` is `nexus status --server X`.
Arguments arrange(const CLI::App& root, std::vector<std::string> words);

}  // namespace nexus
