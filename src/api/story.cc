// What a task went through -> nexus.v1 messages: its waits, its estimates, what it asked for, where else it could have
// run.

#include <algorithm>
#include <string_view>

#include "api/sentences.h"
#include "api/view.h"

namespace nexus::api {
namespace {

using core::WaitCause;
using core::WaitReason;

constexpr std::int64_t kWorthTelling = 1000;  // microseconds

class Waits {
public:
    explicit Waits(v1::Task& out) : out_(out) {}
    void add(WaitReason reason, std::string culprit, WallTime from, WallTime to) {
        if (from.us == 0 || (to - from).us < kWorthTelling) return;
        put(reason, std::move(culprit), from).set_to_unix_us(to.us);
    }
    v1::TaskWait& put(WaitReason reason, std::string culprit, WallTime from) {
        v1::TaskWait& wait = *out_.add_waits();
        wait.set_reason(static_cast<v1::WaitReason>(reason));
        wait.set_culprit(std::move(culprit));
        wait.set_from_unix_us(from.us);
        return wait;
    }

private:
    v1::Task& out_;
};

// It could only wait for its turn: nothing else that it asked for holds it back.
bool waits_for_turns_only(const core::TaskSpec& spec) {
    return spec.after.empty() && spec.ordering_key.empty() && spec.concurrency_key.empty() && spec.rate_key.empty();
}

// From the submission to the first attempt. Its start time is known; beyond it only of what the spec rules out.
void tell_first_wait(const engine::TaskInfo& task, WallTime from, WallTime to, Waits& waits) {
    if (task.spec && task.spec->run_at > from) {
        const WallTime until = std::min(task.spec->run_at, to);
        waits.add(WaitReason::not_before, wait_words(WaitCause::run_at, {}, 0).culprit, from, until);
        from = until;
    }
    const bool turn = task.spec && waits_for_turns_only(*task.spec);
    waits.add(turn ? WaitReason::capacity : WaitReason::none, "", from, to);
}

// After an attempt that did not succeed, up to the next.
void tell_wait_after(const engine::AttemptInfo& before, WallTime to, Waits& waits) {
    WallTime from = before.ended;
    if (from.us == 0) return;
    if (before.next_from > from) {
        const WallTime until = std::min(before.next_from, to);
        waits.add(WaitReason::retry_backoff, "a pause after a failed attempt", from, until);
        from = until;
    }
    const bool known = before.next_from.us != 0;
    waits.add(known ? WaitReason::capacity : WaitReason::none, "", from, to);
}

void tell_waits(const engine::TaskInfo& task, v1::Task& out) {
    Waits waits(out);
    const bool waiting = task.waiting != WaitReason::none && task.state == core::TaskState::waiting;
    // What it does now is known by its reason; what it did before that in the same stay, as the others.
    const WallTime now_from = std::max(task.waiting_since, task.submitted);
    const engine::AttemptInfo* before = nullptr;
    for (const engine::AttemptInfo& attempt : task.attempts) {
        if (before == nullptr)
            tell_first_wait(task, task.submitted, attempt.assigned, waits);
        else
            tell_wait_after(*before, attempt.assigned, waits);
        before = &attempt;
    }
    const WallTime end = waiting ? now_from : task.finished;
    const bool ended_waiting = core::is_terminal(task.state) && task.state != core::TaskState::succeeded &&
                               (before == nullptr || before->ended < task.finished);
    if (waiting || ended_waiting) {
        if (before == nullptr)
            tell_first_wait(task, task.submitted, end, waits);
        else
            tell_wait_after(*before, end, waits);
    }
    if (waiting) waits.put(task.waiting, wait_words(task).culprit, now_from);
}

void tell_estimates(const engine::TaskInfo& task, v1::Task& out) {
    const auto add = [&](WallTime at, Duration p50, Duration p90, std::string_view source, const char* when) {
        if (p50.us <= 0) return;
        v1::EstimateMade& made = *out.add_estimates();
        made.set_at_unix_us(at.us);
        made.set_p50_us(p50.us);
        made.set_p90_us(p90.us);
        made.set_source(std::string(source));
        made.set_when(when);
    };
    add(task.submitted, task.told_p50, task.told_p90, "", "submission");
    for (const engine::AttemptInfo& attempt : task.attempts)
        add(attempt.assigned, attempt.predicted, attempt.predicted_p90, attempt.source, "dispatch");
    const bool revised = task.estimate.p50 != task.told_p50 || task.estimate.p90 != task.told_p90;
    if (task.state == core::TaskState::waiting && revised)
        add({}, task.estimate.p50, task.estimate.p90, name_of(task.estimate.source), "now");
}

}  // namespace

void tell_story(const engine::TaskInfo& task, v1::Task& out) {
    tell_waits(task, out);
    tell_estimates(task, out);
    if (task.spec) to_message(*task.spec, *out.mutable_spec());
}

void to_message(const core::TaskSpec& spec, v1::TaskSpec& out) {
    out.set_type(spec.type);
    out.set_tenant(spec.tenant);
    out.set_queue(spec.queue);
    out.set_priority(spec.priority);
    out.set_run_at_unix_us(spec.run_at.us);
    out.set_deadline_unix_us(spec.deadline.us);
    out.set_timeout_us(spec.timeout.us);
    out.mutable_retry()->set_attempts_max(spec.retry.attempts_max);
    out.mutable_retry()->set_backoff_first_us(spec.retry.backoff_first.us);
    out.mutable_retry()->set_backoff_max_us(spec.retry.backoff_max.us);
    for (const auto& [name, value] : spec.labels_required) (*out.mutable_labels_required())[name] = value;
    for (const auto& [name, value] : spec.labels_preferred) (*out.mutable_labels_preferred())[name] = value;
    for (const auto& [name, value] : spec.labels_forbidden) (*out.mutable_labels_forbidden())[name] = value;
    out.set_worker(spec.pinned_worker);
    to_message(spec.resources, *out.mutable_resources());
    for (const TaskId after : spec.after) out.add_after(to_text(after));
    out.set_concurrency_key(spec.concurrency_key);
    out.set_concurrency_max(spec.concurrency_max);
    out.set_ordering_key(spec.ordering_key);
    out.set_idempotent(spec.idempotent);
    out.set_exclusive(spec.exclusive);
    out.set_preemptible(spec.preemptible);
    out.set_ttl_us(spec.ttl.us);
    out.set_rate_key(spec.rate_key);
    out.set_rate_per_s(spec.rate_per_1000s / 1000.0);
}

void tell_alternatives(const engine::Explanation& explanation, v1::Explanation& out) {
    if (!explanation.decision || explanation.speed_chosen <= 0) return;
    const history::DecisionInfo& decision = *explanation.decision;
    const auto& attempts = explanation.task.attempts;
    const auto own = std::ranges::find_if(attempts, [&](const engine::AttemptInfo& attempt) {
        return attempt.worker == decision.worker && attempt.assigned == decision.place.at;
    });
    if (own == attempts.end() || own->predicted.us <= 0) return;
    const auto finish = [&](double speed) {
        const double run = static_cast<double>(own->predicted.us) * explanation.speed_chosen / speed;
        return decision.place.at.us + static_cast<std::int64_t>(run);
    };
    // Only of those that were candidates it is known that they had a free slot then.
    const bool baseline_was_free = std::ranges::any_of(
        decision.candidates, [&](const auto& candidate) { return candidate.worker == decision.baseline_worker; });
    if (baseline_was_free && explanation.speed_baseline > 0)
        out.set_baseline_finish_unix_us(finish(explanation.speed_baseline));
    if (explanation.speed_second > 0) out.set_second_finish_unix_us(finish(explanation.speed_second));
}

}  // namespace nexus::api
