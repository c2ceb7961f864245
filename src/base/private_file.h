#pragma once
// Files that hold what nobody else may read.

#include <string>
#include <string_view>

#include "base/result.h"

namespace nexus {

// Whole and synced, or as it was; 0600. It is written beside its place and then put there, so that a reader never sees
// half of it and a planted link is replaced, not followed. Faults: denied, invalid; errno is that of what failed.
Result<void> write_private(const std::string& path, std::string_view bytes);
// What went wrong with a file, by errno. Fault denied where that is about rights, else invalid.
Error file_error(const std::string& path);

}  // namespace nexus
