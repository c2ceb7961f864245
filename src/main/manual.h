#pragma once
// The manual of the command line, made from the parser's own table of verbs and flags: docs/commands.md and nexus.1. The
// hidden verb `nexus manual` prints them; a check compares the page with what it prints.

#include <CLI/CLI.hpp>
#include <string>

namespace nexus {

std::string manual_markdown(const CLI::App& root);
std::string manual_man(const CLI::App& root);
void add_manual(CLI::App& root, int& exit_code);

}  // namespace nexus
