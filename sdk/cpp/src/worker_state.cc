#include "worker_state.h"

#include <algorithm>

namespace nexus::sdk {
namespace {

constexpr std::size_t kHeartbeatsRemembered = 64;

Micros after(Micros now, Micros span) {
    return span >= WorkerState::kNever - now ? WorkerState::kNever : now + span;
}

Ending ending_of(Outcome::Kind kind) {
    switch (kind) {
        case Outcome::Kind::succeeded: return Ending::succeeded;
        case Outcome::Kind::failed: return Ending::failed;
        case Outcome::Kind::cancelled: return Ending::cancelled;
        case Outcome::Kind::out_of_memory: return Ending::out_of_memory;
        case Outcome::Kind::rejected: return Ending::rejected;
    }
    return Ending::failed;
}

// How an attempt that was asked to stop, and did not succeed, is reported. One that we cut for our own reasons (a
// stop, a fence) is `rejected`: the server gives it to another worker without counting a failure against the task.
Ending ending_of(CancelReason reason) {
    switch (reason) {
        case CancelReason::none: return Ending::failed;
        case CancelReason::cancelled:
        case CancelReason::superseded:
        case CancelReason::preempted: return Ending::cancelled;
        case CancelReason::timed_out: return Ending::timed_out;
        case CancelReason::fenced:
        case CancelReason::stopping: return Ending::rejected;
    }
    return Ending::failed;
}

// "1.5 s"
std::string seconds_text(Micros span) {
    const std::string fraction = std::to_string(1'000'000 + span.count() % 1'000'000).substr(1, 3);
    const std::size_t digits = fraction.find_last_not_of('0') + 1;
    return std::to_string(span.count() / 1'000'000) + (digits > 0 ? "." + fraction.substr(0, digits) : "") + " s";
}

std::string sentence_for(CancelReason reason, Micros timeout) {
    switch (reason) {
        case CancelReason::none: return "the handler ended as cancelled, though nobody asked it to";
        case CancelReason::cancelled: return "cancelled by the user";
        case CancelReason::superseded: return "another attempt is current";
        case CancelReason::timed_out:
            return timeout > Micros(0) ? "stopped, since it ran longer than its timeout of " + seconds_text(timeout)
                                       : "stopped, since its timeout passed";
        case CancelReason::preempted: return "preempted by a more important task";
        case CancelReason::fenced:
            return "stopped, since the server was out of reach for too long and the task is exclusive";
        case CancelReason::stopping: return "stopped, since the worker ended before it was done";
    }
    return "";
}

CancelReason reason_of(Revocation revocation) {
    switch (revocation) {
        case Revocation::superseded: return CancelReason::superseded;
        case Revocation::timed_out: return CancelReason::timed_out;
        case Revocation::preempted: return CancelReason::preempted;
        case Revocation::cancelled:
        case Revocation::recalled: break;  // of one that waits: nobody is asked to stop
    }
    return CancelReason::cancelled;
}

}  // namespace

WorkerState::WorkerState(const WorkerRules& rules, std::uint64_t seed)
    : rules_(rules),
      backoff_(rules.reconnect_first, rules.reconnect_max, seed),
      name_backoff_(rules.name_retry_min, rules.name_retry_max - rules.name_retry_min, ~seed) {}

// ------------------------------------------------------------------------------------------------------- the stream

void WorkerState::start(Micros now) {
    reconnect_at_ = now;
    time_passed(now);
}

void WorkerState::welcomed(Micros now, const Welcomed& welcome) {
    if (over_ || link_ != Link::opening) return;
    link_ = Link::up;
    welcome_by_ = kNever;
    lease_ = welcome.lease;
    heartbeat_every_ = std::max(welcome.heartbeat, Micros(std::chrono::milliseconds(10)));
    heartbeat_at_ = now;
    heartbeats_sent_.clear();
    contact_at_ = hello_at_;
    fenced_ = false;
    backoff_.reset();
    name_backoff_.reset();

    for (const std::string& id : welcome.abandon) {
        Held* const held = find(id);
        if (held == nullptr) continue;
        if (held->handler_running) cancel(now, *held, CancelReason::superseded, rules_.cancel_grace);
        forget(*held);
    }
    for (Held* held : by_id()) {
        if (!held->told) continue;
        if (held->report)
            tell(finished_unsent_, *held);
        else if (held->handler_running)
            tell(started_unsent_, *held);
    }
    time_passed(now);
}

void WorkerState::stream_lost(Micros now) {
    if (!over_ && link_ != Link::down) go_down(now, backoff_.next());
}

void WorkerState::go_down(Micros now, Micros delay) {
    link_ = Link::down;
    welcome_by_ = heartbeat_at_ = kNever;
    reconnect_at_ = after(now, delay);
    hello_due_ = heartbeat_due_ = false;
    for (Unsent* list : {&started_unsent_, &paused_unsent_, &finished_unsent_, &progress_unsent_}) list->clear();
    written_unsent_.clear();
    for (auto& [id, held] : held_) {
        held.unsent = 0;
        held.progress_new = false;
    }
    capacity_told_.reset();
    settle(now);
}

void WorkerState::close_stream(Micros now, Micros delay) {
    actions_.push_back({.what = Action::What::close_stream});
    go_down(now, delay);
}

void WorkerState::finish(int exit_code) {
    if (link_ != Link::down) actions_.push_back({.what = Action::What::close_stream});
    link_ = Link::down;
    over_ = true;
    actions_.push_back({.what = Action::What::stop, .exit_code = exit_code});
}

void WorkerState::reconnect_asked(Micros now) {
    if (!over_ && link_ != Link::down) close_stream(now, backoff_.uniform(rules_.reconnect_first));
}

void WorkerState::name_in_use(Micros now) {
    if (!over_ && link_ != Link::down) close_stream(now, rules_.name_retry_min + name_backoff_.next());
}

void WorkerState::refused() {
    if (!over_) finish(2);
}

void WorkerState::heartbeat_acknowledged(Micros now, std::uint64_t sequence) {
    while (!heartbeats_sent_.empty() && heartbeats_sent_.front().first <= sequence) {
        contact_at_ = std::max(contact_at_, heartbeats_sent_.front().second);
        heartbeats_sent_.pop_front();
    }
    time_passed(now);
}

void WorkerState::drain_asked(Micros now) {
    draining_ = true;
    reject_queued("the worker is draining");
    settle(now);
}

// --------------------------------------------------------------------------------------------------------- attempts

WorkerState::Held* WorkerState::find(std::string_view attempt_id) {
    const auto at = held_.find(attempt_id);
    return at == held_.end() ? nullptr : &at->second;
}

std::vector<WorkerState::Held*> WorkerState::by_id() {
    std::vector<Held*> all;
    for (auto& [id, held] : held_) all.push_back(&held);
    std::sort(all.begin(), all.end(), [](const Held* a, const Held* b) { return *a->id < *b->id; });
    return all;
}

void WorkerState::assigned(Micros now, Assigned assignment) {
    if (over_ || link_ != Link::up) return;
    const auto [at, is_new] = held_.try_emplace(std::move(assignment.attempt_id));
    if (!is_new) return;
    draining_ = false;
    Held& held = at->second;
    held.id = &at->first;
    held.task_id = std::move(assignment.task_id);
    held.number = ++arrivals_;
    held.exclusive = assignment.exclusive;
    held.timeout = assignment.timeout;
    held.assigned_at = now;
    if (assignment.deadline_in > Micros(0)) set_timer(held, after(now, assignment.deadline_in));
    held.older = newest_;
    (newest_ != nullptr ? newest_->newer : oldest_) = &held;
    newest_ = &held;
    if (unoffered_ == nullptr) unoffered_ = &held;
    ++queued_;
    if (stopping_) reject(held, "the worker is stopping");
    settle(now);
    // What could not start waits for a slot; more is more than the server may send.
    if (held.queued && queued_ > std::size_t{rules_.slots} + rules_.prefetch_max)
        reject(held, "the worker has no free slot");
}

void WorkerState::revoked(Micros now, std::string_view attempt_id, Revocation revocation, Micros grace) {
    Held* const held = find(attempt_id);
    if (over_ || held == nullptr) return;
    if (revocation == Revocation::recalled) {
        if (held->queued) end(*held, Report{.ending = Ending::recalled, .error = {}});
        return settle(now);
    }
    const CancelReason reason = reason_of(revocation);
    if (held->handler_running && !held->report) {
        cancel(now, *held, reason, grace > Micros(0) ? grace : rules_.cancel_grace);
        if (reason == CancelReason::superseded) forget(*held);
    } else if (reason == CancelReason::superseded) {
        forget(*held);
    } else if (held->queued) {
        end(*held, Report{.ending = ending_of(reason), .error = sentence_for(reason, held->timeout)});
    }
    settle(now);
}

void WorkerState::pause_asked(Micros now, std::string_view attempt_id, std::uint32_t turn, bool pause) {
    Held* const held = find(attempt_id);
    if (over_ || held == nullptr) return;
    if (!held->handler_running || !held->told || held->report || held->cancel != CancelReason::none) return;
    held->turn = turn;
    if (held->paused == pause) return handler_paused(now, attempt_id, pause);
    actions_.push_back({.what = pause ? Action::What::pause : Action::What::resume, .attempt_id = *held->id});
}

void WorkerState::handler_paused(Micros now, std::string_view attempt_id, bool paused) {
    Held* const held = find(attempt_id);
    if (held == nullptr || !held->handler_running || held->cancel != CancelReason::none) return;
    set_paused(now, *held, paused);
    if (link_ == Link::up) tell(paused_unsent_, *held);
    settle(now);
}

void WorkerState::set_paused(Micros now, Held& held, bool paused) {
    if (held.paused == paused) return;
    held.paused = paused;
    if (paused) {
        leave_slot(held, now);
        held.paused_at = now;
        held.timeout_left = held.timer == kNever ? kNever : held.timer - now;
        set_timer(held, kNever);
    } else {
        held.in_slot = true;
        ++slots_used_;
        if (!slots_free_.empty()) slots_free_.pop_back();
        held.paused_for += now - held.paused_at;
        set_timer(held, held.timeout_left == kNever ? kNever : after(now, held.timeout_left));
    }
}

void WorkerState::report_acknowledged(Micros now, std::string_view attempt_id) {
    Held* const held = find(attempt_id);
    if (held == nullptr || !held->report) return;
    held->report.reset();
    held->told = false;
    remove_if_done(*held);
    settle(now);
}

void WorkerState::handler_ended(Micros now, std::string_view attempt_id, const Outcome& outcome, Micros run,
                                std::string_view next, Micros next_at) {
    if (Held* const held = find(attempt_id); held != nullptr && held->handler_running) {
        set_paused(now, *held, false);
        held->handler_running = false;
        leave_slot(*held, next_at > Micros(0) ? next_at : now);
        if (held->withheld) --slots_withheld_;
        held->withheld = false;
        set_timer(*held, kNever);
        if (held->told && !held->report)
            end(*held, conclude(*held, outcome, run));
        else
            remove_if_done(*held);
    }
    begin_offered(next, next_at);
    settle(now);
}

void WorkerState::handler_joined(Micros now, std::string_view attempt_id, Micros at, std::string_view next) {
    begin_offered(attempt_id, at);
    if (Held* const held = find(attempt_id)) leave_slot(*held, at);
    begin_offered(next, at);
    settle(now);
}

void WorkerState::begin_offered(std::string_view attempt_id, Micros at) {
    if (attempt_id.empty()) return;
    if (Held* const held = find(attempt_id); held != nullptr && held->queued) begin(*held, at);
}

void WorkerState::progressed(Micros now, std::string_view attempt_id, double fraction, std::string note) {
    Held* const held = find(attempt_id);
    if (held == nullptr || !held->handler_running || !held->told || held->report) return;
    held->progress = fraction >= 0 ? std::min(fraction, 1.0) : 0;  // not a number counts as nothing done
    note.resize(std::min(note.size(), rules_.note_bytes_max));
    held->progress_note = std::move(note);
    if (!held->progress_new && link_ == Link::up) {
        held->progress_new = true;
        tell(progress_unsent_, *held);
    }
    progress_due_ = now >= progress_at_;
}

void WorkerState::looked(WrittenEntry answer) {
    if (link_ != Link::up) return;
    for (std::string* bytes : {&answer.written.out, &answer.written.err})
        bytes->resize(std::min(bytes->size(), rules_.written_bytes_max));
    written_unsent_.push_back(std::move(answer));
}

Report WorkerState::conclude(const Held& held, const Outcome& outcome, Micros run) const {
    Report report{.ending = ending_of(outcome.kind()),
                  .result = outcome.result(),
                  .error = outcome.error(),
                  .retryable = outcome.retryable(),
                  .run = std::max(run - held.paused_for, Micros(0)),
                  .peak_memory_bytes = outcome.peak_memory_bytes()};
    const bool asked_to_stop = held.cancel != CancelReason::none;
    const bool gave_up_unasked = report.ending == Ending::cancelled;
    if (report.ending != Ending::succeeded && (asked_to_stop || gave_up_unasked)) {
        report.ending = ending_of(held.cancel);
        if (report.error.empty()) report.error = sentence_for(held.cancel, held.timeout);
    }
    if (report.result.size() > rules_.result_bytes_max) {
        report.error = "the result has " + std::to_string(report.result.size()) + " bytes; at most " +
                       std::to_string(rules_.result_bytes_max) + " can be kept";
        report.result.clear();
        report.ending = Ending::failed;
        report.retryable = false;
    }
    return report;
}

// The handler may run on; for the server the attempt is over once this report is acknowledged.
void WorkerState::end(Held& held, Report report) {
    report.task_id = held.task_id;
    report.attempt_id = *held.id;
    report.error.resize(std::min(report.error.size(), rules_.error_bytes_max));
    held.report = std::move(report);
    leave_queue(held);
    if (link_ == Link::up) tell(finished_unsent_, held);
}

void WorkerState::reject(Held& held, std::string_view why) {
    end(held, Report{.ending = Ending::rejected, .error = std::string(why)});
}

void WorkerState::reject_queued(std::string_view why) {
    while (oldest_ != nullptr) reject(*oldest_, why);
}

void WorkerState::forget(Held& held) {
    held.told = false;
    held.report.reset();
    leave_queue(held);
    remove_if_done(held);
}

void WorkerState::remove_if_done(Held& held) {
    if (held.handler_running || held.told) return;
    set_timer(held, kNever);
    if (held.unsent > 0)
        for (Unsent* list : {&started_unsent_, &paused_unsent_, &finished_unsent_, &progress_unsent_})
            std::erase(*list, &held);
    actions_.push_back({.what = Action::What::drop, .attempt_id = *held.id});
    held_.erase(held_.find(*held.id));
}

void WorkerState::tell(Unsent& list, Held& held) {
    list.push_back(&held);
    ++held.unsent;
}

void WorkerState::cancel(Micros now, Held& held, CancelReason reason, Micros grace) {
    if (held.cancel == CancelReason::none) {
        held.cancel = reason;
        if (held.paused) actions_.push_back({.what = Action::What::resume, .attempt_id = *held.id});
        set_paused(now, held, false);
        actions_.push_back({.what = Action::What::cancel, .attempt_id = *held.id, .reason = reason});
        set_timer(held, after(now, grace));
    }
}

void WorkerState::set_timer(Held& held, Micros when) {
    if (held.timer == when) return;
    const bool was_set = held.timer != kNever;
    held.timer = when;
    if (!was_set) {
        held.timer_place = timers_.size();
        timers_.push_back(&held);
    }
    std::size_t place = held.timer_place;
    if (when == kNever) {  // the last one takes its place
        timers_[place] = timers_.back();
        timers_[place]->timer_place = place;
        timers_.pop_back();
        if (place == timers_.size()) return;
    }
    settle_timer(place);
}

// The heap is in order but for the entry at `place`.
void WorkerState::settle_timer(std::size_t place) {
    const auto earlier = [this](std::size_t a, std::size_t b) {
        return std::pair(timers_[a]->timer, timers_[a]->number) < std::pair(timers_[b]->timer, timers_[b]->number);
    };
    const auto swap = [this](std::size_t a, std::size_t b) {
        std::swap(timers_[a], timers_[b]);
        timers_[a]->timer_place = a;
        timers_[b]->timer_place = b;
    };
    for (; place > 0 && earlier(place, (place - 1) / 2); place = (place - 1) / 2) swap(place, (place - 1) / 2);
    for (;;) {
        std::size_t first = place;
        for (std::size_t child = 2 * place + 1; child <= 2 * place + 2 && child < timers_.size(); ++child)
            if (earlier(child, first)) first = child;
        if (first == place) return;
        swap(place, first);
        place = first;
    }
}

void WorkerState::timer_fired(Micros now, Held& held) {
    set_timer(held, kNever);
    if (held.queued) {
        reject(held, "its deadline passed before a slot was free");
    } else if (held.cancel == CancelReason::none) {
        cancel(now, held, CancelReason::timed_out, rules_.cancel_grace);
    } else {
        held.withheld = held.in_slot;
        slots_withheld_ += held.in_slot ? 1 : 0;
        if (!held.told) return;
        end(held, Report{.ending = ending_of(held.cancel),
                         .error = sentence_for(held.cancel, held.timeout) + "; its handler has not returned"});
    }
}

bool WorkerState::task_runs_here(const Held& wanted) const {
    return std::any_of(held_.begin(), held_.end(), [&](const auto& entry) {
        return entry.second.handler_running && entry.second.task_id == wanted.task_id;
    });
}

bool WorkerState::task_held_twice(const Held& wanted) const {
    return std::any_of(held_.begin(), held_.end(), [&](const auto& entry) {
        return &entry.second != &wanted && entry.second.task_id == wanted.task_id;
    });
}

void WorkerState::start_queued(Micros now) {
    if (now >= start_until()) return;
    for (Held* next = oldest_; next != nullptr && slots_used_ < rules_.slots;) {
        Held& held = *std::exchange(next, next->newer);
        if (held.exclusive && task_runs_here(held)) continue;  // an older attempt has not returned yet
        begin(held, now);
        actions_.push_back({.what = Action::What::start, .attempt_id = *held.id});
    }
}

void WorkerState::begin(Held& held, Micros at) {
    leave_queue(held);
    held.handler_running = held.in_slot = true;
    held.started_at = at;
    ++slots_used_;
    if (!slots_free_.empty()) {
        held.slot_free = std::max(at - slots_free_.back(), Micros(0));
        slots_free_.pop_back();
    }
    set_timer(held, held.timeout > Micros(0) ? after(at, held.timeout) : kNever);
    if (link_ == Link::up) tell(started_unsent_, held);
}

void WorkerState::leave_queue(Held& held) {
    if (!held.queued) return;
    held.queued = false;
    --queued_;
    set_timer(held, kNever);
    if (unoffered_ == &held) unoffered_ = held.newer;
    (held.older != nullptr ? held.older->newer : oldest_) = held.newer;
    (held.newer != nullptr ? held.newer->older : newest_) = held.older;
    held.older = held.newer = nullptr;
}

void WorkerState::leave_slot(Held& held, Micros at) {
    if (!std::exchange(held.in_slot, false)) return;
    --slots_used_;
    slots_free_.push_back(at);
}

std::vector<std::string_view> WorkerState::take_offers() {
    std::vector<std::string_view> offers;
    if (link_ != Link::up || fenced_ || over_) return offers;
    for (; unoffered_ != nullptr; unoffered_ = unoffered_->newer) {
        if (unoffered_->exclusive && task_held_twice(*unoffered_)) break;
        offers.push_back(*unoffered_->id);
    }
    return offers;
}

// -------------------------------------------------------------------------------------------------- time and the end

void WorkerState::stop_asked(Micros now) {
    if (over_) return;
    if (stopping_) {
        if (!cut_) cut_short(now);
        return;
    }
    stopping_ = true;
    stop_by_ = after(now, rules_.drain_limit);
    reject_queued("the worker is stopping");
    settle(now);
}

void WorkerState::cut_short(Micros now) {
    cut_ = true;
    for (Held* held : by_id())
        if (held->handler_running) cancel(now, *held, CancelReason::stopping, rules_.cancel_grace);
    // A little longer than the grace, so that what is reported at its end still gets out.
    stop_by_ = after(now, rules_.cancel_grace + rules_.fence_margin);
}

void WorkerState::fence(Micros now) {
    fenced_ = true;
    for (Held* held : by_id())
        if (held->exclusive && held->handler_running) cancel(now, *held, CancelReason::fenced, rules_.cancel_grace);
    if (link_ == Link::up) close_stream(now, backoff_.next());
}

void WorkerState::time_passed(Micros now) {
    if (over_) return;
    if (!fenced_ && now >= fence_at()) fence(now);
    while (!timers_.empty() && timers_.front()->timer <= now) timer_fired(now, *timers_.front());
    if (link_ == Link::opening && now >= welcome_by_) close_stream(now, backoff_.next());
    if (link_ == Link::up && now >= heartbeat_at_) {
        heartbeat_due_ = true;
        heartbeat_at_ = after(now, heartbeat_every_);
    }
    progress_due_ = !progress_unsent_.empty() && now >= progress_at_;
    if (!over_ && stopping_ && now >= stop_by_) {
        if (cut_) return finish(1);
        cut_short(now);
    }
    settle(now);
    if (!over_ && link_ == Link::down && now >= reconnect_at_) {
        link_ = Link::opening;
        reconnect_at_ = kNever;
        hello_due_ = true;
        welcome_by_ = after(now, rules_.welcome_limit);
        actions_.push_back({.what = Action::What::open_stream});
    }
}

// After every change: start what may start, end when nothing is left to wait for.
void WorkerState::settle(Micros now) {
    start_queued(now);
    if (!over_ && may_say_goodbye() && link_ != Link::up) finish(cut_ ? 1 : 0);
}

Micros WorkerState::fence_at() const {
    if (lease_ == Micros(0)) return kNever;
    return after(contact_at_, std::max(lease_ - rules_.fence_margin, lease_ / 2));
}

Micros WorkerState::wake_at() const {
    if (over_) return kNever;
    Micros at = std::min({reconnect_at_, welcome_by_, heartbeat_at_, stop_by_});
    if (!fenced_) at = std::min(at, fence_at());
    if (!timers_.empty()) at = std::min(at, timers_.front()->timer);
    if (!progress_unsent_.empty() && !progress_due_) at = std::min(at, progress_at_);
    return at;
}

// ------------------------------------------------------------------------------------------------------ what to tell

// Slots whose handler ignores its cancel are not offered. The protocol knows no worker without slots: the last one is
// withheld by draining.
CapacityEntry WorkerState::capacity_now() const {
    const std::uint32_t usable = rules_.slots - std::min(rules_.slots, slots_withheld_);
    return {.slots = std::max(usable, 1U), .draining = stopping_ || usable == 0};
}

bool WorkerState::has_outbound() const {
    if (over_) return false;
    if (link_ == Link::opening) return hello_due_;
    if (link_ != Link::up) return false;
    return !started_unsent_.empty() || !paused_unsent_.empty() || !finished_unsent_.empty() || heartbeat_due_ ||
           progress_due_ || !written_unsent_.empty() || may_say_goodbye() || capacity_told_ != capacity_now();
}

Outbound WorkerState::take_outbound(Micros now) {
    Outbound out;
    if (!has_outbound()) return out;
    if (link_ == Link::opening) {
        capacity_told_ = capacity_now();
        out.hello = HelloEntry{.slots = capacity_told_->slots,
                               .prefetch_max = rules_.prefetch_max,
                               .draining = capacity_told_->draining,
                               .held = {}};
        for (const Held* held : by_id())
            if (held->told)
                out.hello->held.push_back(
                    {held->task_id, *held->id, held->report.has_value(), held->paused, held->queued});
        hello_due_ = false;
        hello_at_ = now;
        return out;
    }
    for (Held* held : started_unsent_) {
        --held->unsent;
        out.started.push_back({held->task_id, *held->id, std::max(held->started_at - held->assigned_at, Micros(0)),
                               std::exchange(held->slot_free, std::nullopt)});
    }
    started_unsent_.clear();
    for (Held* held : std::exchange(paused_unsent_, {})) {
        --held->unsent;
        if (!held->handler_running) continue;
        const Micros run = (held->paused ? held->paused_at : now) - held->started_at - held->paused_for;
        out.paused.push_back({held->task_id, *held->id, held->turn, held->paused, run});
    }
    take_finished(out);
    take_written(out);
    if (progress_due_) take_progress(now, out);
    if (capacity_told_ != capacity_now()) out.capacity = capacity_told_ = capacity_now();
    if (heartbeat_due_) {
        heartbeat_due_ = false;
        out.heartbeat = ++heartbeat_sequence_;
        heartbeats_sent_.emplace_back(out.heartbeat, now);
        if (heartbeats_sent_.size() > kHeartbeatsRemembered) heartbeats_sent_.pop_front();
    }
    if (may_say_goodbye()) {
        out.goodbye = true;
        over_ = true;
        actions_.push_back({.what = Action::What::stop, .exit_code = cut_ ? 1 : 0});
    }
    return out;
}

void WorkerState::take_finished(Outbound& out) {
    std::size_t bytes = 0;
    std::size_t taken = 0;
    while (taken < finished_unsent_.size() && bytes < rules_.message_bytes_max) {
        Held& held = *finished_unsent_[taken++];
        --held.unsent;
        if (!held.report) continue;
        bytes += held.report->result.size() + held.report->error.size();
        out.finished.push_back(&*held.report);
    }
    finished_unsent_.erase(finished_unsent_.begin(), finished_unsent_.begin() + static_cast<std::ptrdiff_t>(taken));
}

void WorkerState::take_written(Outbound& out) {
    for (std::size_t bytes = 0; !written_unsent_.empty() && bytes < rules_.message_bytes_max;) {
        const Written& next = written_unsent_.front().written;
        bytes += next.out.size() + next.err.size();
        out.written.push_back(std::move(written_unsent_.front()));
        written_unsent_.pop_front();
    }
}

void WorkerState::take_progress(Micros now, Outbound& out) {
    for (Held* held : std::exchange(progress_unsent_, {})) {
        --held->unsent;
        if (!std::exchange(held->progress_new, false)) continue;
        out.progress.push_back({held->task_id, *held->id, held->progress, held->progress_note});
    }
    progress_due_ = false;
    progress_at_ = after(now, rules_.progress_interval);
}

}  // namespace nexus::sdk
