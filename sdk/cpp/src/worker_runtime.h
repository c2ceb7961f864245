#pragma once
// Carries out what WorkerState decides: one stream, one loop, a pool of handler threads.
//
//   Loop     run()'s own thread owns the state, the stream and the table of attempts. Everything else (gRPC's
//            callbacks, stop, progress) posts a closure into its inbox; the ends of handlers come as notes of the pool
//            (pool.h), first in each round. A round takes all there is, then writes once: whatever gathered meanwhile
//            travels in one message. While a message is on its way the end of a handler does not wake it: reports merge
//            under load, and nothing waits without
//   Offers   are in the pool's hands between rounds. Whatever may take an attempt back or forbid a start withdraws
//            them first (see worker_state.h); the end of the round offers again
//   Threads  post() and stop() from anywhere; all else on the loop

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "attempt.h"
#include "clock.h"
#include "load_meter.h"
#include "pool.h"
#include "worker_messages.h"
#include "worker_state.h"
#include "worker_stream.h"

namespace nexus::sdk {

class WorkerRuntime {
public:
    WorkerRuntime(WorkerOptions options, std::shared_ptr<Clock> clock, std::uint64_t seed);
    ~WorkerRuntime();
    WorkerRuntime(const WorkerRuntime&) = delete;
    WorkerRuntime& operator=(const WorkerRuntime&) = delete;

    void handle(std::string type, Handler handler);
    void handle_batch(std::string type, const BatchOptions& options, BatchHandler handler);
    void handle_any(Handler handler);

    int run();
    void stop();
    const std::string& refusal() const { return refusal_; }

private:
    using Event = std::move_only_function<void(WorkerRuntime&)>;

    // What the end of a write means to the loop that waits.
    enum class OnWritten : std::uint8_t { nothing, call_for_notes, wake };

    // Outlives the runtime in the hands of callbacks that come late; then what they post is dropped.
    struct Inbox {
        std::mutex mutex;  // guards all
        std::condition_variable changed;
        std::vector<Event> events;
        std::vector<std::shared_ptr<WorkerStream>> done;  // streams to destroy on our thread
        int streams_open = 0;                             // not in `done` yet
        bool closed = false;
        bool woken = false;         // for something that is no event
        bool loop_waits = false;    // otherwise nobody needs to be woken
        std::uint64_t written = 0;  // number of the stream whose last write has ended
        OnWritten on_written = OnWritten::nothing;
        void post(Event event);
        void wake();
    };

    void wait(Micros wake);
    std::vector<Event> next_events();
    void take_notes(bool withdraw);
    void hand_over();
    void carry_out();
    void carry_out(const Action& action);
    void write_if_possible();
    void open_stream();
    void count_open_streams(int change);
    void drop_stream();
    void end_streams();
    void start_attempt(const std::string& attempt_id);
    void remember(v1::Assign&& assign, Micros now);
    std::shared_ptr<const Work> work_for(const std::string& type) const;
    void take_message(v1::ServerMessage message);
    void answer_look(const v1::Look& look);
    void take_end(const StreamEnd& end);
    void name_taken(const std::string& by);
    void log(const std::string& line) const;

    const WorkerOptions options_;
    Identity identity_;

    // Owned also by the threads of handlers, one of which may outlive the runtime by ignoring its cancel; the inbox by
    // every callback of a stream too. The last of them ends each.
    std::shared_ptr<Clock> clock_;
    std::map<std::string, std::shared_ptr<const Work>> works_;
    std::shared_ptr<const Work> any_;  // what is done with types that no handler is for
    bool any_type_ = false;
    std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();

    WorkerState state_;
    std::shared_ptr<const Attempt::ProgressSink> tell_progress_;
    std::shared_ptr<Pool> pool_;  // shared with its threads
    LoadMeter meter_;
    std::unordered_map<std::string_view, Pool::Job> attempts_;  // by their own ids; shared with the pool
    std::vector<Pool::Job> to_start_;
    std::vector<Pool::Note> notes_;

    std::vector<v1::Look> looks_held_;  // about handlers whose end is on its way into the inbox

    std::shared_ptr<WorkerStream> stream_;  // shared with gRPC while the call is open
    std::uint64_t stream_number_ = 0;       // events of earlier streams are ignored
    bool stream_usable_ = false;            // can still be written
    bool writing_ = false;
    bool half_closed_ = false;
    bool name_taken_ = false;  // it was said; until the next welcome
    bool over_ = false;        // nothing is left to do but to end the stream
    int exit_code_ = 0;
    std::string refusal_;
};

}  // namespace nexus::sdk
