#include "api/submit.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "api/error.h"

namespace nexus::api {
namespace {

constexpr std::size_t kSearchBytesMax = 128;
constexpr std::int64_t kRatePerThousandMax = 4'000'000'000;  // fits core::TaskSpec::rate_per_1000s

std::unexpected<Error> refuse(std::string_view at, std::string_view field, std::string_view why) {
    std::string what;
    what.reserve(at.size() + field.size() + why.size() + 3);
    what.append(at).append(at.empty() || field.empty() ? "" : ".").append(field).append(": ").append(why);
    return fail(Fault::invalid, std::move(what));
}

core::Labels take_labels(google::protobuf::Map<std::string, std::string>& map) {
    core::Labels labels;
    if (map.empty()) return labels;
    labels.reserve(map.size());
    for (auto& [name, value] : map) labels.emplace_back(name, std::move(value));
    std::sort(labels.begin(), labels.end());
    return labels;
}

// The numbers of a spec that may not be negative, with their names.
Result<void> check_signs(const v1::TaskSpec& spec, std::string_view at) {
    const struct {
        const char* field;
        std::int64_t value;
    } rows[] = {
        {"run_at_unix_us", spec.run_at_unix_us()},
        {"deadline_unix_us", spec.deadline_unix_us()},
        {"timeout_us", spec.timeout_us()},
        {"duration_hint_us", spec.duration_hint_us()},
        {"ttl_us", spec.ttl_us()},
        {"retry.backoff_first_us", spec.retry().backoff_first_us()},
        {"retry.backoff_max_us", spec.retry().backoff_max_us()},
    };
    for (const auto& row : rows)
        if (row.value < 0) return refuse(at, row.field, "negative");
    return {};
}

Result<std::uint32_t> to_rate(double per_s, std::string_view at) {
    if (!std::isfinite(per_s) || per_s < 0) return refuse(at, "rate_per_s", "not a finite number of 0 or more");
    const double scaled = std::round(per_s * 1000);
    if (scaled > static_cast<double>(kRatePerThousandMax)) return refuse(at, "rate_per_s", "more than 4000000");
    if (per_s > 0 && scaled < 1) return refuse(at, "rate_per_s", "less than 0.001");
    return static_cast<std::uint32_t>(scaled);
}

// W3C Trace Context, version 00 or a later one that begins like it. It reaches the environment of programs.
bool is_traceparent(std::string_view text) {
    constexpr std::size_t kLength = 55;
    if (text.size() < kLength || (text.size() > kLength && (text.starts_with("00") || text[kLength] != '-')))
        return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        const bool dash = i == 2 || i == 35 || i == 52;
        if (i < kLength ? (dash ? c != '-' : !hex) : c < '!' || c > '~') return false;
    }
    constexpr std::string_view kZeros = "00000000000000000000000000000000";
    return text.substr(0, 2) != "ff" && text.substr(3, 32) != kZeros && text.substr(36, 16) != kZeros.substr(0, 16);
}

Result<void> check_trace(const engine::TaskBody& body, std::string_view at) {
    if (!body.traceparent.empty() && !is_traceparent(body.traceparent))
        return refuse(at, "traceparent", "not as W3C Trace Context has it (00-<32 hex>-<16 hex>-<2 hex>)");
    const bool printable = std::ranges::all_of(body.tracestate, [](char c) { return c >= ' ' && c <= '~'; });
    if (body.tracestate.size() > 512 || !printable)
        return refuse(at, "tracestate", "not printable ASCII of at most 512 bytes");
    return {};
}

Result<engine::TaskBody> take_body(v1::TaskSpec& spec, std::string_view at) {
    engine::TaskBody body;
    if (!spec.payload().empty()) body.payload = std::move(*spec.mutable_payload());
    if (spec.metadata_size() > 0) body.metadata = take_labels(*spec.mutable_metadata());
    if (!spec.traceparent().empty()) body.traceparent = std::move(*spec.mutable_traceparent());
    if (!spec.tracestate().empty()) body.tracestate = std::move(*spec.mutable_tracestate());
    if (Result<void> trace = check_trace(body, at); !trace) return std::unexpected(std::move(trace).error());
    if (spec.features_size() > 0) {
        body.features.reserve(static_cast<std::size_t>(spec.features_size()));
        for (const auto& [name, value] : spec.features()) {
            if (!std::isfinite(value)) return refuse(at, "features", "not a finite number");
            body.features.emplace_back(name, value);
        }
        std::sort(body.features.begin(), body.features.end());
    }
    body.hint = {spec.duration_hint_us()};
    return body;
}

// The parts that few tasks carry.
Result<void> take_constraints(v1::TaskSpec& from, std::string_view at, core::TaskSpec& spec) {
    spec.labels_required = take_labels(*from.mutable_labels_required());
    spec.labels_preferred = take_labels(*from.mutable_labels_preferred());
    spec.labels_forbidden = take_labels(*from.mutable_labels_forbidden());
    if (from.has_resources()) {
        Result<core::Resources> resources = to_resources(from.resources(), at);
        if (!resources) return std::unexpected(std::move(resources).error());
        spec.resources = std::move(*resources);
    }
    spec.after.reserve(static_cast<std::size_t>(from.after_size()));
    for (int i = 0; i < from.after_size(); ++i) {
        const auto id = parse_id<TaskId>(from.after(i));
        if (!id) return refuse(at, "after[" + std::to_string(i) + "]", "not a task id");
        spec.after.push_back(*id);
    }
    const Result<std::uint32_t> rate = to_rate(from.rate_per_s(), at);
    if (!rate) return std::unexpected(rate.error());
    spec.rate_per_1000s = *rate;
    return {};
}

// Asks before it takes: mutable_x() of an unset field would make a string first.
void take_names(v1::TaskSpec& from, core::TaskSpec& spec) {
    if (!from.type().empty()) spec.type = std::move(*from.mutable_type());
    if (!from.tenant().empty()) spec.tenant = std::move(*from.mutable_tenant());
    if (!from.queue().empty()) spec.queue = std::move(*from.mutable_queue());
    if (!from.worker().empty()) spec.pinned_worker = std::move(*from.mutable_worker());
    if (!from.concurrency_key().empty()) spec.concurrency_key = std::move(*from.mutable_concurrency_key());
    if (!from.ordering_key().empty()) spec.ordering_key = std::move(*from.mutable_ordering_key());
    if (!from.rate_key().empty()) spec.rate_key = std::move(*from.mutable_rate_key());
}

}  // namespace

