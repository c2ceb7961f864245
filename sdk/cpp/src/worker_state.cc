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
        case Revocation::cancelled: break;
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
        const auto at = held_.find(id);
        if (at == held_.end()) continue;
        if (at->second.handler_running) cancel(now, at, CancelReason::superseded, rules_.cancel_grace);
        forget(at);
    }
    for (const auto& [id, held] : held_) {
        if (!held.told) continue;
        if (held.report)
            finished_unsent_.push_back(id);
        else if (held.handler_running)
            started_unsent_.push_back(id);
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
    started_unsent_.clear();
    paused_unsent_.clear();
    finished_unsent_.clear();
    progress_unsent_.clear();
    written_unsent_.clear();
    for (auto& [id, held] : held_) held.progress_new = false;
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

void WorkerState::assigned(Micros now, const Assigned& assignment) {
    if (over_ || link_ != Link::up || held_.contains(assignment.attempt_id)) return;
    draining_ = false;
    const auto at = held_.emplace(assignment.attempt_id, Held{}).first;
    Held& held = at->second;
    held.task_id = assignment.task_id;
    held.exclusive = assignment.exclusive;
    held.timeout = assignment.timeout;
    if (assignment.deadline_in > Micros(0)) set_timer(at, after(now, assignment.deadline_in));
    queue_.push_back(assignment.attempt_id);
    if (stopping_) reject(at, "the worker is stopping");
    settle(now);
    // What could not start waits for a slot; more than one per slot is more than the server may send.
    if (at->second.queued && queue_.size() > rules_.slots) reject(at, "the worker has no free slot");
}

void WorkerState::revoked(Micros now, std::string_view attempt_id, Revocation revocation, Micros grace) {
    const auto at = held_.find(attempt_id);
    if (over_ || at == held_.end()) return;
    Held& held = at->second;
    const CancelReason reason = reason_of(revocation);
    if (held.handler_running && !held.report) {
        cancel(now, at, reason, grace > Micros(0) ? grace : rules_.cancel_grace);
        if (reason == CancelReason::superseded) forget(at);
    } else if (reason == CancelReason::superseded) {
        forget(at);
    } else if (held.queued) {
        end(at, Report{.ending = ending_of(reason), .error = sentence_for(reason, held.timeout)});
    }
    settle(now);
}

void WorkerState::pause_asked(Micros now, std::string_view attempt_id, std::uint32_t turn, bool pause) {
    const auto at = held_.find(attempt_id);
    if (over_ || at == held_.end()) return;
    Held& held = at->second;
    if (!held.handler_running || !held.told || held.report || held.cancel != CancelReason::none) return;
    held.turn = turn;
    if (held.paused == pause) return handler_paused(now, attempt_id, pause);
    actions_.push_back({.what = pause ? Action::What::pause : Action::What::resume, .attempt_id = at->first});
}

void WorkerState::handler_paused(Micros now, std::string_view attempt_id, bool paused) {
    const auto at = held_.find(attempt_id);
    if (at == held_.end() || !at->second.handler_running || at->second.cancel != CancelReason::none) return;
    set_paused(now, at, paused);
    if (link_ == Link::up) paused_unsent_.push_back(at->first);
    settle(now);
}

void WorkerState::set_paused(Micros now, Table::iterator at, bool paused) {
    Held& held = at->second;
    if (held.paused == paused) return;
    held.paused = paused;
    if (paused) {
        ++handlers_paused_;
        held.paused_at = now;
        held.timeout_left = held.timer == kNever ? kNever : held.timer - now;
        set_timer(at, kNever);
    } else {
        --handlers_paused_;
        held.paused_for += now - held.paused_at;
        set_timer(at, held.timeout_left == kNever ? kNever : after(now, held.timeout_left));
    }
}

void WorkerState::report_acknowledged(Micros now, std::string_view attempt_id) {
    const auto at = held_.find(attempt_id);
    if (at == held_.end() || !at->second.report) return;
    at->second.report.reset();
    at->second.told = false;
    remove_if_done(at);
    settle(now);
}

void WorkerState::handler_ended(Micros now, std::string_view attempt_id, const Outcome& outcome, Micros run) {
    const auto at = held_.find(attempt_id);
    if (at == held_.end() || !at->second.handler_running) return;
    Held& held = at->second;
    set_paused(now, at, false);
    held.handler_running = false;
    --handlers_running_;
    if (held.withheld) --slots_withheld_;
    held.withheld = false;
    set_timer(at, kNever);
    if (held.told && !held.report)
        end(at, conclude(held, outcome, run));
    else
        remove_if_done(at);
    settle(now);
}

void WorkerState::progressed(Micros now, std::string_view attempt_id, double fraction, std::string note) {
    const auto at = held_.find(attempt_id);
    if (at == held_.end() || !at->second.handler_running || !at->second.told || at->second.report) return;
    Held& held = at->second;
    held.progress = fraction >= 0 ? std::min(fraction, 1.0) : 0;  // not a number counts as nothing done
    note.resize(std::min(note.size(), rules_.note_bytes_max));
    held.progress_note = std::move(note);
    if (!held.progress_new && link_ == Link::up) {
        held.progress_new = true;
        progress_unsent_.push_back(at->first);
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
void WorkerState::end(Table::iterator at, Report report) {
    Held& held = at->second;
    report.task_id = held.task_id;
    report.attempt_id = at->first;
    report.error.resize(std::min(report.error.size(), rules_.error_bytes_max));
    held.report = std::move(report);
    if (held.queued) {
        held.queued = false;
        set_timer(at, kNever);
        std::erase(queue_, at->first);
    }
    if (link_ == Link::up) finished_unsent_.push_back(at->first);
}

void WorkerState::reject(Table::iterator at, std::string_view why) {
    end(at, Report{.ending = Ending::rejected, .error = std::string(why)});
}

void WorkerState::reject_queued(std::string_view why) {
    const std::deque<std::string> queued = queue_;
    for (const std::string& id : queued) reject(held_.find(id), why);
}

void WorkerState::forget(Table::iterator at) {
    Held& held = at->second;
    held.told = false;
    held.report.reset();
    if (held.queued) {
        held.queued = false;
        set_timer(at, kNever);
        std::erase(queue_, at->first);
    }
    remove_if_done(at);
}

void WorkerState::remove_if_done(Table::iterator at) {
    if (at->second.handler_running || at->second.told) return;
    set_timer(at, kNever);
    actions_.push_back({.what = Action::What::drop, .attempt_id = at->first});
    held_.erase(at);
}

void WorkerState::cancel(Micros now, Table::iterator at, CancelReason reason, Micros grace) {
    Held& held = at->second;
    if (held.cancel == CancelReason::none) {
        held.cancel = reason;
        if (held.paused) actions_.push_back({.what = Action::What::resume, .attempt_id = at->first});
        set_paused(now, at, false);
        actions_.push_back({.what = Action::What::cancel, .attempt_id = at->first, .reason = reason});
        set_timer(at, after(now, grace));
    }
}

void WorkerState::set_timer(Table::iterator at, Micros when) {
    Held& held = at->second;
    if (held.timer == when) return;
    if (held.timer != kNever) timers_.erase({held.timer, at->first});
    held.timer = when;
    if (when != kNever) timers_.emplace(when, at->first);
}

void WorkerState::timer_fired(Micros now, Table::iterator at) {
    Held& held = at->second;
    set_timer(at, kNever);
    if (held.queued) {
        reject(at, "its deadline passed before a slot was free");
    } else if (held.cancel == CancelReason::none) {
        cancel(now, at, CancelReason::timed_out, rules_.cancel_grace);
    } else {
        held.withheld = true;
        ++slots_withheld_;
        if (!held.told) return;
        end(at, Report{.ending = ending_of(held.cancel),
                       .error = sentence_for(held.cancel, held.timeout) + "; its handler has not returned"});
    }
}

bool WorkerState::task_runs_here(const Held& wanted) const {
    return std::any_of(held_.begin(), held_.end(), [&](const auto& entry) {
        return entry.second.handler_running && entry.second.task_id == wanted.task_id;
    });
}

void WorkerState::start_queued(Micros now) {
    if (link_ != Link::up || fenced_) return;
    for (std::size_t i = 0; i < queue_.size() && handlers_running_ - handlers_paused_ < rules_.slots;) {
        const auto at = held_.find(queue_[i]);
        Held& held = at->second;
        if (held.exclusive && task_runs_here(held)) {  // an older attempt has not returned yet
            ++i;
            continue;
        }
        queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i));
        held.queued = false;
        held.handler_running = true;
        held.started_at = now;
        ++handlers_running_;
        set_timer(at, held.timeout > Micros(0) ? after(now, held.timeout) : kNever);
        started_unsent_.push_back(at->first);
        actions_.push_back({.what = Action::What::start, .attempt_id = at->first});
    }
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
    for (auto at = held_.begin(); at != held_.end(); ++at)
        if (at->second.handler_running) cancel(now, at, CancelReason::stopping, rules_.cancel_grace);
    // A little longer than the grace, so that what is reported at its end still gets out.
    stop_by_ = after(now, rules_.cancel_grace + rules_.fence_margin);
}

void WorkerState::fence(Micros now) {
    fenced_ = true;
    for (auto at = held_.begin(); at != held_.end(); ++at)
        if (at->second.exclusive && at->second.handler_running)
            cancel(now, at, CancelReason::fenced, rules_.cancel_grace);
    if (link_ == Link::up) close_stream(now, backoff_.next());
}

void WorkerState::time_passed(Micros now) {
    if (over_) return;
    if (!fenced_ && now >= fence_at()) fence(now);
    while (!timers_.empty() && timers_.begin()->first <= now) timer_fired(now, held_.find(timers_.begin()->second));
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
    if (!timers_.empty()) at = std::min(at, timers_.begin()->first);
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
        out.hello = HelloEntry{.slots = capacity_told_->slots, .draining = capacity_told_->draining, .held = {}};
        for (const auto& [id, held] : held_)
            if (held.told) out.hello->held.push_back({held.task_id, id, held.report.has_value(), held.paused});
        hello_due_ = false;
        hello_at_ = now;
        return out;
    }
    for (const std::string& id : std::exchange(started_unsent_, {}))
        if (const auto at = held_.find(id); at != held_.end()) out.started.push_back({at->second.task_id, id});
    for (const std::string& id : std::exchange(paused_unsent_, {})) {
        const auto at = held_.find(id);
        if (at == held_.end() || !at->second.handler_running) continue;
        const Held& held = at->second;
        const Micros run = (held.paused ? held.paused_at : now) - held.started_at - held.paused_for;
        out.paused.push_back({held.task_id, id, held.turn, held.paused, run});
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
        const auto at = held_.find(finished_unsent_[taken++]);
        if (at == held_.end() || !at->second.report) continue;
        bytes += at->second.report->result.size() + at->second.report->error.size();
        out.finished.push_back(&*at->second.report);
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
    for (const std::string& id : std::exchange(progress_unsent_, {})) {
        const auto at = held_.find(id);
        if (at == held_.end() || !at->second.progress_new) continue;
        at->second.progress_new = false;
        out.progress.push_back({at->second.task_id, id, at->second.progress, at->second.progress_note});
    }
    progress_due_ = false;
    progress_at_ = after(now, rules_.progress_interval);
}

}  // namespace nexus::sdk
