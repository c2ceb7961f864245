#pragma once
// What one world is like, drawn from its seed: which faults may happen and how often ("swarm": each class of fault is
// on with probability one half, its intensity uniform up to its maximum), how many workers, what work.
//
// Rates are "one in n" per opportunity; 0 = never. Everything is an integer, so that a plan prints exactly.

#include <cstdint>
#include <string>

#include "base/rng.h"
#include "base/units.h"
#include "core/config.h"

namespace nexus::faults {

struct Plan {
    std::uint64_t seed = 0;
    bool story = false;       // tell what happens, event by event
    bool thorough = false;    // see Checker
    bool calm = false;        // a quiet time follows, in which everything must be as before (calm.cc)
    Duration faults_last;     // the safety phase; then everything heals but what is broken for ever
    Duration liveness_limit;  // within this after the faults, all accepted tasks must have ended

    // The service
    core::Config config;
    Duration commit_min, commit_max;
    std::uint32_t commit_stall_one_in = 0;  // a commit takes 0.5 to 3 s
    std::uint32_t snapshot_one_in = 0;      // per commit
    std::uint32_t crash_one_in = 0;         // per commit, at a drawn point of it
    Duration crash_every;                   // mean, at any moment; 0 = never
    Duration down_max;                      // how long a crashed server stays away
    std::uint32_t pause_one_in_s = 0;       // per second: stopped for 0.1 to 5 s
    std::uint64_t sync_failure_one_in = 0;
    Duration full_disk_last;  // one episode; 0 = none
    std::uint64_t store_reply_lost_one_in = 0;
    Duration silent_store_last;             // one episode without any answer; 0 = none
    bool exhausted_disk = false;            // in the middle of it not even the reserve is left
    std::uint32_t stop_one_in_s = 0;        // per second: stopped in order, then started again
    std::uint32_t clock_jump_one_in_s = 0;  // per second
    Duration clock_jump_max;
    std::int32_t clock_drift_ppm = 0;
    bool clock_freezes = false;              // the calendar stands still for a while
    std::uint32_t model_failure_one_in = 0;  // the predictor does not answer

    // The net
    Duration delay_min, delay_max;
    std::uint32_t delay_tail_one_in = 0;  // x 100
    std::uint32_t request_lost_one_in = 0, reply_lost_one_in = 0;
    std::uint32_t reset_one_in_s = 0;  // per stream and second
    std::uint32_t half_open_one_in_s = 0;
    std::uint32_t stall_one_in_s = 0;  // per stream and second: one direction stands still
    bool herd = false;                 // all streams cut at once, one time

    // Workers
    std::uint32_t workers = 0;
    std::uint32_t slots_max = 0;
    std::uint32_t worker_crash_one_in_s = 0;  // per worker and second
    std::uint32_t worker_pause_one_in_s = 0;
    std::uint32_t worker_stop_one_in_s = 0;  // drains, says goodbye and starts again
    bool frozen = false;                     // one worker stands still for ever when the faults end
    std::uint32_t liars = 0;  // workers that misbehave: reports twice, late, foreign; capacity lies; ignored orders
    std::uint32_t hang_one_in = 0;    // per run
    std::uint32_t poison_one_in = 0;  // per task: kills its worker
    std::uint32_t fail_one_in = 0;    // per run
    std::uint32_t twin_one_in_s = 0;  // per second: a second process of a worker's name appears

    // Work
    std::uint32_t submissions = 0;  // calls, in all
    std::uint32_t batch_max = 0;
    Duration run_min, run_max;
    std::uint32_t types = 0, tenants = 0;
    std::uint32_t burst_one_in = 0;       // submissions that come 20 at once
    std::uint32_t cancel_one_in = 0;      // per accepted task
    std::uint32_t duplicate_one_in = 0;   // the same call again later
    std::uint32_t other_body_one_in = 0;  // the same key with another body
    std::uint32_t invalid_one_in = 0;     // submissions that must be refused
    bool watched = false;                 // somebody watches all tasks
    std::uint32_t special_one_in = 0;     // tasks with constraints, keys, times, dependencies
    std::uint32_t operator_one_in_s = 0;  // per second: cordon, drain, limits, policy, overrides

    std::string text() const;
};

Plan draw_plan(std::uint64_t seed);

}  // namespace nexus::faults
