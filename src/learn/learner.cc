#include "learn/learner.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "base/hash.h"

namespace nexus::learn {
namespace {

constexpr std::int64_t kRefinedPart = 20;  // an estimate at dispatch that moved by less than this part is not told
constexpr double kTrustStep = 0.02;        // a smaller move is not worth an event

bool moved(Duration before, Duration after) {
    return std::llabs(after.us - before.us) * 10 > std::max<std::int64_t>(before.us, 1);
}
// By a tenth; or its array began, or one of it ended.
bool moved(const Estimate& before, const Estimate& after) {
    const bool waited = before.source == EstimateSource::sibling_wait;
    return waited != (after.source == EstimateSource::sibling_wait) || moved(before.p50, after.p50) ||
           moved(before.mean, after.mean);
}

std::string_view hardware_of(const core::WorkerView& worker) {
    if (worker.labels == nullptr) return {};
    for (const auto& [name, value] : *worker.labels)
        if (name == "hw") return value;
    return {};
}

predict::Features placed(predict::Features features, const core::WorkerView& worker) {
    features.worker = worker.name;
    features.hardware = hardware_of(worker);
    features.provisional = false;
    return features;
}

predict::RunEnd end_of(core::AttemptOutcome outcome) {
    switch (outcome) {
        case core::AttemptOutcome::succeeded: return predict::RunEnd::succeeded;
        case core::AttemptOutcome::failed: return predict::RunEnd::failed;
        default: return predict::RunEnd::censored;
    }
}

}  // namespace

Learner::Learner(std::unique_ptr<predict::Model> champion) : predictor_(std::move(champion)) {}

Estimate Learner::submitted(TaskId task, predict::Features features, Instant now) {
    features.provisional = true;
    return told(task, predictor_.estimate(features, now), now);
}

Estimate Learner::dispatched(const core::AssignAttempt& order, const core::Scheduler& core, const Tasks& tasks,
                             Instant now) {
    if (order.decision.fallback) return order.decision.estimate;
    const auto known = tasks.known(order.task);
    if (!known || !known->complete) return order.decision.estimate;
    const predict::Features here = placed(known->features, core.worker(order.worker));
    const Estimate made = predictor_.estimate(here, now);
    if (predictor_.began(here, now)) changed(here.type);
    return told(order.task, made, now);
}

std::optional<core::Fact> Learner::refined(const core::AssignAttempt& order, const Estimate& predicted) {
    const Estimate& before = order.decision.estimate;
    if (order.decision.reason == core::DecisionReason::speculation || predicted.source == EstimateSource::none)
        return std::nullopt;
    const auto differs = [](Duration a, Duration b) {
        return std::llabs(a.us - b.us) * kRefinedPart > std::max<std::int64_t>(a.us, 1);
    };
    if (!differs(before.p50, predicted.p50) && !differs(before.p90, predicted.p90) &&
        !differs(before.mean, predicted.mean))
        return std::nullopt;
    return core::EstimateRevised{.task = order.task, .estimate = predicted};
}

void Learner::started(TaskId task, AttemptId attempt, const Estimate& predicted, const core::Scheduler& core,
                      Instant now) {
    if (predicted.source == EstimateSource::none) return;
    const auto view = core.task(task);
    if (!view || (view->attempt == attempt && view->started_at != now)) return;
    plan({.task = task, .attempt = attempt, .p50 = predicted.p50, .p90 = predicted.p90}, {}, now);
}

void Learner::ended(const core::AttemptEnded& ended, const core::Scheduler& core, const Tasks& tasks,
                    const Estimate& predicted, Instant now) {
    if (ended.started_at == kNever || ended.outcome == core::AttemptOutcome::rejected) return;
    const auto known = tasks.known(ended.task);
    if (!known) return;
    predict::Observation seen{.features = placed(known->features, core.worker(ended.worker)),
                              .end = end_of(ended.outcome),
                              .run = ended.run.us >= 0 ? ended.run : ended.ran,
                              .peak_memory_bytes = ended.peak_memory_bytes,
                              .predicted = predicted,
                              .at = now};
    seen.run.us = std::max<std::int64_t>(seen.run.us, 1);
    seen.features.attempt = ended.number;
    seen.out_of_memory = ended.outcome == core::AttemptOutcome::out_of_memory;
    predictor_.learn(seen);
    changed(seen.features.type);
}

void Learner::changed(std::string_view type) {
    ++lessons_;
    taught_[hash_bytes(type)] = steps_;
}

void Learner::look(const core::Scheduler& core, const Tasks& tasks, Instant now) {
    see_marks(core, tasks, now);
    if (lessons_ == 0) return;
    round_ = {.learned = take_learned(core), .lessons = std::exchange(lessons_, 0), .part = Round::Part::learned};
}

Instant Learner::wanted_at() const {
    if (lessons_ > 0) return {};
    return due_.empty() ? kNever : due_.top().at;
}

void Learner::plan(Due due, Duration ran, Instant now) {
    due.mark = predict::next_mark(due.p50, ran);
    if (!due.overdue) due.mark = std::min(due.mark, due.p90);
    due.at = now + (due.mark - ran);
    due_.push(due);
}

void Learner::see_marks(const core::Scheduler& core, const Tasks& tasks, Instant now) {
    while (!due_.empty() && due_.top().at <= now) {
        Due due = due_.top();
        due_.pop();
        const auto view = core.task(due.task);
        if (!view || view->attempt != due.attempt) continue;
        const Duration ran = view->ran(now);
        if (const Duration left = due.mark - ran; left.us > 0) {  // it stood still meanwhile
            due.at = now + std::max(left, seconds(1));
            due_.push(due);
            continue;
        }
        if (const auto known = tasks.known(due.task))
            see_mark(due, placed(known->features, core.worker(view->worker)), ran, now);
        plan(due, ran, now);
    }
}

// A running attempt that passed its P90 is counted at once: waiting for its end would bias the tracker. Its siblings
// that wait will take longer, too.
void Learner::see_mark(Due& due, const predict::Features& features, Duration ran, Instant now) {
    if (!due.overdue && ran >= due.p90) {
        predictor_.overdue(features, now - ran, now);
        due.overdue = true;
    }
    if (predictor_.passed(features, now - ran, now)) changed(features.type);
}

std::vector<core::Fact> Learner::take_learned(const core::Scheduler& core) {
    std::vector<core::Fact> facts;
    for (const predict::SpeedChange& change : predictor_.take_speed_changes())
        if (const WorkerNo worker = core.find_worker(change.worker))
            facts.emplace_back(core::WorkerSpeedLearned{
                .worker = worker, .speed_ppm = change.speed_ppm, .deviation_ppm = change.deviation_ppm});
    for (predict::AffinityChange& change : predictor_.take_affinity_changes())
        facts.emplace_back(core::AffinityLearned{
            .type = std::move(change.type), .hardware = std::move(change.hardware), .factor_ppm = change.factor_ppm});
    const double trust = predictor_.trust();
    if (std::abs(trust - told_trust_) > kTrustStep) {
        told_trust_ = trust;
        facts.emplace_back(
            core::TrustLearned{.trust_ppm = static_cast<std::uint32_t>(std::clamp(trust, 0.0, 1.0) * 1e6)});
    }
    return facts;
}

std::optional<core::Fact> Learner::next_fact(const core::Scheduler& core, const Tasks& tasks, Instant now) {
    if (round_.part == Round::Part::learned) {
        if (round_.at < round_.learned.size()) return std::move(round_.learned[round_.at++]);
        round_.part = Round::Part::next;
        round_.at = 0;
        const std::uint64_t decided = core.counters().decisions - std::exchange(decisions_, core.counters().decisions);
        round_.next = core.next_waiting(std::clamp<std::size_t>(decided + decided / 2, kNext, kNextMost));
        round_.looks = kLooksPerLesson * round_.lessons;
    }
    if (round_.part == Round::Part::next) {
        while (round_.at < round_.next.size() && round_.looks > 0)
            if (auto fact = look_at(round_.next[round_.at++], core, tasks, now)) return fact;
        round_.part = Round::Part::turn;
        round_.turn = std::min(kTurn, tasks.slot_count());
        round_.looks += kLooksPerLesson * round_.lessons;
    }
    while (round_.turn > 0 && round_.looks > 0) {
        --round_.turn;
        ++steps_;
        if (turned_ >= tasks.slot_count()) {
            turned_ = 0;
            std::erase_if(taught_, [&](const auto& type) { return steps_ - type.second > tasks.slot_count(); });
        }
        const TaskId task = tasks.in_slot(turned_++);
        if (!task) continue;
        if (auto fact = look_at(task, core, tasks, now)) return fact;
    }
    round_.part = Round::Part::over;
    return std::nullopt;
}

std::optional<core::Fact> Learner::look_at(TaskId task, const core::Scheduler& core, const Tasks& tasks, Instant now) {
    const auto view = core.task(task);
    if (!view || view->state != core::TaskState::waiting) return std::nullopt;
    const auto known = tasks.known(task);
    if (!known || !known->complete || !may_have_moved(known->features.type, tasks)) return std::nullopt;
    --round_.looks;
    const Estimate estimate = told(task, predictor_.estimate(known->features, now), now);
    if (estimate.source == EstimateSource::none) return std::nullopt;
    if (!moved(view->estimate, estimate)) return std::nullopt;
    round_.looks += kLooksPerMove;
    return core::EstimateRevised{.task = task, .estimate = estimate};
}

bool Learner::may_have_moved(std::string_view type, const Tasks& tasks) const {
    const auto taught = taught_.find(hash_bytes(type));
    if (taught == taught_.end()) return !predictor_.observed(type);
    return steps_ - taught->second <= tasks.slot_count();
}

// Hints and named numbers are stored with the bodies, in no event. They are read back a few at a time, so that neither
// the start nor the loop waits for the disk.
std::vector<TaskId> Learner::recall(const Tasks& tasks) {
    std::vector<TaskId> wanted;
    if (recalling_) return wanted;
    for (; recall_at_ < recall_end_ && wanted.size() < kRecallMax; ++recall_at_) {
        const TaskId task = tasks.in_slot(recall_at_);
        if (!task) continue;
        if (const auto known = tasks.known(task); known && !known->complete) wanted.push_back(task);
    }
    recalling_ = !wanted.empty();
    return wanted;
}

}  // namespace nexus::learn
