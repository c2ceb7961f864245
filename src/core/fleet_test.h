#pragma once
// A small simulated fleet around a scheduler, for tests of order and of what is told: tasks run as long as they are said
// to, all on equal workers.

#include <functional>
#include <map>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "core/scheduler.h"

namespace nexus::core {

class TestFleet {
public:
    TestFleet(Config config, std::uint32_t workers, std::uint32_t slots) : scheduler(std::move(config)) {
        apply(EngineStarted{.seed = 3, .wall_offset = seconds(1'000'000)});
        for (std::uint32_t n = 1; n <= workers; ++n)
            apply(WorkerJoined{.name = "w" + std::to_string(n), .session = {n}, .slots = slots});
    }

    void apply(Fact fact) {
        std::vector<Command> commands;
        const Event event{now, std::move(fact)};
        scheduler.apply(event, commands);
        if (recording) applied.push_back(event);
        for (const Command& command : commands) {
            const auto* assign = std::get_if<AssignAttempt>(&command);
            if (assign == nullptr) continue;
            started.push_back(*assign);
            begun[assign->task] = now;
            running_.push({now + run_of_[assign->task], *assign});
        }
        for (const Command& command : commands)
            if (const auto* assign = std::get_if<AssignAttempt>(&command))
                apply(AttemptStarted{.task = assign->task, .attempt = assign->attempt, .session = assign->session});
    }

    // Estimated as `p50`, `p90` and `mean` say, and done after `run`.
    TaskId submit(const std::string& tenant, Duration run, Duration p50, Duration p90, Duration mean,
                  EstimateSource source = EstimateSource::type_mode) {
        TaskSubmitted submitted{.task = {1, ++submitted_}, .promise = true};
        submitted.spec.type = "t";
        submitted.spec.tenant = tenant;
        submitted.spec.priority = priority;
        submitted.estimate = {.p50 = p50, .p90 = p90, .mean = mean, .confidence_permille = 900, .source = source};
        const TaskId task = submitted.task;
        run_of_[task] = run;
        came[task] = now;
        apply(std::move(submitted));
        return task;
    }
    TaskId submit(const std::string& tenant, Duration run) { return submit(tenant, run, run, run, run); }

    // Lets runs end, up to that moment.
    void pass(Instant until) {
        while (!running_.empty() && running_.top().end <= until) {
            const Running done = running_.top();
            running_.pop();
            now = done.end;
            apply(AttemptFinished{.task = done.order.task,
                                  .attempt = done.order.attempt,
                                  .session = done.order.session,
                                  .run = run_of_[done.order.task]});
        }
        now = until;
    }

    Scheduler scheduler;
    Instant now;
    std::uint8_t priority = kPriorityDefault;  // of what is submitted
    bool recording = false;
    std::vector<Event> applied;          // while recording
    std::vector<AssignAttempt> started;  // in order
    std::map<TaskId, Instant> came, begun;

private:
    struct Running {
        Instant end;
        AssignAttempt order;
        bool operator<(const Running& other) const {
            return end != other.end ? other.end < end : other.order.fence < order.fence;
        }
    };
    std::map<TaskId, Duration> run_of_;
    std::priority_queue<Running> running_;
    std::uint64_t submitted_ = 0;
};

}  // namespace nexus::core
