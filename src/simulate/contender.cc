#include "simulate/contender.h"

#include <algorithm>
#include <cmath>

#include "simulate/draw.h"

namespace nexus::simulate {
namespace {

constexpr double kTrustStep = 0.02;  // a smaller move of the trust slope is not worth an event

std::uint32_t ppm_of(double factor) {
    return static_cast<std::uint32_t>(std::clamp(std::llround(factor * 1e6), 1LL, 4'000'000'000LL));
}

Duration scaled(Duration duration, double factor) {
    const double us = static_cast<double>(duration.us) * factor;
    return Duration{std::max<std::int64_t>(1, std::llround(std::min(us, 9e15)))};
}

std::string hardware_name(std::uint32_t hardware) {
    return "hw" + std::to_string(hardware + 1);
}

// Views stay valid for the life of the program: worlds have at most 64 hardware classes.
std::string_view hardware_label(std::uint32_t hardware) {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> made;
        for (std::uint32_t n = 0; n < 64; ++n) made.push_back(hardware_name(n));
        return made;
    }();
    return names[hardware];
}

}  // namespace

Result<Contender> make_contender(std::string_view name) {
    Contender made{.name = std::string(name)};
    made.config.ttl = hours(24 * 365 * 100);  // a task that expired would be missing among the responses
    if (name == "oracle-srpt") {
        made.oracle = made.srpt_limit = true;
        return made;
    }
    std::string_view policy = name;
    if (policy.starts_with("oracle-")) {
        made.oracle = true;
        policy.remove_prefix(7);
    }
    if (policy.ends_with("+pause")) {
        made.config.pause = true;
        policy.remove_suffix(6);
    }
    if (!core::policy_from_name(policy, made.config.policy)) {
        std::string known;
        for (const core::PolicyKind kind : core::kPolicies) known += core::name_of(kind) + std::string(", ");
        return fail(Fault::invalid, "policy '" + std::string(name) + "' is unknown; known are " + known +
                                        "each also as oracle-..., predictive+pause, and oracle-srpt");
    }
    return made;
}

bool Contender::uses_estimates() const {
    switch (config.policy) {
        case core::PolicyKind::random:
        case core::PolicyKind::round_robin:
        case core::PolicyKind::power_of_two: return false;
        default: return true;
    }
}

Result<Foresight> Foresight::make(const Contender& contender, const World& world) {
    if (contender.oracle) return Foresight(contender, world, nullptr);
    Result<std::unique_ptr<predict::Model>> model = predict::make_model(contender.model);
    if (!model) return std::unexpected(std::move(model).error().during("--model " + contender.model));
    return Foresight(contender, world, std::make_unique<predict::Predictor>(std::move(*model)));
}

predict::Features Foresight::features(std::uint32_t task, std::int32_t worker, Instant at) const {
    const SimTask& what = world_->workload.tasks[task];
    predict::Features made{
        .type = world_->workload.types[what.type],
        .tenant = world_->workload.users[what.user],
        .queue = "default",
        .payload_bytes = what.payload_bytes,
        .hint = what.hint,
        .cpu_milli = what.cpu_milli,
        .hour = static_cast<std::uint8_t>((at.us / hours(1).us) % 24),
        .provisional = worker < 0,
    };
    if (worker >= 0) {
        const SimWorker& there = world_->cluster.workers[static_cast<std::uint32_t>(worker)];
        made.worker = there.name;
        if (!world_->cluster.affinity.empty()) made.hardware = hardware_label(there.hardware);
    }
    return made;
}

Estimate Foresight::estimate(std::uint32_t task, std::int32_t worker, Instant at) {
    const double end = static_cast<double>(world_->workload.last_arrival().us);
    const double now = static_cast<double>(at.us);
    if (now >= contender_->kill_from * end && now < contender_->kill_to * end) return {};
    if (predictor_ != nullptr) return spoil(predictor_->estimate(features(task, worker, at), at), task);
    Duration true_run = world_->workload.tasks[task].work;
    if (worker >= 0) {
        const auto there = static_cast<std::uint32_t>(worker);
        const double factor =
            world_->speed_of(there, at) * world_->affinity_of(world_->workload.tasks[task].type, there);
        true_run = scaled(true_run, factor);
    }
    return spoil({.p50 = true_run,
                  .p90 = true_run,
                  .mean = true_run,
                  .confidence_permille = 1000,
                  .source = EstimateSource::forced},
                 task);
}

Estimate Foresight::spoil(Estimate estimate, std::uint32_t task) {
    if (estimate.source == EstimateSource::none) return estimate;
    double factor = 1;
    if (contender_->noise_sigma > 0) {
        Rng rng = rng_for(world_->seed, 10, task);
        factor *= std::exp(contender_->noise_sigma * draw_normal(rng));
    }
    if (contender_->reverse) {
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

void Foresight::learn(std::uint32_t task, std::uint32_t worker, const Estimate& predicted, predict::RunEnd end,
                      Duration run, Instant at) {
    if (predictor_ == nullptr) return;
    predictor_->learn({.features = features(task, static_cast<std::int32_t>(worker), at),
                       .end = end,
                       .run = run,
                       .predicted = predicted,
                       .at = at});
}

void Foresight::overdue(std::uint32_t task, std::uint32_t worker, const Estimate& predicted) {
    if (predictor_ == nullptr) return;
    predictor_->overdue(features(task, static_cast<std::int32_t>(worker), Instant{}), predicted);
}

void Foresight::note_eta(bool within_p90) {
    if (predictor_ != nullptr) predictor_->note_eta(within_p90);
}

void Foresight::take_facts(std::vector<core::Fact>& out) {
    if (predictor_ == nullptr) return;
    for (const predict::SpeedChange& change : predictor_->take_speed_changes()) {
        // Worker names are "worker-<n>", joined in order: the core numbers them from 0 in the same order.
        const auto number = static_cast<std::uint32_t>(std::stoul(change.worker.substr(7)) - 1);
        out.push_back(core::WorkerSpeedLearned{
            .worker = WorkerNo{number}, .speed_ppm = change.speed_ppm, .deviation_ppm = change.deviation_ppm});
    }
    for (predict::AffinityChange& change : predictor_->take_affinity_changes())
        out.push_back(core::AffinityLearned{
            .type = std::move(change.type), .hardware = std::move(change.hardware), .factor_ppm = change.factor_ppm});
    const double trust = predictor_->trust();
    if (std::abs(trust - trust_told_) >= kTrustStep) {
        trust_told_ = trust;
        out.push_back(core::TrustLearned{
            .trust_ppm = static_cast<std::uint32_t>(std::llround(std::clamp(trust, 0.0, 1.0) * 1e6))});
    }
}

void Foresight::oracle_facts(std::uint32_t worker, Instant at, std::vector<core::Fact>& out) const {
    if (!oracle()) return;
    out.push_back(core::WorkerSpeedLearned{
        .worker = WorkerNo{worker}, .speed_ppm = ppm_of(world_->speed_of(worker, at)), .deviation_ppm = 0});
    if (world_->cluster.affinity.empty()) return;
    const std::uint32_t hardware = world_->cluster.workers[worker].hardware;
    for (std::size_t type = 0; type < world_->workload.types.size(); ++type)
        out.push_back(core::AffinityLearned{.type = world_->workload.types[type],
                                            .hardware = hardware_name(hardware),
                                            .factor_ppm = ppm_of(world_->cluster.affinity[type][hardware])});
}

}  // namespace nexus::simulate
