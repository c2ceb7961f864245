#pragma once
// The rules of a worker: what it may start, must stop, must tell, and when. Every SDK keeps the same ones.
//
//     what happened (a message, a handler's end, time) --> WorkerState --> actions to carry out, messages to send
//
//   Pure      no clock, thread, I/O or protobuf; time arrives with each call, microseconds since any fixed origin, and
//             never goes backwards. Jitter comes from the seed
//   Total     every call is legal in every state; a late, repeated or unknown one changes nothing
//   Bounded   holds at most slots + prefetch_max attempts that wait, one for each slot that runs (with a batch handler
//             one batch), those paused by order of the server, and one report for each that ended unacknowledged
//   Cheap     a few hash look-ups for each attempt; nothing is searched or moved that grows with what is held
//   One owner not thread-safe; the runtime's loop (or a simulation) is the only caller
//
// After each call, or several: carry out take_actions() in order; write take_outbound() once the last write has ended
// and has_outbound(); call time_passed() no later than wake_at().
//
// The rules, in short:
//   - nothing starts or is reported unless the stream is up (welcomed) and the worker is not fenced
//   - what waits begins in the order in which it came, the moment a slot is free, before any report is written
//   - one that waits is given back when it is recalled; one that has begun is not, and a recall of it is not answered
//   - a report is kept until acknowledged, and sent again after each welcome
//   - lease - 1 s after the sending of the last acknowledged heartbeat the worker is fenced until the next welcome: it
//     cancels `exclusive` attempts and gives the stream up
//   - a handler that succeeds is a success, even when it was asked to stop meanwhile: the server has the last word
//   - a handler that outlives its cancel by the grace is reported as ended; its slot is withheld until it returns
//   - a paused attempt has no slot; its run time and timeout do not advance. It continues when it is cancelled
//
// Offers: a round trip through this state between two handlers would leave a slot idle for that long. So whoever runs
// handlers may take take_offers(): the attempts that wait and may begin as slots become free, without asking again. When
// a handler ends, the first offer that is left may begin in its slot at once, before start_until(), and is told as
// `next` of that end. The owner of the offers decides alone what has begun, and withdraws all that have not, and tells
// the ends until then, before every call but those marked "(offers stay)". So nothing is refused or given back here that
// has begun there. Whoever takes no offers gets each start as an action.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backoff.h"
#include "nexus/worker.h"

