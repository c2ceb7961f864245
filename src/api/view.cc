#include "api/view.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "api/error.h"
#include "api/sentences.h"
#include "config/toml.h"

namespace nexus::api {
namespace {

void set_eta(WallTime start_p50, WallTime start_p90, WallTime finish_p10, WallTime finish_p50, WallTime finish_p90,
             v1::Eta& out) {
    out.set_finish_p10_unix_us(finish_p10.us);
    out.set_start_p50_unix_us(start_p50.us);
    out.set_start_p90_unix_us(start_p90.us);
    out.set_finish_p50_unix_us(finish_p50.us);
    out.set_finish_p90_unix_us(finish_p90.us);
}

void set_promises(const engine::PromiseCount& count, v1::PromiseStat& out) {
    const auto told = static_cast<double>(std::max<std::uint64_t>(count.told, 1));
    out.set_told(count.told);
    out.set_by_p90(static_cast<double>(count.by_p90) / told);
    out.set_from_p10(static_cast<double>(count.from_p10) / told);
    out.set_within_25(static_cast<double>(count.within_25) / told);
}

void set_attempt(const engine::AttemptInfo& attempt, v1::Attempt& out) {
    out.set_number(attempt.number);
    out.set_attempt_id(to_text(attempt.attempt));
    out.set_fence(attempt.fence);
    out.set_worker(attempt.worker);
    out.set_assigned_unix_us(attempt.assigned.us);
    out.set_started_unix_us(attempt.started.us);
    out.set_ended_unix_us(attempt.ended.us);
    if (attempt.run.us > 0) out.set_run_us(attempt.run.us);
    out.set_outcome(attempt.outcome);
    out.set_error(attempt.error);
    out.set_peak_memory_bytes(static_cast<std::int64_t>(attempt.peak_memory_bytes));
    out.set_predicted_us(attempt.predicted.us);
    out.set_progress(attempt.progress);
    out.set_progress_note(attempt.progress_note);
    out.set_predicted_p90_us(attempt.predicted_p90.us);
    out.set_source(attempt.source);
}

const char* name_of(core::OverrideKind kind) {
    switch (kind) {
        case core::OverrideKind::pin: return "pin";
        case core::OverrideKind::hold: return "hold";
        case core::OverrideKind::boost: return "boost";
        case core::OverrideKind::exclude: return "exclude";
    }
    return "";
}

// Resident memory of this process; 0 when the kernel does not tell.
std::uint64_t resident_bytes() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr) return 0;
    unsigned long long all = 0, resident = 0;
    const int fields = std::fscanf(file, "%llu %llu", &all, &resident);
    std::fclose(file);
    return fields == 2 ? resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

}  // namespace

v1::WorkerState worker_state_of(const engine::WorkerInfo& worker) {
    if (!worker.connected) return v1::WORKER_STATE_GONE;
    if (worker.draining) return v1::WORKER_STATE_DRAINING;
    if (worker.cordoned) return v1::WORKER_STATE_CORDONED;
    return worker.suspect ? v1::WORKER_STATE_SUSPECT : v1::WORKER_STATE_READY;
}

void to_message(const Estimate& estimate, v1::Estimate& out) {
    out.set_p50_us(estimate.p50.us);
    out.set_p90_us(estimate.p90.us);
    out.set_mean_us(estimate.mean.us);
    out.set_confidence(estimate.confidence_permille / 1000.0);
    out.set_source(std::string(name_of(estimate.source)));
}

void to_message(const core::Resources& resources, v1::Resources& out) {
    if (resources.cpu_milli > 0) out.set_cpu_milli(resources.cpu_milli);
    if (resources.memory_bytes > 0) out.set_memory_bytes(resources.memory_bytes);
    if (resources.gpu_milli > 0) out.set_gpu_milli(resources.gpu_milli);
    for (const auto& [name, amount] : resources.custom) (*out.mutable_custom())[name] = amount;
}

