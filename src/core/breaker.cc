// The soft circuit breaker of a worker: opened by learned slowness, or by failures and rejections that other workers do
// not have with the same types. An open worker still works where nobody else can, or where waiting would take longer.

#include <algorithm>
#include <utility>

#include "core/fixed_ln.h"
#include "core/state.h"

namespace nexus::core {

namespace {
constexpr std::int64_t kDoubtOpens = 3 * kQ16One;  // odds of 20 to 1 that the worker is to blame
constexpr std::uint32_t kFailuresMin = 3;
constexpr std::uint64_t kTypeMemory = 1024;  // outcomes of a type after which old ones count half
constexpr std::int64_t kLateOpens =
    15 * kQ16One / 2;  // 7.5 nats: a healthy worker gets there once in thousands of runs
constexpr std::int64_t kLateMost = 12 * kQ16One;
constexpr std::uint64_t kLateSeldom = 40;  // no type is taken to be late more seldom than one time in so many

// Counts an outcome of a type; old ones fade.
void count_outcome(std::uint64_t& counter, std::uint64_t& other) {
    if (++counter + other <= kTypeMemory) return;
    counter /= 2;
    other /= 2;
}
}  // namespace

void Scheduler::State::judge_speed(Index w) {
    Worker& worker = workers[w];
    if (worker.failing) return;
    const std::int64_t sure = worker.speed_ln - scale(worker.deviation_ppm, kQ16One, 1'000'000);
    const std::int64_t limit = median_speed_ln + ln_ratio_q16(config.breaker_ratio_permille, 1000);
    if (config.breaker && (worker.late || sure > limit)) {
        if (worker.breaker == Breaker::closed) set_breaker(w, Breaker::open);
    } else if (worker.breaker != Breaker::closed) {
        set_breaker(w, Breaker::closed);
    }
}

void Scheduler::State::judge_success(Index w, Index type_index) {
    Worker& worker = workers[w];
    TypeRecord& type = types[type_index];
    count_outcome(type.succeeded, type.failed);
    if (type.good_at != w) type.good_before = std::exchange(type.good_at, w);
    worker.failures_in_row = 0;
    worker.doubt = 0;
    if (worker.failing) {
        worker.failing = false;
        set_breaker(w, Breaker::closed);
        judge_speed(w);
    } else if (worker.breaker == Breaker::probing) {
        set_breaker(w, Breaker::open);  // until the next probe, unless what this one taught closes it
    }
}

// The evidence of a failure is how much likelier it is from a broken worker than from this type elsewhere. Where no
// other worker ever did the type well it is none. A task gives evidence once, and takes it back when it fails on
// another worker, too: then the fault is its own.
void Scheduler::State::judge_failure(Index task, Index w) {
    Worker& worker = workers[w];
    Task& t = tasks[task];
    TypeRecord& type = types[classes[t.cls].type];
    count_outcome(type.failed, type.succeeded);
    if (worker.breaker == Breaker::probing) set_breaker(w, Breaker::open);
    const Index before = std::exchange(t.avoid, w);
    if (before != kNone) {
        if (before != w && std::exchange(t.charged, false)) acquit(before);
        return;
    }
    const auto elsewhere_good = [w](Index at) { return at != kNone && at != w; };
    if (!elsewhere_good(type.good_at) && !elsewhere_good(type.good_before)) return;
    t.charged = true;
    ++worker.failures_in_row;
    const std::uint64_t own = std::min<std::uint64_t>(worker.failures_in_row, type.failed);
    const std::uint64_t elsewhere = type.failed - own;
    const std::uint64_t seen = elsewhere + type.succeeded;
    worker.doubt += std::max<std::int64_t>(0, ln_ratio_q16(950 * (seen + 2), 1000 * (elsewhere + 1)));
    if (!config.breaker || worker.failures_in_row < kFailuresMin || worker.doubt < kDoubtOpens) return;
    worker.failing = true;
    set_breaker(w, Breaker::open);
}

// One of the failures that spoke against it was not its own.
void Scheduler::State::acquit(Index w) {
    Worker& worker = workers[w];
    if (worker.failures_in_row == 0) return;
    worker.doubt -= worker.doubt / worker.failures_in_row;
    --worker.failures_in_row;
    if (!worker.failing || (worker.failures_in_row >= kFailuresMin && worker.doubt >= kDoubtOpens)) return;
    worker.failing = false;
    set_breaker(w, Breaker::closed);
    judge_speed(w);
}

// A run is late when it took `breaker_ratio` times what was expected here, or on a worker of median speed if that is
// slower.
bool Scheduler::State::ran_late(const Run& run, Duration expected, Duration ran) const {
    const std::int64_t usual = usual_run(run.cls, expected.us, run.worker);
    return ran.us > scale(usual, config.breaker_ratio_permille, 1000);
}

// The evidence of each run: how much likelier it is from a slow worker (late 9 times in 10) than from this type
// as seen everywhere.
void Scheduler::State::judge_lateness(const Run& run, bool is_late) {
    Worker& worker = workers[run.worker];
    TypeRecord& type = types[classes[run.cls].type];
    const std::uint64_t seen = type.late + type.in_time;
    const std::uint64_t late = std::max(type.late + 1, (seen + 10) / kLateSeldom);
    const std::int64_t evidence =
        is_late ? ln_ratio_q16(9 * (seen + 10), 10 * late) : ln_ratio_q16(seen + 10, 10 * (seen + 10 - late));
    worker.lateness = std::clamp<std::int64_t>(worker.lateness + evidence, 0, kLateMost);
    // What a worker does that is known to be slow says nothing of the type.
    if (worker.breaker == Breaker::closed)
        count_outcome(is_late ? type.late : type.in_time, is_late ? type.in_time : type.late);
    if (!worker.late && worker.lateness > kLateOpens && config.breaker) {
        worker.late = true;
        judge_speed(run.worker);
    } else if (worker.late && (worker.lateness < kLateOpens / 2 || !config.breaker)) {
        worker.late = false;
        judge_speed(run.worker);
    }
}

// A second copy was faster, and what it took says how long the task is, at least as long as expected. The first will
// never say how long it takes; it is late when it would be if it took half as much again. Without this, speculation
// would hide the slow worker that it saves from.
void Scheduler::State::judge_overtaken(Index r, Index winner, Duration ran) {
    const Run& run = runs[r];
    const Task& task = tasks[run.task];
    if (run.started == kNever || task.source == EstimateSource::none) return;
    constexpr std::int64_t kUnit = 1'000'000;
    const Duration by_copy{scale(ran.us, kUnit, run_on(run.cls, kUnit, winner))};
    if (ran_late(run, std::max(task.p50, by_copy), Duration{scale(run.ran(now).us, 3, 2)})) judge_lateness(run, true);
}

void Scheduler::State::set_breaker(Index w, Breaker breaker) {
    workers[w].breaker = breaker;
    if (breaker == Breaker::open) {
        const Duration pause{std::clamp<std::int64_t>(30 * mean_us, 1'000'000, 60'000'000)};
        workers[w].breaker_next = now + pause;
        set_timer(workers[w].breaker_next, TimerKind::breaker, w, 0);
        recall_all(w);
    }
    update_ready(w);
    dispatch_everything = true;
}

// By order of an operator: what spoke against it so far is forgotten. What it does from now on speaks anew, and so does a
// learned speed that is too low, when it is learned again.
void Scheduler::State::close_breaker(Index w) {
    Worker& worker = workers[w];
    worker.failing = worker.late = false;
    worker.failures_in_row = 0;
    worker.doubt = worker.lateness = 0;
    if (worker.breaker != Breaker::closed) set_breaker(w, Breaker::closed);
}

void Scheduler::State::breaker_due(Index w) {
    workers[w].breaker = Breaker::probing;
    update_ready(w);
    dispatch_everything = true;
}

bool Scheduler::State::other_closed_worker(const Group& group, Index w) const {
    for (Index other = 0; other < workers.size(); ++other) {
        const Worker& worker = workers[other];
        if (other != w && eligible(group, other) && takes_work(worker) && worker.breaker == Breaker::closed &&
            worker.slots > 0)
            return true;
    }
    return false;
}

bool Scheduler::State::open_may_take(Index task, Index w) const {
    const Worker& worker = workers[w];
    if (worker.breaker == Breaker::probing && worker.runs.empty()) return true;
    if (!other_closed_worker(groups[classes[tasks[task].cls].group], w)) return true;
    if (worker.failing) return false;
    return run_on(tasks[task].cls, tasks[task].mean.us, w) <= virtual_wait().us + tasks[task].mean.us;
}

}  // namespace nexus::core