namespace nexus::sdk {

struct WorkerRules {
    std::uint32_t slots = 1;
    std::uint32_t prefetch_max = 0;  // assignments that may wait here beyond one for each slot
    Micros reconnect_first = std::chrono::milliseconds(200);
    Micros reconnect_max = std::chrono::seconds(1);
    Micros name_retry_min = std::chrono::seconds(1);  // while another process has this one's name
    Micros name_retry_max = std::chrono::seconds(5);
    Micros welcome_limit = std::chrono::seconds(5);  // a stream that is not welcomed by then is given up
    Micros drain_limit = std::chrono::seconds(30);
    Micros cancel_grace = std::chrono::seconds(5);
    Micros fence_margin = std::chrono::seconds(1);  // fenced at lease - margin
    Micros progress_interval = std::chrono::milliseconds(100);
    std::size_t result_bytes_max = 256 * 1024;    // a longer result fails the attempt for good
    std::size_t error_bytes_max = 4 * 1024;       // a longer error is cut
    std::size_t message_bytes_max = 1024 * 1024;  // results beyond it go into the next message; the server takes 2 MiB
    std::size_t note_bytes_max = 256;             // of progress; a longer one is cut
    std::size_t written_bytes_max = 64 * 1024;    // of each stream in an answer; a longer one is cut
};

// How an attempt ended, as reported to the server. Numbers equal nexus.v1.Outcome.
enum class Ending : std::uint8_t { succeeded = 1, failed, timed_out, cancelled, out_of_memory, rejected, recalled };

// Numbers equal nexus.v1.RevokeReason.
enum class Revocation : std::uint8_t { cancelled = 1, superseded, timed_out, preempted, recalled };

// ---- from the server

struct Welcomed {
    Micros lease{0};
    Micros heartbeat{0};
    std::vector<std::string> abandon;  // attempt ids
};
struct Assigned {
    std::string task_id;
    std::string attempt_id;
    Micros timeout{0};      // 0 = none
    Micros deadline_in{0};  // not to be started later than this from now; 0 = none
    bool exclusive = false;
};

// ---- to the server

struct Report {
    std::string task_id;
    std::string attempt_id;
    Ending ending = Ending::failed;
    std::string result;
    std::string error;
    bool retryable = true;
    Micros run{0};
    std::int64_t peak_memory_bytes = 0;
};
struct HeldEntry {
    std::string task_id;
    std::string attempt_id;
    bool finished = false;
    bool paused = false;
    bool waiting = false;  // not begun
};
struct StartedEntry {
    const std::string& task_id;  // the state's own, as reports are
    const std::string& attempt_id;
    Micros waited{0};                 // from its arrival to its start
    std::optional<Micros> slot_free;  // from the end of the attempt before it in its slot; unset: there was none
};
struct ProgressEntry {
    std::string task_id;
    std::string attempt_id;
    double fraction = 0;
    std::string note;
};
struct PausedEntry {
    std::string task_id;
    std::string attempt_id;
    std::uint32_t turn = 0;
    bool paused = false;
    Micros run{0};  // so far
};
// The answer to a question of the server's about what an attempt has written.
struct WrittenEntry {
    std::string task_id;
    std::string attempt_id;
    std::uint64_t number = 0;  // of the question
    bool running = false;      // false: it has ended, is not known, or does not tell
    Written written;
};
struct CapacityEntry {
    std::uint32_t slots = 1;
    bool draining = false;
    bool operator==(const CapacityEntry&) const = default;
};
struct HelloEntry {
    std::uint32_t slots = 1;
    std::uint32_t prefetch_max = 0;
    bool draining = false;
    std::vector<HeldEntry> held;
};
// Everything there is to say, merged into one message. Reports and starts point into the state and live until its next
// call.
struct Outbound {
    std::optional<HelloEntry> hello;
    std::vector<StartedEntry> started;
    std::vector<PausedEntry> paused;
    std::vector<ProgressEntry> progress;
    std::vector<const Report*> finished;
    std::vector<WrittenEntry> written;
    std::optional<CapacityEntry> capacity;
    std::uint64_t heartbeat = 0;  // its sequence number; 0 = none
    bool goodbye = false;         // nothing follows; half-close after writing it
};

// ---- actions

struct Action {
    enum class What : std::uint8_t {
        open_stream,   // and write take_outbound() to it at once: it holds the hello
        close_stream,  // cancel it; nothing it still delivers may be handed in
        start,         // run the handler of the attempt; answer with handler_ended()
        cancel,        // ask the handler of the attempt to stop, for `reason`
        pause,         // pause the handler; answer with handler_paused()
        resume,        // continue it; the same
        drop,          // nothing will be asked about the attempt any more: forget its payload
        stop,          // run() returns `exit_code`, once a goodbye (if any) is written
    };
    What what = What::open_stream;
    std::string attempt_id;
    CancelReason reason = CancelReason::none;
    int exit_code = 0;
    bool operator==(const Action&) const = default;
};

class WorkerState {
public:
    static constexpr Micros kNever = Micros::max();

    WorkerState(const WorkerRules& rules, std::uint64_t seed);

    // Begins connecting. Call once, first.
    void start(Micros now);

