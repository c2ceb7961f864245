#pragma once
// A worker's process on simulated time: the production rules of the SDK (nexus::sdk::WorkerState), handlers that take
// their time, and a stream to the server. It may crash, stand still, be one of two of its name, or lie.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "faults/net.h"
#include "faults/server.h"
#include "worker_state.h"

namespace nexus::faults {

struct MachineShape {
    std::string name;
    std::uint32_t slots = 1;
    core::Labels labels;
    core::Resources offered;
    std::vector<std::string> types;
    bool liar = false;
    bool can_pause = false;
    std::uint32_t prefetch_max = 0;
};

class Machine {
public:
    Machine(const Plan& plan, Net& net, Server& server, Checker& checker, MachineShape shape, std::uint64_t seed);

    void boot();              // a process starts
    void crash(bool silent);  // it dies; silent: its peer hears nothing
    void restart_after(Duration delay);
    void reset_stream();
    void cut_silently();  // half-open
    void server_down();   // the server's process ended: its end of the stream is gone
    void pause(Duration length);
    void lie();                   // sends something a worker should not
    void retire();                // stops for ever, abruptly
    void freeze();                // stands still for ever
    void ask_stop();              // drains, says goodbye, and starts again later
    void stall(Duration length);  // one direction of its stream
    void heal();
    void heal_if_hung();
    bool alive() const { return state_ != nullptr; }
    bool connected() const { return state_ != nullptr && state_->connected(); }
    bool frozen() const { return frozen_; }
    // It does as it is told and is there. Liars are cured with the rest of the world.
    bool usual() const { return connected() && !frozen_ && !retired_; }
    std::size_t running() const { return handlers_.size(); }
    const MachineShape& shape() const { return shape_; }

private:
    // One stream. The server's end lives in the server's process; both lanes die with either end.
    struct Stream {
        std::shared_ptr<Lane> to_server, to_worker;
        std::uint64_t server_process = 0;
        SessionId session;
        bool dead = false;                        // the server's end heard that it is over
        bool lost = false;                        // the engine gave the session up
        std::vector<engine::WorkerReport> early;  // arrived before the session was known
    };
    struct Handler {
        TaskId task;
        std::uint64_t number = 0;  // of this handler, to tell late steps from current ones
        std::uint64_t work = UINT64_MAX;
        bool cancelled = false;
        Instant paused_at = kNever;  // it stands still
        Duration stood;              // before that
    };
    struct Link;

    Micros now() const { return Micros{net_.timeline().now().us}; }
    void pump();
    void act(const sdk::Action& action);
    void open_stream();
    void close_stream();
    void end(bool silent);
    void stopped();
    void write(const sdk::Outbound& out);
    void deliver(const std::shared_ptr<Stream>& stream, engine::WorkerOrders orders);
    void refused(const std::shared_ptr<Stream>& stream);
    void server_lost(const std::shared_ptr<Stream>& stream);
    void report(const std::shared_ptr<Stream>& stream, engine::WorkerReport report);
    void claim(engine::WorkerReport claimed);
    void start_handler(const std::string& attempt);
    void run_on(const std::string& attempt, std::uint64_t number, const Outcome& outcome, Instant since, Duration run);
    void end_handler(const std::string& attempt, std::uint64_t number, const Outcome& outcome, Instant since);
    void later(Duration delay, Timeline::Step step);
    bool chance(std::uint64_t one_in) { return !healed_ && one_in != 0 && rng_.one_in(one_in); }

    const Plan& plan_;
    Net& net_;
    Server& server_;
    Checker& checker_;
    MachineShape shape_;
    Rng rng_;
    bool healed_ = false;
    bool retired_ = false;
    bool frozen_ = false;

    std::uint64_t process_ = 0;  // unique in the world
    Instant paused_until_;
    std::unique_ptr<sdk::WorkerState> state_;
    std::shared_ptr<Stream> stream_;
    std::map<std::string, engine::Assignment> assignments_;
    std::map<std::string, Handler> handlers_;
    std::uint64_t handler_number_ = 0;
    std::uint64_t timer_number_ = 0;
    std::vector<std::pair<TaskId, AttemptId>> past_;
};

}  // namespace nexus::faults
