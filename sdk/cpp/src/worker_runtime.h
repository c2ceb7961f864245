#pragma once
// Carries out what WorkerState decides: one stream, one loop, a pool of handler threads.
//
//   Loop     run()'s own thread owns the state, the stream and the table of attempts. Everything else (gRPC's
//            callbacks, handlers, stop) posts a closure into its inbox. A round drains the inbox, then writes once:
//            whatever gathered meanwhile travels in one message
//   Threads  post() and stop() from anywhere; all else on the loop

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
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
    void handle_any(Handler handler);

    int run();
    void stop();
    const std::string& refusal() const { return refusal_; }

private:
    using Event = std::move_only_function<void(WorkerRuntime&)>;

    // Outlives the runtime in the hands of callbacks that come late; then what they post is dropped.
    struct Inbox {
        std::mutex mutex;  // guards all
        std::condition_variable changed;
        std::vector<Event> events;
        std::vector<std::shared_ptr<WorkerStream>> done;  // streams to destroy on our thread
        int streams_open = 0;                             // not in `done` yet
        bool closed = false;
        void post(Event event);
    };

    std::vector<Event> next_events();
    void carry_out();
    void carry_out(const Action& action);
    void write_if_possible();
    void open_stream();
    void count_open_streams(int change);
    void drop_stream();
    void end_streams();
    void start_attempt(const std::string& attempt_id);
    std::shared_ptr<const Handler> handler_for(const std::string& type) const;
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
    std::map<std::string, std::shared_ptr<const Handler>> handlers_;
    std::shared_ptr<const Handler> any_;
    std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();

    WorkerState state_;
    Pool pool_;
    LoadMeter meter_;
    std::map<std::string, std::shared_ptr<Attempt>, std::less<>> attempts_;  // shared with the handler's thread

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