    // The stream, as it is now: calls about an earlier stream must not be made.
    void welcomed(Micros now, const Welcomed& welcome);
    void assigned(Micros now, Assigned assignment);  // (offers stay)
    void revoked(Micros now, std::string_view attempt_id, Revocation reason, Micros grace);
    void pause_asked(Micros now, std::string_view attempt_id, std::uint32_t turn, bool pause);
    void report_acknowledged(Micros now, std::string_view attempt_id);  // (offers stay)
    void heartbeat_acknowledged(Micros now, std::uint64_t sequence);
    void drain_asked(Micros now);      // by the server; a later assignment ends it
    void reconnect_asked(Micros now);  // the server goes away
    void stream_lost(Micros now);
    void name_in_use(Micros now);  // another process has the name: later
    void refused();                // the server will never take this worker as it is

    // Handlers. `next`, if any, is the offer that began at `next_at` in the slot of this one (offers stay).
    void handler_ended(Micros now, std::string_view attempt_id, const Outcome& outcome, Micros run,
                       std::string_view next = {}, Micros next_at = Micros(0));
    // An attempt that has a slot, or was offered, runs from `at` on in the slot of another, with it in one batch. `next`,
    // if any, is the offer that began in the slot that it gave up (offers stay).
    void handler_joined(Micros now, std::string_view attempt_id, Micros at, std::string_view next = {});
    void handler_paused(Micros now, std::string_view attempt_id, bool paused);
    void progressed(Micros now, std::string_view attempt_id, double fraction, std::string note);  // (offers stay)

    // What a handler has written: sent once, and dropped when the stream is lost meanwhile, since nobody waits for it then
    // (offers stay).
    void looked(WrittenEntry answer);

    // The owner. A second stop cancels what still runs.
    void stop_asked(Micros now);
    void time_passed(Micros now);

    // What may begin beyond what was offered before, oldest first. The ids live as long as the attempts.
    std::vector<std::string_view> take_offers();
    void offers_withdrawn() { unoffered_ = oldest_; }
    // No handler may begin at this time or later, unless it is moved on.
    Micros start_until() const { return fenced_ || link_ != Link::up ? Micros(0) : fence_at(); }
    // Whether something waits that was not offered: then the end of a handler may start it, and is urgent.
    bool waits_unoffered() const { return unoffered_ != nullptr; }

    std::vector<Action> take_actions() { return std::exchange(actions_, {}); }
    bool has_outbound() const;
    Outbound take_outbound(Micros now);
    Micros wake_at() const;

    bool connected() const { return link_ == Link::up; }
    bool fenced() const { return fenced_; }
    bool handler_runs(std::string_view attempt_id) const {
        const auto at = held_.find(attempt_id);
        return at != held_.end() && at->second.handler_running;
    }
    bool holds(std::string_view attempt_id) const { return held_.contains(attempt_id); }
    std::size_t attempts_held() const { return held_.size(); }

private:
    enum class Link : std::uint8_t { down, opening, up };

    // One attempt we know of. It leaves the table when its handler is not running and nothing is left to report.
    struct Held {
        const std::string* id = nullptr;  // its key in the table
        std::string task_id;
        std::uint64_t number = 0;  // in the order of arrival
        Held* older = nullptr;     // neighbours in the queue
        Held* newer = nullptr;
        bool exclusive = false;
        bool queued = true;  // not begun yet
        bool handler_running = false;
        bool in_slot = false;   // of the running ones: not paused, not in the slot of another
        bool told = true;       // false: over for the server; nothing of it is reported or listed any more
        bool withheld = false;  // its handler outlived the grace of its cancel
        CancelReason cancel = CancelReason::none;
        Micros timeout{0};
        Micros timer = kNever;  // queued: start by; running: timeout; cancelled: end of the grace
        std::size_t timer_place = 0;
        Micros assigned_at{0};
        Micros started_at{0};
        std::optional<Micros> slot_free;
        bool paused = false;
        std::uint32_t turn = 0;  // of the last order to pause or continue
        Micros paused_at{0};
        Micros paused_for{0};          // before that
        Micros timeout_left{0};        // while paused
        std::optional<Report> report;  // set when it ended; kept until acknowledged
        std::uint32_t unsent = 0;      // how often it stands in the lists of what is to be told
        bool progress_new = false;
        double progress = 0;
        std::string progress_note;
    };
    struct TextHash : std::hash<std::string_view> {
        using is_transparent = void;
    };
    using Table = std::unordered_map<std::string, Held, TextHash, std::equal_to<>>;
    using Unsent = std::vector<Held*>;

