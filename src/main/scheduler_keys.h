#pragma once
// The keys of /scheduler/*: from a file, or from the command line, where others can see them.

#include <string>
#include <vector>

#include "cli/failure.h"

namespace nexus::serve {

// One key a line; blank lines and those that begin with # do not count. The file must be readable by its owner alone.
cli::Answer<std::vector<std::string>> keys_of_file(const std::string& path);
// "K1,K2".
std::vector<std::string> keys_of_text(const std::string& text);

// Overwrites the values of --scheduler-keys in the memory that the system shows to others as our command line.
void hide_keys(int argc, char** argv);

}  // namespace nexus::serve
