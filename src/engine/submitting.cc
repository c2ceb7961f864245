// Submitting, cancelling and re-driving tasks, and what operators change.

#include <algorithm>

#include "base/name.h"
#include "engine/body.h"
#include "engine/engine.h"
#include "engine/inbox.h"

namespace nexus::engine {
namespace {

constexpr Duration kBoostMax = hours(24 * 3650);

Error at_item(Error error, std::size_t item, std::size_t items) {
    return items == 1 ? error : Error{error.fault, "tasks[" + std::to_string(item) + "]." + error.what};
}

Result<void> admitted(const core::AdmissionAnswer& answer, const core::TaskSpec& spec, const core::Config& config) {
    switch (answer.admission) {
        case core::Admission::accepted:
        case core::Admission::duplicate: return {};
        case core::Admission::key_conflict:
            return fail(Fault::conflict,
                        "idempotency_key: taken by task " + to_text(answer.existing) + ", which has another body");
        case core::Admission::tasks_full:
            return fail(Fault::exhausted, "the scheduler holds as many tasks as tasks_max allows (" +
                                              std::to_string(config.tasks_max) + "); retry later");
        case core::Admission::tenant_full: {
            const auto tenant = std::ranges::find(config.tenants, spec.tenant, &core::TenantLimits::name);
            return fail(Fault::exhausted, "tenant: " + spec.tenant +
                                              " has as many waiting tasks as its waiting_max allows (" +
                                              std::to_string(tenant == config.tenants.end() ? 0 : tenant->waiting_max) +
                                              "); retry later");
        }
        case core::Admission::unknown_after:
            return fail(Fault::not_found, "after: task " + to_text(answer.existing) + " is not known (or no longer)");
    }
    return {};
}

}  // namespace

Result<void> check_tenant(const Caller& caller, const std::string& tenant) {
    if (caller.tenant.empty() || tenant == caller.tenant) return {};
    return fail(Fault::denied, "tenant: " + caller.name + " may touch only what is of tenant " + caller.tenant);
}

Result<void> keep_to_tenant(const Caller& caller, TaskFilter& filter) {
    if (filter.tenant.empty()) filter.tenant = caller.tenant;
    return check_tenant(caller, filter.tenant);
}

// Another tenant's task is no reason to wait, and whether there is one is nobody else's business.
Result<void> Engine::check_reach(const Caller& caller, const core::TaskSpec& spec) const {
    if (auto ok = check_tenant(caller, spec.tenant); !ok) return ok;
    for (const TaskId before : spec.after)
        if (live_.contains(before) && !sees(caller.tenant, before))
            return fail(Fault::not_found, "after: task " + to_text(before) + " is not known (or no longer)");
    return {};
}

void Engine::answer(const Caller& caller, SubmitTasks request, Done<std::vector<Submitted>> done) {
    using Answer = std::vector<Submitted>;
    std::vector<Submission>& items = request.items;
    drop_marks(request.untaken);
    // What is refused for now rests on nothing that must be stored first.
    if (refusal_) return done(std::unexpected(*refusal_));
    if (items.empty() || items.size() > SubmissionLimits{}.batch_max)
        return reply<Answer>(std::move(done), fail(Fault::invalid, "tasks: must be 1 to 1000"));
    // All or nothing: everything is checked before anything becomes an event.
    std::unordered_map<std::string, std::uint64_t> keys;
    std::uint64_t fresh_tasks = 0;
    std::unordered_map<std::string, std::uint64_t> fresh_of;  // by tenant
    std::uint64_t bytes = writer_.size_bytes() + put_bytes_;
    for (std::size_t i = 0; i < items.size(); ++i) {
        Submission& item = items[i];
        if (auto ok = check_submission(item, now_.wall); !ok)
            return reply<Answer>(std::move(done), std::unexpected(at_item(std::move(ok).error(), i, items.size())));
        if (auto ok = check_reach(caller, item.spec); !ok)
            return reply<Answer>(std::move(done), std::unexpected(at_item(std::move(ok).error(), i, items.size())));
        seal(item);
        std::uint64_t& fresh_here = fresh_of[item.spec.tenant];
        const core::AdmissionAnswer admission = admit(item, {.all = fresh_tasks, .of_tenant = fresh_here});
        if (auto ok = admitted(admission, item.spec, core_.config()); !ok)
            return reply<Answer>(std::move(done), std::unexpected(at_item(std::move(ok).error(), i, items.size())));
        const bool duplicate = admission.admission == core::Admission::duplicate;
        if (!duplicate) bytes += bytes_of(item);
        if (item.idempotency_key.empty()) {
            ++fresh_tasks;
            ++fresh_here;
            continue;
        }
        const auto [same, fresh] = keys.emplace(item.spec.tenant + '\n' + item.idempotency_key, item.spec.body_hash);
        if (fresh && !duplicate) {
            ++fresh_tasks;
            ++fresh_here;
        }
        if (!fresh && same->second != item.spec.body_hash)
            return reply<Answer>(
                std::move(done),
                std::unexpected(
                    at_item({Fault::conflict, "idempotency_key: used twice in this batch, with different bodies"}, i,
                            items.size())));
    }
    if (bytes > room_) return done(fail(Fault::exhausted, "the store is slower than the submissions; retry later"));
    Answer answer(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) submit_one(items[i], answer[i]);
    reply<Answer>(std::move(done), std::move(answer));
}

void Engine::drop_marks(const std::vector<TaskId>& tasks) {
    for (const TaskId task : tasks) marked_.erase(task);
    unmarked_.insert(unmarked_.end(), tasks.begin(), tasks.end());
}

void Engine::submit_one(Submission& item, Submitted& out) {
    if (!item.entry.empty() && (marked_.contains(item.task) || live_.contains(item.task))) {
        out.task = item.task;
        out.duplicate = true;
        return;
    }
    if (const core::AdmissionAnswer again = admit(item, {}); again.admission == core::Admission::duplicate) {
        out.task = again.existing;
        out.duplicate = true;
        if (const auto view = core_.task(again.existing)) out.estimate = view->estimate;
        return;
    }
    core::TaskSubmitted fact{.task = item.entry.empty() ? new_task_id() : item.task, .promise = true};
    const TaskId id = out.task = fact.task;
    if (!item.entry.empty()) {
        marked_.insert(id);
        batch_.journal.taken.push_back({.task = id, .body = std::move(item.entry)});
    }
    const core::Resources& asked = item.spec.resources;
    fact.estimate = learner_.submitted(id,
                                       {.type = item.spec.type,
                                        .tenant = item.spec.tenant,
                                        .queue = item.spec.queue,
                                        .payload_bytes = item.spec.payload_bytes,
                                        .hint = item.body.hint,
                                        .cpu_milli = asked.cpu_milli,
                                        .memory_bytes = asked.memory_bytes,
                                        .gpu_milli = asked.gpu_milli,
                                        .numbers = item.body.features.empty() ? nullptr : &item.body.features},
                                       now_.at);
    fact.spec = std::move(item.spec);
    note_submitted(fact);
    Live& live = live_[id];
    if (item.body.hint.us > 0) live.make_rare().hint = item.body.hint;
    if (!item.body.features.empty()) live.make_rare().features = item.body.features;
    journal::encode(core::Event{.at = now_.at, .what = fact}, item.body.spec);
    batch_.journal.puts.push_back({.task = id, .body = encode_body(item.body)});
    put_bytes_ += batch_.journal.puts.back().body.size();
    current_task_ = id;
    current_body_ = std::make_shared<const TaskBody>(std::move(item.body));  // shared with an assignment made at once
    out.estimate = fact.estimate;
    apply(std::move(fact));
    current_task_ = {};
    current_body_.reset();
    if (const auto eta = core_.eta(id)) {
        out.start_p50 = wall_of(eta->start_p50);
        out.start_p90 = wall_of(eta->start_p90);
        out.finish_p50 = wall_of(eta->finish_p50);
        out.finish_p90 = wall_of(eta->finish_p90);
        out.finish_p10 = wall_of(eta->finish_p10);
    }
    notify(id);
}

void Engine::answer(const Caller& caller, CancelTask request, Done<TaskInfo> done) {
    const TaskId task = request.task;
    if (!sees(caller.tenant, task)) {
        // Ended or never known: the history can tell.
        auto shared = std::make_shared<Done<TaskInfo>>(std::move(done));
        return answer(caller, GetTask{.task = task}, [shared](Result<TaskInfo> info) mutable {
            if (!info) return (*shared)(std::move(info));
            if (info->state == core::TaskState::cancelled) return (*shared)(std::move(info));  // repeating it is fine
            (*shared)(fail(Fault::failed_state,
                           "task " + to_text(info->task) + " has already ended: " + core::name_of(info->state)));
        });
    }
    core::Act act = act_of(caller, "", std::move(request.reason));
    if (auto ok = check_act(act); !ok) return reply<TaskInfo>(std::move(done), std::unexpected(std::move(ok).error()));
    TaskInfo info = info_of(task, false);
    info.error = act.reason.empty() ? "cancelled" : "cancelled: " + act.reason;
    apply(core::CancelRequested{.task = task, .act = std::move(act)});
    if (live_.contains(task)) {
        info = info_of(task, true);
    } else {
        info.state = core::TaskState::cancelled;
        info.finished = now_.wall;
    }
    reply<TaskInfo>(std::move(done), std::move(info));
}

// Ends an attempt that no worker was given, unless it is over already.
void Engine::end_attempt(TaskId task, AttemptId attempt, AttemptReport report) {
    const auto view = core_.task(task);
    if (!view || view->attempt != attempt) return;
    report.task = task;
    report.attempt = attempt;
    current_report_ = &report;
    apply(core::AttemptFinished{
        .task = task, .attempt = attempt, .outcome = report.outcome, .retryable = report.retryable, .run = {-1}});
    current_report_ = nullptr;
}

void Engine::fail_unreadable(TaskId task, AttemptId attempt, const std::string& why) {
    AttemptReport report{.outcome = core::AttemptOutcome::failed, .retryable = false};
    report.error = "its stored payload cannot be read: " + why;
    say(LogLevel::error, "body_unreadable", "task " + to_text(task) + ": " + report.error);
    end_attempt(task, attempt, std::move(report));
}

void Engine::give_back(TaskId task, AttemptId attempt) {
    AttemptReport report{.outcome = core::AttemptOutcome::rejected};
    report.error = "its stored payload could not be read in time";
    end_attempt(task, attempt, std::move(report));
}

// A key that an older release stored is compared by that release's hash.
core::AdmissionAnswer Engine::admit(const Submission& item, Before before) const {
    const core::TaskSpec& spec = item.spec;
    core::AdmissionAnswer answer = core_.admit(spec, before.all, before.of_tenant);
    if (answer.admission == core::Admission::key_conflict) {
        core::TaskSpec as_before = spec;
        as_before.body_hash = body_hash_before_8(item);
        if (const auto again = core_.admit(as_before); again.admission == core::Admission::duplicate) answer = again;
    }
    return answer;
}

void Engine::answer(const Caller& caller, RetryTask request, Done<Submitted> done) {
    const TaskId task = request.task;
    if (sees(caller.tenant, task))
        return reply<Submitted>(std::move(done),
                                fail(Fault::failed_state, "task " + to_text(task) + " has not ended yet"));
    if (refusal_) return reply<Submitted>(std::move(done), std::unexpected(*refusal_));
    ask(AskKeptBody{.task = task, .tenant = caller.tenant},
        [post = post, task, done = std::move(done)](Result<std::string> kept) mutable {
            if (!kept) return done(std::unexpected(std::move(kept).error()));
            post([kept = *std::move(kept), task, done = std::move(done)](Engine& engine) mutable {
                engine.resubmit(std::move(kept), task, std::move(done));
            });
        });
}

Result<Submission> Engine::redriven(std::string kept, TaskId old) const {
    auto body = decode_body(kept);
    if (!body) return std::unexpected(std::move(body).error());
    auto event = journal::decode(body->spec);
    auto* fact = event ? std::get_if<core::TaskSubmitted>(&event->what) : nullptr;
    if (fact == nullptr) return fail(Fault::corrupt, "the kept body of the task cannot be read");
    Submission again{.spec = std::move(fact->spec), .body = std::move(*body)};
    again.body.spec.clear();
    again.spec.redrive_of = old;
    again.spec.after.clear();
    if (again.spec.deadline <= now_.wall) again.spec.deadline = {};
    again.spec.idempotency_hi = again.spec.idempotency_lo = again.spec.body_hash = 0;
    return again;
}

// What makes a task is admitted by the same rules, whoever asks.
Result<void> Engine::admit_redrive(const Submission& again, std::uint64_t before) const {
    if (refusal_) return std::unexpected(*refusal_);
    if (writer_.size_bytes() + put_bytes_ + bytes_of(again) > room_)
        return fail(Fault::exhausted, "the store is slower than the submissions; retry later");
    return admitted(admit(again, {.all = before, .of_tenant = before}), again.spec, core_.config());
}

void Engine::resubmit(std::string kept, TaskId old, Done<Submitted> done) {
    auto again = redriven(std::move(kept), old);
    if (!again) return reply<Submitted>(std::move(done), std::unexpected(std::move(again).error()));
    if (auto ok = admit_redrive(*again, 0); !ok)
        return reply<Submitted>(std::move(done), std::unexpected(std::move(ok).error()));
    Submitted out;
    submit_one(*again, out);
    reply<Submitted>(std::move(done), std::move(out));
}

// ---- operators

// What cannot be audited is not done.
Result<void> Engine::may_act(const core::Act& act) const {
    if (audit_.full())
        return fail(Fault::exhausted, "the audit is full: the history does not take its entries; retry later");
    return check_act(act);
}

void Engine::answer(const Caller& caller, ControlWorker request, Done<WorkerInfo> done) {
    core::Act act = act_of(caller, std::move(request.author), std::move(request.reason));
    if (auto ok = may_act(act); !ok) return reply<WorkerInfo>(std::move(done), std::unexpected(std::move(ok).error()));
    const WorkerNo worker = core_.find_worker(request.name);
    if (!worker) return reply<WorkerInfo>(std::move(done), fail(Fault::not_found, "no worker '" + request.name + "'"));
    const bool forget = request.order == core::WorkerOrder::forget;
    if (forget)
        if (auto ok = may_forget(worker); !ok)
            return reply<WorkerInfo>(std::move(done), std::unexpected(std::move(ok).error()));
    WorkerInfo last = forget ? info_of(worker) : WorkerInfo{};
    apply(core::WorkerControlled{.name = std::move(request.name), .order = request.order, .act = std::move(act)});
    reply<WorkerInfo>(std::move(done), forget ? std::move(last) : info_of(worker));
}

Result<void> Engine::may_forget(WorkerNo number) const {
    const core::WorkerView worker = core_.worker(number);
    const std::string who = "worker " + std::string(worker.name);
    if (worker.connected) return fail(Fault::failed_state, who + " is connected: stop it first");
    if (worker.running + worker.paused + worker.prefetched > 0)
        return fail(Fault::failed_state, who +
                                             " is gone, but attempts of it may still run until their lease is over: "
                                             "try again in some seconds");
    for (const core::OverrideSet& set : core_.overrides())
        if (set.worker == worker.name)
            return fail(Fault::failed_state,
                        "override " + std::to_string(set.number) + " names " + who + ": clear it first");
    return {};
}

OverrideInfo Engine::info_of(core::OverrideSet set) const {
    OverrideInfo info{.set = {},
                      .expires = wall_of(set.expires),
                      .author = set.act.author.empty() ? set.act.caller : set.act.author,
                      .reason = set.act.reason};
    info.set = std::move(set);
    return info;
}

void Engine::answer(const Caller& caller, SetOverride request, Done<OverrideInfo> done) {
    core::OverrideSet& set = request.set;
    set.act = act_of(caller, std::move(request.author), std::move(request.reason));
    if (request.expires.us != 0) set.expires = Instant{request.expires.us - core_.wall_offset().us};
    if (auto ok = check_override(set); !ok)
        return reply<OverrideInfo>(std::move(done), std::unexpected(std::move(ok).error()));
    set.number = sequence_ + 1;  // the position of its event
    OverrideInfo info = info_of(set);
    apply(std::move(set));
    reply<OverrideInfo>(std::move(done), std::move(info));
}

Result<void> Engine::check_override(const core::OverrideSet& set) const {
    if (auto ok = may_act(set.act); !ok) return ok;
    if (!set.task && set.type.empty()) return fail(Fault::invalid, "task_id: an override names a task or a type");
    for (const auto& [field, name] : {std::pair{"type: ", &set.type}, std::pair{"worker: ", &set.worker}})
        if (!name->empty() && !is_name(*name)) return fail(Fault::invalid, field + std::string(kNameRule));
    if (set.boost > kBoostMax || set.boost < Duration{-kBoostMax.us})
        return fail(Fault::invalid, "boost_us: at most 10 years");
    if (set.expires <= now_.at) return fail(Fault::invalid, "expires_unix_us: lies in the past");
    if (set.task && !live_.contains(set.task))
        return fail(Fault::not_found, "task_id: no live task " + to_text(set.task));
    const bool wants_worker = set.kind == core::OverrideKind::pin || set.kind == core::OverrideKind::exclude;
    if (wants_worker && !core_.find_worker(set.worker))
        return fail(Fault::not_found, "worker: no worker '" + set.worker + "'");
    if (core_.override_count() >= core::kOverridesMax)
        return fail(Fault::exhausted,
                    std::to_string(core::kOverridesMax) + " overrides are in force; clear some first");
    return {};
}

void Engine::answer(const Caller& caller, ClearOverride request, Done<std::uint64_t> done) {
    using Answer = std::uint64_t;
    core::Act act = act_of(caller, std::move(request.author), "");
    if (auto ok = may_act(act); !ok) return reply<Answer>(std::move(done), std::unexpected(std::move(ok).error()));
    const Answer number = request.number;
    const auto in_force = core_.overrides();
    if (std::ranges::find(in_force, number, &core::OverrideSet::number) == in_force.end())
        return reply<Answer>(std::move(done), fail(Fault::not_found, "no override " + std::to_string(number)));
    apply(core::OverrideCleared{.number = number, .act = std::move(act)});
    reply<Answer>(std::move(done), number);
}

void Engine::answer(const Caller&, ListOverrides, Done<std::vector<OverrideInfo>> done) {
    std::vector<OverrideInfo> list;
    for (core::OverrideSet& set : core_.overrides())
        if (set.expires > now_.at) list.push_back(info_of(std::move(set)));  // else its timer comes at this turn's end
    reply<std::vector<OverrideInfo>>(std::move(done), std::move(list));
}

void Engine::answer(const Caller&, ListTypes, Done<TypesInfo> done) {
    learner_.predictor().drop_expired(now_.at);
    TypesInfo info{.types = {}, .accuracy = learner_.predictor().accuracy()};
    for (predict::TypeStat& stat : learner_.predictor().types()) info.types.push_back(with_promises(std::move(stat)));
    reply<TypesInfo>(std::move(done), std::move(info));
}

TypeInfo Engine::with_promises(predict::TypeStat stat) const {
    TypeInfo info{std::move(stat), {}, {}, {}};
    const auto number = name_numbers_.find(info.type);
    if (number == name_numbers_.end()) return info;
    info.slot_time = lately_.types.of(number->second);
    info.last_ended = lately_.types.newest(number->second);
    if (const auto told = promises_of_types_.find(number->second); told != promises_of_types_.end())
        info.promises = told->second;
    return info;
}

void Engine::answer(const Caller&, GetType request, Done<TypeInfo> done) {
    learner_.predictor().drop_expired(now_.at);
    auto stat = learner_.predictor().type(request.type);
    if (!stat) return reply<TypeInfo>(std::move(done), std::unexpected(std::move(stat).error()));
    reply<TypeInfo>(std::move(done), with_promises(*std::move(stat)));
}

void Engine::answer(const Caller& caller, ResetType request, Done<TypeInfo> done) {
    using Answer = TypeInfo;
    core::Act act = act_of(caller, std::move(request.author), std::move(request.reason));
    if (auto ok = may_act(act); !ok) return reply<Answer>(std::move(done), std::unexpected(std::move(ok).error()));
    if (!learner_.predictor().observed(request.type))
        return reply<Answer>(std::move(done), fail(Fault::not_found, "type '" + request.type + "' was never observed"));
    apply(core::TypeReset{.type = request.type, .act = std::move(act)});
    Answer stat;
    stat.type = std::move(request.type);
    reply<Answer>(std::move(done), std::move(stat));
}

void Engine::answer(const Caller& caller, ForceEstimate request, Done<TypeInfo> done) {
    using Answer = TypeInfo;
    core::EstimateForced forced{.type = request.type,
                                .estimate = request.estimate,
                                .act = act_of(caller, std::move(request.author), std::move(request.reason))};
    if (request.expires.us != 0) forced.expires = Instant{request.expires.us - core_.wall_offset().us};
    if (auto ok = check_forced(forced); !ok)
        return reply<Answer>(std::move(done), std::unexpected(std::move(ok).error()));
    apply(std::move(forced));
    auto stat = learner_.predictor().type(request.type);
    reply<Answer>(std::move(done),
                  with_promises(stat ? *std::move(stat) : predict::TypeStat{.type = std::move(request.type)}));
}

Result<void> Engine::check_forced(const core::EstimateForced& forced) const {
    if (auto ok = may_act(forced.act); !ok) return ok;
    if (!is_name(forced.type)) return fail(Fault::invalid, "type: " + std::string(kNameRule));
    if (forced.estimate.us < 0) return fail(Fault::invalid, "estimate_us: must not be negative");
    if (forced.estimate.us > 0 && forced.expires <= now_.at)
        return fail(Fault::invalid, "expires_unix_us: lies in the past");
    const auto in_force = core_.forced_estimates();
    const bool known =
        std::ranges::any_of(in_force, [&](const core::EstimateForced& one) { return one.type == forced.type; });
    if (!known && forced.estimate.us > 0 && in_force.size() >= core::kForcedMax)
        return fail(Fault::exhausted, std::to_string(core::kForcedMax) + " estimates are forced; take some back first");
    return {};
}

}  // namespace nexus::engine
