#include "worker_runtime.h"

#include <unistd.h>

#include <exception>
#include <utility>

#include "random.h"

namespace nexus::sdk {
namespace {

// How long a goodbye may take to be read by the server before the worker ends anyway.
constexpr Micros kGoodbyeLimit = std::chrono::seconds(1);

// Paused handlers keep their threads: the server pauses no more of them than this.
constexpr std::size_t kPausedMax = 4;

// What the server says to the older of two sessions of one name.
constexpr std::string_view kReplaced = "took over";

constexpr std::uint32_t kPrefetchMax = 4096;
constexpr std::size_t kBatchMax = 1000;

std::uint32_t prefetch_of(const WorkerOptions& options) {
    return options.prefetch_max.value_or(std::min(16 * std::max(options.slots, 1U) + 64, 1024U));
}

WorkerRules rules_of(const WorkerOptions& options) {
    return {.slots = std::max(options.slots, 1U),
            .prefetch_max = prefetch_of(options),
            .reconnect_first = options.reconnect_first,
            .reconnect_max = options.reconnect_max,
            .drain_limit = options.drain_limit,
            .cancel_grace = options.cancel_grace};
}

std::string host_name() {
    char name[256] = {};
    return gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

}  // namespace

void WorkerRuntime::Inbox::post(Event event) {
    const std::lock_guard lock(mutex);
    if (closed) return;
    events.push_back(std::move(event));
    if (loop_waits) changed.notify_one();
}

void WorkerRuntime::Inbox::wake() {
    const std::lock_guard lock(mutex);
    woken = true;
    if (loop_waits) changed.notify_one();
}

WorkerRuntime::WorkerRuntime(WorkerOptions options, std::shared_ptr<Clock> clock, std::uint64_t seed)
    : options_(std::move(options)),
      clock_(std::move(clock)),
      state_(rules_of(options_), seed),
      tell_progress_(std::make_shared<const Attempt::ProgressSink>(
          [inbox = inbox_](const std::string& id, double fraction, std::string note) {
              inbox->post([id, fraction, note = std::move(note)](WorkerRuntime& self) mutable {
                  self.state_.progressed(self.clock_->now(), id, fraction, std::move(note));
              });
          })),
      pool_(std::make_shared<Pool>(std::max(options_.slots, 1U) + (options_.can_pause ? kPausedMax : 0), clock_,
                                   [inbox = inbox_] { inbox->wake(); })) {
    identity_.hostname = host_name();
    identity_.name = options_.name.empty() ? identity_.hostname + "-" + std::to_string(getpid()) : options_.name;
    identity_.version = options_.version;
    identity_.instance = random_bits();
    identity_.labels = options_.labels;
    identity_.resources = options_.resources;
    identity_.can_pause = options_.can_pause;
    any_ = std::make_shared<const Work>(
        Work{.one =
                 [name = identity_.name](Context& task) {
                     return Outcome::rejected("worker " + name + " has no handler for the type " + task.type());
                 },
             .many = {}});
}

WorkerRuntime::~WorkerRuntime() {
    {
        const std::lock_guard lock(inbox_->mutex);
        inbox_->closed = true;
    }
    end_streams();
    pool_->stop();
}

void WorkerRuntime::stop() {
    inbox_->post([](WorkerRuntime& self) {
        self.take_notes(true);
        self.state_.stop_asked(self.clock_->now());
    });
}

int WorkerRuntime::run() {
    if (prefetch_of(options_) > kPrefetchMax) {
        refusal_ = "prefetch_max: must be at most " + std::to_string(kPrefetchMax);
        log(refusal_);
        return 2;
    }
    if (!any_type_)
        for (const auto& [type, work] : works_) identity_.types.push_back(type);
    state_.start(clock_->now());
    carry_out();
    Micros give_up_at = Micros::max();
    Micros alive_at = options_.alive ? clock_->now() : Micros::max();
    while (true) {
        if (clock_->now() >= alive_at) {
            alive_at = clock_->now() + std::max(options_.alive_every, Micros(std::chrono::milliseconds(1)));
            options_.alive();
        }
        hand_over();
        write_if_possible();
        carry_out();
        if (over_) {
            if (!stream_) return exit_code_;
            if (give_up_at == Micros::max()) give_up_at = clock_->now() + kGoodbyeLimit;
            if (clock_->now() >= give_up_at) return drop_stream(), exit_code_;
        }
        wait(std::min(over_ ? give_up_at : state_.wake_at(), alive_at));
        std::vector<Event> events = next_events();
        take_notes(false);
        for (Event& event : events) {
            event(*this);
            carry_out();
        }
        if (clock_->now() >= state_.wake_at()) {
            take_notes(true);
            state_.time_passed(clock_->now());
        }
        carry_out();
    }
}

// Until something happened that cannot wait, or until `wake`. While a message is on its way the end of a handler can.
void WorkerRuntime::wait(Micros wake) {
    const bool ends_can_wait = writing_ && !over_ && !state_.waits_unoffered();
    if (ends_can_wait)
        pool_->expect_no_call();
    else if (pool_->call_for_notes())
        return;
    std::unique_lock lock(inbox_->mutex);
    if (writing_ && inbox_->written == stream_number_) return;
    if (writing_) inbox_->on_written = over_ || state_.has_outbound() ? OnWritten::wake : OnWritten::call_for_notes;
    inbox_->loop_waits = true;
    while (inbox_->events.empty() && !inbox_->woken && clock_->now() < wake) clock_->wait(lock, inbox_->changed, wake);
    inbox_->loop_waits = inbox_->woken = false;
    inbox_->on_written = OnWritten::nothing;
}

std::vector<WorkerRuntime::Event> WorkerRuntime::next_events() {
    std::unique_lock lock(inbox_->mutex);
    std::vector<Event> events = std::exchange(inbox_->events, {});
    const auto done = std::exchange(inbox_->done, {});
    if (inbox_->written == stream_number_) writing_ = false;
    lock.unlock();  // before the streams end
    return events;
}

// Tells the state what the pool did. `withdraw`: and takes all offers back, as must be done before a call of the state
// that may do with a waiting attempt what cannot be done any more once it has begun.
void WorkerRuntime::take_notes(bool withdraw) {
    bool withdrawn = withdraw;
    if (withdraw)
        pool_->withdraw(notes_);
    else
        withdrawn = pool_->take_notes(notes_);
    const Micros now = clock_->now();
    for (const Pool::Note& note : notes_) {
        const std::string& id = note.attempt->assignment().attempt_id;
        const std::string_view next = note.next ? std::string_view(note.next->assignment().attempt_id) : "";
        if (note.outcome)
            state_.handler_ended(now, id, *note.outcome, note.run, next, note.at);
        else
            state_.handler_joined(now, id, note.at, next);
    }
    if (withdrawn) state_.offers_withdrawn();
    if (!notes_.empty())
        for (const v1::Look& look : std::exchange(looks_held_, {})) answer_look(look);
    notes_.clear();
}

// To the pool: what has begun, and what may.
void WorkerRuntime::hand_over() {
    for (;;) {
        const auto top_up = [this](std::deque<Pool::Job>& offers) {
            for (const std::string_view id : state_.take_offers()) offers.push_back(attempts_.at(id));
        };
        if (pool_->run_and_offer(to_start_, state_.start_until(), top_up)) return;
        take_notes(false);
        carry_out();
    }
}

void WorkerRuntime::carry_out() {
    for (const Action& action : state_.take_actions()) carry_out(action);
}

void WorkerRuntime::carry_out(const Action& action) {
    const auto attempt = attempts_.find(action.attempt_id);
    switch (action.what) {
        case Action::What::open_stream: return open_stream();
        case Action::What::close_stream: return drop_stream();
        case Action::What::start: return to_start_.push_back(attempts_.at(action.attempt_id));
        case Action::What::cancel:
            if (attempt != attempts_.end()) attempt->second->cancel(action.reason);
            return;
        case Action::What::pause:
        case Action::What::resume: {
            const bool paused =
                attempt != attempts_.end() && attempt->second->set_paused(action.what == Action::What::pause);
            return state_.handler_paused(clock_->now(), action.attempt_id, paused);
        }
        case Action::What::drop:
            if (attempt != attempts_.end()) attempts_.erase(attempt);
            return;
        case Action::What::stop:
            over_ = true;
            exit_code_ = action.exit_code;
            return;
    }
}

// ---------------------------------------------------------------------------------------------------------- handlers

void WorkerRuntime::handle(std::string type, Handler handler) {
    works_[std::move(type)] = std::make_shared<const Work>(Work{.one = std::move(handler), .many = {}});
}

void WorkerRuntime::handle_batch(std::string type, const BatchOptions& options, BatchHandler handler) {
    works_[std::move(type)] = std::make_shared<const Work>(
        Work{.one = {}, .many = std::move(handler), .batch_max = std::clamp<std::size_t>(options.max, 1, kBatchMax)});
}

void WorkerRuntime::handle_any(Handler handler) {
    any_type_ = true;
    any_ = std::make_shared<const Work>(Work{.one = std::move(handler), .many = {}});
}

std::shared_ptr<const Work> WorkerRuntime::work_for(const std::string& type) const {
    const auto at = works_.find(type);
    return at != works_.end() ? at->second : any_;
}

// -------------------------------------------------------------------------------------------------------- the stream

void WorkerRuntime::open_stream() {
    const std::uint64_t number = ++stream_number_;
    const auto posting = [inbox = inbox_, number](auto what) {
        inbox->post([number, what = std::move(what)](WorkerRuntime& self) mutable {
            if (self.stream_number_ == number && self.stream_) what(self);
        });
    };
    WorkerStream::Callbacks callbacks{
        .on_message =
            [posting](v1::ServerMessage message) {
                posting([message = std::move(message)](WorkerRuntime& self) mutable {
                    self.take_message(std::move(message));
                });
            },
        .on_written =
            [inbox = inbox_, pool = pool_, number] {
                OnWritten then = OnWritten::nothing;
                {
                    const std::lock_guard lock(inbox->mutex);
                    inbox->written = number;
                    then = std::exchange(inbox->on_written, OnWritten::nothing);
                }
                if (then == OnWritten::wake || (then == OnWritten::call_for_notes && pool->call_for_notes()))
                    inbox->wake();
            },
        .on_ended =
            [posting] {
                posting([](WorkerRuntime& self) {
                    self.stream_usable_ = false;
                    self.stream_->release();
                });
            },
        .on_done =
            [posting, inbox = inbox_](StreamEnd end, std::shared_ptr<WorkerStream> stream) {
                posting([end](WorkerRuntime& self) { self.take_end(end); });
                const std::lock_guard lock(inbox->mutex);
                inbox->done.push_back(std::move(stream));
                --inbox->streams_open;
                inbox->changed.notify_one();
            },
    };
    writing_ = half_closed_ = false;
    count_open_streams(1);
    std::string failure;
    stream_ = sdk::open_stream(options_.target, options_.tls, options_.token, std::move(callbacks), failure);
    stream_usable_ = stream_ != nullptr;
    if (stream_) return;
    count_open_streams(-1);
    refusal_ = failure;
    log("cannot connect: " + failure);
    state_.refused();
    carry_out();
}

void WorkerRuntime::count_open_streams(int change) {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->streams_open += change;
}

void WorkerRuntime::drop_stream() {
    if (stream_ && stream_usable_) stream_->cancel();
    stream_usable_ = false;
    stream_.reset();
}

// Waits for the end of every call, which a cancelled one reaches at once.
void WorkerRuntime::end_streams() {
    drop_stream();
    std::unique_lock lock(inbox_->mutex);
    inbox_->changed.wait(lock, [&] { return inbox_->streams_open == 0; });
    const auto done = std::exchange(inbox_->done, {});
    lock.unlock();
}

void WorkerRuntime::write_if_possible() {
    if (!stream_usable_ || writing_) return;
    if (state_.has_outbound()) {
        const Outbound out = state_.take_outbound(clock_->now());
        const Load load =
            out.heartbeat != 0 ? Load{.cpu_usage = meter_.cpu_usage(), .memory_usage = meter_.memory_usage()} : Load{};
        {
            const std::lock_guard lock(inbox_->mutex);
            inbox_->written = 0;
        }
        writing_ = true;
        fill(stream_->message(), out, identity_, load);
        stream_->write();
    } else if (over_ && !half_closed_) {
        half_closed_ = true;
        stream_->half_close();
    }
}

void WorkerRuntime::take_message(v1::ServerMessage message) {
    if (message.has_welcome() || message.has_heartbeat_ack() || message.revoke_size() > 0 || message.pause_size() > 0 ||
        message.has_drain() || !message.reconnect().empty())
        take_notes(true);
    const Micros now = clock_->now();
    if (message.has_welcome()) {
        const v1::Welcome& welcome = message.welcome();
        const bool again = state_.attempts_held() > 0;
        name_taken_ = false;
        state_.welcomed(now, {.lease = Micros(welcome.lease_us()),
                              .heartbeat = Micros(welcome.heartbeat_us()),
                              .abandon = {welcome.abandon().begin(), welcome.abandon().end()}});
        log("connected to " + options_.target + " as " + identity_.name +
            (again ? ", still holding " + std::to_string(state_.attempts_held()) : ""));
    }
    for (v1::FinishedAck& ack : *message.mutable_finished_acks()) {
        const auto attempt = attempts_.find(ack.attempt_id());
        const bool unasked = attempt != attempts_.end() && attempt->second->cancel_reason() == CancelReason::none;
        if (!ack.accepted() && unasked)
            log("report of attempt " + ack.attempt_id() + " came too late: " + ack.reason());
        state_.report_acknowledged(now, ack.attempt_id());
    }
    if (message.has_heartbeat_ack()) state_.heartbeat_acknowledged(now, message.heartbeat_ack().sequence());
    for (const v1::Revoke& revoke : message.revoke())
        state_.revoked(now, revoke.attempt_id(), static_cast<Revocation>(revoke.reason()), Micros(revoke.grace_us()));
    for (const v1::Look& look : message.look()) answer_look(look);
    for (const v1::Pause& pause : message.pause()) {
        state_.pause_asked(now, pause.attempt_id(), pause.turn(), !pause.resume());
        carry_out();  // before what is assigned takes the place
    }
    for (v1::Assign& assign : *message.mutable_assign()) remember(std::move(assign), now);
    if (message.has_drain()) {
        log("the server drains this worker: " + message.drain().reason());
        state_.drain_asked(now);
    }
    if (message.reconnect().find(kReplaced) != std::string::npos) {
        // Not our own newer stream: what an earlier one of ours still hears is never handed in.
        name_taken("another worker named " + identity_.name + " has connected; names must be unique");
    } else if (!message.reconnect().empty()) {
        log("the server asks to reconnect: " + message.reconnect());
        state_.reconnect_asked(now);
    }
}

void WorkerRuntime::remember(v1::Assign&& assign, Micros now) {
    if (attempts_.contains(assign.attempt_id())) return;
    Assignment assignment = to_assignment(std::move(assign));
    Assigned told{.task_id = assignment.task_id,
                  .attempt_id = assignment.attempt_id,
                  .timeout = assignment.timeout,
                  .deadline_in = assignment.deadline_in,
                  .exclusive = assignment.exclusive};
    const Micros start_by = told.deadline_in > Micros(0) ? now + told.deadline_in : Micros::max();
    state_.assigned(now, std::move(told));
    if (!state_.holds(assignment.attempt_id)) return;
    std::shared_ptr<const Work> work = work_for(assignment.type);
    auto attempt = std::make_shared<Attempt>(std::move(assignment), std::move(work), start_by, tell_progress_);
    attempts_.emplace(attempt->assignment().attempt_id, std::move(attempt));
}

// A handler that has just returned is told by its report, which goes first.
void WorkerRuntime::answer_look(const v1::Look& look) {
    WrittenEntry answer{
        .task_id = look.task_id(), .attempt_id = look.attempt_id(), .number = look.number(), .written = {}};
    if (const auto attempt = attempts_.find(look.attempt_id()); attempt != attempts_.end()) {
        auto written = attempt->second->look(look.stdout_from(), look.stderr_from());
        if (!written && attempt->second->returned() && state_.handler_runs(look.attempt_id()))
            return looks_held_.push_back(look);
        answer.running = written.has_value();
        if (written) answer.written = *std::move(written);
    }
    state_.looked(std::move(answer));
}

void WorkerRuntime::take_end(const StreamEnd& end) {
    stream_.reset();
    stream_usable_ = false;
    if (over_) return;
    take_notes(true);
    if (end.refused) {
        refusal_ = end.text;
        state_.refused();
        log("the server refuses this worker: " + end.text);
    } else if (end.name_in_use) {
        name_taken(end.text);
    } else {
        state_.stream_lost(clock_->now());
        log("connection lost" + (end.text.empty() ? std::string() : ": " + end.text));
    }
}

// It is asked for again every few seconds, and told once.
void WorkerRuntime::name_taken(const std::string& by) {
    state_.name_in_use(clock_->now());
    if (!std::exchange(name_taken_, true)) log(by + "; trying again until it is free");
}

void WorkerRuntime::log(const std::string& line) const {
    if (options_.log) options_.log(line);
}

}  // namespace nexus::sdk
