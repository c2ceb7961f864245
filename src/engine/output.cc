// What attempts write: asked of their workers while they run, of what is kept afterwards. A question to a worker is an order
// beside the journal: it changes nothing, and nothing is decided by its answer.
//
// An attempt that is cancelled or timed out is over here at once, and on its worker some time later: until its report
// comes it can be looked at as before, and what the report brings is kept, though it changes nothing any more.

#include <algorithm>
#include <utility>

#include "engine/attempt_result.h"
#include "engine/body.h"
#include "engine/engine.h"

namespace nexus::engine {
namespace {

constexpr std::size_t kLooksMax = 256;      // questions that wait for workers
constexpr Duration kLookWait = seconds(2);  // for the answer of one
// Attempts whose reports are waited for; the oldest are given up. As many as one worker may have slots.
constexpr std::size_t kRevokedMax = 4096;

bool is_held(const core::TaskView& view) {
    return view.state == core::TaskState::assigned || view.state == core::TaskState::running ||
           view.state == core::TaskState::paused;
}

}  // namespace

void Engine::answer(const Caller& caller, ReadOutput request, Done<OutputText> done) {
    const auto view = sees(caller.tenant, request.task) ? core_.task(request.task) : std::nullopt;
    const std::uint32_t made = view ? view->attempts : 0;
    if (view && is_held(*view) && (request.attempt == 0 || request.attempt == made)) {
        const core::WorkerView worker = core_.worker(view->worker);
        if (view->started_at == kNever)  // on its way: its handler cannot have written anything
            return reply<OutputText>(std::move(done),
                                     OutputText{.number = made, .running = true, .worker = std::string(worker.name)});
        return look_at({.task = request.task,
                        .attempt = view->attempt,
                        .number = made,
                        .session = worker.session,
                        .worker = std::string(worker.name),
                        .done = std::move(done)},
                       request.out_from, request.err_from);
    }
    if (view && made == 0)
        return reply<OutputText>(
            std::move(done), fail(Fault::failed_state, "task " + to_text(request.task) + " has not started: it waits"));
    const std::uint32_t number = view && request.attempt == 0 ? made : request.attempt;
    const auto stopping = std::ranges::find_if(revoked_, [&](const Revoked& each) {
        const bool theirs =
            caller.tenant.empty() || (each.tenant < names_.size() && names_[each.tenant] == caller.tenant);
        return theirs && each.task == request.task && (number == 0 ? each.last : each.number == number);
    });
    if (stopping != revoked_.end() && sessions_.contains(stopping->session))
        return look_at({.task = request.task,
                        .attempt = stopping->attempt,
                        .number = stopping->number,
                        .session = stopping->session,
                        .worker = sessions_[stopping->session].name,
                        .done = std::move(done)},
                       request.out_from, request.err_from);
    AskOutput asked{.task = request.task, .number = number, .attempt = {}, .made = made, .tenant = caller.tenant};
    if (const Live* live = view ? live_.find(request.task) : nullptr; live != nullptr && live->rare())
        for (const AttemptInfo& ended : live->rare()->ended)
            if (ended.number == number) asked.attempt = ended.attempt;
    ask_kept(std::move(asked), std::move(done));
}

void Engine::ask_kept(AskOutput asked, Done<OutputText> done) {
    std::string worker;
    if (const Live* live = live_.find(asked.task); live != nullptr && live->rare())
        for (const AttemptInfo& ended : live->rare()->ended)
            if (ended.attempt == asked.attempt) worker = ended.worker;
    ask(std::move(asked), [worker = std::move(worker), done = std::move(done)](Result<OutputText> text) mutable {
        if (text && text->worker.empty()) text->worker = std::move(worker);
        done(std::move(text));
    });
}

void Engine::look_at(Look look, std::uint64_t out_from, std::uint64_t err_from) {
    const auto refuse = [&](Fault fault, std::string why) {
        reply<OutputText>(std::move(look.done), fail(fault, std::move(why)));
    };
    if (looks_.size() >= kLooksMax)
        return refuse(Fault::exhausted, "too many questions about what attempts write wait for workers; retry later");
    if (!sessions_.contains(look.session))
        return refuse(Fault::unreachable, "worker " + look.worker + " is not connected; try again");
    look.until = now_.at + kLookWait;
    orders_for(look.session)
        .looks.push_back({.task = look.task,
                          .attempt = look.attempt,
                          .number = ++looks_made_,
                          .out_from = out_from,
                          .err_from = err_from});
    looks_.emplace(looks_made_, std::move(look));
}

void Engine::looked(SessionId session, OutputPart part) {
    const auto found = looks_.find(part.number);
    if (found == looks_.end() || found->second.session != session || found->second.attempt != part.attempt) return;
    Look look = std::move(found->second);
    looks_.erase(found);
    const auto view = core_.task(look.task);
    const bool held = view && is_held(*view) && view->attempt == look.attempt;
    if (!part.running && !held)  // it has ended meanwhile
        return ask_kept(
            {.task = look.task, .number = look.number, .attempt = {}, .made = view ? view->attempts : 0, .tenant = {}},
            std::move(look.done));
    reply<OutputText>(std::move(look.done), OutputText{.number = look.number,
                                                       .running = part.running,
                                                       .out = std::move(part.out),
                                                       .err = std::move(part.err),
                                                       .out_from = part.out_from,
                                                       .err_from = part.err_from,
                                                       .result = {},
                                                       .worker = std::move(look.worker)});
}

// Whose worker is gone, or has been silent for too long, is answered now.
void Engine::settle_looks() {
    for (auto at = looks_.begin(); at != looks_.end();) {
        Look& look = at->second;
        const bool gone = !sessions_.contains(look.session);
        if (!gone && now_.at < look.until) {
            ++at;
            continue;
        }
        const std::string why = gone ? " is gone" : " did not answer within 2 s";
        reply<OutputText>(std::move(look.done),
                          fail(Fault::unreachable, "worker " + look.worker + why + "; try again"));
        at = looks_.erase(at);
    }
    while (!revoked_.empty() && !sessions_.contains(revoked_.front().session)) revoked_.pop_front();
}

void Engine::give_up_looks() {
    for (auto& [number, look] : std::exchange(looks_, {}))
        reply<OutputText>(std::move(look.done), fail(Fault::unavailable, "the server is stopping"));
}

// ---- attempts that are over here before their worker has reported them

void Engine::remember_revoked(const core::RevokeAttempt& order) {
    // Their reports say nothing that anybody waits for.
    if (order.reason == core::RevokeReason::superseded || order.reason == core::RevokeReason::recalled) return;
    Revoked revoked{.task = order.task, .attempt = order.attempt, .session = order.session};
    if (const auto view = core_.task(order.task)) revoked.number = view->attempts;
    const Live* live = live_.find(order.task);
    if (live != nullptr) revoked.tenant = key_of(*live).tenant;
    if (live != nullptr && live->rare())
        for (const AttemptInfo& ended : live->rare()->ended)
            if (ended.attempt == order.attempt) revoked.number = ended.number;
    if (revoked_.size() >= kRevokedMax) revoked_.pop_front();
    revoked_.push_back(std::move(revoked));
}

void Engine::forget_revoked(AttemptId attempt) {
    std::erase_if(revoked_, [&](const Revoked& each) { return each.attempt == attempt; });
}

// The report that is being carried out is stale. What the attempt wrote is kept all the same, when it was stopped by us.
void Engine::keep_late_result(const core::AnswerReport& answer) {
    const auto found = std::ranges::find(revoked_, answer.attempt, &Revoked::attempt);
    if (found == revoked_.end() || found->session != answer.session) return;
    revoked_.erase(found);
    if (current_report_ == nullptr || current_report_->result.empty()) return;
    batch_.journal.results.push_back(
        {.task = place_of_result(answer.attempt), .body = marked(LeftBehind::What::result, current_report_->result)});
}

}  // namespace nexus::engine
