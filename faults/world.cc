#include "faults/world.h"

#include <algorithm>

#include "config/toml.h"

namespace nexus::faults {
namespace {

constexpr Duration kClientPatience = seconds(2);
constexpr Duration kRetryAfter = seconds(1);  // what the transports advise when a limit is met
constexpr Duration kConnectedWithin =
    seconds(30);  // of the healing: streams are back (L2, with the longest lease and backoff)

const Caller kClient{.name = "client", .tenant = {}, .roles = kAllRoles, .from = "sim"};
const Caller kOperator{.name = "operator", .tenant = {}, .roles = kAllRoles, .from = "sim"};

const char* kHardware[] = {"a", "b", "c"};

}  // namespace

World::World(const Plan& plan)
    : plan_(plan),
      checker_(plan.thorough, plan.story),
      net_(plan_, timeline_),
      server_(plan_, timeline_, checker_),
      rng_(plan.seed ^ 0x37071D) {}

template <class T, class Ask>
void World::ask(Ask ask, std::move_only_function<void(Result<T>)> reply) {
    if (net_.chance(plan_.request_lost_one_in)) return;
    timeline_.after(net_.delay(), [this, ask = std::move(ask), reply = std::move(reply)]() mutable {
        server_.call([this, ask = std::move(ask), reply = std::move(reply)](engine::Engine& engine) mutable {
            ask(engine, engine::Done<T>([this, reply = std::move(reply)](Result<T> answer) mutable {
                    if (net_.chance(plan_.reply_lost_one_in)) {
                        checker_.saw("reply lost");
                        return;
                    }
                    timeline_.after(net_.delay(), [reply = std::move(reply), answer = std::move(answer)]() mutable {
                        reply(std::move(answer));
                    });
                }));
        });
    });
}

Verdict World::run() {
    Verdict verdict;
    try {
        server_.on_down = [this] {
            for (const auto& machine : machines_) machine->server_down();
        };
        server_.start();
        build_machines();
        plan_submissions();
        plan_each_second(Instant{} + seconds(1));
        plan_lies();
        const Instant faults_end = Instant{} + plan_.faults_last;
        while (timeline_.advance(faults_end)) {
        }
        heal();
        const Instant connected_by = timeline_.now() + kConnectedWithin;
        while (timeline_.advance(connected_by)) {
        }
        for (const auto& machine : machines_)
            demand(!machine->alive() || machine->frozen() || machine->connected(), "L2",
                   "worker " + machine->shape().name + " is healthy and not connected");
        const Instant limit = faults_end + plan_.liveness_limit;
        for (Instant until = connected_by; !(submits_open_ == 0 && checker_.all_ended());) {
            demand(until < limit, "L1",
                   submits_open_ > 0
                       ? std::to_string(submits_open_) + " submissions were never answered; " + checker_.text()
                       : checker_.text());
            until = until + seconds(1);
            while (timeline_.advance(until)) {
            }
        }
        checker_.finish();
        checker_.operators().audited(server_.audit());
        verdict.drained = timeline_.now() - faults_end;
        if (plan_.calm) calm();
    } catch (const Violation& violation) {
        verdict.kept = false;
        verdict.promise = violation.promise;
        verdict.what = violation.what;
    }
    verdict.digest = checker_.digest();
    verdict.events = checker_.events();
    verdict.steps = timeline_.steps();
    verdict.simulated = timeline_.now() - Instant{};
    for (std::uint64_t n = server_.journal_counts().batches_torn; n > 0; --n) checker_.saw("torn tail cut");
    verdict.seen = checker_.seen();
    return verdict;
}

void World::build_machines() {
    for (std::uint32_t i = 0; i < plan_.workers; ++i) {
        MachineShape shape{.name = "w" + std::to_string(i)};
        shape.slots = static_cast<std::uint32_t>(rng_.between(1, plan_.slots_max));
        shape.labels = {{"hw", kHardware[rng_.below(3)]}, {"zone", rng_.one_in(2) ? "z1" : "z2"}};
        shape.offered = {.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1, .custom = {}};
        if (rng_.one_in(3)) shape.offered.cpu_milli = rng_.between(1, 4) * 1000;
        if (rng_.one_in(6)) shape.types = {"t0", "t1"};
        shape.liar = i < plan_.liars;
        shape.can_pause = (plan_.seed + i) % 3 != 0;
        if ((plan_.seed / 3 + i) % 4 != 0) shape.prefetch_max = 4 * shape.slots + 16;
        machines_.push_back(std::make_unique<Machine>(plan_, net_, server_, checker_, std::move(shape), rng_.next()));
        timeline_.after(milliseconds(rng_.between(0, 2000)), [machine = machines_.back().get()] { machine->boot(); });
    }
}

void World::plan_submissions() {
    for (std::uint32_t i = 0; i < plan_.submissions; ++i) {
        const Duration at{rng_.between(0, plan_.faults_last.us)};
        const int copies = plan_.burst_one_in != 0 && rng_.one_in(plan_.burst_one_in * 4) ? 20 : 1;
        for (int n = 0; n < copies; ++n) timeline_.after(at, [this] { submit_new(); });
    }
    plan_disk_trouble();
    if (plan_.clock_freezes)
        timeline_.after({rng_.between(0, plan_.faults_last.us)},
                        [this] { server_.freeze_clock(seconds(rng_.between(1, 10))); });
    if (plan_.herd)
        timeline_.after({rng_.between(0, plan_.faults_last.us)}, [this] {
            for (const auto& machine : machines_) machine->reset_stream();
        });
    if (plan_.crash_every.us > 0) {
        for (Duration at{rng_.between(0, 2 * plan_.crash_every.us)}; at < plan_.faults_last;
             at = at + Duration{rng_.between(1, 2 * plan_.crash_every.us)})
            timeline_.after(at, [this] { server_.crash(); });
    }
}

void World::plan_disk_trouble() {
    if (plan_.silent_store_last.us > 0)
        timeline_.after({rng_.between(0, plan_.faults_last.us)}, [this] {
            server_.silence_store(!healed_);
            timeline_.after(plan_.silent_store_last, [this] { server_.silence_store(false); });
        });
    if (plan_.full_disk_last.us == 0) return;
    timeline_.after({rng_.between(0, plan_.faults_last.us)}, [this] {
        server_.fill_disk(true);
        timeline_.after(plan_.full_disk_last, [this] {
            checker_.saw("disk full left");
            server_.fill_disk(false);
        });
        if (!plan_.exhausted_disk) return;
        timeline_.after({plan_.full_disk_last.us / 3}, [this] { server_.exhaust_disk(!healed_); });
        timeline_.after({plan_.full_disk_last.us / 3 * 2}, [this] { server_.exhaust_disk(false); });
    });
}

void World::disturb_workers() {
    for (const auto& machine : machines_) {
        if (chance(plan_.worker_crash_one_in_s)) {
            machine->crash(rng_.one_in(3));
            machine->restart_after(milliseconds(rng_.between(50, 6000)));
        }
        if (chance(plan_.worker_pause_one_in_s)) machine->pause(milliseconds(rng_.between(100, 10'000)));
        if (chance(plan_.worker_stop_one_in_s)) machine->ask_stop();
        if (chance(plan_.reset_one_in_s)) machine->reset_stream();
        if (chance(plan_.half_open_one_in_s)) machine->cut_silently();
        if (chance(plan_.stall_one_in_s))
            machine->stall(milliseconds(rng_.one_in(4) ? rng_.between(500, 60'000) : rng_.between(100, 4000)));
    }
    if (!chance(plan_.twin_one_in_s)) return;
    // A second process of the same name: the newer session wins.
    MachineShape shape = machines_[rng_.below(machines_.size())]->shape();
    machines_.push_back(std::make_unique<Machine>(plan_, net_, server_, checker_, std::move(shape), rng_.next()));
    machines_.back()->boot();
    timeline_.after(milliseconds(rng_.between(500, 5000)), [machine = machines_.back().get()] { machine->retire(); });
}

void World::disturb_server() {
    if (chance(plan_.pause_one_in_s)) server_.pause(milliseconds(rng_.between(100, 5000)));
    if (chance(plan_.stop_one_in_s)) server_.stop();
    if (chance(plan_.clock_jump_one_in_s))
        server_.jump_clock({rng_.between(-plan_.clock_jump_max.us, plan_.clock_jump_max.us)});
    if (chance(plan_.operator_one_in_s)) operate();
    if (plan_.watched) watch_tasks();
}

// Somebody watches all tasks, anew with each process of the server: what is shown must be durable and final.
void World::watch_tasks() {
    if (!server_.up() || server_.process() == watched_process_) return;
    watched_process_ = server_.process();
    server_.call([this](engine::Engine& engine) {
        engine.watch(1, {}, {}, std::make_shared<engine::TaskWatcher>([this](WallTime, const engine::TaskInfo& task) {
                         checker_.shown(task);
                         return true;
                     }));
    });
}

void World::plan_each_second(Instant at) {
    timeline_.at(at, [this, at] {
        if (healed_) return;
        disturb_workers();
        disturb_server();
        for (int i = 0; i < 3 && !known_.empty(); ++i) {
            const std::uint64_t any = rng_.below(checker_.works().size());
            if (!checker_.work(any).acked) continue;
            look(any);
            if (rng_.one_in(8)) redrive(any);
        }
        plan_each_second(at + seconds(1));
    });
}

void World::plan_lies() {
    if (healed_ || plan_.liars == 0) return;
    timeline_.after(milliseconds(rng_.between(50, 1000)), [this] {
        if (healed_) return;
        machines_[rng_.below(std::min(plan_.liars, plan_.workers))]->lie();
        plan_lies();
    });
}

void World::heal() {
    healed_ = true;
    server_.heal();
    net_.heal();
    for (const auto& machine : machines_) {
        machine->heal();
        if (!machine->alive()) machine->restart_after(milliseconds(100));
        machine->heal_if_hung();
    }
    freeze_one();
    // One worker that may run whatever no pin or label forbids, so that the work left has somewhere to go.
    MachineShape shape{.name = "spare",
                       .slots = 8,
                       .labels = {{"hw", "a"}, {"zone", "z1"}},
                       .offered = {.cpu_milli = -1, .memory_bytes = -1, .gpu_milli = -1, .custom = {}},
                       .types = {}};
    machines_.push_back(std::make_unique<Machine>(plan_, net_, server_, checker_, std::move(shape), rng_.next()));
    machines_.back()->heal();
    machines_.back()->boot();
    if (plan_.watched) watch_tasks();
    // Operators undo what would keep work waiting for ever.
    timeline_.after(seconds(20), [this] {
        server_.call([this](engine::Engine& engine) {
            for (const auto& machine : machines_)
                engine.answer(kOperator,
                              engine::ControlWorker{machine->shape().name, core::WorkerOrder::uncordon, "sim", "heal"},
                              [](Result<engine::WorkerInfo>) {});
            core::Config config = engine.core().config();
            for (core::QueueLimits& queue : config.queues) queue.paused = false;
            engine.answer(kOperator, engine::Configure{0, config::to_toml(config), "sim", "heal"},
                          [](Result<engine::Reconfigured>) {});
        });
    });
}

// One worker stands still for ever: the others finish all that is not pinned to it, and that expires [L11].
void World::freeze_one() {
    if (plan_.frozen) machines_[rng_.below(plan_.workers)]->freeze();
}

// ------------------------------------------------------------------------------------------------------------- clients

Work World::draw_work(bool other_body_of_last) {
    Work work;
    engine::Submission& item = work.submission;
    core::TaskSpec& spec = item.spec;
    spec.type = "t" + std::to_string(rng_.below(plan_.types));
    spec.tenant = "n" + std::to_string(rng_.below(plan_.tenants));
    spec.queue = "q" + std::to_string(rng_.below(3));
    spec.priority = static_cast<std::uint8_t>(rng_.below(10));
    spec.idempotent = rng_.one_in(4);
    spec.exclusive = !spec.idempotent && rng_.one_in(6);
    spec.preemptible = rng_.one_in(3);
    work.run = {rng_.between(plan_.run_min.us, plan_.run_max.us)};
    work.poison = plan_.poison_one_in != 0 && rng_.one_in(plan_.poison_one_in);
    work.keyed = !rng_.one_in(8);
    if (work.keyed) item.idempotency_key = "k" + std::to_string(checker_.works().size());
    if (rng_.one_in(50)) item.body.payload.assign(8 << 10, 'x');
    if (plan_.special_one_in != 0 && rng_.one_in(plan_.special_one_in)) make_special(spec, work);
    if (plan_.invalid_one_in != 0 && rng_.one_in(plan_.invalid_one_in)) spoil(work);
    if (other_body_of_last && !checker_.works().empty()) {
        const Work& last = checker_.works().back();
        if (last.keyed) {
            spec.tenant = last.submission.spec.tenant;
            item.idempotency_key = last.submission.idempotency_key;
            work.keyed = true;
        }
    }
    return work;
}

void World::spoil(Work& work) {
    work.invalid = true;
    engine::Submission& item = work.submission;
    switch (rng_.below(5)) {
        case 0: item.spec.type = "a/b"; break;
        case 1: item.spec.priority = 10; break;
        case 2: item.body.payload.assign((256 << 10) + 1, 'x'); break;
        case 3: item.spec.timeout = {-1}; break;
        default: item.spec.after = {TaskId{.hi = 1, .lo = 2}}; break;
    }
}

void World::make_special(core::TaskSpec& spec, Work& work) {
    const std::int64_t wall = server_.wall().us;
    switch (rng_.below(14)) {
        case 0:
            if (rng_.one_in(8)) {  // the time to live begins at run_at, so only a deadline ends it
                spec.run_at.us = wall + hours(24 * 3650).us;
                spec.deadline.us = wall + rng_.between(100'000, 20'000'000);
            } else {
                spec.run_at.us = wall + rng_.between(0, 20'000'000);
            }
            break;
        case 1: spec.deadline.us = wall + rng_.between(100'000, 20'000'000); break;
        case 2: spec.timeout = milliseconds(rng_.between(5, 3000)); break;
        case 3: spec.ttl = milliseconds(rng_.between(500, 30'000)); break;
        case 4: spec.labels_required = {{"zone", rng_.one_in(4) ? "nowhere" : "z1"}}; break;
        case 5: spec.labels_forbidden = {{"zone", "z1"}}; break;
        case 6: spec.pinned_worker = "w" + std::to_string(rng_.below(plan_.workers + 1)); break;
        case 7: spec.resources.cpu_milli = rng_.between(500, 5000); break;
        case 8:
            if (!known_.empty()) spec.after = {known_[rng_.below(known_.size())]};
            break;
        case 9: spec.ordering_key = "o" + std::to_string(rng_.below(2)); break;
        case 10:
            spec.concurrency_key = "c" + std::to_string(rng_.below(2));
            spec.concurrency_max = 2;  // one limit per key
            break;
        case 11:
            spec.rate_key = "r";
            spec.rate_per_1000s = static_cast<std::uint32_t>(rng_.between(500, 20'000));
            break;
        case 12:
            spec.retry = {.attempts_max = static_cast<std::uint32_t>(rng_.between(1, 4)),
                          .backoff_first = milliseconds(20),
                          .backoff_max = seconds(1)};
            break;
        default: work.run = {rng_.between(1, 100)}; break;
    }
}

void World::submit_new() {
    const SubmitRef submit = open_submit();
    const auto count = static_cast<std::uint32_t>(rng_.between(1, plan_.batch_max));
    for (std::uint32_t i = 0; i < count; ++i) {
        const bool other = i == 0 && plan_.other_body_one_in != 0 && rng_.one_in(plan_.other_body_one_in);
        Work& work = checker_.new_work(draw_work(other));
        submit->works.push_back(work.number);
        submit->keyed = submit->keyed && work.keyed;
    }
    send(submit);
}

World::SubmitRef World::open_submit() {
    ++submits_open_;
    return std::make_shared<Submit>(
        Submit{.delays = sdk::Backoff(std::chrono::milliseconds(50), std::chrono::seconds(2), rng_.next())});
}

void World::send(const SubmitRef& submit) {
    if (submit->settled) return;
    const std::uint32_t attempt = ++submit->tries;
    std::vector<engine::Submission> items;
    for (const std::uint64_t number : submit->works) items.push_back(checker_.work(number).submission);
    ask<std::vector<engine::Submitted>>(
        [items = std::move(items)](engine::Engine& engine, auto done) mutable {
            engine.answer(kClient, engine::SubmitTasks{std::move(items)}, std::move(done));
        },
        [this, submit, attempt](Result<std::vector<engine::Submitted>> answer) {
            if (!submit->settled && submit->tries == attempt) answered(submit, std::move(answer));
        });
    timeline_.after(kClientPatience, [this, submit, attempt] {
        if (submit->settled || submit->tries != attempt) return;
        submit->unknown = true;
        again(submit, {});
    });
}

// `advised`: the server said how long to wait at least.
void World::again(const SubmitRef& submit, Duration advised) {
    if (!submit->keyed && submit->unknown) {  // nobody may repeat what has no key
        submit->settled = true;
        --submits_open_;
        return;
    }
    checker_.saw("submit repeated");
    ++submit->tries;  // answers of earlier tries come too late
    timeline_.after(advised + Duration{submit->delays.next().count()}, [this, submit] { send(submit); });
}

void World::answered(const SubmitRef& submit, Result<std::vector<engine::Submitted>> answer) {
    if (answer) return acked(submit, *answer);
    const Fault fault = answer.error().fault;
    if (fault == Fault::unreachable) {
        submit->unknown = true;
        return again(submit, {});
    }
    checker_.saw(std::string("refused: ") + std::string(fault_name(fault)));
    if (!submit->unknown && !submit->repeat)
        for (const std::uint64_t number : submit->works)
            demand(!checker_.stored(number), "C2",
                   "work " + std::to_string(number) + " was refused (" + answer.error().what + ") but stored");
    if (fault == Fault::unavailable) return again(submit, {});
    if (fault == Fault::exhausted) return again(submit, kRetryAfter);
    const bool expected = fault == Fault::conflict || fault == Fault::invalid || fault == Fault::not_found;
    demand(expected, "S27",
           "a submission was answered with " + std::string(fault_name(fault)) + ": " + answer.error().what);
    demand(fault != Fault::conflict || plan_.other_body_one_in != 0, "C3",
           "a conflict though no key was used twice: " + answer.error().what);
    submit->settled = true;
    --submits_open_;
}

void World::acked(const SubmitRef& submit, const std::vector<engine::Submitted>& answer) {
    submit->settled = true;
    --submits_open_;
    demand(answer.size() == submit->works.size(), "C1", "an answer is missing");
    for (std::size_t i = 0; i < answer.size(); ++i) {
        const std::uint64_t number = submit->works[i];
        demand(!checker_.work(number).invalid, "C2", "work " + std::to_string(number) + " is invalid and was accepted");
        if (submit->repeat)
            demand(answer[i].duplicate || checker_.may_forget_key(checker_.work(number).acked), "C3",
                   "work " + std::to_string(number) + ": the repeated submission made a new task");
        if (submit->unknown && answer[i].duplicate) checker_.saw("duplicate submit after a lost reply");
        checker_.submit_acked(number, answer[i]);
        known_.push_back(answer[i].task);
        if (chance(plan_.cancel_one_in))
            timeline_.after(milliseconds(rng_.between(0, 5000)), [this, number] { cancel(number); });
    }
    if (!submit->keyed || submit->repeat || !chance(plan_.duplicate_one_in)) return;
    const SubmitRef repeat = open_submit();
    repeat->works = submit->works;
    repeat->repeat = true;
    timeline_.after(milliseconds(rng_.between(0, 5000)), [this, repeat] { send(repeat); });
}

void World::cancel(std::uint64_t number) {
    Work& work = checker_.work(number);
    work.cancel_asked = true;
    ask<engine::TaskInfo>(
        [task = work.acked](engine::Engine& engine, auto done) {
            engine.answer(kClient, engine::CancelTask{task, "the client wants it"}, std::move(done));
        },
        [this, number](Result<engine::TaskInfo> answer) {
            if (answer) return checker_.cancel_acked(number, answer->task);
            const bool fine = answer.error().fault == Fault::failed_state ||
                              answer.error().fault == Fault::unavailable || answer.error().fault == Fault::unreachable;
            demand(fine, "S1", "cancelling work " + std::to_string(number) + ": " + answer.error().what);
        });
}

void World::look(std::uint64_t number) {
    ask<engine::TaskInfo>(
        [task = checker_.work(number).acked](engine::Engine& engine, auto done) {
            engine.answer(kClient, engine::GetTask{task}, std::move(done));
        },
        [this, number](Result<engine::TaskInfo> answer) {
            if (answer) return checker_.shown(*answer);
            demand(answer.error().fault == Fault::unavailable || answer.error().fault == Fault::unreachable, "S1",
                   "work " + std::to_string(number) + " cannot be seen: " + answer.error().what);
        });
}

void World::redrive(std::uint64_t number) {
    ask<engine::Submitted>(
        [task = checker_.work(number).acked](engine::Engine& engine, auto done) {
            engine.answer(kClient, engine::RetryTask{task}, std::move(done));
        },
        [this](Result<engine::Submitted> answer) {
            if (answer) checker_.saw("re-driven");
        });
}

void World::operate() {
    const std::string worker = "w" + std::to_string(rng_.below(plan_.workers));
    const std::uint64_t kind = rng_.below(8);
    const std::uint64_t detail = rng_.below(1000);
    const WallTime expires{server_.wall().us + rng_.between(500'000, 10'000'000)};
    const TaskId task = known_.empty() ? TaskId{} : known_[rng_.below(known_.size())];
    server_.call([=, this](engine::Engine& engine) {
        const auto nothing = [](Result<engine::WorkerInfo>) {};
        const auto no_answer = [this](Result<engine::OverrideInfo> set) {
            if (set) checker_.operators().override_acked(set->set.number);
        };
        switch (kind) {
            case 0:
                return engine.answer(kOperator, engine::ControlWorker{worker, core::WorkerOrder::cordon, "sim", ""},
                                     nothing);
            case 1:
                return engine.answer(kOperator, engine::ControlWorker{worker, core::WorkerOrder::uncordon, "sim", ""},
                                     nothing);
            case 2:
                return engine.answer(
                    kOperator,
                    engine::ControlWorker{
                        worker, detail % 3 == 0 ? core::WorkerOrder::forget : core::WorkerOrder::uncordon, "sim", ""},
                    nothing);
            case 3:
                return engine.answer(kOperator, engine::ControlWorker{worker, core::WorkerOrder::drain, "sim", ""},
                                     nothing);
            case 4: {
                static constexpr core::PolicyKind kAll[] = {core::PolicyKind::predictive, core::PolicyKind::fcfs,
                                                            core::PolicyKind::least_loaded,
                                                            core::PolicyKind::round_robin};
                core::Config config = engine.core().config();
                config.policy = kAll[detail % 4];
                config.queues = {
                    {.name = "q1", .paused = detail % 3 == 0, .running_max = static_cast<std::uint32_t>(detail % 5)}};
                return engine.answer(kOperator, engine::Configure{0, config::to_toml(config), "sim", ""},
                                     [](Result<engine::Reconfigured>) {});
            }
            case 5:
                return engine.answer(
                    kOperator,
                    engine::SetOverride{
                        {.kind = core::OverrideKind::hold, .task = task, .type = task ? "" : "t0"}, expires, "sim", ""},
                    no_answer);
            case 6:
                if (detail % 3 == 0 && engine.core().override_count() > 0)
                    return engine.answer(kOperator,
                                         engine::ClearOverride{engine.core().overrides().front().number, "sim"},
                                         [](Result<std::uint64_t>) {});
                if (detail % 3 == 1)
                    return engine.answer(kOperator, engine::ResetType{"t1", "sim", "new disk"},
                                         [](Result<predict::TypeStat>) {});
                return engine.answer(
                    kOperator,
                    engine::SetOverride{
                        {.kind = core::OverrideKind::boost, .task = {}, .type = "t0", .boost = seconds(30)},
                        expires,
                        "sim",
                        ""},
                    no_answer);
            default:
                if (detail % 2 == 0)
                    return engine.answer(
                        kOperator,
                        engine::ForceEstimate{"t0", milliseconds(1 + static_cast<std::int64_t>(detail)), expires, "sim",
                                              ""},
                        [](Result<predict::TypeStat>) {});
                return engine.answer(
                    kOperator,
                    engine::SetOverride{
                        {.kind = core::OverrideKind::exclude, .task = {}, .type = "t0", .worker = worker},
                        expires,
                        "sim",
                        ""},
                    no_answer);
        }
    });
}

}  // namespace nexus::faults
