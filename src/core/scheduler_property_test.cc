// Random histories, some of them absurd, from small ranges so that ties and collisions happen. After every event the
// invariants are recounted; twins must agree; a scheduler loaded from a snapshot must go on exactly like the original.

#include <algorithm>
#include <map>

#include "base/rng.h"
#include "core/scheduler.h"
#include "doctest/doctest.h"

using namespace nexus;
using namespace nexus::core;

namespace {

struct Held {
    TaskId task;
    AttemptId attempt;
    SessionId session;
};

// Draws events; learns of attempts from the commands, as workers do.
class Fuzzer {
public:
    explicit Fuzzer(std::uint64_t seed) : rng_(seed), policy_(static_cast<PolicyKind>(1 + rng_.below(7))) {
        pausing_ = rng_.one_in(3);
        if (pausing_) policy_ = PolicyKind::predictive;
    }

    Event next() {
        now_.us += rng_.one_in(3) ? 0 : static_cast<std::int64_t>(rng_.below(rng_.one_in(40) ? 20'000'000 : 300'000));
        ++drawn_;
        if (drawn_ == 1) return {now_, EngineStarted{.seed = 7, .wall_offset = seconds(1'000'000)}};
        if (drawn_ == 2) return {now_, config()};
        const std::uint64_t dice = rng_.below(100);
        if (dice < 34) return {now_, submission()};
        if (dice < (pausing_ ? 37 : 44)) return {now_, joining()};
        if (dice < (pausing_ ? 94 : 78)) return {now_, report()};
        return {now_, rare()};
    }

    void learn(const std::vector<Command>& commands) {
        for (const Command& command : commands) {
            if (const auto* assign = std::get_if<AssignAttempt>(&command)) {
                held_.push_back({assign->task, assign->attempt, assign->session});
                CHECK(assign->fence > fence_);
                fence_ = assign->fence;
            }
            if (const auto* ended = std::get_if<TaskEnded>(&command)) CHECK(++ends_[ended->task] == 1);
        }
    }

private:
    template <class T>
    const T& any(const std::vector<T>& from) {
        return from[rng_.below(from.size())];
    }
    std::string name(const char* prefix, std::uint64_t n) { return prefix + std::to_string(rng_.below(n)); }
    SessionId session() { return {1 + rng_.below(sessions_ + 1)}; }
    TaskId old_task() { return tasks_ == 0 ? TaskId{1, 1} : TaskId{1, 1 + rng_.below(tasks_)}; }

    ConfigChanged config() {
        ConfigChanged changed{.config = {.policy = policy_,
                                         .preemption = rng_.one_in(2),
                                         .pause = pausing_ || rng_.one_in(4),
                                         .pause_ratio_permille = 1000,
                                         .prefetch = !rng_.one_in(5)}};
        changed.config.queues = {
            {.name = "q0", .paused = rng_.one_in(5), .running_max = static_cast<std::uint32_t>(rng_.below(4))}};
        changed.config.tenants = {{.name = "a0", .share = 3, .running_max = static_cast<std::uint32_t>(rng_.below(5))}};
        changed.config.types = {{.name = "t1", .running_max = static_cast<std::uint32_t>(rng_.below(4))}};
        changed.config.ttl = minutes(3);
        changed.config.worker_retention = rng_.one_in(2) ? seconds(1) : rng_.one_in(2) ? Duration{} : hours(24);
        changed.config.idempotency_keys_max = 5;
        return changed;
    }
    Estimate estimate() {
        if (rng_.one_in(20)) return {};
        if (rng_.one_in(pausing_ ? 3 : 10))
            return {.p50 = seconds(5), .p90 = seconds(7), .mean = seconds(6), .source = EstimateSource::model};
        const std::int64_t us = 1 + static_cast<std::int64_t>(rng_.below(4)) * 200'000;
        return {.p50 = {us}, .p90 = {us * 2}, .mean = {us}, .source = EstimateSource::type_mode};
    }
    TaskSubmitted submission() {
        TaskSubmitted s{.task = {1, ++tasks_}, .estimate = estimate(), .promise = !rng_.one_in(4)};
        s.spec.type = name("t", 3);
        s.spec.tenant = name("a", 2);
        s.spec.queue = name("q", 2);
        s.spec.priority = static_cast<std::uint8_t>(rng_.below(10));
        s.spec.idempotent = rng_.one_in(2);
        s.spec.exclusive = rng_.one_in(6);
        s.spec.preemptible = rng_.one_in(2);
        const std::int64_t calendar = now_.us + 1'000'000'000'000;
        if (rng_.one_in(8)) s.spec.run_at = {calendar + static_cast<std::int64_t>(rng_.below(3'000'000))};
        if (rng_.one_in(8)) s.spec.deadline = {calendar + static_cast<std::int64_t>(rng_.below(9'000'000))};
        if (rng_.one_in(5)) s.spec.timeout = milliseconds(500);
        if (rng_.one_in(9)) s.spec.ttl = seconds(20);
        if (rng_.one_in(5)) s.spec.labels_required = {{"zone", name("z", 2)}};
        if (rng_.one_in(9)) s.spec.labels_forbidden = {{"zone", name("z", 2)}};
        if (rng_.one_in(9)) s.spec.labels_preferred = {{"zone", name("z", 2)}};
        if (rng_.one_in(12)) s.spec.pinned_worker = name("w", 4);
        if (rng_.one_in(4)) s.spec.resources.cpu_milli = 500 * static_cast<std::int64_t>(1 + rng_.below(4));
        if (rng_.one_in(8)) s.spec.resources.custom = {{"licence", 1}};
        if (rng_.one_in(6)) s.spec.after = {old_task()};
        if (rng_.one_in(5)) s.spec.ordering_key = name("o", 2);
        if (rng_.one_in(5))
            s.spec.concurrency_key = name("c", 2),
            s.spec.concurrency_max = 1 + static_cast<std::uint32_t>(rng_.below(2));
        if (rng_.one_in(6)) s.spec.rate_key = name("r", 2), s.spec.rate_per_1000s = 4000;
        if (rng_.one_in(3)) s.spec.idempotency_hi = 1 + rng_.below(9), s.spec.body_hash = rng_.below(2);
        return s;
    }
    WorkerJoined joining() {
        WorkerJoined joined{
            .name = name("w", 4), .session = {++sessions_}, .slots = static_cast<std::uint32_t>(1 + rng_.below(4))};
        if (rng_.one_in(2)) joined.labels.emplace_back("hw", name("h", 2));
        if (rng_.one_in(2)) joined.labels.emplace_back("zone", name("z", 2));
        joined.offered = {
            .cpu_milli = rng_.one_in(2) ? -1 : 2000, .memory_bytes = -1, .gpu_milli = -1, .custom = {{"licence", 1}}};
        if (joined.slots > 2) joined.offered.memory_bytes = 4000;
        if (rng_.one_in(4)) joined.types = {"t0", "t1"};
        joined.can_pause = pausing_ || rng_.one_in(2);
        if (!pausing_ || rng_.one_in(2)) joined.prefetch_max = static_cast<std::uint32_t>(rng_.below(9));
        for (int n = 0; n < 3 && !held_.empty(); ++n) {
            const Held& held = any(held_);
            joined.held.push_back({held.task, held.attempt, rng_.one_in(4), rng_.one_in(3)});
        }
        return joined;
    }
    Fact report() {
        if (held_.empty()) return TimePassed{};
        const std::size_t at = rng_.one_in(4) ? rng_.below(held_.size())
                                              : held_.size() - 1 - rng_.below(std::min<std::size_t>(held_.size(), 4));
        const Held held = held_[at];
        if (rng_.one_in(pausing_ ? 2 : 3))
            return AttemptStarted{
                held.task, held.attempt, held.session, {static_cast<std::int64_t>(rng_.below(300'000))}};
        if (rng_.one_in(6))
            return AttemptPaused{held.task,      held.attempt,
                                 held.session,   static_cast<std::uint32_t>(1 + rng_.below(3)),
                                 rng_.one_in(2), {static_cast<std::int64_t>(rng_.below(700'000)) - 1}};
        if (!rng_.one_in(10)) held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(at));
        AttemptFinished finished{.task = held.task, .attempt = held.attempt, .session = held.session};
        if (rng_.one_in(3)) finished.outcome = static_cast<AttemptOutcome>(1 + rng_.below(10));
        finished.retryable = !rng_.one_in(6);
        finished.run = {static_cast<std::int64_t>(rng_.below(700'000)) - 1};
        finished.peak_memory_bytes = held.attempt.lo % 3000;
        return finished;
    }
    Fact rare() {
        switch (rng_.below(18)) {
            case 0: return EngineStarted{.seed = rng_.next(), .wall_offset = seconds(1'000'000), .epoch = ++epochs_};
            case 1: return WallMoved{seconds(1'000'000 + rng_.between(-5, 5))};
            case 2:
                if (rng_.one_in(pausing_ ? 10 : 3)) policy_ = static_cast<PolicyKind>(1 + rng_.below(7));
                return config();
            case 3: return EstimateRevised{old_task(), estimate()};
            case 4: return CancelRequested{.task = old_task()};
            case 5:
                return WorkerCapacityChanged{.session = session(),
                                             .slots = static_cast<std::uint32_t>(rng_.below(5)),
                                             .offered = {.cpu_milli = -1, .memory_bytes = -1},
                                             .draining = rng_.one_in(8)};
            case 6: return WorkerSuspected{session()};
            case 7: return WorkerRecovered{session()};
            case 8: return WorkerLeft{session(), rng_.one_in(2)};
            case 9: return WorkerLost{session(), now_ - seconds(3)};
            case 10:
                return WorkerControlled{.name = name("w", 5), .order = static_cast<WorkerOrder>(1 + rng_.below(5))};
            case 11:
                return WorkerSpeedLearned{WorkerNo{static_cast<std::uint32_t>(rng_.below(5))},
                                          static_cast<std::uint32_t>(500'000 + rng_.below(4'000'000)), 50'000};
            case 12:
                return AffinityLearned{name("t", 3), name("h", 2),
                                       static_cast<std::uint32_t>(500'000 + rng_.below(1'500'000))};
            case 13: return TrustLearned{static_cast<std::uint32_t>(pausing_ ? 1'000'000 : rng_.below(1'000'001))};
            case 14: return overriding();
            case 16:
                return EstimateForced{.type = name("t", 3),
                                      .estimate = seconds(static_cast<std::int64_t>(rng_.below(3))),
                                      .expires = rng_.one_in(3) ? kNever : now_ + seconds(2)};
            case 15: return OverrideCleared{.number = 1 + rng_.below(overrides_ + 1)};
            default: return TimePassed{};
        }
    }
    OverrideSet overriding() {
        OverrideSet set{.number = ++overrides_, .kind = static_cast<OverrideKind>(1 + rng_.below(4))};
        const bool whole_type = set.kind == OverrideKind::exclude || rng_.one_in(3);
        if (whole_type && set.kind != OverrideKind::pin) {
            set.type = name("t", 3);
        } else {
            set.task = old_task();
        }
        set.worker = name("w", 5);
        set.boost = seconds(1);
        if (!rng_.one_in(4)) set.expires = now_ + seconds(5);
        return set;
    }

    Rng rng_;
    PolicyKind policy_;
    bool pausing_ = false;
    Instant now_;
    std::uint64_t drawn_ = 0, tasks_ = 0, sessions_ = 0, overrides_ = 0, fence_ = 0;
    std::uint32_t epochs_ = 0;
    std::vector<Held> held_;
    std::map<TaskId, int> ends_;
};

std::string saved(const Scheduler& scheduler) {
    std::string bytes;
    scheduler.save(bytes);
    return bytes;
}

void ask_everything(const Scheduler& scheduler) {
    std::vector<TaskId> running;
    for (const TaskId task : scheduler.tasks_after({}, SIZE_MAX))
        if (scheduler.task(task)->state != TaskState::waiting) running.push_back(task);
    REQUIRE_EQ(scheduler.running_after({}), running);
    std::uint64_t waiting = 0;
    for (const WaitingBy& by : scheduler.waiting_by()) waiting += by.count;
    REQUIRE_EQ(waiting, scheduler.counters().waiting);
    const Backlog backlog = scheduler.backlog();
    CHECK(backlog.left_p10 <= backlog.left);
    CHECK(backlog.left <= backlog.left_p90);
    for (const TaskId task : scheduler.tasks_after({}, 1'000)) {
        const TaskView view = *scheduler.task(task);
        const WaitingWhy why = scheduler.why_waiting(task);
        if (view.state == TaskState::waiting) CHECK(why.reason != WaitReason::none);
        const auto eta = scheduler.eta(task);
        if (eta) CHECK(eta->finish_p90 >= eta->finish_p50);
        CHECK(scheduler.explain(task).workers_total <= scheduler.worker_count());
    }
    CHECK(scheduler.next_waiting(10).size() <= 10);
}

}  // namespace

TEST_CASE("random histories keep every invariant, twins agree, snapshots continue") {
    std::uint64_t pauses = 0, preemptions = 0, prefetches = 0, recalls = 0;
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
        CAPTURE(seed);
        Fuzzer fuzzer(seed);
        Scheduler one, two;
        std::vector<Command> out_one, out_two;
        for (int step = 0; step < 400; ++step) {
            CAPTURE(step);
            const Event event = fuzzer.next();
            out_one.clear();
            out_two.clear();
            one.apply(event, out_one);
            two.apply(event, out_two);
            one.check_invariants();
            REQUIRE(one.digest() == two.digest());
            fuzzer.learn(out_one);
            REQUIRE(one.counters().idle_while_waiting.us == 0);
            if (step % 97 == 96) {
                ask_everything(one);
                const std::string bytes = saved(one);
                REQUIRE(bytes == saved(two));
                Scheduler loaded;
                REQUIRE(loaded.load(bytes).has_value());
                REQUIRE(saved(loaded) == bytes);
                two = std::move(loaded);
            }
        }
        pauses += one.counters().pauses;
        preemptions += one.counters().preemptions;
        prefetches += one.counters().prefetches;
        recalls += one.counters().recalls;
    }
    CHECK(prefetches > 100);
    CHECK(recalls > 50);
    CHECK(pauses > 50);
    CHECK(preemptions > 50);
}

TEST_CASE("a damaged snapshot changes nothing") {
    Fuzzer fuzzer(3);
    Scheduler scheduler;
    std::vector<Command> out;
    for (int step = 0; step < 200; ++step) scheduler.apply(fuzzer.next(), out);
    const std::string bytes = saved(scheduler);
    for (std::size_t at = 0; at < bytes.size(); at += 97) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        CHECK(scheduler.load(damaged).error().fault == Fault::corrupt);
    }
    CHECK(scheduler.load(bytes.substr(0, bytes.size() / 2)).error().fault == Fault::corrupt);
    CHECK(saved(scheduler) == bytes);
}
