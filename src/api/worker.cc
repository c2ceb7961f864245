#include "api/worker.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "api/submit.h"
#include "api/view.h"
#include "base/name.h"

namespace nexus::api {
namespace {

std::unexpected<Error> refuse(std::string_view field, std::string_view why) {
    return fail(Fault::invalid, std::string(field).append(": ").append(why));
}

std::string indexed(const char* list, int i, const char* field) {
    return std::string(list).append("[").append(std::to_string(i)).append("].").append(field);
}

struct AttemptKey {
    TaskId task;
    AttemptId attempt;
};

Result<AttemptKey> to_key(const std::string& task, const std::string& attempt, const char* list, int i) {
    const auto task_id = parse_id<TaskId>(task);
    if (!task_id) return refuse(indexed(list, i, "task_id"), "not an id");
    const auto attempt_id = parse_id<AttemptId>(attempt);
    if (!attempt_id) return refuse(indexed(list, i, "attempt_id"), "not an id");
    return AttemptKey{.task = *task_id, .attempt = *attempt_id};
}

// Cuts at a character boundary: what stays is valid UTF-8.
void cut_text(std::string& text, std::size_t bytes_max) {
    if (text.size() <= bytes_max) return;
    std::size_t end = bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text.resize(end);
}

Result<core::AttemptOutcome> to_outcome(v1::Outcome outcome, int i) {
    switch (outcome) {
        case v1::OUTCOME_SUCCEEDED: return core::AttemptOutcome::succeeded;
        case v1::OUTCOME_FAILED: return core::AttemptOutcome::failed;
        case v1::OUTCOME_TIMED_OUT: return core::AttemptOutcome::timed_out;
        case v1::OUTCOME_CANCELLED: return core::AttemptOutcome::cancelled;
        case v1::OUTCOME_OUT_OF_MEMORY: return core::AttemptOutcome::out_of_memory;
        case v1::OUTCOME_REJECTED: return core::AttemptOutcome::rejected;
        case v1::OUTCOME_RECALLED: return core::AttemptOutcome::recalled;
        default: return refuse(indexed("finished", i, "outcome"), "no such outcome");
    }
}

Result<engine::AttemptReport> to_finished(v1::Finished& from, int i, const WorkerLimits& limits) {
    const Result<AttemptKey> key = to_key(from.task_id(), from.attempt_id(), "finished", i);
    if (!key) return std::unexpected(key.error());
    const Result<core::AttemptOutcome> outcome = to_outcome(from.outcome(), i);
    if (!outcome) return std::unexpected(outcome.error());
    if (from.result().size() > limits.result_bytes_max)
        return refuse(indexed("finished", i, "result"),
                      "longer than " + std::to_string(limits.result_bytes_max) + " bytes");
    if (from.run_us() < 0) return refuse(indexed("finished", i, "run_us"), "negative");
    if (from.peak_memory_bytes() < 0) return refuse(indexed("finished", i, "peak_memory_bytes"), "negative");
    engine::AttemptReport report{.task = key->task,
                                 .attempt = key->attempt,
                                 .outcome = *outcome,
                                 .retryable = !from.not_retryable(),
                                 .run = {from.run_us()},
                                 .peak_memory_bytes = static_cast<std::uint64_t>(from.peak_memory_bytes())};
    if (!from.result().empty()) report.result = std::move(*from.mutable_result());
    if (!from.error().empty()) report.error = std::move(*from.mutable_error());
    cut_text(report.error, limits.error_bytes_max);
    return report;
}

Result<engine::AttemptProgress> to_progress(v1::Progress& from, int i, const WorkerLimits& limits) {
    const Result<AttemptKey> key = to_key(from.task_id(), from.attempt_id(), "progress", i);
    if (!key) return std::unexpected(key.error());
    if (!std::isfinite(from.fraction()) || from.fraction() < 0)
        return refuse(indexed("progress", i, "fraction"), "not a finite number of 0 or more");
    engine::AttemptProgress progress{
        .task = key->task, .attempt = key->attempt, .fraction = std::min(from.fraction(), 1.0)};
    if (!from.note().empty()) progress.note = std::move(*from.mutable_note());
    cut_text(progress.note, limits.note_bytes_max);
    return progress;
}

Result<engine::OutputPart> to_written(v1::Written& from, int i, const WorkerLimits& limits) {
    const Result<AttemptKey> key = to_key(from.task_id(), from.attempt_id(), "written", i);
    if (!key) return std::unexpected(key.error());
    for (const auto& [name, bytes] : {std::pair{"stdout", &from.stdout()}, {"stderr", &from.stderr()}})
        if (bytes->size() > limits.written_bytes_max)
            return refuse(indexed("written", i, name),
                          "longer than " + std::to_string(limits.written_bytes_max) + " bytes");
    return engine::OutputPart{.task = key->task,
                              .attempt = key->attempt,
                              .number = from.number(),
                              .out = std::move(*from.mutable_stdout()),
                              .err = std::move(*from.mutable_stderr()),
                              .out_from = from.stdout_from(),
                              .err_from = from.stderr_from(),
                              .running = from.running()};
}

Result<engine::WorkerReport::Capacity> to_capacity(const v1::Capacity& from) {
    if (from.slots() < 1 || from.slots() > 4096) return refuse("capacity.slots", "not in 1..4096");
    Result<core::Resources> offered = to_offer(from.resources(), from.has_resources(), "capacity");
    if (!offered) return std::unexpected(std::move(offered).error());
    return engine::WorkerReport::Capacity{
        .slots = from.slots(), .offered = std::move(*offered), .draining = from.draining()};
}

Result<void> check_sizes(const v1::WorkerMessage& message, const WorkerLimits& limits) {
    const auto over = [&limits](int size) { return static_cast<std::size_t>(size) > limits.reports_max; };
    if (over(message.started_size())) return refuse("started", "too many");
    if (over(message.progress_size())) return refuse("progress", "too many");
    if (over(message.finished_size())) return refuse("finished", "too many");
    if (over(message.paused_size())) return refuse("paused", "too many");
    if (over(message.written_size())) return refuse("written", "too many");
    return {};
}

v1::RevokeReason to_reason(core::RevokeReason reason) {
    switch (reason) {
        case core::RevokeReason::cancelled: return v1::REVOKE_REASON_CANCELLED;
        case core::RevokeReason::superseded: return v1::REVOKE_REASON_SUPERSEDED;
        case core::RevokeReason::timed_out: return v1::REVOKE_REASON_TIMED_OUT;
        case core::RevokeReason::preempted: return v1::REVOKE_REASON_PREEMPTED;
        case core::RevokeReason::recalled: return v1::REVOKE_REASON_RECALLED;
    }
    return v1::REVOKE_REASON_UNSPECIFIED;
}

}  // namespace

Result<engine::WorkerHello> to_hello(v1::Hello& from, const WorkerLimits& limits) {
    if (from.slots() < 1 || from.slots() > 4096) return refuse("hello.slots", "not in 1..4096");
    if (from.prefetch_max() > 4096) return refuse("hello.prefetch_max", "not in 0..4096");
    if (static_cast<std::size_t>(from.held_size()) > limits.held_max) return refuse("hello.held", "too many");
    if (from.version().size() > 128) return refuse("hello.version", "longer than 128 bytes");
    if (from.hostname().size() > kHostNameBytesMax) return refuse("hello.hostname", "longer than 255 bytes");
    Result<core::Resources> offered = to_offer(from.resources(), from.has_resources(), "hello");
    if (!offered) return std::unexpected(std::move(offered).error());
    engine::WorkerHello hello{.joined = {.name = std::move(*from.mutable_worker()),
                                         .slots = from.slots(),
                                         .offered = std::move(*offered),
                                         .can_pause = from.can_pause(),
                                         .prefetch_max = from.prefetch_max()},
                              .version = std::move(*from.mutable_version()),
                              .hostname = std::move(*from.mutable_hostname()),
                              .draining = from.draining(),
                              .instance = from.instance()};
    for (auto& [name, value] : *from.mutable_labels()) hello.joined.labels.emplace_back(name, std::move(value));
    std::sort(hello.joined.labels.begin(), hello.joined.labels.end());
    auto& types = hello.joined.types;
    for (auto& type : *from.mutable_types()) types.push_back(std::move(type));
    std::sort(types.begin(), types.end());
    types.erase(std::unique(types.begin(), types.end()), types.end());
    for (int i = 0; i < from.held_size(); ++i) {
        const Result<AttemptKey> key = to_key(from.held(i).task_id(), from.held(i).attempt_id(), "hello.held", i);
        if (!key) return std::unexpected(key.error());
        hello.joined.held.push_back({.task = key->task,
                                     .attempt = key->attempt,
                                     .paused = from.held(i).paused(),
                                     .waiting = from.held(i).waiting()});
    }
    return hello;
}

Result<engine::WorkerReport::Load> to_load(double cpu_usage, double memory_usage) {
    if (!std::isfinite(cpu_usage) || cpu_usage < 0)
        return refuse("heartbeat.cpu_usage", "not a finite number of 0 or more");
    if (!std::isfinite(memory_usage) || memory_usage < 0)
        return refuse("heartbeat.memory_usage", "not a finite number of 0 or more");
    return engine::WorkerReport::Load{.cpu_usage = std::min(cpu_usage, 1.0),
                                      .memory_usage = std::min(memory_usage, 1.0)};
}

Result<engine::WorkerReport> to_report(v1::WorkerMessage& message, const WorkerLimits& limits) {
    if (Result<void> sizes = check_sizes(message, limits); !sizes) return std::unexpected(std::move(sizes).error());
    Result<engine::WorkerReport> report{std::in_place};
    report->goodbye = message.goodbye();
    report->started.reserve(static_cast<std::size_t>(message.started_size()));
    for (int i = 0; i < message.started_size(); ++i) {
        const Result<AttemptKey> key =
            to_key(message.started(i).task_id(), message.started(i).attempt_id(), "started", i);
        if (!key) return std::unexpected(key.error());
        if (message.started(i).waited_us() < 0) return refuse(indexed("started", i, "waited_us"), "negative");
        auto& begun = report->started.emplace_back(key->task, key->attempt, Duration{message.started(i).waited_us()});
        if (message.started(i).has_slot_free_us()) begun.slot_free = {message.started(i).slot_free_us()};
    }
    for (int i = 0; i < message.paused_size(); ++i) {
        const v1::Paused& from = message.paused(i);
        const Result<AttemptKey> key = to_key(from.task_id(), from.attempt_id(), "paused", i);
        if (!key) return std::unexpected(key.error());
        if (from.run_us() < 0) return refuse(indexed("paused", i, "run_us"), "negative");
        report->paused.push_back({.task = key->task,
                                  .attempt = key->attempt,
                                  .turn = from.turn(),
                                  .paused = from.paused(),
                                  .run = {from.run_us()}});
    }
    for (int i = 0; i < message.progress_size(); ++i) {
        Result<engine::AttemptProgress> progress = to_progress(*message.mutable_progress(i), i, limits);
        if (!progress) return std::unexpected(std::move(progress).error());
        report->progress.push_back(std::move(*progress));
    }
    report->finished.reserve(static_cast<std::size_t>(message.finished_size()));
    for (int i = 0; i < message.finished_size(); ++i) {
        Result<engine::AttemptReport> finished = to_finished(*message.mutable_finished(i), i, limits);
        if (!finished) return std::unexpected(std::move(finished).error());
        report->finished.push_back(std::move(*finished));
    }
    for (int i = 0; i < message.written_size(); ++i) {
        Result<engine::OutputPart> part = to_written(*message.mutable_written(i), i, limits);
        if (!part) return std::unexpected(std::move(part).error());
        report->written.push_back(std::move(*part));
    }
    if (message.has_capacity()) {
        Result<engine::WorkerReport::Capacity> capacity = to_capacity(message.capacity());
        if (!capacity) return std::unexpected(std::move(capacity).error());
        report->capacity = std::move(*capacity);
    }
    if (message.has_heartbeat()) {
        const auto load = to_load(message.heartbeat().cpu_usage(), message.heartbeat().memory_usage());
        if (!load) return std::unexpected(load.error());
        report->load = *load;
    }
    return report;
}

void to_message(const engine::Assignment& assignment, WallTime now, v1::Assign& out) {
    const core::AssignAttempt& order = assignment.order;
    out.set_task_id(to_text(order.task));
    out.set_attempt_id(to_text(order.attempt));
    out.set_attempt(order.number);
    out.set_fence(order.fence);
    out.set_type(assignment.type);
    out.set_timeout_us(order.timeout.us);
    // A deadline that has just passed is still told: 0 would mean none.
    if (order.deadline.us != 0) out.set_deadline_in_us(std::max<std::int64_t>(1, order.deadline.us - now.us));
    out.set_exclusive(order.exclusive);
    out.set_predicted_us(order.decision.predicted_run.us);
    out.set_tenant(assignment.tenant);
    out.set_queue(assignment.queue);
    if (assignment.resources != core::Resources{}) to_message(assignment.resources, *out.mutable_resources());
    if (assignment.body == nullptr) return;
    const engine::TaskBody& body = *assignment.body;
    out.set_payload(body.payload);
    for (const auto& [name, value] : body.metadata) (*out.mutable_metadata())[name] = value;
    out.set_traceparent(body.traceparent);
    out.set_tracestate(body.tracestate);
}

void add_orders(const engine::WorkerOrders& orders, std::string_view server_version, WallTime now,
                v1::ServerMessage& out) {
    if (orders.welcome) {
        v1::Welcome& welcome = *out.mutable_welcome();
        welcome.set_session(orders.welcome->session.n);
        welcome.set_lease_us(orders.lease.us);
        welcome.set_heartbeat_us(orders.heartbeat.us);
        for (const AttemptId id : orders.welcome->keep) welcome.add_keep(to_text(id));
        for (const AttemptId id : orders.welcome->abandon) welcome.add_abandon(to_text(id));
        welcome.set_server_version(std::string(server_version));
    }
    for (const auto& assignment : orders.assign) to_message(assignment, now, *out.add_assign());
    for (const auto& order : orders.revoke) {
        v1::Revoke& revoke = *out.add_revoke();
        revoke.set_attempt_id(to_text(order.attempt));
        revoke.set_task_id(to_text(order.task));
        revoke.set_reason(to_reason(order.reason));
    }
    for (const auto& order : orders.pause) {
        v1::Pause& pause = *out.add_pause();
        pause.set_task_id(to_text(order.task));
        pause.set_attempt_id(to_text(order.attempt));
        pause.set_turn(order.turn);
        pause.set_resume(!order.pause);
    }
    for (const auto& look : orders.looks) {
        v1::Look& to = *out.add_look();
        to.set_task_id(to_text(look.task));
        to.set_attempt_id(to_text(look.attempt));
        to.set_number(look.number);
        to.set_stdout_from(look.out_from);
        to.set_stderr_from(look.err_from);
    }
    for (const auto& answer : orders.answers) {
        v1::FinishedAck& ack = *out.add_finished_acks();
        ack.set_attempt_id(to_text(answer.attempt));
        ack.set_accepted(answer.accepted);
        if (!answer.accepted) ack.set_reason("stale_attempt");
    }
    if (orders.drain) out.mutable_drain()->set_reason("by order of an operator");
    if (!orders.reconnect.empty()) out.set_reconnect(orders.reconnect);
}

}  // namespace nexus::api