    Held* find(std::string_view attempt_id);
    std::vector<Held*> by_id();  // nothing may depend on the order of the table
    void set_timer(Held& held, Micros when);
    void settle_timer(std::size_t place);
    void timer_fired(Micros now, Held& held);
    void start_queued(Micros now);
    void begin(Held& held, Micros at);
    void begin_offered(std::string_view attempt_id, Micros at);
    void leave_queue(Held& held);
    void leave_slot(Held& held, Micros at);
    void tell(Unsent& list, Held& held);
    bool task_runs_here(const Held& wanted) const;
    bool task_held_twice(const Held& wanted) const;
    void cancel(Micros now, Held& held, CancelReason reason, Micros grace);
    void set_paused(Micros now, Held& held, bool paused);
    void end(Held& held, Report report);
    void reject(Held& held, std::string_view why);
    void reject_queued(std::string_view why);
    void forget(Held& held);
    void take_finished(Outbound& out);
    void take_written(Outbound& out);
    void take_progress(Micros now, Outbound& out);
    bool may_say_goodbye() const { return stopping_ && held_.empty(); }
    void remove_if_done(Held& held);
    void go_down(Micros now, Micros delay);
    void close_stream(Micros now, Micros delay);
    void finish(int exit_code);
    void fence(Micros now);
    void cut_short(Micros now);
    void settle(Micros now);
    Micros fence_at() const;
    CapacityEntry capacity_now() const;
    Report conclude(const Held& held, const Outcome& outcome, Micros run) const;

    WorkerRules rules_;
    Backoff backoff_, name_backoff_;
    std::vector<Action> actions_;

    Link link_ = Link::down;
    Micros reconnect_at_ = kNever;  // of a stream that is down
    Micros welcome_by_ = kNever;    // of a stream that opens
    bool hello_due_ = false;
    Micros hello_at_{0};

    Micros lease_{0};  // 0 = never welcomed
    Micros heartbeat_every_{0};
    Micros heartbeat_at_ = kNever;
    bool heartbeat_due_ = false;
    std::uint64_t heartbeat_sequence_ = 0;
    std::deque<std::pair<std::uint64_t, Micros>> heartbeats_sent_;  // not yet acknowledged, oldest first
    Micros contact_at_{0};                                          // when what the server last acknowledged was sent
    bool fenced_ = false;

    Table held_;
    std::uint64_t arrivals_ = 0;
    std::vector<Held*> timers_;  // a heap: the earliest is the first
    Held* oldest_ = nullptr;     // the queue: exactly the queued attempts
    Held* newest_ = nullptr;
    Held* unoffered_ = nullptr;  // the oldest of them that was not offered
    std::size_t queued_ = 0;
    std::uint32_t slots_used_ = 0;
    std::vector<Micros> slots_free_;    // since when those are that were used before; the latest is taken first
    std::uint32_t slots_withheld_ = 0;  // handlers that outlived the grace of their cancel
    Unsent started_unsent_;
    Unsent paused_unsent_;
    Unsent finished_unsent_;
    Unsent progress_unsent_;
    std::deque<WrittenEntry> written_unsent_;
    Micros progress_at_{0};  // no progress is sent earlier
    bool progress_due_ = false;
    std::optional<CapacityEntry> capacity_told_;

    bool draining_ = false;    // the server asked for it
    bool stopping_ = false;    // our owner did
    bool cut_ = false;         // the drain limit passed
    bool over_ = false;        // Action::What::stop was given
    Micros stop_by_ = kNever;  // when stopping: running attempts are cancelled; then: given up
};

}  // namespace nexus::sdk
