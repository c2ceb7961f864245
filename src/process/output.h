#pragma once
// What a program has written to one of its streams: the first and the last bytes, and how many there were in all.
//
// Thread-safe: one thread adds while others look.

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace nexus::process {

// A stream as it is kept. `left_out` bytes are missing between head and tail; 0: head is all of it.
struct Kept {
    std::string head, tail;
    std::uint64_t bytes = 0;  // all that was written
    std::uint64_t left_out = 0;

    bool cut() const { return left_out > 0; }
};

// A part of a stream, from `offset` on.
struct Part {
    std::uint64_t offset = 0;
    std::string bytes;
    std::uint64_t written = 0;  // to the stream so far
};

class Output {
public:
    // Half of `bytes_max` for the beginning, half for the end.
    explicit Output(std::size_t bytes_max) : head_max_(bytes_max / 2), tail_max_(bytes_max - bytes_max / 2) {}

    void add(std::string_view bytes);
    // At most `most` bytes from `offset` on; from where they are kept again, when those at `offset` are not.
    Part part(std::uint64_t offset, std::size_t most) const;
    // Cut between lines where lines are short enough, else between characters, so that text stays text.
    Kept kept() const;

private:
    const std::size_t head_max_, tail_max_;
    mutable std::mutex mutex_;  // guards what follows
    std::string head_, tail_;   // tail_ holds up to twice its limit before its beginning goes
    std::uint64_t written_ = 0;
};

}  // namespace nexus::process
