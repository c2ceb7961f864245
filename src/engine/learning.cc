// What the predictor is asked and taught: features of tasks, ends of attempts, revised estimates of waiting tasks.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "engine/engine.h"

namespace nexus::engine {
namespace {

// Waiting tasks whose estimates are looked at again each time: the next ones, and some of all.
constexpr std::size_t kReviseNext = 64, kReviseRound = 1000;
constexpr std::size_t kRecallMax = 64;  // bodies: below a millisecond of the committer

bool moved(Duration before, Duration after) {
    return std::llabs(after.us - before.us) * 10 > std::max<std::int64_t>(before.us, 1);
}

}  // namespace

predict::Features Engine::features_of(const Live& live, std::string_view worker, std::string_view hardware) const {
    predict::Features features{.type = names_[live.type],
                               .tenant = names_[live.tenant],
                               .queue = names_[live.queue],
                               .worker = worker,
                               .hardware = hardware,
                               .payload_bytes = live.payload_bytes};
    features.hour = static_cast<std::uint8_t>((now_.wall.us / 3'600'000'000) % 24);
    features.provisional = worker.empty();
    if (live.rare) {
        features.hint = live.rare->hint;
        features.cpu_milli = live.rare->resources.cpu_milli;
        features.memory_bytes = live.rare->resources.memory_bytes;
        features.gpu_milli = live.rare->resources.gpu_milli;
        if (!live.rare->features.empty()) features.numbers = &live.rare->features;
    }
    return features;
}

std::string_view Engine::hardware_of(const core::WorkerView& worker) {
    if (worker.labels == nullptr) return {};
    for (const auto& [name, value] : *worker.labels)
        if (name == "hw") return value;
    return {};
}

void Engine::learn(const core::AttemptEnded& ended, const Live& live) {
    if (ended.started_at == kNever || ended.outcome == core::AttemptOutcome::rejected) return;
    const core::WorkerView worker = core_.worker(ended.worker);
    predict::Observation seen{.features = features_of(live, worker.name, hardware_of(worker)),
                              .run = ended.run.us >= 0 ? ended.run : ended.ran,
                              .peak_memory_bytes = ended.peak_memory_bytes,
                              .predicted = live.predicted(),
                              .at = now_.at};
    seen.run.us = std::max<std::int64_t>(seen.run.us, 1);
    seen.features.attempt = ended.number;
    seen.end = ended.outcome == core::AttemptOutcome::succeeded ? predict::RunEnd::succeeded
               : ended.outcome == core::AttemptOutcome::failed  ? predict::RunEnd::failed
                                                                : predict::RunEnd::censored;
    predictor_.learn(seen);
    learned_ = true;
}

// What the predictor learned becomes events, so that a replay needs no model.
void Engine::publish_learned() {
    for (const predict::SpeedChange& change : predictor_.take_speed_changes())
        if (const WorkerNo worker = core_.find_worker(change.worker))
            apply(core::WorkerSpeedLearned{
                .worker = worker, .speed_ppm = change.speed_ppm, .deviation_ppm = change.deviation_ppm});
    for (predict::AffinityChange& change : predictor_.take_affinity_changes())
        apply(core::AffinityLearned{
            .type = std::move(change.type), .hardware = std::move(change.hardware), .factor_ppm = change.factor_ppm});
    const double trust = predictor_.trust();
    if (std::abs(trust - told_trust_) > 0.02) {
        told_trust_ = trust;
        apply(core::TrustLearned{.trust_ppm = static_cast<std::uint32_t>(std::clamp(trust, 0.0, 1.0) * 1e6)});
    }
}

// Hints and features are stored with the bodies, in no event. After a start the committer reads them a few at a time,
// so that neither the start nor the loop waits for the disk.
void Engine::recall_some() {
    if (recalling_) return;
    for (; recall_slot_ < recall_end_ && batch_.recall.size() < kRecallMax; ++recall_slot_)
        if (const Live* live = live_.find(live_.task_at(recall_slot_)); live != nullptr && live->unread)
            batch_.recall.push_back(live_.task_at(recall_slot_));
    recalling_ = !batch_.recall.empty();
}

void Engine::remember(const std::vector<TaskId>& asked, std::vector<Recalled> found) {
    recalling_ = false;
    for (Recalled& one : found)
        if (Live* live = live_.find(one.task)) {
            live->more().hint = one.hint;
            live->more().features = std::move(one.features);
        }
    for (const TaskId task : asked)
        if (Live* live = live_.find(task)) live->unread = false;
}

// The next tasks are looked at again at once, all others in turn: ETAs and the time to drain rest on every one of them.
void Engine::revise_waiting() {
    for (const TaskId id : core_.next_waiting(kReviseNext)) revise(id);
    for (std::size_t n = std::min(kReviseRound, live_.slots()); n > 0; --n) {
        if (revised_slot_ >= live_.slots()) revised_slot_ = 0;
        if (const TaskId id = live_.task_at(revised_slot_++)) revise(id);
    }
}

void Engine::revise(TaskId task) {
    const Live* const live = live_.find(task);
    const auto view = core_.task(task);
    // What is told of a task with its body is better known to its old estimate than to a new one without it.
    if (live == nullptr || live->unread || !view || view->state != core::TaskState::waiting) return;
    const Estimate estimate = predictor_.estimate(features_of(*live, {}, {}), now_.at);
    if (estimate.source == EstimateSource::none) return;
    if (moved(view->estimate.p50, estimate.p50) || moved(view->estimate.mean, estimate.mean))
        apply(core::EstimateRevised{.task = task, .estimate = estimate});
}

// A running attempt that passed its P90 is counted at once: waiting for its end would bias the tracker.
void Engine::check_overdue() {
    while (!due_.empty() && due_.top().at <= now_.at) {
        const Due due = due_.top();
        due_.pop();
        Live* const found = live_.find(due.task);
        const auto view = core_.task(due.task);
        if (found == nullptr || !view || view->attempt != due.attempt || found->overdue) continue;
        if (const Duration left = found->predicted().p90 - view->ran(now_.at);
            left.us > 0) {  // it stood still meanwhile
            due_.push({now_.at + std::max(left, seconds(1)), due.task, due.attempt});
            continue;
        }
        found->overdue = true;
        const core::WorkerView worker = core_.worker(view->worker);
        predictor_.overdue(features_of(*found, worker.name, hardware_of(worker)), found->predicted());
    }
}

}  // namespace nexus::engine
