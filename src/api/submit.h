#pragma once
// nexus.v1 requests -> what the engine takes.
//
// Checked here: what the engine's types cannot express (ids, enums, numbers that are negative, not finite or too wide)
// and sizes of bytes. The engine checks all else. Errors are Fault::invalid and start with the field, see api/error.h.
// Texts and payloads are moved out of the message: it is left empty and must not be used again.

#include <cstddef>
#include <string_view>
#include <vector>

#include <nexus/v1/nexus.pb.h>

#include "base/caller.h"
#include "base/ids.h"
#include "base/result.h"
#include "engine/messages.h"

namespace nexus::api {

inline constexpr std::size_t kPayloadBytesMax = 256 << 10;
inline constexpr std::size_t kTasksMax = 1000;  // of one batch

// `at` is the path of the spec in its request, for errors: "task" or "tasks[3]".
Result<engine::Submission> to_submission(v1::TaskSpec& spec, std::string_view at,
                                         std::size_t payload_bytes_max = kPayloadBytesMax);
// 1 to `tasks_max` tasks; an error names the first bad one, and nothing is to be submitted.
Result<std::vector<engine::Submission>> to_submissions(v1::SubmitBatchRequest& request,
                                                       std::size_t tasks_max = kTasksMax,
                                                       std::size_t payload_bytes_max = kPayloadBytesMax);

// Whoever is bound to a tenant need not name it.
void name_tenant(const Caller& caller, v1::TaskSpec& spec);
void name_tenant(const Caller& caller, v1::SubmitBatchRequest& request);

// An error of the engine about a batch of so many tasks: it names no item when there is but one.
Error in_batch(Error error, std::size_t tasks);

// An id as text in `field`.
Result<TaskId> to_task_id(std::string_view text, std::string_view field);

Result<core::Resources> to_resources(const v1::Resources& resources, std::string_view at);
// As an offer: an unset dimension (0) is unlimited (-1).
Result<core::Resources> to_offer(const v1::Resources& resources, bool present, std::string_view at);
Result<core::TaskState> to_state(int state, std::string_view field);  // of v1::TaskState

Result<engine::TaskFilter> to_filter(const v1::ListTasksRequest& request);
// 1..1000, 0 = 100.
Result<std::size_t> to_page_size(std::uint32_t size);

}  // namespace nexus::api
