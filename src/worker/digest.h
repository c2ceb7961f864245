#pragma once
// What one file is made of: its SHA-256, its size, and its size after zlib compression.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace nexus::worker {

struct FileDigest {
    std::string sha256;  // 64 hex digits
    std::uint64_t bytes = 0;
    std::uint64_t compressed_bytes = 0;
};

// Reads the file once, in pieces. With `out`, the compressed bytes (zlib format) are written there; the file appears
// under its name only when it is whole. Faults: not_found, denied, invalid (not a regular file), no_space.
Result<FileDigest> digest_file(const std::string& path, const std::string& out = {});

}  // namespace nexus::worker
