#pragma once
// The names of what a journal keeps in Redis, and how ids and numbers are written there. All keys of a journal carry one
// hash tag, so that one script may touch them all.

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "store/journal_store.h"

namespace nexus::store::redis_key {

struct Keys {
    explicit Keys(const std::string& prefix, std::uint32_t shard = 0)
        : base("{" + prefix + ":" + std::to_string(shard) + "}:") {}
    std::string base;
    std::string head = base + "head", journal = base + "journal", taken = base + "taken", results = base + "results",
                unfinished = base + "unfinished";
    // Pages of bodies: one for each 4.1 s of submissions, so where a body lies follows from the task's id.
    std::string bodies(TaskId task) const { return base + "body:" + std::to_string((task.hi >> 16) >> 12); }
    std::string result_page(std::uint64_t n) const { return base + "result:" + std::to_string(n); }
    std::string snapshot_part(std::string_view name, std::uint64_t i) const {
        return base + "snap:" + std::string(name) + ":" + std::to_string(i);
    }
};

// 16 bytes, big-endian.
inline std::string id_bytes(TaskId task) {
    std::string bytes(16, '\0');
    for (int i = 0; i < 8; ++i) {
        bytes[static_cast<std::size_t>(i)] = static_cast<char>(task.hi >> (56 - 8 * i));
        bytes[static_cast<std::size_t>(i + 8)] = static_cast<char>(task.lo >> (56 - 8 * i));
    }
    return bytes;
}
inline std::optional<TaskId> task_of_bytes(std::string_view bytes) {
    if (bytes.size() != 16) return std::nullopt;
    TaskId task;
    for (std::size_t i = 0; i < 8; ++i) {
        task.hi = task.hi << 8 | static_cast<unsigned char>(bytes[i]);
        task.lo = task.lo << 8 | static_cast<unsigned char>(bytes[i + 8]);
    }
    return task;
}
inline std::string hex(std::uint64_t n) {
    std::string text(16, '0');
    for (int i = 15; n != 0; --i, n >>= 4) text[static_cast<std::size_t>(i)] = "0123456789abcdef"[n & 15];
    return text;
}
template <class N = std::uint64_t>
N number(std::string_view text, int base = 10) {
    N n = 0;
    std::from_chars(text.data(), text.data() + text.size(), n, base);
    return n;
}

// Token and epoch in one word; empty = never claimed.
inline std::string text_of(const Claim& claim) {
    if (!claim) return {};
    return hex(claim.token_hi) + hex(claim.token_lo) + ":" + std::to_string(claim.epoch);
}
inline Claim claim_of(std::string_view text) {
    if (text.size() < 34) return {};
    return {.token_hi = number(text.substr(0, 16), 16),
            .token_lo = number(text.substr(16, 16), 16),
            .epoch = number<std::uint32_t>(text.substr(33))};
}

}  // namespace nexus::store::redis_key
