#include "client_messages.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>

#include <cctype>
#include <cstdio>

namespace nexus {
namespace {

constexpr std::string_view kFailureNames[] = {"invalid",   "not_found", "conflict",    "failed_state",
                                              "exhausted", "denied",    "unsupported", "unknown"};
constexpr std::string_view kStateNames[] = {"unspecified", "waiting",   "assigned", "running", "succeeded",
                                            "dead",        "cancelled", "expired",  "paused"};

Calendar calendar(std::int64_t unix_us) {
    return Calendar(Micros(unix_us));
}
std::int64_t unix_us(Calendar at) {
    return at.time_since_epoch().count();
}

std::string lower_after(std::string_view text, std::string_view prefix) {
    if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
    std::string out;
    for (const char c : text) out.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    return out;
}

std::string seconds_text(std::int64_t us) {
    char text[48];
    std::snprintf(text, sizeof(text), "%.3g s", static_cast<double>(us) / 1e6);
    return text;
}

}  // namespace

std::string_view name_of(FailureKind kind) {
    return kFailureNames[static_cast<std::size_t>(kind)];
}
std::string_view name_of(TaskState state) {
    return kStateNames[static_cast<std::size_t>(state)];
}

std::string Failure::text() const {
    std::string out(name_of(kind));
    if (!reason.empty()) out += " (" + reason + ")";
    if (!message.empty()) out += ": " + message;
    return out;
}

namespace sdk {
namespace {

Prediction to_prediction(const v1::Estimate& estimate) {
    return {.p50 = Micros(estimate.p50_us()),
            .p90 = Micros(estimate.p90_us()),
            .mean = Micros(estimate.mean_us()),
            .confidence = estimate.confidence(),
            .source = estimate.source()};
}

Eta to_eta(const v1::Eta& eta) {
    return {.start_p50 = calendar(eta.start_p50_unix_us()),
            .start_p90 = calendar(eta.start_p90_unix_us()),
            .finish_p50 = calendar(eta.finish_p50_unix_us()),
            .finish_p90 = calendar(eta.finish_p90_unix_us()),
            .finish_p10 = calendar(eta.finish_p10_unix_us())};
}

AttemptView to_view(const v1::Attempt& attempt) {
    return {.number = attempt.number(),
            .id = attempt.attempt_id(),
            .fence = attempt.fence(),
            .worker = attempt.worker(),
            .assigned = calendar(attempt.assigned_unix_us()),
            .started = calendar(attempt.started_unix_us()),
            .ended = calendar(attempt.ended_unix_us()),
            .run = Micros(attempt.run_us()),
            .outcome = attempt.outcome(),
            .error = attempt.error(),
            .peak_memory_bytes = attempt.peak_memory_bytes(),
            .predicted = Micros(attempt.predicted_us()),
            .progress = attempt.progress(),
            .progress_note = attempt.progress_note()};
}

WaitingView to_waiting(const v1::Waiting& waiting) {
    return {.reason = waiting.reason() == v1::WAIT_REASON_UNSPECIFIED
                          ? std::string()
                          : lower_after(v1::WaitReason_Name(waiting.reason()), "WAIT_REASON_"),
            .culprit = waiting.culprit(),
            .remedy = waiting.remedy(),
            .since = calendar(waiting.since_unix_us()),
            .until = calendar(waiting.until_unix_us())};
}

FailureKind kind_of(grpc::StatusCode code) {
    switch (code) {
        case grpc::StatusCode::INVALID_ARGUMENT:
        case grpc::StatusCode::OUT_OF_RANGE: return FailureKind::invalid;
        case grpc::StatusCode::NOT_FOUND: return FailureKind::not_found;
        case grpc::StatusCode::ALREADY_EXISTS: return FailureKind::conflict;
        case grpc::StatusCode::FAILED_PRECONDITION: return FailureKind::failed_state;
        case grpc::StatusCode::RESOURCE_EXHAUSTED: return FailureKind::exhausted;
        case grpc::StatusCode::PERMISSION_DENIED:
        case grpc::StatusCode::UNAUTHENTICATED: return FailureKind::denied;
        case grpc::StatusCode::UNIMPLEMENTED: return FailureKind::unsupported;
        default: return FailureKind::unknown;
    }
}

}  // namespace

void fill(v1::TaskSpec& to, const Task& task, const std::string& key) {
    to.set_type(task.type);
    to.set_payload(task.payload);
    to.set_tenant(task.tenant);
    to.set_queue(task.queue);
    if (task.priority) to.set_priority(*task.priority);
    to.set_run_at_unix_us(unix_us(task.run_at));
    to.set_deadline_unix_us(unix_us(task.deadline));
    to.set_timeout_us(task.timeout.count());
    to.set_ttl_us(task.ttl.count());
    if (task.retry.attempts_max != 0 || task.retry.backoff_first.count() != 0 || task.retry.backoff_max.count() != 0) {
        to.mutable_retry()->set_attempts_max(task.retry.attempts_max);
        to.mutable_retry()->set_backoff_first_us(task.retry.backoff_first.count());
        to.mutable_retry()->set_backoff_max_us(task.retry.backoff_max.count());
    }
    to.mutable_labels_required()->insert(task.labels_required.begin(), task.labels_required.end());
    to.mutable_labels_preferred()->insert(task.labels_preferred.begin(), task.labels_preferred.end());
    to.mutable_labels_forbidden()->insert(task.labels_forbidden.begin(), task.labels_forbidden.end());
    to.set_worker(task.worker);
    const ResourceRequest& need = task.resources;
    if (need.cpu_milli != 0 || need.memory_bytes != 0 || need.gpu_milli != 0 || !need.custom.empty()) {
        to.mutable_resources()->set_cpu_milli(need.cpu_milli);
        to.mutable_resources()->set_memory_bytes(need.memory_bytes);
        to.mutable_resources()->set_gpu_milli(need.gpu_milli);
        to.mutable_resources()->mutable_custom()->insert(need.custom.begin(), need.custom.end());
    }
    for (const std::string& id : task.after) to.add_after(id);
    to.set_concurrency_key(task.concurrency_key);
    to.set_concurrency_max(task.concurrency_max);
    to.set_ordering_key(task.ordering_key);
    to.set_rate_key(task.rate_key);
    to.set_rate_per_s(task.rate_per_s);
    to.set_idempotency_key(key);
    to.set_duration_hint_us(task.duration_hint.count());
    to.mutable_features()->insert(task.features.begin(), task.features.end());
    to.set_idempotent(task.idempotent);
    to.set_exclusive(task.exclusive);
    to.set_preemptible(task.preemptible);
    to.set_traceparent(task.traceparent);
    to.set_tracestate(task.tracestate);
    to.mutable_metadata()->insert(task.metadata.begin(), task.metadata.end());
}

void fill(v1::ListTasksRequest& to, const TaskQuery& query) {
    for (const TaskState state : query.states) to.add_states(static_cast<v1::TaskState>(state));
    to.set_type(query.type);
    to.set_tenant(query.tenant);
    to.set_queue(query.queue);
    to.set_worker(query.worker);
    to.set_promise(query.promise);
    to.set_page_size(query.page_size);
    to.set_page_token(query.page_token);
}

Submitted to_submitted(v1::SubmitResponse&& response) {
    return {.id = std::move(*response.mutable_id()),
            .duplicate = response.duplicate(),
            .estimate = to_prediction(response.estimate()),
            .eta = to_eta(response.eta()),
            .durability = response.durability()};
}

TaskView to_view(v1::Task&& task) {
    TaskView view{
        .id = task.id(),
        .type = task.type(),
        .tenant = task.tenant(),
        .queue = task.queue(),
        .priority = task.priority(),
        .state = task.state() < v1::TaskState_ARRAYSIZE ? static_cast<TaskState>(task.state()) : TaskState::unspecified,
        .submitted = calendar(task.submitted_unix_us()),
        .finished = calendar(task.finished_unix_us()),
        .payload_bytes = task.payload_bytes(),
        .estimate = to_prediction(task.estimate()),
        .eta = to_eta(task.eta()),
        .promise = to_eta(task.promise()),
        .waiting = to_waiting(task.waiting()),
        .failures = task.failures(),
        .crashes = task.crashes(),
        .result = std::move(*task.mutable_result()),
        .error = task.error(),
        .metadata = {task.metadata().begin(), task.metadata().end()},
        .redrive_of = task.redrive_of(),
        .run = Micros(task.run_us()),
        .wait = Micros(task.wait_us())};
    for (const v1::Attempt& attempt : task.attempts()) view.attempts.push_back(to_view(attempt));
    return view;
}

std::string to_text(const v1::Explanation& explanation) {
    std::string out = explanation.summary();
    const v1::Waiting& waiting = explanation.task().waiting();
    if (waiting.reason() != v1::WAIT_REASON_UNSPECIFIED) {
        out += "\nwaits: " + lower_after(v1::WaitReason_Name(waiting.reason()), "WAIT_REASON_");
        if (!waiting.culprit().empty()) out += ", because of " + waiting.culprit();
        if (!waiting.remedy().empty()) out += "\nwould help: " + waiting.remedy();
        out += "\nahead: " + std::to_string(explanation.tasks_ahead()) + " tasks, " +
               seconds_text(explanation.work_ahead_us()) + " of predicted work";
        out += "\nworkers: " + std::to_string(explanation.workers_eligible()) + " of " +
               std::to_string(explanation.workers_total()) + " may run it";
        for (const auto& [why, count] : explanation.workers_excluded())
            out += "\n  excluded: " + std::to_string(count) + " by " + why;
    }
    if (explanation.has_decision() && !explanation.decision().worker().empty()) {
        const v1::Decision& decision = explanation.decision();
        out +=
            "\ndecision " + std::to_string(decision.number()) + ": " + decision.worker() + " by " + decision.policy();
        if (!decision.reason().empty()) out += ", " + decision.reason();
        out += "\npredicted: " + seconds_text(decision.estimate().p50_us()) + ", at most " +
               seconds_text(decision.estimate().p90_us()) + " in 9 of 10 cases";
        for (const v1::Candidate& candidate : decision.candidates()) {
            char score[32];
            std::snprintf(score, sizeof(score), "%.6g", candidate.score());
            out += "\n  candidate: " + candidate.worker() + ", score " + score;
        }
    }
    return out;
}

Failure to_failure(const grpc::Status& status) {
    Failure failure{.kind = FailureKind::unknown, .message = status.error_message()};
    google::rpc::Status details;
    if (!details.ParseFromString(status.error_details())) return failure;
    for (const google::protobuf::Any& detail : details.details()) {
        google::rpc::ErrorInfo info;
        google::rpc::RetryInfo retry;
        if (detail.UnpackTo(&info) && info.domain() == "nexus") {
            failure.kind = kind_of(status.error_code());
            failure.reason = info.reason();
        }
        if (detail.UnpackTo(&retry))
            failure.retry_after =
                std::chrono::seconds(retry.retry_delay().seconds()) + Micros(retry.retry_delay().nanos() / 1000);
    }
    return failure;
}

}  // namespace sdk
}  // namespace nexus
