#pragma once
// Fingerprints. None of these is for secrets.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nexus {

// Order-sensitive 64-bit mixing: digest = mix(digest, word). Equal on every build and machine.
constexpr std::uint64_t mix(std::uint64_t digest, std::uint64_t word) {
    std::uint64_t x = digest ^ (word * 0x9E3779B97F4A7C15ULL);
    x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93ULL;
    return x ^ (x >> 29);
}

// 64-bit hash of bytes, equal everywhere (FNV-1a, finished by mix).
constexpr std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed = 0xCBF29CE484222325ULL) {
    std::uint64_t h = seed;
    for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
    return mix(h, bytes.size());
}

// CRC-32C (Castagnoli, RFC 3720 B.4), continuing from `crc`.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc = 0);

}  // namespace nexus
