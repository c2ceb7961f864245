// F12: sequences of events into the scheduler, absurd ones too, with the invariants of the contract as oracle:
// recounted after each event; fences grow; a task ends once and has no new attempt after its end; a stale report is
// answered so; at the end a scheduler loaded from the snapshot goes on like the original, and a twin fed the same
// events agrees.
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "choices.h"
#include "core/scheduler.h"

using namespace nexus;
using namespace nexus::core;

namespace {

constexpr std::size_t kEventsMax = 400;  // recounting the invariants is what takes the time

void insist(bool condition) {
    if (!condition) std::abort();
}

class History {
public:
    explicit History(fuzz::Choices& chance) : chance_(chance) {}

    Event next() {
        if (chance_.one_in(2))
            now_.us += chance_.one_in(8) ? 20'000 * chance_.below(65'536) : 1'000 * chance_.below(256);
        return {now_, drawn_++ == 0 ? Fact{EngineStarted{.seed = 7, .wall_offset = seconds(1'000'000)}} : fact()};
    }

    void check(const std::vector<Command>& commands) {
        for (const Command& command : commands) {
            if (const auto* assign = std::get_if<AssignAttempt>(&command)) {
                held_.push_back({assign->task, assign->attempt, assign->session});
                insist(assign->fence > fence_);
                insist(!ended_.contains(assign->task));
                fence_ = assign->fence;
            }
            if (const auto* ended = std::get_if<TaskEnded>(&command)) insist(ended_.insert(ended->task).second);
        }
    }

private:
    struct Held {
        TaskId task;
        AttemptId attempt;
        SessionId session;
    };
    std::string name(const char* prefix, std::uint32_t n) { return prefix + std::to_string(chance_.below(n)); }
    SessionId session() { return {1 + chance_.below(sessions_ + 1)}; }
    TaskId task() { return {1, 1 + chance_.below(tasks_ + 1)}; }

