#pragma once
// Identifiers. Distinct types; the zero value means "none".

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace nexus {

// A 128-bit id, printed as UUID text.
template <class Tag>
struct Id128 {
    std::uint64_t hi = 0;
    std::uint64_t lo = 0;
    constexpr auto operator<=>(const Id128&) const = default;
    constexpr explicit operator bool() const { return (hi | lo) != 0; }
};

using TaskId = Id128<struct TaskIdTag>;        // UUIDv7 (RFC 9562): time-ordered
using AttemptId = Id128<struct AttemptIdTag>;  // random; reports count only while it is the task's current one

// A 64-bit number issued by us.
template <class Tag>
struct Number {
    std::uint64_t n = 0;
    constexpr auto operator<=>(const Number&) const = default;
    constexpr explicit operator bool() const { return n != 0; }
};

// One incarnation of a worker's stream: 12 bits shard, 22 bits epoch, 30 bits count; unique in a cluster, over restarts
// and when the store lost what it had.
using SessionId = Number<struct SessionTag>;
using Sequence = Number<struct SequenceTag>;  // position of an event in the journal; the first is 1

// Index of a worker in the core's table. Another name may have it only when this one was forgotten.
struct WorkerNo {
    std::uint32_t n = UINT32_MAX;
    constexpr auto operator<=>(const WorkerNo&) const = default;
    constexpr explicit operator bool() const { return n != UINT32_MAX; }
};

std::string uuid_text(std::uint64_t hi, std::uint64_t lo);
// Accepts exactly 36 characters, hex digits in either case. Empty on anything else.
bool parse_uuid(std::string_view text, std::uint64_t& hi, std::uint64_t& lo);

template <class Tag>
std::string to_text(Id128<Tag> id) {
    return uuid_text(id.hi, id.lo);
}
template <class Id>
std::optional<Id> parse_id(std::string_view text) {
    Id id;
    if (!parse_uuid(text, id.hi, id.lo)) return std::nullopt;
    return id;
}

// A shard is a journal; its number stands in sessions and fences. The keys of tasks lie in buckets, and a shard owns
// buckets: whoever holds a task's id can tell where the task is.
inline constexpr int kShardBits = 10;
inline constexpr std::uint32_t kBuckets = 1 << 12;

// UUIDv7 from a millisecond of Unix time, the task's bucket (0 where there is one journal) and 62 random bits.
TaskId make_task_id(std::int64_t unix_ms, std::uint32_t bucket, std::uint64_t random);
// Of ids that make_task_id made.
std::uint32_t bucket_of(TaskId task);

// `epoch` names one start of the shard's owner, `count` a session of that time; what exceeds its bits is cut off.
SessionId make_session_id(std::uint32_t shard, std::uint32_t epoch, std::uint64_t count);

// For look-up tables only; nothing may ever be ordered by a hash.
struct IdHash {
    template <class Tag>
    std::size_t operator()(Id128<Tag> id) const {
        return static_cast<std::size_t>((id.hi ^ (id.lo * 0x9E3779B97F4A7C15ULL)) * 0xD6E8FEB86659FD93ULL >> 7);
    }
};

}  // namespace nexus