Result<core::Resources> to_resources(const v1::Resources& from, std::string_view at) {
    core::Resources to{
        .cpu_milli = from.cpu_milli(), .memory_bytes = from.memory_bytes(), .gpu_milli = from.gpu_milli()};
    if (from.cpu_milli() < 0) return refuse(at, "resources.cpu_milli", "negative");
    if (from.memory_bytes() < 0) return refuse(at, "resources.memory_bytes", "negative");
    if (from.gpu_milli() < 0) return refuse(at, "resources.gpu_milli", "negative");
    to.custom.reserve(static_cast<std::size_t>(from.custom_size()));
    for (const auto& [name, amount] : from.custom()) {
        if (amount < 0) return refuse(at, "resources.custom", "negative");
        to.custom.emplace_back(name, amount);
    }
    std::sort(to.custom.begin(), to.custom.end());
    return to;
}

Result<core::Resources> to_offer(const v1::Resources& from, bool present, std::string_view at) {
    if (!present) return core::Resources{.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1};
    Result<core::Resources> offer = to_resources(from, at);
    if (!offer) return offer;
    for (std::int64_t* amount : {&offer->cpu_milli, &offer->memory_bytes, &offer->gpu_milli})
        if (*amount == 0) *amount = -1;
    return offer;
}

Result<engine::Submission> to_submission(v1::TaskSpec& from, std::string_view at, std::size_t payload_bytes_max) {
    if (from.payload().size() > payload_bytes_max)
        return refuse(at, "payload", "longer than " + std::to_string(payload_bytes_max) + " bytes");
    if (from.has_priority() && from.priority() > core::kPriorityMax) return refuse(at, "priority", "not in 0..9");
    if (Result<void> signs = check_signs(from, at); !signs) return std::unexpected(std::move(signs).error());
    Result<engine::TaskBody> body = take_body(from, at);
    if (!body) return std::unexpected(std::move(body).error());
    Result<engine::Submission> result{std::in_place};
    result->body = std::move(*body);
    core::TaskSpec& spec = result->spec;
    if (Result<void> taken = take_constraints(from, at, spec); !taken) return std::unexpected(std::move(taken).error());
    take_names(from, spec);
    if (!from.idempotency_key().empty()) result->idempotency_key = std::move(*from.mutable_idempotency_key());
    if (from.has_priority()) spec.priority = static_cast<std::uint8_t>(from.priority());
    spec.idempotent = from.idempotent();
    spec.exclusive = from.exclusive();
    spec.preemptible = from.preemptible();
    spec.run_at = {from.run_at_unix_us()};
    spec.deadline = {from.deadline_unix_us()};
    spec.timeout = {from.timeout_us()};
    spec.ttl = {from.ttl_us()};
    spec.retry = {.attempts_max = from.retry().attempts_max(),
                  .backoff_first = {from.retry().backoff_first_us()},
                  .backoff_max = {from.retry().backoff_max_us()}};
    spec.concurrency_max = from.concurrency_max();
    return result;
}