void to_message(const engine::Submitted& submitted, std::string_view durability, v1::SubmitResponse& out) {
    out.set_id(to_text(submitted.task));
    out.set_duplicate(submitted.duplicate);
    to_message(submitted.estimate, *out.mutable_estimate());
    if (submitted.finish_p50.us != 0)
        set_eta(submitted.start_p50, submitted.start_p90, submitted.finish_p10, submitted.finish_p50,
                submitted.finish_p90, *out.mutable_eta());
    out.set_durability(durability.data(), durability.size());
}

void to_message(const engine::TaskInfo& task, v1::Task& out) {
    out.set_id(to_text(task.task));
    out.set_type(task.type);
    out.set_tenant(task.tenant);
    out.set_queue(task.queue);
    out.set_priority(task.priority);
    out.set_state(static_cast<v1::TaskState>(task.state));
    out.set_submitted_unix_us(task.submitted.us);
    out.set_finished_unix_us(task.finished.us);
    out.set_payload_bytes(static_cast<std::int64_t>(task.payload_bytes));
    to_message(task.estimate, *out.mutable_estimate());
    if (!core::is_terminal(task.state) && task.eta_finish_p50.us != 0)
        set_eta(task.eta_start_p50, task.eta_start_p90, task.eta_finish_p10, task.eta_finish_p50, task.eta_finish_p90,
                *out.mutable_eta());
    if (task.promise_p50.us != 0)
        set_eta({}, {}, task.promise_p10, task.promise_p50, task.promise_p90, *out.mutable_promise());
    if (task.waiting != core::WaitReason::none) {
        v1::Waiting& waiting = *out.mutable_waiting();
        waiting.set_reason(static_cast<v1::WaitReason>(task.waiting));
        WaitWords words = wait_words(task);
        waiting.set_culprit(std::move(words.culprit));
        waiting.set_since_unix_us(task.waiting_since.us);
        waiting.set_until_unix_us(task.waiting_until.us);
        waiting.set_remedy(std::move(words.remedy));
    }
    for (const auto& attempt : task.attempts) set_attempt(attempt, *out.add_attempts());
    out.set_failures(task.failures);
    out.set_crashes(task.crashes);
    out.set_result(task.result);
    out.set_error(task.error);
    for (const auto& [name, value] : task.metadata) (*out.mutable_metadata())[name] = value;
    if (task.redrive_of) out.set_redrive_of(to_text(task.redrive_of));
    if (task.run.us > 0) out.set_run_us(task.run.us);
    if (task.wait.us > 0) out.set_wait_us(task.wait.us);
    if (task.whole) tell_story(task, out);
}

void to_message(const engine::TaskPage& page, v1::ListTasksResponse& out) {
    out.mutable_tasks()->Reserve(static_cast<int>(page.tasks.size()));
    for (const auto& task : page.tasks) to_message(task, *out.add_tasks());
    out.set_next_page_token(page.next);
}

void to_message(const engine::OutputText& text, v1::ReadOutputResponse& out) {
    out.set_attempt(text.number);
    out.set_running(text.running);
    out.set_stdout(text.out);
    out.set_stderr(text.err);
    out.set_stdout_from(text.out_from);
    out.set_stderr_from(text.err_from);
    out.set_result(text.result);
    out.set_worker(text.worker);
}

void hide_what_programs_wrote(v1::Task& task) {
    const auto hide = [](std::string& text) {
        if (!text.empty()) text = "(for those who may read payloads)";
    };
    task.clear_result();
    task.clear_metadata();
    // Why a task was cancelled or expired says the server.
    if (task.state() != v1::TASK_STATE_CANCELLED && task.state() != v1::TASK_STATE_EXPIRED) hide(*task.mutable_error());
    for (v1::Attempt& attempt : *task.mutable_attempts()) {
        hide(*attempt.mutable_error());
        hide(*attempt.mutable_progress_note());
    }
}

