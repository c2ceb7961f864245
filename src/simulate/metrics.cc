#include "simulate/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "base/must.h"

namespace nexus::simulate {
namespace {

constexpr double kBadTrade = 0.02;

double seconds_of(Duration duration) {
    return static_cast<double>(duration.us) / 1e6;
}

// Running moments of one type (Welford).
struct Moments {
    double count = 0, mean = 0, squares = 0;
    void add(double x) {
        ++count;
        const double step = x - mean;
        mean += step / count;
        squares += step * (x - mean);
    }
    double deviation() const { return count > 1 ? std::sqrt(squares / count) : 0; }
    double variance() const { return count > 1 ? squares / count : 0; }
};

double mean_cv(const std::vector<Moments>& by_type) {
    double sum = 0, count = 0;
    for (const Moments& type : by_type) {
        if (type.count < 2) continue;
        sum += type.count * type.deviation() / type.mean;
        count += type.count;
    }
    return count > 0 ? sum / count : 0;
}

bool within_25(double told, double actual) {
    return std::abs(told - actual) <= 0.25 * actual;
}

double share(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

// Waits of tasks that arrived late in the run against those of the middle. A queue that grows for ever doubles them; a
// stable one under heavy load wanders too, so that short waits never count as growth.
// Policies that spread tasks blindly are judged by what they do to their most loaded worker: a run may be too short to
// show how its queue grows.
bool is_stable(const std::string& name, const World& world, const RunRecord& record) {
    if (record.unfinished > 0) return false;
    for (const char* blind : {"round-robin", "random", "oracle-round-robin", "oracle-random"})
        if (name == blind) return world.equal_split_load() < 1;
    const std::size_t tasks = record.tasks.size();
    const auto mean_wait = [&](double from, double to) {
        double sum = 0, count = 0;
        for (auto n = static_cast<std::size_t>(from * static_cast<double>(tasks));
             n < static_cast<std::size_t>(to * static_cast<double>(tasks)); ++n) {
            if (record.tasks[n].first_start == kNever) continue;
            sum += seconds_of(record.tasks[n].first_start - world.workload.tasks[n].arrival);
            ++count;
        }
        return share(sum, count);
    };
    const double late = mean_wait(0.8, 1.0);
    const double middle = mean_wait(0.3, 0.6);
    return late <= 1.6 * middle || late <= 5 * seconds_of(world.workload.mean_work);
}

void measure_responses(const World& world, const RunRecord& record, double warm_up, Metrics& out) {
    const std::size_t tasks = record.tasks.size();
    const auto first = static_cast<std::size_t>(static_cast<double>(tasks) * warm_up);
    std::vector<double> responses, slowdowns, others;
    std::vector<Moments> by_type(world.workload.types.size()), slow_by_type(world.workload.types.size());
    Moments all, slow;
    double run_hits = 0;
    struct Told {
        double count = 0, hits = 0, by_p90 = 0, from_p10 = 0, ln_width = 0;
    };
    std::array<Told, core::kToldAs> told_as{};
    Told again;
    for (std::size_t n = first; n < tasks; ++n) {
        const SimTask& task = world.workload.tasks[n];
        const TaskRecord& told = record.tasks[n];
        if (told.first_start != kNever)
            out.max_wait_s = std::max(out.max_wait_s, seconds_of(told.first_start - task.arrival));
        if (told.state == core::TaskState::dead) ++out.dead;
        if (told.state != core::TaskState::succeeded) continue;
        const double response = seconds_of(told.finish - task.arrival);
        const double slowdown = response / seconds_of(task.work);
        responses.push_back(response);
        slowdowns.push_back(slowdown);
        if (task.tenant != 0) others.push_back(response);
        all.add(response);
        slow.add(slowdown);
        by_type[task.type].add(response);
        slow_by_type[task.type].add(slowdown);
        if (told.run.us >= 0 && within_25(seconds_of(told.predicted), seconds_of(told.run))) ++run_hits;
        if (told.told_again != kNever) {
            ++again.count;
            const double left = seconds_of(told.finish - told.asked_again);
            if (within_25(seconds_of(told.told_again - told.asked_again), left)) ++again.hits;
        }
        if (told.eta_p50 == kNever) continue;
        Told& of = told_as[static_cast<std::size_t>(told.told_as)];
        ++of.count;
        if (within_25(seconds_of(told.eta_p50 - task.arrival), response)) ++of.hits;
        if (told.finish <= told.eta_p90) ++of.by_p90;
        if (told.finish >= told.eta_p10) ++of.from_p10;
        of.ln_width += std::log(std::max(seconds_of(told.eta_p90 - task.arrival), 1e-6) / std::max(response, 1e-6));
    }
    Told all_told;
    for (const Told& of : told_as) {
        all_told.count += of.count;
        all_told.hits += of.hits;
        all_told.by_p90 += of.by_p90;
        all_told.from_p10 += of.from_p10;
    }
    const auto regime = [&](core::ToldAs as, double Metrics::* part, double Metrics::* within, double Metrics::* by_p90,
                            double Metrics::* width) {
        const Told& of = told_as[static_cast<std::size_t>(as)];
        out.*part = share(of.count, all_told.count);
        out.*within = share(of.hits, of.count);
        out.*by_p90 = share(of.by_p90, of.count);
        out.*width = of.count > 0 ? std::exp(of.ln_width / of.count) : 0;
    };
    regime(core::ToldAs::placed, &Metrics::eta_placed_share, &Metrics::eta_placed_within_25,
           &Metrics::eta_placed_p90_coverage, &Metrics::eta_placed_width);
    regime(core::ToldAs::queued, &Metrics::eta_queued_share, &Metrics::eta_queued_within_25,
           &Metrics::eta_queued_p90_coverage, &Metrics::eta_queued_width);
    regime(core::ToldAs::backlog, &Metrics::eta_backlog_share, &Metrics::eta_backlog_within_25,
           &Metrics::eta_backlog_p90_coverage, &Metrics::eta_backlog_width);
    std::sort(responses.begin(), responses.end());
    std::sort(slowdowns.begin(), slowdowns.end());
    std::sort(others.begin(), others.end());
    out.mean_response_s = all.mean;
    out.response_variance_s2 = all.variance();
    out.p50_response_s = quantile(responses, 0.5);
    out.p95_response_s = quantile(responses, 0.95);
    out.p99_response_s = quantile(responses, 0.99);
    out.p999_response_s = quantile(responses, 0.999);
    out.mean_slowdown = slow.mean;
    out.p99_slowdown = quantile(slowdowns, 0.99);
    out.cv_response_by_type = mean_cv(by_type);
    out.cv_slowdown_by_type = mean_cv(slow_by_type);
    out.run_within_25 = share(run_hits, all.count);
    out.eta_within_25 = share(all_told.hits, all_told.count);
    out.eta_p90_coverage = share(all_told.by_p90, all_told.count);
    out.eta_p10_coverage = share(all_told.from_p10, all_told.count);
    out.eta_of_run = share(out.eta_within_25, out.run_within_25);
    out.eta_again_share = share(again.count, all.count);
    out.eta_again_within_25 = share(again.hits, again.count);
    out.other_tenants_p99_response_s = quantile(others, 0.99);
    double sum = 0;
    for (const double response : others) sum += response;
    out.other_tenants_mean_response_s = share(sum, static_cast<double>(others.size()));
}

void measure_large(const World& world, const RunRecord& record, double warm_up, Metrics& out) {
    std::vector<double> works;
    for (const SimTask& task : world.workload.tasks) works.push_back(seconds_of(task.work));
    std::sort(works.begin(), works.end());
    const double large = quantile(works, 0.99);
    const auto first = static_cast<std::size_t>(static_cast<double>(record.tasks.size()) * warm_up);
    for (std::size_t n = first; n < record.tasks.size(); ++n) {
        const SimTask& task = world.workload.tasks[n];
        if (seconds_of(task.work) < large || record.tasks[n].first_start == kNever) continue;
        out.max_wait_large_s = std::max(out.max_wait_large_s, seconds_of(record.tasks[n].first_start - task.arrival));
    }
}

void measure_workers(const World& world, const RunRecord& record, Metrics& out) {
    const double window = seconds_of(record.window_to - record.window_from);
    if (window <= 0) return;
    double low = 2, high = 0, healthy_low = 2, healthy_high = 0, busy = 0, slots = 0;
    for (std::size_t n = 0; n < record.workers.size(); ++n) {
        const SimWorker& worker = world.cluster.workers[n];
        const double used = seconds_of(record.workers[n].busy);
        const double busy_share = used / (worker.slots * window);
        busy += used;
        slots += worker.slots;
        low = std::min(low, busy_share);
        high = std::max(high, busy_share);
        if (!worker.healthy || seconds_of(record.workers[n].open) > 0.05 * window) continue;
        healthy_low = std::min(healthy_low, busy_share);
        healthy_high = std::max(healthy_high, busy_share);
    }
    out.utilization = busy / (slots * window);
    out.utilization_spread = high - low;
    out.utilization_spread_healthy = std::max(0.0, healthy_high - healthy_low);
    out.wasted_share = share(seconds_of(record.wasted), busy + seconds_of(record.wasted));
}

}  // namespace

double quantile(const std::vector<double>& sorted, double q) {
    if (sorted.empty()) return 0;
    const double rank = std::ceil(q * static_cast<double>(sorted.size()));
    const auto at = static_cast<std::size_t>(std::max(1.0, rank)) - 1;
    return sorted[std::min(at, sorted.size() - 1)];
}

Metrics measure(const std::string& name, const World& world, const RunRecord& record, double warm_up) {
    Metrics out{.name = name};
    measure_responses(world, record, warm_up, out);
    measure_large(world, record, warm_up, out);
    measure_workers(world, record, out);
    std::vector<double> ns(record.decision_ns.begin(), record.decision_ns.end());
    std::sort(ns.begin(), ns.end());
    out.decision_ns_p50 = quantile(ns, 0.5);
    out.decision_ns_p99 = quantile(ns, 0.99);
    out.idle_while_waiting_s = seconds_of(record.idle_while_waiting);
    out.decisions = static_cast<double>(record.counters.decisions);
    out.fallback_decisions = static_cast<double>(record.counters.fallback_decisions);
    out.speculations = static_cast<double>(record.counters.speculations);
    out.revisions = static_cast<double>(record.revisions);
    out.makespan_s = static_cast<double>(record.makespan.us) / 1e6;
    out.unfinished = static_cast<double>(record.unfinished);
    for (const TroubleRecord& trouble : record.troubles) {
        out.tasks_to_isolate = std::max(out.tasks_to_isolate, static_cast<double>(trouble.tasks_to_isolate));
        out.seconds_to_isolate = std::max(out.seconds_to_isolate, trouble.seconds_to_isolate);
        out.seconds_to_readmit = std::max(out.seconds_to_readmit, trouble.seconds_to_readmit);
    }
    out.simulated_tasks_per_s = share(static_cast<double>(record.tasks.size()), record.wall_s);
    out.stable = is_stable(name, world, record);
    char hex[17];
    std::snprintf(hex, sizeof(hex), "%016llx", static_cast<unsigned long long>(record.digest));
    out.digest = hex;
    return out;
}

void compare(std::vector<Metrics>& results) {
    const auto find = [&](const std::string& name) -> const Metrics* {
        for (const Metrics& one : results)
            if (one.name == name) return &one;
        return nullptr;
    };
    const Metrics* round_robin = find("round-robin");
    const Metrics* least_loaded = find("least-loaded");
    const Metrics* fcfs = find("fcfs");
    for (Metrics& one : results) {
        if (round_robin != nullptr) {
            one.mean_vs_round_robin = share(round_robin->mean_response_s, one.mean_response_s);
            one.p99_vs_round_robin = share(round_robin->p99_response_s, one.p99_response_s);
            one.variance_vs_round_robin = share(round_robin->response_variance_s2, one.response_variance_s2);
        }
        if (least_loaded != nullptr) {
            one.mean_vs_least_loaded = share(least_loaded->mean_response_s, one.mean_response_s);
            one.p99_vs_least_loaded = share(least_loaded->p99_response_s, one.p99_response_s);
            one.p99_slowdown_vs_least_loaded = share(least_loaded->p99_slowdown, one.p99_slowdown);
        }
        if (fcfs != nullptr) {
            one.mean_vs_fcfs = share(fcfs->mean_response_s, one.mean_response_s);
            one.p99_vs_fcfs = share(fcfs->p99_response_s, one.p99_response_s);
        }
        if (fcfs != nullptr && least_loaded != nullptr) {
            const double lost =
                share(one.p99_response_s, std::max(fcfs->p99_response_s, least_loaded->p99_response_s)) - 1;
            const double gained =
                1 - share(one.mean_response_s, std::min(fcfs->mean_response_s, least_loaded->mean_response_s));
            one.bad_trade = lost > kBadTrade && gained < lost / 2 ? lost : 0;
        }
        if (const Metrics* oracle = find("oracle-" + one.name); oracle != nullptr) {
            one.has_oracle = true;
            one.oracle_gap_mean = share(one.mean_response_s, oracle->mean_response_s) - 1;
            one.oracle_gap_p99 = share(one.p99_response_s, oracle->p99_response_s) - 1;
        }
    }
}

Metrics over_worlds(const std::vector<Metrics>& worlds) {
    MUST(!worlds.empty());
    Metrics out{.name = worlds.front().name, .digest = "-", .has_oracle = worlds.front().has_oracle};
    const auto median = [&](double Metrics::* value) {
        std::vector<double> values;
        for (const Metrics& one : worlds) values.push_back(one.*value);
        std::sort(values.begin(), values.end());
        return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
    };
    for (const MetricName& metric : metric_names()) {
        out.*metric.value = median(metric.value);
        if (std::string_view(metric.name).find("_vs_") == std::string_view::npos) continue;
        double ln = 0;
        for (const Metrics& one : worlds) ln += one.*metric.value > 0 ? std::log(one.*metric.value) : 0;
        out.*metric.value = out.*metric.value > 0 ? std::exp(ln / static_cast<double>(worlds.size())) : 0;
    }
    out.oracle_gap_mean = median(&Metrics::oracle_gap_mean);
    out.oracle_gap_p99 = median(&Metrics::oracle_gap_p99);
    for (const Metrics& one : worlds) out.stable = out.stable && one.stable;
    return out;
}

const std::vector<MetricName>& metric_names() {
    static const std::vector<MetricName> names{
        {"mean_response_s", &Metrics::mean_response_s, 3},
        {"p50_response_s", &Metrics::p50_response_s, 3},
        {"p95_response_s", &Metrics::p95_response_s, 3},
        {"p99_response_s", &Metrics::p99_response_s, 3},
        {"p999_response_s", &Metrics::p999_response_s, 3},
        {"mean_slowdown", &Metrics::mean_slowdown, 2},
        {"p99_slowdown", &Metrics::p99_slowdown, 2},
        {"cv_response_by_type", &Metrics::cv_response_by_type, 3},
        {"cv_slowdown_by_type", &Metrics::cv_slowdown_by_type, 3},
        {"response_variance_s2", &Metrics::response_variance_s2, 2},
        {"utilization", &Metrics::utilization, 3},
        {"utilization_spread", &Metrics::utilization_spread, 3},
        {"utilization_spread_healthy", &Metrics::utilization_spread_healthy, 3},
        {"idle_while_waiting_s", &Metrics::idle_while_waiting_s, 3},
        {"max_wait_s", &Metrics::max_wait_s, 2},
        {"max_wait_large_s", &Metrics::max_wait_large_s, 2},
        {"run_within_25", &Metrics::run_within_25, 3},
        {"eta_within_25", &Metrics::eta_within_25, 3},
        {"eta_p90_coverage", &Metrics::eta_p90_coverage, 3},
        {"eta_p10_coverage", &Metrics::eta_p10_coverage, 3},
        {"eta_of_run", &Metrics::eta_of_run, 3},
        {"eta_placed_share", &Metrics::eta_placed_share, 3},
        {"eta_queued_share", &Metrics::eta_queued_share, 3},
        {"eta_backlog_share", &Metrics::eta_backlog_share, 3},
        {"eta_placed_within_25", &Metrics::eta_placed_within_25, 3},
        {"eta_queued_within_25", &Metrics::eta_queued_within_25, 3},
        {"eta_backlog_within_25", &Metrics::eta_backlog_within_25, 3},
        {"eta_placed_p90_coverage", &Metrics::eta_placed_p90_coverage, 3},
        {"eta_queued_p90_coverage", &Metrics::eta_queued_p90_coverage, 3},
        {"eta_backlog_p90_coverage", &Metrics::eta_backlog_p90_coverage, 3},
        {"eta_placed_width", &Metrics::eta_placed_width, 2},
        {"eta_queued_width", &Metrics::eta_queued_width, 2},
        {"eta_backlog_width", &Metrics::eta_backlog_width, 2},
        {"eta_again_share", &Metrics::eta_again_share, 3},
        {"eta_again_within_25", &Metrics::eta_again_within_25, 3},
        {"decisions", &Metrics::decisions, 0},
        {"decision_ns_p50", &Metrics::decision_ns_p50, 0},
        {"decision_ns_p99", &Metrics::decision_ns_p99, 0},
        {"makespan_s", &Metrics::makespan_s, 1},
        {"unfinished", &Metrics::unfinished, 0},
        {"dead", &Metrics::dead, 0},
        {"fallback_decisions", &Metrics::fallback_decisions, 0},
        {"speculations", &Metrics::speculations, 0},
        {"revisions", &Metrics::revisions, 0},
        {"wasted_share", &Metrics::wasted_share, 4},
        {"tasks_to_isolate", &Metrics::tasks_to_isolate, 0},
        {"seconds_to_isolate", &Metrics::seconds_to_isolate, 1},
        {"seconds_to_readmit", &Metrics::seconds_to_readmit, 1},
        {"other_tenants_mean_response_s", &Metrics::other_tenants_mean_response_s, 3},
        {"other_tenants_p99_response_s", &Metrics::other_tenants_p99_response_s, 3},
        {"simulated_tasks_per_s", &Metrics::simulated_tasks_per_s, 0},
        {"mean_vs_round_robin", &Metrics::mean_vs_round_robin, 2},
        {"p99_vs_round_robin", &Metrics::p99_vs_round_robin, 2},
        {"variance_vs_round_robin", &Metrics::variance_vs_round_robin, 2},
        {"mean_vs_least_loaded", &Metrics::mean_vs_least_loaded, 2},
        {"p99_vs_least_loaded", &Metrics::p99_vs_least_loaded, 2},
        {"p99_slowdown_vs_least_loaded", &Metrics::p99_slowdown_vs_least_loaded, 2},
        {"mean_vs_fcfs", &Metrics::mean_vs_fcfs, 2},
        {"p99_vs_fcfs", &Metrics::p99_vs_fcfs, 2},
        {"bad_trade", &Metrics::bad_trade, 3},
    };
    return names;
}

}  // namespace nexus::simulate
