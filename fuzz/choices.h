#pragma once
// The bytes of one input as a sequence of small choices. When they are used up every choice is 0 and done() is true.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nexus::fuzz {

class Choices {
public:
    Choices(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}

    bool done() const { return at_ == end_; }
    std::uint8_t byte() { return done() ? std::uint8_t{0} : *at_++; }
    // 0 .. n-1; n at most 65,536.
    std::uint32_t below(std::uint32_t n) {
        if (n <= 1) return 0;
        const std::uint32_t high = n > 256 ? byte() : 0U;
        return (high << 8 | byte()) % n;
    }
    bool one_in(std::uint32_t n) { return below(n) == n - 1; }
    // The next `size` bytes, or what is left of them.
    std::string_view bytes(std::size_t size) {
        const std::size_t left = static_cast<std::size_t>(end_ - at_);
        const std::size_t taken = size < left ? size : left;
        const std::string_view text(reinterpret_cast<const char*>(at_), taken);
        at_ += taken;
        return text;
    }

private:
    const std::uint8_t* at_;
    const std::uint8_t* end_;
};

}  // namespace nexus::fuzz
