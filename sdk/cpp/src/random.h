#pragma once
// Bits that nobody else has, from the kernel. A std::random_device for each of them asks the processor what it can do,
// which a virtual machine answers in tens of microseconds; a generator of our own would repeat itself after a fork.

#include <sys/random.h>

#include <cstdint>
#include <random>

namespace nexus::sdk {

inline std::uint64_t random_bits() {
    std::uint64_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) == sizeof bits) return bits;
    std::random_device device;  // a kernel without that call
    return std::uint64_t{device()} << 32 | device();
}

}  // namespace nexus::sdk
