#pragma once
// What a submission may hold, and the bytes its body is stored as.

#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/messages.h"

namespace nexus::engine {

// Limits of one submission (contract section 7, defaults).
struct SubmissionLimits {
    std::size_t payload_bytes_max = 256 << 10;
    std::size_t metadata_bytes_max = 16 << 10;
    std::size_t labels_max = 64;
    std::size_t after_max = 64;
    std::size_t features_max = 16;
    std::size_t key_bytes_max = 256;
    std::size_t batch_max = 1000;
};

// A name of a type, tenant, queue, worker or label: [A-Za-z0-9._:-]{1,128}.
bool is_name(std::string_view text);

// Fault invalid, naming the field, when anything is out of range. `wall` decides whether a deadline is past.
Result<void> check_submission(const Submission& submission, WallTime wall, const SubmissionLimits& limits = {});
Result<void> check_hello(const WorkerHello& hello);

// Fills payload_bytes, the idempotency hashes and the body hash of the spec (SHA-256, so that nobody can aim at another
// tenant's keys).
void seal(Submission& submission);

std::string encode_body(const TaskBody& body);
Result<TaskBody> decode_body(std::string_view bytes);

// Hex SHA-256; the link of the audit chain.
std::string sha256_hex(std::string_view bytes);

}  // namespace nexus::engine
