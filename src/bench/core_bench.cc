#include "bench/core_bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>

#include "base/rng.h"
#include "core/scheduler.h"

namespace nexus::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Running {
    TaskId task;
    AttemptId attempt;
    SessionId session;
};

class CoreBench {
public:
    explicit CoreBench(const CoreOptions& options) : options_(options), rng_(options.seed) {}
    Report run();

private:
    // Returns the nanoseconds that the core took for the event.
    std::int64_t apply(core::Fact fact) {
        commands_.clear();
        const core::Event event{.at = now_, .what = std::move(fact)};
        const auto began = Clock::now();
        scheduler_.apply(event, commands_);
        const auto took = Clock::now() - began;
        for (const core::Command& command : commands_) {
            if (const auto* order = std::get_if<core::AssignAttempt>(&command)) {
                running_.push_back({.task = order->task, .attempt = order->attempt, .session = order->session});
                ++assigned_;
            }
            if (const auto* timer = std::get_if<core::WakeAt>(&command)) wake_ = timer->at;
        }
        return std::chrono::duration_cast<std::chrono::nanoseconds>(took).count();
    }

    void join() {
        for (std::uint32_t i = 0; i < options_.workers; ++i)
            apply(core::WorkerJoined{.name = "worker-" + std::to_string(i),
                                     .session = {i + 1},
                                     .slots = options_.slots,
                                     .offered = {.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1}});
    }

    // A log-normal run time around the type's own: what a predictor would say.
    std::int64_t submit(bool promise = false) {
        const std::uint64_t type = rng_.below(options_.types);
        const double z = rng_.unit() + rng_.unit() + rng_.unit() - 1.5;
        const auto p50 = static_cast<std::int64_t>(20'000.0 * static_cast<double>(type + 1) * std::exp(z));
        core::TaskSubmitted task{.task = make_task_id(now_.us / 1000, 0, rng_.next()),
                                 .estimate = {.p50 = {p50},
                                              .p90 = {p50 * 2},
                                              .mean = {p50 + p50 / 4},
                                              .confidence_permille = 800,
                                              .source = EstimateSource::type_mode}};
        task.promise = promise;
        task.spec.type = "type-" + std::to_string(type);
        task.spec.payload_bytes = 100;
        return apply(std::move(task));
    }

    std::int64_t finish_one() {
        const std::size_t at = rng_.below(running_.size());
        const Running done = running_[at];
        running_[at] = running_.back();
        running_.pop_back();
        return apply(core::AttemptFinished{
            .task = done.task, .attempt = done.attempt, .session = done.session, .run = {50'000}});
    }

    const CoreOptions options_;
    Rng rng_;
    core::Scheduler scheduler_;
    Instant now_{1};
    Instant wake_ = kNever;
    std::vector<core::Command> commands_;
    std::vector<Running> running_;
    std::uint64_t assigned_ = 0;
};

Report CoreBench::run() {
    apply(core::EngineStarted{.seed = options_.seed, .wall_offset = {1'700'000'000'000'000}});
    join();
    const std::uint64_t slots = std::uint64_t{options_.workers} * options_.slots;
    for (std::uint64_t i = 0; i < options_.pending + slots; ++i) submit();
    std::vector<std::int64_t> decisions, submits;
    decisions.reserve(options_.tasks);
    submits.reserve(options_.tasks);
    const Duration step{std::max<std::int64_t>(1, 200'000 / static_cast<std::int64_t>(slots))};
    const std::uint64_t before = assigned_;
    std::int64_t busy_ns = 0;
    for (std::uint64_t i = 0; i < options_.tasks && !running_.empty(); ++i) {
        now_ = now_ + step;
        if (wake_ <= now_) {
            wake_ = kNever;
            busy_ns += apply(core::TimePassed{});
        }
        decisions.push_back(finish_one());
        submits.push_back(submit());
        busy_ns += decisions.back() + submits.back();
    }
    // The same, each submitter being told when its task will be done.
    const std::uint64_t decided = assigned_ - before;
    std::vector<std::int64_t> promises;
    std::int64_t promises_ns = 0;
    for (std::uint64_t i = 0; i < options_.tasks / 4 && !running_.empty(); ++i) {
        now_ = now_ + step;
        if (wake_ <= now_) {
            wake_ = kNever;
            apply(core::TimePassed{});
        }
        finish_one();
        promises.push_back(submit(true));
        promises_ns += promises.back();
    }
    std::sort(decisions.begin(), decisions.end());
    std::sort(submits.begin(), submits.end());
    std::sort(promises.begin(), promises.end());
    Report report{.command = "bench core", .name = "core"};
    report.args = {{"workers", options_.workers}, {"slots", options_.slots}, {"pending", options_.pending},
                   {"tasks", options_.tasks},     {"types", options_.types}, {"seed", options_.seed}};
    const double busy_s = static_cast<double>(std::max<std::int64_t>(busy_ns, 1)) * 1e-9;
    report.metrics = {{"decisions_per_s", static_cast<double>(decided) / busy_s},
                      {"p50_ns", quantile(decisions, 0.5)},
                      {"p99_ns", quantile(decisions, 0.99)},
                      {"p999_ns", quantile(decisions, 0.999)},
                      {"max_ns", quantile(decisions, 1)},
                      {"submit_p50_ns", quantile(submits, 0.5)},
                      {"submit_p99_ns", quantile(submits, 0.99)},
                      {"eta_submit_mean_ns", static_cast<double>(promises_ns) /
                                                 static_cast<double>(std::max<std::size_t>(promises.size(), 1))},
                      {"eta_submit_p50_ns", quantile(promises, 0.5)},
                      {"eta_submit_p99_ns", quantile(promises, 0.99)},
                      {"decisions", decided},
                      {"waiting", scheduler_.counters().waiting}};
    return report;
}

}  // namespace

Report run_core(const CoreOptions& options) {
    return CoreBench(options).run();
}

}  // namespace nexus::bench
