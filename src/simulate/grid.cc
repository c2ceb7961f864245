#include "simulate/grid.h"

#include <fmt/format.h>
#include <algorithm>
#include <atomic>
#include <cmath>

#include "simulate/parallel.h"
#include "simulate/settings.h"
#include "simulate/srpt.h"

namespace nexus::simulate {
namespace {

// "Worse" means by more than a hundredth: below that, cells differ by the luck of single tasks.
constexpr double kTie = 0.99;

std::vector<Cell> lay_out(const GridSpec& spec) {
    std::vector<Cell> cells;
    for (const std::string& workload : spec.workloads)
        for (const char cluster : spec.clusters)
            for (const Arrivals arrivals : {Arrivals::poisson, Arrivals::bursts})
                for (const double load : spec.loads)
                    for (const std::uint32_t slots : {20U, 200U}) {
                        const std::uint32_t tasks = spec.tasks > 0 ? spec.tasks : slots == 20 ? 15'000 : 40'000;
                        for (std::uint32_t n = 0; n < spec.seeds; ++n)
                            cells.push_back({.spec = {.workload = workload,
                                                      .tasks = tasks,
                                                      .workers = slots == 20 ? 20U : 50U,
                                                      .slots = slots == 20 ? 1U : 4U,
                                                      .cluster = cluster,
                                                      .load = load,
                                                      .arrivals = arrivals,
                                                      .seed = spec.seed + n},
                                             .results = {}});
                    }
    return cells;
}

Result<void> run_cell(const GridSpec& spec, Cell& cell) {
    Result<World> world = make_world(cell.spec);
    if (!world) return std::unexpected(std::move(world).error());
    for (const std::string& policy : spec.policies) {
        Result<Contender> contender = make_contender(policy);
        if (!contender) return std::unexpected(std::move(contender).error());
        if (!contender->uses_estimates()) contender->model = "ema";
        for (const auto& [name, value] : spec.settings)
            if (Result<void> ok = set_config(contender->config, name, value); !ok)
                return std::unexpected(std::move(ok).error());
        Result<RunRecord> record =
            contender->srpt_limit ? Result<RunRecord>(run_srpt(*world)) : run(*world, *contender);
        if (!record) return std::unexpected(std::move(record).error());
        cell.results.push_back(measure(policy, *world, *record));
    }
    compare(cell.results);
    cell.equal_split_load = world->equal_split_load();
    return {};
}

// Geometric mean, built up value by value.
struct Geometric {
    double ln = 0, count = 0;
    void add(double value) {
        if (value <= 0) return;
        ln += std::log(value);
        ++count;
    }
    double value() const { return count > 0 ? std::exp(ln / count) : 0; }
};

const Metrics* find(const Cell& cell, const std::string& name) {
    for (const Metrics& one : cell.results)
        if (one.name == name) return &one;
    return nullptr;
}

}  // namespace

std::string cell_name(const WorldSpec& spec) {
    return fmt::format("{}/{}/{}/{}/{}", spec.workload, spec.cluster,
                       spec.arrivals == Arrivals::bursts ? "bursts" : "poisson", spec.load, spec.workers * spec.slots);
}

Result<std::vector<Cell>> run_grid(const GridSpec& spec,
                                   const std::function<void(std::size_t, std::size_t)>& progress) {
    std::vector<Cell> cells = lay_out(spec);
    std::atomic<std::size_t> done{0};
    const Result<void> all = in_parallel(cells.size(), spec.threads, [&](std::size_t at) -> Result<void> {
        if (Result<void> ok = run_cell(spec, cells[at]); !ok)
            return std::unexpected(std::move(ok).error().during("cell " + cell_name(cells[at].spec)));
        progress(++done, cells.size());
        return {};
    });
    if (!all) return std::unexpected(all.error());
    return cells;
}

GridVerdict judge(const std::vector<Cell>& cells, std::size_t of) {
    GridVerdict verdict;
    Geometric ll_mean, ll_p99, ll_slow, rr_mean, rr_p99, rr_variance, fcfs_mean, fcfs_p99, work_mean, work_p99,
        gap_mean, gap_p99;
    std::vector<double> spreads;  // of cells, each the median of its worlds
    verdict.variance_vs_round_robin_min = 1e300;
    verdict.worlds = cells.size();
    for (std::size_t at = 0; at < cells.size();) {
        const std::string name = cell_name(cells[at].spec);
        Geometric own_ll_mean, own_ll_p99, own_rr_mean, own_rr_p99;
        std::vector<double> own_spreads;
        for (; at < cells.size() && cell_name(cells[at].spec) == name; ++at) {
            const Metrics& one = cells[at].results[of];
            own_ll_mean.add(one.mean_vs_least_loaded);
            own_ll_p99.add(one.p99_vs_least_loaded);
            own_rr_mean.add(one.mean_vs_round_robin);
            own_rr_p99.add(one.p99_vs_round_robin);
            own_spreads.push_back(one.utilization_spread_healthy);
        }
        std::sort(own_spreads.begin(), own_spreads.end());
        spreads.push_back(quantile(own_spreads, 0.5));
        ++verdict.cells;
        const auto note = [&](const Geometric& mean, const Geometric& p99, std::vector<std::string>& worse) {
            if (mean.count > 0 && std::min(mean.value(), p99.value()) < kTie)
                worse.push_back(fmt::format("{} ({:.2f}x mean, {:.2f}x p99)", name, mean.value(), p99.value()));
        };
        note(own_ll_mean, own_ll_p99, verdict.worse_than_least_loaded);
        note(own_rr_mean, own_rr_p99, verdict.worse_than_round_robin);
    }
    for (const Cell& cell : cells) {
        const Metrics& one = cell.results[of];
        ll_mean.add(one.mean_vs_least_loaded);
        ll_p99.add(one.p99_vs_least_loaded);
        ll_slow.add(one.p99_slowdown_vs_least_loaded);
        if (const Metrics* rr = find(cell, "round-robin"); rr != nullptr && rr->stable) {
            ++verdict.stable_worlds;
            rr_mean.add(one.mean_vs_round_robin);
            rr_p99.add(one.p99_vs_round_robin);
            rr_variance.add(one.variance_vs_round_robin);
            verdict.variance_vs_round_robin_min =
                std::min(verdict.variance_vs_round_robin_min, one.variance_vs_round_robin);
        }
        const auto against = [&](const char* name, Geometric& mean, Geometric& p99) {
            const Metrics* other = find(cell, name);
            if (other == nullptr) return;
            mean.add(other->mean_response_s / one.mean_response_s);
            p99.add(other->p99_response_s / one.p99_response_s);
        };
        against("fcfs", fcfs_mean, fcfs_p99);
        against("least-work", work_mean, work_p99);
        if (one.has_oracle) {
            gap_mean.add(1 + one.oracle_gap_mean);
            gap_p99.add(1 + one.oracle_gap_p99);
        }
        verdict.idle_while_waiting_s += one.idle_while_waiting_s;
        verdict.unfinished += one.unfinished;
    }
    verdict.mean_vs_least_loaded = ll_mean.value();
    verdict.p99_vs_least_loaded = ll_p99.value();
    verdict.p99_slowdown_vs_least_loaded = ll_slow.value();
    verdict.mean_vs_round_robin = rr_mean.value();
    verdict.p99_vs_round_robin = rr_p99.value();
    verdict.variance_vs_round_robin = rr_variance.value();
    if (verdict.stable_worlds == 0) verdict.variance_vs_round_robin_min = 0;
    verdict.mean_vs_least_work = work_mean.value();
    verdict.p99_vs_least_work = work_p99.value();
    verdict.mean_vs_fcfs = fcfs_mean.value();
    verdict.p99_vs_fcfs = fcfs_p99.value();
    verdict.oracle_gap_mean = gap_mean.count > 0 ? gap_mean.value() - 1 : 0;
    verdict.oracle_gap_p99 = gap_p99.count > 0 ? gap_p99.value() - 1 : 0;
    std::sort(spreads.begin(), spreads.end());
    verdict.spread_median = quantile(spreads, 0.5);
    const auto within = std::upper_bound(spreads.begin(), spreads.end(), 0.15) - spreads.begin();
    if (!spreads.empty()) verdict.spread_within_15 = static_cast<double>(within) / static_cast<double>(spreads.size());
    return verdict;
}

}  // namespace nexus::simulate
