#include "worker_messages.h"

namespace nexus::sdk {
namespace {

void fill(v1::Resources& to, const ResourceRequest& from) {
    to.set_cpu_milli(from.cpu_milli);
    to.set_memory_bytes(from.memory_bytes);
    to.set_gpu_milli(from.gpu_milli);
    to.mutable_custom()->insert(from.custom.begin(), from.custom.end());
}

ResourceRequest to_resources(const v1::Resources& from) {
    return {.cpu_milli = from.cpu_milli(),
            .memory_bytes = from.memory_bytes(),
            .gpu_milli = from.gpu_milli(),
            .custom = {from.custom().begin(), from.custom().end()}};
}

void fill(v1::Hello& to, const HelloEntry& hello, const Identity& identity) {
    to.set_worker(identity.name);
    to.mutable_labels()->insert(identity.labels.begin(), identity.labels.end());
    to.set_slots(hello.slots);
    to.set_prefetch_max(hello.prefetch_max);
    to.set_draining(hello.draining);
    if (identity.resources) fill(*to.mutable_resources(), *identity.resources);
    for (const std::string& type : identity.types) to.add_types(type);
    for (const HeldEntry& held : hello.held) {
        v1::HeldAttempt& entry = *to.add_held();
        entry.set_task_id(held.task_id);
        entry.set_attempt_id(held.attempt_id);
        entry.set_finished(held.finished);
        entry.set_paused(held.paused);
        entry.set_waiting(held.waiting);
    }
    to.set_can_pause(identity.can_pause);
    to.set_version(identity.version);
    to.set_hostname(identity.hostname);
    to.set_instance(identity.instance);
}

// Strings of the protocol must be UTF-8; error texts come from anywhere.
std::string as_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
        bool good = lead < 0x80 || (lead >= 0xC2 && lead <= 0xF4);
        for (std::size_t k = 1; good && k < length; ++k)
            good = i + k < text.size() && (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
        if (good && length >= 3) {  // overlong forms, surrogates and what lies beyond U+10FFFF
            const auto second = static_cast<unsigned char>(text[i + 1]);
            good = !(lead == 0xE0 && second < 0xA0) && !(lead == 0xED && second >= 0xA0) &&
                   !(lead == 0xF0 && second < 0x90) && !(lead == 0xF4 && second >= 0x90);
        }
        out.append(good ? text.substr(i, length) : std::string_view("?"));
        i += good ? length : 1;
    }
    return out;
}

void fill(v1::Finished& to, const Report& report) {
    to.set_task_id(report.task_id);
    to.set_attempt_id(report.attempt_id);
    to.set_outcome(static_cast<v1::Outcome>(report.ending));
    to.set_result(report.result);
    if (!report.error.empty()) to.set_error(as_utf8(report.error));
    to.set_not_retryable(!report.retryable);
    to.set_run_us(report.run.count());
    to.set_peak_memory_bytes(report.peak_memory_bytes);
}

}  // namespace

void fill(v1::WorkerMessage& message, const Outbound& out, const Identity& identity, const Load& load) {
    message.Clear();
    if (out.hello) fill(*message.mutable_hello(), *out.hello, identity);
    for (const StartedEntry& started : out.started) {
        v1::Started& entry = *message.add_started();
        entry.set_task_id(started.task_id);
        entry.set_attempt_id(started.attempt_id);
        entry.set_waited_us(started.waited.count());
        if (started.slot_free) entry.set_slot_free_us(started.slot_free->count());
    }
    for (const PausedEntry& paused : out.paused) {
        v1::Paused& entry = *message.add_paused();
        entry.set_task_id(paused.task_id);
        entry.set_attempt_id(paused.attempt_id);
        entry.set_turn(paused.turn);
        entry.set_paused(paused.paused);
        entry.set_run_us(paused.run.count());
    }
    for (const ProgressEntry& progress : out.progress) {
        v1::Progress& entry = *message.add_progress();
        entry.set_task_id(progress.task_id);
        entry.set_attempt_id(progress.attempt_id);
        entry.set_fraction(progress.fraction);
        entry.set_note(as_utf8(progress.note));
    }
    for (const Report* report : out.finished) fill(*message.add_finished(), *report);
    for (const WrittenEntry& written : out.written) {
        v1::Written& entry = *message.add_written();
        entry.set_task_id(written.task_id);
        entry.set_attempt_id(written.attempt_id);
        entry.set_number(written.number);
        entry.set_running(written.running);
        entry.set_stdout(written.written.out);
        entry.set_stderr(written.written.err);
        entry.set_stdout_from(written.written.out_from);
        entry.set_stderr_from(written.written.err_from);
    }
    if (out.capacity) {
        message.mutable_capacity()->set_slots(out.capacity->slots);
        if (identity.resources) fill(*message.mutable_capacity()->mutable_resources(), *identity.resources);
        message.mutable_capacity()->set_draining(out.capacity->draining);
    }
    if (out.heartbeat != 0) {
        message.mutable_heartbeat()->set_sequence(out.heartbeat);
        message.mutable_heartbeat()->set_cpu_usage(load.cpu_usage);
        message.mutable_heartbeat()->set_memory_usage(load.memory_usage);
    }
    message.set_goodbye(out.goodbye);
}

Assignment to_assignment(v1::Assign&& assign) {
    Assignment out{.task_id = std::move(*assign.mutable_task_id()),
                   .attempt_id = std::move(*assign.mutable_attempt_id()),
                   .type = std::move(*assign.mutable_type()),
                   .tenant = std::move(*assign.mutable_tenant()),
                   .queue = std::move(*assign.mutable_queue()),
                   .payload = std::move(*assign.mutable_payload()),
                   .traceparent = std::move(*assign.mutable_traceparent()),
                   .tracestate = std::move(*assign.mutable_tracestate()),
                   .number = assign.attempt(),
                   .fence = assign.fence(),
                   .timeout = Micros(assign.timeout_us()),
                   .deadline_in = Micros(assign.deadline_in_us()),
                   .predicted = Micros(assign.predicted_us()),
                   .exclusive = assign.exclusive(),
                   .metadata = {},
                   .resources = to_resources(assign.resources())};
    for (auto& [key, value] : *assign.mutable_metadata()) out.metadata.emplace(key, std::move(value));
    return out;
}

}  // namespace nexus::sdk
