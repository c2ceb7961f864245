#pragma once
// What a run was worth, in the names of the command-line contract. Times in seconds, shares in 0..1. Measured are the
// tasks after the warm-up that succeeded; the rest is counted in `unfinished` and `dead`.

#include <cstdint>
#include <string>
#include <vector>

#include "simulate/driver.h"
#include "simulate/world.h"

namespace nexus::simulate {

struct Metrics {
    std::string name;
    double mean_response_s = 0;  // from submission to success
    double p50_response_s = 0, p95_response_s = 0, p99_response_s = 0, p999_response_s = 0;
    double mean_slowdown = 0;  // response / work
    double p99_slowdown = 0;
    double cv_response_by_type = 0;  // task-weighted mean over types of standard deviation / mean of the response
    double cv_slowdown_by_type = 0;  // the same of response / work: without the spread of the work itself
    double utilization = 0;          // mean busy share of slots within the window
    double utilization_spread = 0;   // max - min over all workers of the busy share
    double utilization_spread_healthy = 0;  // over workers without slowness by accident, trouble or open breaker
    double idle_while_waiting_s = 0;        // slot time; open breakers excepted
    double max_wait_s = 0;                  // from submission to the first start
    double max_wait_large_s = 0;            // of the largest hundredth of the tasks
    double run_within_25 = 0;               // run time predicted at dispatch within 25 % of the actual
    double eta_within_25 = 0;               // response predicted at submission within 25 % of the actual
    double eta_p90_coverage = 0;            // finished by the p90 predicted at submission
    double eta_p10_coverage = 0;            // not before the p10
    double eta_of_run = 0;                  // eta_within_25 / run_within_25
    // The same of tasks that were told when they had a slot, had fewer tasks before them than there are slots, or more.
    double eta_placed_share = 0, eta_queued_share = 0, eta_backlog_share = 0;
    double eta_placed_within_25 = 0, eta_queued_within_25 = 0, eta_backlog_within_25 = 0;
    double eta_placed_p90_coverage = 0, eta_queued_p90_coverage = 0, eta_backlog_p90_coverage = 0;
    double eta_placed_width = 0, eta_queued_width = 0, eta_backlog_width = 0;  // told p90 / actual, geometric mean
    // Asked again after half of the wait (DriverOptions::ask_again): share of all tasks, and of those within 25 % of what
    // was left then.
    double eta_again_share = 0, eta_again_within_25 = 0;
    double decisions = 0;
    double decision_ns_p50 = 0, decision_ns_p99 = 0;
    double makespan_s = 0;
    double unfinished = 0, dead = 0;
    double fallback_decisions = 0, speculations = 0, revisions = 0;
    double wasted_share = 0;  // slot time of attempts that did not succeed / all busy time
    double response_variance_s2 = 0;
    double tasks_to_isolate = -1, seconds_to_isolate = -1, seconds_to_readmit = -1;  // worst trouble; -1: did not
    double other_tenants_mean_response_s = 0, other_tenants_p99_response_s = 0;      // all but the bursting tenant
    double simulated_tasks_per_s = 0;
    bool stable = true;  // waits did not grow with the run
    std::string digest;

    // Against others of the same world; how many times better than the other (greater is better). 0: not run.
    double mean_vs_round_robin = 0, p99_vs_round_robin = 0, variance_vs_round_robin = 0;
    double mean_vs_least_loaded = 0, p99_vs_least_loaded = 0, p99_slowdown_vs_least_loaded = 0;
    double mean_vs_fcfs = 0, p99_vs_fcfs = 0;
    // By how much the p99 is worse than the worse of fcfs and least-loaded, where that is more than 2 % and more than
    // twice what the mean gains on the better of both: much tail for little mean. 0 = no bad trade, or not known.
    double bad_trade = 0;
    // How much worse than the same policy that knows the truth: 0.1 = 10 %.
    double oracle_gap_mean = 0, oracle_gap_p99 = 0;
    bool has_oracle = false;
};

// A metric by its name in output.
struct MetricName {
    const char* name;
    double Metrics::* value;
    int decimals;
};
const std::vector<MetricName>& metric_names();

// Nearest-rank quantile of sorted values; 0 when there are none.
double quantile(const std::vector<double>& sorted, double q);

Metrics measure(const std::string& name, const World& world, const RunRecord& record, double warm_up = 0.2);

// Fills in the comparisons among the results of one world.
void compare(std::vector<Metrics>& results);

// One contender in several worlds: the median of each metric, of each factor (..._vs_...) the geometric mean. Stable
// when it was in every world. No digest. `worlds` is not empty.
Metrics over_worlds(const std::vector<Metrics>& worlds);

}  // namespace nexus::simulate