    Fact fact() {
        switch (chance_.below(24)) {
            case 0:
            case 1:
            case 2:
            case 3:
            case 4:
            case 5: return submission();
            case 6:
            case 7: return joining();
            case 8:
            case 9:
            case 10:
            case 11:
            case 12: return report();
            case 13: return CancelRequested{.task = task()};
            case 14: return WorkerLeft{session(), chance_.one_in(4)};
            case 15: return WorkerLost{session(), {now_.us - 3'000'000}};
            case 16: return chance_.one_in(2) ? Fact{WorkerSuspected{session()}} : Fact{WorkerRecovered{session()}};
            case 17:
                return WorkerControlled{.name = name("w", 4), .order = static_cast<WorkerOrder>(1 + chance_.below(3))};
            case 18: return EngineStarted{.seed = chance_.byte(), .wall_offset = seconds(1'000'000)};
            case 19: return config();
            case 20:
                return WorkerCapacityChanged{
                    .session = session(), .slots = chance_.below(5), .offered = offer(), .draining = chance_.one_in(3)};
            case 21: return EstimateRevised{task(), estimate()};
            case 22: return override_or_learned();
            default: return TimePassed{};
        }
    }
    ConfigChanged config() {
        Config config{.policy = static_cast<PolicyKind>(1 + chance_.below(7)), .ttl = minutes(1 + chance_.below(5))};
        config.queues = {{.name = "q0", .paused = chance_.one_in(4), .running_max = chance_.below(4)}};
        config.tenants = {{.name = "a0",
                           .share = 1 + chance_.below(3),
                           .running_max = chance_.below(4),
                           .waiting_max = chance_.below(3) * 8}};
        config.idempotency_keys_max = 1 + chance_.below(8);
        config.breaker = chance_.one_in(2);
        return {.config = config};
    }
    Estimate estimate() {
        if (chance_.one_in(8)) return {};
        const Duration p50{1 + 100'000 * static_cast<std::int64_t>(chance_.below(64))};
        return {.p50 = p50, .p90 = p50 + p50, .mean = p50, .source = EstimateSource::type_mode};
    }
    TaskSubmitted submission() {
        TaskSubmitted s{.task = {1, ++tasks_}, .estimate = estimate()};
        s.spec.type = name("t", 3);
        s.spec.tenant = name("a", 2);
        s.spec.queue = name("q", 2);
        s.spec.priority = static_cast<std::uint8_t>(chance_.below(10));
        const std::uint8_t flags = chance_.byte();
        s.spec.idempotent = (flags & 1) != 0;
        s.spec.exclusive = (flags & 2) != 0;
        const std::int64_t calendar = now_.us + 1'000'000'000'000;
        const auto soon = [&] { return WallTime{calendar + 50'000 * static_cast<std::int64_t>(chance_.below(256))}; };
        if ((flags & 4) != 0) s.spec.timeout = milliseconds(500);
        if ((flags & 8) == 0) return s;
        switch (chance_.below(12)) {
            case 0: s.spec.run_at = soon(); break;
            case 1: s.spec.deadline = soon(); break;
            case 2: s.spec.labels_required = {{"zone", name("z", 2)}}; break;
            case 3: s.spec.labels_forbidden = {{"zone", name("z", 2)}}; break;
            case 4: s.spec.pinned_worker = name("w", 4); break;
            case 5: s.spec.resources.cpu_milli = 500 * static_cast<std::int64_t>(chance_.below(5)); break;
            case 6: s.spec.after = {task()}; break;
            case 7: s.spec.ordering_key = name("o", 2); break;
            case 8: s.spec.concurrency_key = name("c", 2), s.spec.concurrency_max = 1 + chance_.below(2); break;
            case 9: s.spec.rate_key = name("r", 2), s.spec.rate_per_1000s = 4000; break;
            case 10: s.spec.idempotency_hi = 1 + chance_.below(6), s.spec.body_hash = chance_.below(2); break;
            default: s.spec.ttl = seconds(1 + chance_.below(30));
        }
        return s;
    }
    Resources offer() {
        return {.cpu_milli = chance_.one_in(2) ? -1 : 500 * static_cast<std::int64_t>(chance_.below(6)),
                .memory_bytes = -1,
                .gpu_milli = -1,
                .custom = {}};
    }
    WorkerJoined joining() {
        WorkerJoined joined{
            .name = name("w", 4), .session = {++sessions_}, .slots = 1 + chance_.below(4), .offered = offer()};
        if (chance_.one_in(2)) joined.labels = {{"zone", name("z", 2)}};
        if (chance_.one_in(4)) joined.types = {"t0", "t1"};
        for (std::uint32_t n = chance_.below(4); n > 0 && !held_.empty(); --n) {
            const Held& held = held_[chance_.below(static_cast<std::uint32_t>(held_.size()))];
            joined.held.push_back({held.task, held.attempt});
        }
        return joined;
    }
    Fact report() {
        if (held_.empty()) return TimePassed{};
        const std::size_t back = chance_.below(static_cast<std::uint32_t>(held_.size()));
        Held held = held_[held_.size() - 1 - back];
        if (chance_.one_in(8)) held.attempt.lo ^= 1;
        if (chance_.one_in(8)) held.session = session();
        if (chance_.one_in(3)) return AttemptStarted{held.task, held.attempt, held.session};
        AttemptFinished finished{.task = held.task, .attempt = held.attempt, .session = held.session};
        if (chance_.one_in(2)) finished.outcome = static_cast<AttemptOutcome>(1 + chance_.below(8));
        finished.retryable = !chance_.one_in(4);
        finished.run = {static_cast<std::int64_t>(chance_.below(256)) * 10'000 - 1};
        return finished;
    }
    Fact override_or_learned() {
        const WorkerNo worker{chance_.below(5)};
        switch (chance_.below(6)) {
            case 0:
                return OverrideSet{.number = ++overrides_,
                                   .kind = static_cast<OverrideKind>(1 + chance_.below(4)),
                                   .task = task(),
                                   .type = name("t", 3),
                                   .worker = name("w", 4),
                                   .boost = seconds(chance_.below(60)),
                                   .expires = now_ + seconds(chance_.below(30))};
            case 5:
                return EstimateForced{.type = name("t", 3),
                                      .estimate = seconds(chance_.below(3)),
                                      .expires = now_ + seconds(chance_.below(30))};
            case 1: return OverrideCleared{.number = chance_.below(static_cast<std::uint32_t>(overrides_ + 2))};
            case 2:
                return WorkerSpeedLearned{.worker = worker,
                                          .speed_ppm = 1 + 100'000 * chance_.below(64),
                                          .deviation_ppm = 1000 * chance_.below(256)};
            case 3: return TrustLearned{.trust_ppm = 4000 * chance_.below(256)};
            default: return WallMoved{seconds(1'000'000 + chance_.below(20))};
        }
    }

    fuzz::Choices& chance_;
    Instant now_{1};
    std::size_t drawn_ = 0;
    std::uint32_t tasks_ = 0, sessions_ = 0;
    std::uint64_t overrides_ = 0, fence_ = 0;
    std::vector<Held> held_;
    std::set<TaskId> ended_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::Choices chance(data, size);
    History history(chance);
    Scheduler scheduler, twin;
    std::vector<Command> commands, again;
    for (std::size_t n = 0; n < kEventsMax && !chance.done(); ++n) {
        const Event event = history.next();
        const std::uint64_t stale = scheduler.counters().stale_reports;
        commands.clear();
        scheduler.apply(event, commands);
        scheduler.check_invariants();
        history.check(commands);
        for (const Command& command : commands)
            if (const auto* answer = std::get_if<AnswerReport>(&command))
                insist(answer->accepted || scheduler.counters().stale_reports > stale);
        again.clear();
        twin.apply(event, again);
        insist(again.size() == commands.size() && twin.digest() == scheduler.digest());
        if (n % 64 != 63) continue;
        std::string snapshot;
        scheduler.save(snapshot);
        Scheduler loaded;
        insist(loaded.load(snapshot).has_value());
        std::string second;
        loaded.save(second);
        insist(second == snapshot);
        twin = std::move(loaded);
    }
    insist(scheduler.counters().idle_while_waiting.us == 0);
    return 0;
}