void to_message(const history::DecisionInfo& decision, v1::Decision& out) {
    out.set_number(decision.place.number);
    out.set_id(std::to_string(decision.place.number) +
               (decision.place.part > 0 ? "." + std::to_string(decision.place.part) : ""));
    if (decision.task) out.set_task_id(to_text(decision.task));
    out.set_at_unix_us(decision.place.at.us);
    out.set_policy(decision.policy);
    out.set_model(decision.model);
    out.set_worker(decision.worker);
    for (const auto& candidate : decision.candidates) {
        v1::Candidate& to = *out.add_candidates();
        to.set_worker(candidate.worker);
        to.set_score(candidate.score);
        for (const auto& [name, value] : candidate.factors) (*to.mutable_factors())[name] = value;
    }
    to_message(decision.estimate, *out.mutable_estimate());
    out.set_fallback(decision.fallback);
    out.set_baseline_worker(decision.baseline_worker);
    out.set_reason(std::string(decision_words(decision.reason)));
    out.set_eligible_free(decision.eligible_free);
    out.set_waiting(decision.waiting);
    if (decision.rival) out.set_rival_task_id(to_text(decision.rival));
    out.set_remaining_us(decision.remaining.us);
    out.set_ratio(decision.ratio);
    out.set_lost_us(decision.lost.us);
    out.set_saved_us(decision.saved.us);
    for (const core::RunnerUp& other : decision.runner_ups) {
        v1::RunnerUp& to = *out.add_runner_ups();
        to.set_task_id(to_text(other.task));
        to.set_behind_us(other.behind_us);
    }
    if (decision.outcome) {
        out.mutable_outcome()->set_run_us(std::max<std::int64_t>(decision.outcome->run.us, 0));
        out.mutable_outcome()->set_result(core::name_of(static_cast<core::AttemptOutcome>(decision.outcome->outcome)));
        out.mutable_outcome()->set_ended_unix_us(decision.outcome->ended.us);
        out.mutable_outcome()->set_regret_us(decision.outcome->regret.us);
    }
}

void to_message(const engine::DecisionPage& page, v1::ListDecisionsResponse& out) {
    for (const auto& decision : page.decisions) to_message(decision, *out.add_decisions());
    out.set_next_page_token(page.next);
}

void to_message(const engine::AuditPage& page, v1::ListAuditResponse& out) {
    for (const auto& row : page.entries) to_message(row, *out.add_entries());
    out.set_next_page_token(page.next);
}

void to_message(const engine::Explanation& explanation, v1::Explanation& out) {
    to_message(explanation.task, *out.mutable_task());
    if (explanation.decision) to_message(*explanation.decision, *out.mutable_decision());
    out.set_tasks_ahead(explanation.tasks_ahead);
    out.set_work_ahead_us(explanation.work_ahead.us);
    out.set_workers_eligible(explanation.workers_eligible);
    out.set_workers_total(explanation.workers_total);
    for (const auto& [cause, workers] : explanation.excluded)
        (*out.mutable_workers_excluded())[std::string(exclusion_words(cause))] = workers;
    out.set_summary(summary_of(explanation));
    out.set_overtaken_until_unix_us(explanation.overtaken_until.us);
    tell_alternatives(explanation, out);
}

void to_message(const engine::WorkerInfo& worker, v1::Worker& out) {
    out.set_name(worker.name);
    out.set_state(worker_state_of(worker));
    for (const auto& [name, value] : worker.labels) (*out.mutable_labels())[name] = value;
    out.set_slots(worker.slots);
    out.set_running(worker.running);
    to_message(worker.offered, *out.mutable_resources());
    for (const auto& type : worker.types) out.add_types(type);
    out.set_speed(worker.speed);
    out.set_utilization(worker.utilization);
    out.set_breaker(worker.breaker);
    out.set_breaker_reason(worker.breaker_reason);
    out.set_succeeded(worker.succeeded);
    out.set_failed(worker.failed);
    out.set_version(worker.version);
    out.set_hostname(worker.hostname);
    out.set_connected_unix_us(worker.connected_at.us);
    out.set_last_heard_unix_us(worker.last_heard.us);
    out.set_cpu_usage(worker.cpu_usage);
    out.set_memory_usage(worker.memory_usage);
    out.set_paused(worker.paused);
    out.set_prefetched(worker.prefetched);
    out.set_turnaround_us(worker.turnaround.us);
    out.set_rivals(worker.rivals);
    out.set_rival_unix_us(worker.rival_at.us);
    out.set_rival_hostname(worker.rival_hostname);
    out.set_reconnects(worker.connects);
    out.set_state_since_unix_us(worker.state_since.us);
    out.set_state_author(worker.state_author);
    out.set_state_reason(worker.state_reason);
    out.set_breaker_since_unix_us(worker.breaker_since.us);
    out.set_next_trial_unix_us(worker.next_trial.us);
    out.set_failures_recent(worker.failures_recent);
    out.set_empty_at_unix_us(worker.empty_at.us);
}