Result<std::vector<engine::Submission>> to_submissions(v1::SubmitBatchRequest& request, std::size_t tasks_max,
                                                       std::size_t payload_bytes_max) {
    const auto count = static_cast<std::size_t>(request.tasks_size());
    if (count == 0) return refuse("", "tasks", "empty");
    if (count > tasks_max) return refuse("", "tasks", "more than " + std::to_string(tasks_max));
    Result<std::vector<engine::Submission>> items{std::in_place};
    items->reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        Result<engine::Submission> item =
            to_submission(*request.mutable_tasks(static_cast<int>(i)), {}, payload_bytes_max);
        if (!item) return fail(Fault::invalid, "tasks[" + std::to_string(i) + "]." + item.error().what);
        items->push_back(std::move(*item));
    }
    return items;
}

void name_tenant(const Caller& caller, v1::TaskSpec& spec) {
    if (!caller.tenant.empty() && spec.tenant().empty()) spec.set_tenant(caller.tenant);
}
void name_tenant(const Caller& caller, v1::SubmitBatchRequest& request) {
    for (v1::TaskSpec& spec : *request.mutable_tasks()) name_tenant(caller, spec);
}

Error in_batch(Error error, std::size_t tasks) {
    if (tasks != 1 || error.what.starts_with("tasks")) return error;
    return with_prefix(std::move(error), "tasks[0].");
}

Result<TaskId> to_task_id(std::string_view text, std::string_view field) {
    const auto id = parse_id<TaskId>(text);
    if (!id || !*id) return refuse("", field, "not a task id");
    return *id;
}

Result<core::TaskState> to_state(int state, std::string_view field) {
    // The numbers of core::TaskState are those of nexus.v1.TaskState.
    if (state < v1::TASK_STATE_WAITING || state >= v1::TaskState_ARRAYSIZE) return refuse("", field, "no such state");
    return static_cast<core::TaskState>(state);
}

Result<engine::TaskFilter> to_filter(const v1::ListTasksRequest& request) {
    engine::TaskFilter filter{
        .type = request.type(), .tenant = request.tenant(), .queue = request.queue(), .worker = request.worker()};
    for (const int number : request.states()) {
        const Result<core::TaskState> state = to_state(number, "states");
        if (!state) return std::unexpected(state.error());
        filter.states.push_back(*state);
    }
    if (request.search().size() > kSearchBytesMax) return refuse("", "search", "longer than 128 bytes");
    if (request.submitted_from_unix_us() < 0) return refuse("", "submitted_from_unix_us", "negative");
    if (request.submitted_to_unix_us() < 0) return refuse("", "submitted_to_unix_us", "negative");
    filter.search = request.search();
    filter.submitted_from = {request.submitted_from_unix_us()};
    filter.submitted_to = {request.submitted_to_unix_us()};
    if (request.promise() == "kept")
        filter.promise = history::PromiseKept::kept;
    else if (request.promise() == "missed")
        filter.promise = history::PromiseKept::missed;
    else if (!request.promise().empty())
        return refuse("", "promise", "kept or missed");
    return filter;
}

Result<std::size_t> to_page_size(std::uint32_t size) {
    if (size > 1000) return refuse("", "page_size", "more than 1000");
    return size == 0 ? 100 : size;
}

}  // namespace nexus::api
