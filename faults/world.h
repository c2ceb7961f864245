#pragma once
// One world: a server, workers, clients and operators, made from one seed. First faults happen (safety), then
// everything heals but what is broken for ever, and all accepted work must end (liveness).

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backoff.h"
#include "faults/checker.h"
#include "faults/machine.h"
#include "faults/net.h"
#include "faults/plan.h"
#include "faults/server.h"
#include "faults/timeline.h"

namespace nexus::faults {

struct Verdict {
    bool kept = true;           // all promises
    std::string promise, what;  // the first that was broken
    std::uint64_t digest = 0;   // of everything that became durable, in order
    std::uint64_t events = 0;
    std::uint64_t steps = 0;
    Duration simulated;
    Duration drained;  // from the healing until the last accepted task had ended
    Seen seen;
};

class World {
public:
    explicit World(const Plan& plan);
    Verdict run();

private:
    // One call of a client, repeated until its outcome is known.
    struct Submit {
        std::vector<std::uint64_t> works;
        bool keyed = true;
        bool repeat = false;   // a duplicate on purpose, after the first was acknowledged
        bool unknown = false;  // an earlier try may have been stored
        bool settled = false;
        std::uint32_t tries = 0;
        sdk::Backoff delays;  // the SDK's own
    };
    using SubmitRef = std::shared_ptr<Submit>;  // shared by the tries under way; the last step is the last owner

    void build_machines();
    void plan_submissions();
    void plan_each_second(Instant at);
    void plan_lies();
    void heal();

    // calm.cc: the quiet time after the faults
    void calm();
    void close_breakers();
    void learn_anew();
    void overload();
    void arrive(Duration length, std::int64_t permille, std::uint64_t slots);
    std::uint64_t submit_calm(const char* type, Duration run);
    std::string open_breakers() const;
    std::uint64_t calm_slots() const;
    void drain_calm();
    void pass(Duration length);

    void plan_disk_trouble();
    void disturb_workers();
    void disturb_server();
    void freeze_one();
    void watch_tasks();

    Work draw_work(bool other_body_of_last);
    void spoil(Work& work);
    void make_special(core::TaskSpec& spec, Work& work);
    void submit_new();
    void send(const SubmitRef& submit);
    void answered(const SubmitRef& submit, Result<std::vector<engine::Submitted>> answer);
    void acked(const SubmitRef& submit, const std::vector<engine::Submitted>& answer);
    void again(const SubmitRef& submit, Duration advised);
    SubmitRef open_submit();
    void cancel(std::uint64_t work);
    void look(std::uint64_t work);
    void redrive(std::uint64_t work);
    void operate();
    bool chance(std::uint64_t one_in) { return !healed_ && one_in != 0 && rng_.one_in(one_in); }
    // Sends a call to the server over the net and runs `reply` with its answer, unless one of them is lost.
    template <class T, class Ask>
    void ask(Ask ask, std::move_only_function<void(Result<T>)> reply);

    Plan plan_;
    Timeline timeline_;
    Checker checker_;
    Net net_;
    Server server_;
    Rng rng_;
    std::vector<std::unique_ptr<Machine>> machines_;
    std::vector<TaskId> known_;
    std::uint64_t submits_open_ = 0;
    std::uint64_t watched_process_ = 0;
    bool healed_ = false;
};

}  // namespace nexus::faults