void to_message(const engine::TypeInfo& type, v1::TypeStat& out) {
    out.set_type(type.type);
    out.set_samples(type.samples);
    out.set_p50_us(type.p50.us);
    out.set_p90_us(type.p90.us);
    out.set_mean_us(type.mean.us);
    out.set_within_25(type.within_25);
    out.set_p90_coverage(type.p90_coverage);
    out.set_payload_slope(type.payload_slope);
    out.set_expert(type.expert);
    out.set_drifting(type.drifting);
    out.set_drifts(type.drifts);
    out.set_succeeded(type.samples);
    out.set_failed(type.failed);
    out.set_memory_p95_bytes(static_cast<std::int64_t>(type.memory_p95_bytes));
    for (const auto& expert : type.experts) {
        v1::ExpertStat& to = *out.add_experts();
        to.set_name(expert.name);
        to.set_hit_rate(expert.hit_rate);
        to.set_weight(expert.weight);
        to.set_estimate_us(expert.estimate.us);
    }
    for (const auto& [bound, count] : type.histogram) {
        out.add_histogram_us(bound.us);
        out.add_histogram_count(count);
    }
    out.set_size_name(type.size_name);
    out.set_trend(type.trend);
    out.set_override_us(type.forced.estimate.us);
    out.set_override_author(type.forced.author);
    out.set_override_reason(type.forced.reason);
    out.set_override_expires_unix_us(type.forced.expires_wall.us);
    out.set_slot_time_us(type.slot_time.us);
    if (type.promises.told > 0) set_promises(type.promises, *out.mutable_promises());
}

void to_message(const engine::TypesInfo& types, v1::ListTypesResponse& out) {
    for (const auto& type : types.types) to_message(type, *out.add_types());
    out.set_within_25(types.accuracy.within_25);
    out.set_p90_coverage(types.accuracy.p90_coverage);
    out.set_trend(types.accuracy.trend);
    out.set_eta_p90_coverage(types.accuracy.eta_p90_coverage);
}

void to_message(const std::vector<engine::WorkerInfo>& workers, v1::ListWorkersResponse& out) {
    for (const auto& worker : workers) to_message(worker, *out.add_workers());
}

void to_message(const std::vector<engine::OverrideInfo>& all, v1::ListOverridesResponse& out) {
    for (const auto& one : all) to_message(one, *out.add_overrides());
}

