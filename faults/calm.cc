// What comes after the faults, in some worlds: with all work done, breakers must close (L6), a type that changed must
// be learned anew (L8), and after an overload the service must be what it was before (L10), having let nobody wait
// beyond the ageing bound (L4). Nothing fails here any more; what the faults taught the server is still in its head.

#include <algorithm>

#include "faults/world.h"

namespace nexus::faults {
namespace {

constexpr Duration kShort = milliseconds(400), kLong = seconds(4);
constexpr std::uint64_t kLongOneIn = 10;
constexpr Duration kMean{(kShort.us * 9 + kLong.us) / 10};
constexpr Duration kProbeEvery = seconds(1);
constexpr Duration kClosedWithin = seconds(600);  // a breaker waits at most 60 s for its next probe, and needs a few
constexpr int kSamples =
    100;  // in which a changed type is learned, though it looks at first as if all workers were slow
constexpr int kAtOnce = 5;
constexpr std::int64_t kChange = 10;  // times as long as before
constexpr Duration kBefore = seconds(25), kOverload = seconds(12), kAfter = seconds(30), kWindow = seconds(20);
constexpr std::int64_t kUsualPermille = 800, kOverloadPermille = 5000;
constexpr std::int64_t kGoodputPermille = 500;  // what ends within 20 s is partly chance: this looks for a collapse

}  // namespace

// One task of the quiet time; any worker that lists no types may run it.
std::uint64_t World::submit_calm(const char* type, Duration run) {
    Work work;
    work.submission.spec.type = type;
    work.submission.spec.tenant = "calm";
    work.submission.spec.queue = "calm";
    work.run = run;
    work.keyed = true;
    work.submission.idempotency_key = "calm" + std::to_string(checker_.works().size());
    const std::uint64_t number = checker_.new_work(std::move(work)).number;
    const SubmitRef submit = open_submit();
    submit->works.push_back(number);
    send(submit);
    return number;
}

void World::pass(Duration length) {
    const Instant until = timeline_.now() + length;
    while (timeline_.advance(until)) {
    }
}

void World::drain_calm() {
    for (int n = 0; !(submits_open_ == 0 && checker_.all_ended()); ++n) {
        demand(n < 600, "L1", "of the quiet time's work there is left: " + checker_.text());
        pass(seconds(1));
    }
}

void World::calm() {
    checker_.saw("quiet time");
    learn_anew();
    close_breakers();
    overload();
    checker_.finish();
}

// For a failure's message.
std::string World::open_breakers() const {
    std::string text;
    const core::Scheduler& core = checker_.twin();
    for (std::uint32_t w = 0; w < core.worker_count(); ++w) {
        const core::WorkerView worker = core.worker(WorkerNo{w});
        if (worker.breaker != 0)
            text += ", the breaker of " + std::string(worker.name) + " (" + std::to_string(worker.running) + " of " +
                    std::to_string(worker.slots) + " slots busy, speed " + std::to_string(worker.speed_ppm) +
                    " ppm) is " + (worker.breaker == 1 ? "open: " : "on probation: ") + worker.breaker_reason;
    }
    return text;
}

std::uint64_t World::calm_slots() const {
    std::uint64_t slots = 0;
    for (const auto& machine : machines_)
        if (machine->usual() && machine->shape().types.empty()) slots += machine->shape().slots;
    return slots;
}

// Every worker that can take work gets its breaker closed by what it does well. There is always more work than the
// others can do: a worker on probation is asked only when no better one is free [L6].
void World::close_breakers() {
    const auto first_open = [this]() -> std::string {
        for (const auto& machine : machines_) {
            if (!machine->usual() || !machine->shape().types.empty()) continue;
            const WorkerNo worker = checker_.twin().find_worker(machine->shape().name);
            if (worker && checker_.twin().worker(worker).breaker != 0) return machine->shape().name;
        }
        return "";
    };
    if (first_open().empty()) return;
    checker_.saw("breaker to be closed");
    const Instant limit = timeline_.now() + kClosedWithin;
    for (std::string open = first_open(); !open.empty(); open = first_open()) {
        demand(timeline_.now() < limit, "L6",
               "the breaker of " + open + " does not close, though nothing fails any more" + open_breakers());
        for (std::uint64_t n = 0; n < 2 * calm_slots(); ++n) submit_calm("calm-short", kShort);
        pass(kProbeEvery);
    }
    checker_.saw("breaker closed by probation");
    drain_calm();
}

// A type runs ten times as long from now on [L8].
void World::learn_anew() {
    const auto sample = [this](Duration run) {
        std::uint64_t number = 0;
        for (int n = 0; n < kAtOnce; ++n) number = submit_calm("calm-turn", run);
        drain_calm();
        return checker_.told(number);
    };
    for (int n = 0; n < kSamples; n += kAtOnce) sample(kShort);
    const Duration changed{kShort.us * kChange};
    for (int n = 0; n < kSamples; n += kAtOnce) sample(changed);
    const Estimate told = sample(changed);
    demand(told.p50.us * 2 >= changed.us && told.p50.us <= changed.us * 2, "L8",
           "after " + std::to_string(kSamples) + " runs of " + std::to_string(changed.us) + " us the estimate is " +
               std::to_string(told.p50.us) + " us");
    checker_.saw("changed type learned");
}

// Arrivals at `permille` of what the fleet can do.
void World::arrive(Duration length, std::int64_t permille, std::uint64_t slots) {
    const Duration gap{std::max<std::int64_t>(1, kMean.us * 1000 / (static_cast<std::int64_t>(slots) * permille))};
    for (Duration at; at < length; at = at + gap) {
        const bool is_long = rng_.one_in(kLongOneIn);
        timeline_.after(
            at, [this, is_long] { submit_calm(is_long ? "calm-long" : "calm-short", is_long ? kLong : kShort); });
    }
}

// Five times more than the fleet can do, for a while [L10, L4].
void World::overload() {
    const std::uint64_t slots = calm_slots();
    for (std::uint64_t n = 0; n < 2 * slots; ++n)
        submit_calm(n % 4 == 0 ? "calm-long" : "calm-short", n % 4 == 0 ? kLong : kShort);
    drain_calm();
    checker_.expect_fair("calm", slots);
    arrive(kBefore, kUsualPermille, slots);
    pass(kBefore - kWindow);
    Duration done = checker_.fair_done();
    pass(kWindow);
    const Duration before = checker_.fair_done() - done;
    arrive(kOverload, kOverloadPermille, slots);
    pass(kOverload);
    checker_.saw("overload");
    arrive(kAfter, kUsualPermille, slots);
    pass(kAfter - kWindow);
    done = checker_.fair_done();
    pass(kWindow);
    const Duration after = checker_.fair_done() - done;
    // Policies that bind tasks to workers as they arrive fill the system with the lines of the slowest: no such
    // promise.
    const core::Config& config = checker_.twin().config();
    const core::Counters& now = checker_.twin().counters();
    const bool full_of_lines = !checker_.late_binding() && now.waiting + now.assigned + now.running >= config.tasks_max;
    demand(full_of_lines || after.us * 1000 >= before.us * kGoodputPermille, "L10",
           "work of " + std::to_string(before.us) + " us was done in 20 s before the overload, of " +
               std::to_string(after.us) + " us in 20 s after it; " + checker_.text() + open_breakers());
    drain_calm();
}

}  // namespace nexus::faults
