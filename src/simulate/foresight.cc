#include "simulate/foresight.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "simulate/draw.h"

namespace nexus::simulate {
namespace {

constexpr std::uint32_t kNoSlot = UINT32_MAX;

std::uint32_t ppm_of(double factor) {
    return static_cast<std::uint32_t>(std::clamp(std::llround(factor * 1e6), 1LL, 4'000'000'000LL));
}

Duration scaled(Duration duration, double factor) {
    const double us = static_cast<double>(duration.us) * factor;
    return Duration{std::max<std::int64_t>(1, std::llround(std::min(us, 9e15)))};
}

}  // namespace

Result<std::unique_ptr<Foresight>> Foresight::make(const Contender& contender, const World& world,
                                                   const core::Scheduler& core) {
    std::unique_ptr<learn::Learner> learner;
    if (!contender.oracle) {
        Result<std::unique_ptr<predict::Model>> model = predict::make_model(contender.model);
        if (!model) return std::unexpected(std::move(model).error().during("--model " + contender.model));
        learner = std::make_unique<learn::Learner>(std::move(*model));
    }
    return std::unique_ptr<Foresight>(new Foresight(contender, world, core, std::move(learner)));
}

Foresight::Foresight(const Contender& contender, const World& world, const core::Scheduler& core,
                     std::unique_ptr<learn::Learner> learner)
    : contender_(contender), world_(world), core_(core), learner_(std::move(learner)) {
    dispatched_.resize(world.workload.tasks.size());
    slot_of_.assign(world.workload.tasks.size(), kNoSlot);
    if (learner_ == nullptr) return;
    if (contender.noise_sigma > 0 || contender.reverse || contender.kill_from < contender.kill_to)
        learner_->distort([this](TaskId task, Estimate estimate, Instant now) { return spoiled(task, estimate, now); });
}

predict::Features Foresight::features(std::uint32_t task) const {
    const SimTask& what = world_.workload.tasks[task];
    return {.type = world_.workload.types[what.type],
            .tenant = world_.workload.users[what.user],
            .queue = "default",
            .payload_bytes = what.payload_bytes,
            .hint = what.hint,
            .cpu_milli = what.cpu_milli,
            .provisional = true};
}

std::optional<learn::Tasks::Known> Foresight::known(TaskId task) const {
    if (slot_of_[task_of(task)] == kNoSlot) return std::nullopt;
    return Known{.features = features(task_of(task))};
}

Estimate Foresight::submitted(std::uint32_t task, Instant now) {
    if (free_slots_.empty()) {
        free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
        slots_.emplace_back();
    }
    slot_of_[task] = free_slots_.back();
    free_slots_.pop_back();
    slots_[slot_of_[task]] = id_of(task);
    if (learner_ == nullptr) return truth(task, 1, now);
    return learner_->submitted(id_of(task), features(task), now);
}

Estimate Foresight::dispatched(const core::AssignAttempt& order, Instant now) {
    const std::uint32_t task = task_of(order.task);
    if (learner_ != nullptr) return dispatched_[task] = learner_->dispatched(order, core_, *this, now);
    const std::uint32_t worker = order.worker.n;
    const double affinity = world_.affinity_of(world_.workload.tasks[task].type, worker);
    return truth(task, world_.speed_of(worker, now) * affinity, now);
}

void Foresight::started(TaskId task, AttemptId attempt, Instant now) {
    if (learner_ != nullptr) learner_->started(task, attempt, dispatched_[task_of(task)], core_, now);
}

void Foresight::ended(const core::AttemptEnded& ended, Instant now) {
    if (learner_ != nullptr) learner_->ended(ended, core_, *this, dispatched_[task_of(ended.task)], now);
}

void Foresight::finished(std::uint32_t task, std::optional<bool> by_p90) {
    if (learner_ != nullptr && by_p90) learner_->finished(*by_p90);
    slots_[slot_of_[task]] = {};
    free_slots_.push_back(slot_of_[task]);
    slot_of_[task] = kNoSlot;
}

Instant Foresight::look_at(Instant looked, Instant now) const {
    const Instant wanted = learner_ == nullptr ? kNever : learner_->wanted_at();
    if (wanted == kNever) return kNever;
    const Instant earliest = std::max(std::max(wanted, now), looked + Duration{1});
    return {(earliest.us + learn::kBeat.us - 1) / learn::kBeat.us * learn::kBeat.us};
}

void Foresight::look(Instant now) {
    if (learner_ != nullptr) learner_->look(core_, *this, now);
}

std::optional<core::Fact> Foresight::next_fact(Instant now) {
    return learner_ == nullptr ? std::nullopt : learner_->next_fact(core_, *this, now);
}

Estimate Foresight::truth(std::uint32_t task, double factor, Instant now) {
    const Duration run =
        factor == 1 ? world_.workload.tasks[task].work : scaled(world_.workload.tasks[task].work, factor);
    return spoiled(id_of(task),
                   {.p50 = run, .p90 = run, .mean = run, .confidence_permille = 1000, .source = EstimateSource::forced},
                   now);
}

Estimate Foresight::spoiled(TaskId task, Estimate estimate, Instant now) {
    const double span = static_cast<double>(world_.workload.last_arrival().us);
    const double at = static_cast<double>(now.us);
    if (at >= contender_.kill_from * span && at < contender_.kill_to * span) return {};
    if (estimate.source == EstimateSource::none) return estimate;
    double factor = 1;
    if (contender_.noise_sigma > 0) {
        Rng rng = rng_for(world_.seed, 10, task_of(task));
        factor *= std::exp(contender_.noise_sigma * draw_normal(rng));
    }
    if (contender_.reverse) {
        const double ln = std::log(static_cast<double>(std::max<std::int64_t>(1, estimate.mean.us)));
        ++ln_count_;
        ln_mean_ += (ln - ln_mean_) / static_cast<double>(std::min<std::uint64_t>(ln_count_, 10'000));
        factor *= std::exp(2 * (ln_mean_ - ln));
    }
    if (factor == 1) return estimate;
    estimate.p50 = scaled(estimate.p50, factor);
    estimate.p90 = scaled(estimate.p90, factor);
    estimate.mean = scaled(estimate.mean, factor);
    return estimate;
}

std::vector<core::Fact> Foresight::oracle_facts(std::uint32_t worker, Instant now) const {
    std::vector<core::Fact> facts;
    if (learner_ != nullptr) return facts;
    facts.emplace_back(core::WorkerSpeedLearned{
        .worker = WorkerNo{worker}, .speed_ppm = ppm_of(world_.speed_of(worker, now)), .deviation_ppm = 0});
    if (world_.cluster.affinity.empty()) return facts;
    const std::uint32_t hardware = world_.cluster.workers[worker].hardware;
    for (std::size_t type = 0; type < world_.workload.types.size(); ++type)
        facts.emplace_back(core::AffinityLearned{.type = world_.workload.types[type],
                                                 .hardware = hardware_name(hardware),
                                                 .factor_ppm = ppm_of(world_.cluster.affinity[type][hardware])});
    return facts;
}

}  // namespace nexus::simulate