void to_message(const engine::StatusInfo& status, v1::Status& out) {
    const core::Counters& counters = status.counters;
    out.set_version(status.version);
    out.set_uptime_us(status.uptime.us);
    out.set_policy(status.policy);
    out.set_durability(status.durability);
    out.set_fallback(status.fallback);
    out.set_waiting(counters.waiting);
    out.set_running(counters.assigned + counters.running);
    out.set_paused(counters.paused);
    out.set_prefetched(counters.prefetched);
    out.set_submitted(counters.submitted);
    out.set_succeeded(counters.succeeded);
    out.set_dead(counters.dead);
    out.set_cancelled(counters.cancelled);
    out.set_expired(counters.expired);
    out.set_workers_ready(status.workers_ready);
    out.set_workers_total(status.workers_total);
    out.set_slots(status.slots);
    out.set_utilization(status.utilization);
    out.set_within_25(status.accuracy.within_25);
    out.set_p90_coverage(status.accuracy.p90_coverage);
    out.set_eta_p90_coverage(status.accuracy.eta_p90_coverage);
    out.set_backlog_work_us(counters.backlog.us);
    out.set_drain_eta_unix_us(status.drain_eta.us);
    out.set_waiting_no_worker(status.waiting_no_worker);
    out.set_waiting_paused(status.waiting_paused);
    out.set_waiting_held(status.waiting_held);
    out.set_journal_position(status.journal_position);
    out.set_digest(status.digest);
    out.set_decision_p50_us(status.decision_p50_us);
    out.set_decision_p99_us(status.decision_p99_us);
    out.set_commit_p50_us(status.commit_p50_us);
    out.set_commit_p99_us(status.commit_p99_us);
    out.set_stale_reports(counters.stale_reports);
    out.set_history_dropped(status.history_dropped);
    out.set_rss_bytes(resident_bytes());
    out.set_decisions(counters.decisions);
    out.set_now_unix_us(status.now.us);
    const auto promises = [&](core::ToldAs as) { return status.promises[static_cast<std::size_t>(as)]; };
    set_promises(promises(core::ToldAs::placed), *out.mutable_promises_placed());
    set_promises(promises(core::ToldAs::queued), *out.mutable_promises_queued());
    set_promises(promises(core::ToldAs::backlog), *out.mutable_promises_backlog());
    for (const auto& [tenant, count] : status.promises_of_tenants)
        set_promises(count, (*out.mutable_promises_by_tenant())[tenant]);
    for (const core::WaitingBy& by : status.waiting_by) {
        v1::WaitingBy& to = *out.add_waiting_by();
        to.set_reason(static_cast<v1::WaitReason>(by.reason));
        to.set_count(by.count);
        to.set_culprit(waiting_words(by).culprit);
    }
    out.set_oldest_waiting_unix_us(status.oldest_waiting.us);
    out.set_wait_p50_us(status.wait_p50.us);
    out.set_wait_p99_us(status.wait_p99.us);
    out.set_drain_eta_p10_unix_us(status.drain_p10.us);
    out.set_drain_eta_p90_unix_us(status.drain_p90.us);
    out.set_idle_while_waiting_us(status.idle_lately.us);
    out.set_fallback_since_unix_us(status.fallback_since.us);
}

void to_message(const core::Config& config, v1::SchedulerConfig& out) {
    out.set_etag(std::to_string(config.version));
    out.set_toml(config::to_toml(config));
    out.set_version(config.version);
}

namespace {

void to_changes(const std::vector<config::Change>& changes, auto& out) {
    for (const config::Change& change : changes) {
        v1::ConfigChange& told = *out.Add();
        told.set_key(change.key);
        told.set_before(change.before);
        told.set_after(change.after);
    }
}

}  // namespace

void to_message(const engine::Reconfigured& done, v1::SchedulerConfig& out) {
    to_message(done.config, out);
    to_changes(done.changes, *out.mutable_changes());
}

void to_message(const engine::ConfigVersionsPage& page, v1::ListConfigVersionsResponse& out) {
    for (const engine::ConfigVersionInfo& info : page.versions) {
        v1::ConfigVersion& version = *out.add_versions();
        version.set_version(info.version);
        version.set_at_unix_us(info.at.us);
        version.set_author(info.author);
        version.set_caller(info.caller);
        version.set_reason(info.reason);
        to_changes(info.changes, *version.mutable_changes());
        if (page.whole) version.set_toml(config::to_toml(*page.whole));
    }
    out.set_next_page_token(page.next);
}

void to_message(const engine::AuditVerdict& verdict, v1::VerifyAuditResponse& out) {
    out.set_good(verdict.good);
    out.set_entries(verdict.entries);
    out.set_head(verdict.head);
    out.set_problem(verdict.problem);
    if (verdict.good && verdict.unchained > 0)
        out.set_problem("entries of an earlier release stand before the chain, which says nothing of them: " +
                        std::to_string(verdict.unchained));
    out.set_problem_number(verdict.problem_number);
    out.set_oldest_unix_us(verdict.oldest.us);
}

