#pragma once
// What a submission may hold, and the bytes its body is stored as.

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/shape.h"
#include "engine/messages.h"

namespace nexus {

// In the order of the stored bytes; each says whether it is part of the work that an idempotency key stands for.
template <>
struct Shape<engine::TaskBody> {
    using T = engine::TaskBody;
    static constexpr auto members =
        std::tuple{NEXUS_PART(payload, kWork),      NEXUS_PART(metadata, kWork),   NEXUS_PART(traceparent, kNoPart),
                   NEXUS_PART(tracestate, kNoPart), NEXUS_PART(features, kNoPart), NEXUS_PART(hint, kNoPart),
                   NEXUS_PART(spec, kNoPart)};
};
static_assert(kListsAllMembers<engine::TaskBody>);

}  // namespace nexus

namespace nexus::engine {

// Limits of one submission (contract C16).
struct SubmissionLimits {
    std::size_t payload_bytes_max = 256 << 10;
    std::size_t metadata_bytes_max = 16 << 10;
    std::size_t labels_max = 64;
    std::size_t after_max = 64;
    std::size_t features_max = 16;
    std::size_t key_bytes_max = 256;
    std::size_t batch_max = 1000;
};

// Fault invalid, naming the field, when anything is out of range. `wall` decides whether a deadline is past.
Result<void> check_submission(const Submission& submission, WallTime wall, const SubmissionLimits& limits = {});
Result<void> check_hello(const WorkerHello& hello);

// Fills payload_bytes, the idempotency hashes and the body hash of the spec (SHA-256, so that nobody can aim at another
// tenant's keys). The body hash is over the work: what makes this another task, and nothing else.
void seal(Submission& submission);
// The key of a task that a call for many submits again: the next such call finds that it was done.
void seal_redrive(core::TaskSpec& spec, TaskId old);
// The body hash that releases up to 0.1 stored: keys of then are still known for a day after an upgrade.
std::uint64_t body_hash_before_8(const Submission& submission);

std::string encode_body(const TaskBody& body);
Result<TaskBody> decode_body(std::string_view bytes);

// What the store keeps of an ended task: the result of a success, or the body, for a re-drive. Each is marked, so that a
// re-drive rests on what is kept alone. The release before marked nothing.
struct LeftBehind {
    enum class What : std::uint8_t { unmarked, result, body };
    What what = What::unmarked;
    std::string_view bytes;  // without the mark
};
std::string marked(LeftBehind::What what, std::string_view bytes);
LeftBehind left_behind(std::string_view stored);

}  // namespace nexus::engine