void to_message(const core::Config& config, v1::ListPoliciesResponse& out) {
    for (const core::PolicyKind kind : core::kPolicies) {
        v1::Policy& policy = *out.add_policies();
        policy.set_name(core::name_of(kind));
        policy.set_meaning(meaning_of(kind));
        policy.set_active(kind == config.policy);
    }
}

void to_message(const engine::QueueInfo& queue, v1::Queue& out) {
    out.set_name(queue.name);
    out.set_paused(queue.paused);
    out.set_waiting(queue.waiting);
    out.set_running(queue.running);
    out.set_oldest_waiting_unix_us(queue.oldest.us);
    out.set_work_us(queue.work.us);
    out.set_running_max(queue.running_max);
}

void to_message(const std::vector<engine::QueueInfo>& queues, v1::ListQueuesResponse& out) {
    for (const engine::QueueInfo& queue : queues) to_message(queue, *out.add_queues());
}

void to_message(const engine::ChangedMany& changed, v1::ChangeTasksResponse& out) {
    std::uint32_t refused = 0;
    for (const engine::Changed& one : changed.tasks) {
        v1::ChangedTask& task = *out.add_tasks();
        task.set_id(to_text(one.task));
        if (one.again) task.set_new_id(to_text(one.again));
        if (!one.refused) continue;
        ++refused;
        task.set_error(one.refused->what);
        task.set_code(row_of(one.refused->fault).reason);
    }
    out.set_changed(static_cast<std::uint32_t>(changed.tasks.size()) - refused);
    out.set_refused(refused);
    out.set_more(!changed.next.empty());
    out.set_next_page_token(changed.next);
}

void to_message(const engine::OverrideInfo& info, v1::Override& out) {
    out.set_number(info.set.number);
    out.set_kind(name_of(info.set.kind));
    if (info.set.task) out.set_task_id(to_text(info.set.task));
    out.set_type(info.set.type);
    out.set_worker(info.set.worker);
    out.set_boost_us(info.set.boost.us);
    out.set_author(info.author);
    out.set_reason(info.reason);
    out.set_expires_unix_us(info.expires.us);
}

namespace {

template <class Message>
void add_roles(Roles roles, Message& out) {
    for (int number = v1::ROLE_NAME_VIEWER; number <= v1::ROLE_NAME_ADMIN; ++number)
        if ((roles >> (number - 1) & 1) != 0) out.add_roles(static_cast<v1::RoleName>(number));
}

}  // namespace

void to_message(const identity::Token& token, v1::Token& out) {
    out.set_id(token.id);
    out.set_name(token.name);
    add_roles(token.roles, out);
    out.set_tenant(token.tenant);
    out.set_created_unix_us(token.created.us);
    out.set_expires_unix_us(token.expires.us);
    out.set_created_by(token.created_by);
}

void to_message(const Caller& caller, const identity::Guard& guard, v1::Identity& out) {
    const std::size_t colon = std::min(caller.credential.find(':'), caller.credential.size());
    out.set_name(caller.name);
    add_roles(caller.roles, out);
    out.set_tenant(caller.tenant);
    out.set_how(colon == 0 ? "nothing" : caller.credential.substr(0, colon));
    if (caller.credential.starts_with("token:")) out.set_token_id(caller.credential.substr(colon + 1));
    out.set_expires_unix_us(guard.expires(caller).us);
    out.set_open(!guard.asks());
}

void to_message(const history::AuditRow& row, v1::AuditEntry& out) {
    out.set_at_unix_us(row.place.at.us);
    out.set_caller(row.caller);
    out.set_author(row.author);
    out.set_action(row.action);
    out.set_reason(row.reason);
    out.set_before(row.before);
    out.set_after(row.after);
    out.set_hash(row.hash);
    out.set_number(row.place.number);
}

}  // namespace nexus::api
