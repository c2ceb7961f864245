#include "simulate/grid_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "simulate/report.h"

namespace nexus::simulate {

namespace {

nlohmann::ordered_json verdict_json(const std::string& name, const GridVerdict& v) {
    return {{"name", name},
            {"cells", v.cells},
            {"worlds", v.worlds},
            {"stable_worlds", v.stable_worlds},
            {"mean_vs_least_loaded", v.mean_vs_least_loaded},
            {"p99_vs_least_loaded", v.p99_vs_least_loaded},
            {"p99_slowdown_vs_least_loaded", v.p99_slowdown_vs_least_loaded},
            {"mean_vs_round_robin", v.mean_vs_round_robin},
            {"p99_vs_round_robin", v.p99_vs_round_robin},
            {"variance_vs_round_robin", v.variance_vs_round_robin},
            {"variance_vs_round_robin_min", v.variance_vs_round_robin_min},
            {"mean_vs_least_work", v.mean_vs_least_work},
            {"p99_vs_least_work", v.p99_vs_least_work},
            {"mean_vs_fcfs", v.mean_vs_fcfs},
            {"p99_vs_fcfs", v.p99_vs_fcfs},
            {"oracle_gap_mean", v.oracle_gap_mean},
            {"oracle_gap_p99", v.oracle_gap_p99},
            {"utilization_spread_median", v.spread_median},
            {"utilization_spread_within_15", v.spread_within_15},
            {"idle_while_waiting_s", v.idle_while_waiting_s},
            {"unfinished", v.unfinished},
            {"cells_worse_than_round_robin", v.worse_than_round_robin.size()},
            {"cells_worse_than_least_loaded", v.worse_than_least_loaded.size()}};
}

std::string verdict_table(const GridVerdict& v) {
    std::string out = fmt::format(
        "cells {}, worlds {} (round-robin stable in {})\n"
        "vs least-loaded   mean {:.2f}x   p99 {:.2f}x   p99 slowdown {:.1f}x\n"
        "vs round-robin    mean {:.2f}x   p99 {:.2f}x   variance {:.1f}x, at least {:.1f}x (where stable)\n"
        "vs least-work     mean {:.2f}x   p99 {:.2f}x\n"
        "vs fcfs           mean {:.2f}x   p99 {:.2f}x\n"
        "oracle gap        mean {:.1f} %  p99 {:.1f} %\n"
        "utilization spread of healthy workers: median {:.1f} %, within 15 % in {:.1f} % of cells\n"
        "idle while waiting {:.3f} s, unfinished {:.0f}\n",
        v.cells, v.worlds, v.stable_worlds, v.mean_vs_least_loaded, v.p99_vs_least_loaded,
        v.p99_slowdown_vs_least_loaded, v.mean_vs_round_robin, v.p99_vs_round_robin, v.variance_vs_round_robin,
        v.variance_vs_round_robin_min, v.mean_vs_least_work, v.p99_vs_least_work, v.mean_vs_fcfs, v.p99_vs_fcfs,
        100 * v.oracle_gap_mean, 100 * v.oracle_gap_p99, 100 * v.spread_median, 100 * v.spread_within_15,
        v.idle_while_waiting_s, v.unfinished);
    for (const std::string& cell : v.worse_than_round_robin) out += "worse than round-robin: " + cell + "\n";
    for (const std::string& cell : v.worse_than_least_loaded) out += "worse than least-loaded: " + cell + "\n";
    return out;
}

// One line per part of the grid, in Markdown: what docs/simulate.md shows.
std::string parts_table(const GridSpec& spec, const std::vector<Cell>& cells, std::size_t of) {
    std::string out =
        "\n| part | worlds | vs least-loaded: mean / p99 / p99 slowdown | vs round-robin, stable: mean / p99 / "
        "variance "
        "| vs fcfs: mean / p99 | oracle gap: mean / p99 | spread: median / within 15 % "
        "|\n|---|---|---|---|---|---|---|\n";
    const auto line = [&](const std::string& name, const auto& belongs) {
        std::vector<Cell> part;
        for (const Cell& cell : cells)
            if (belongs(cell.spec)) part.push_back(cell);
        const GridVerdict v = judge(part, of);
        out += fmt::format(
            "| {} | {} | {:.2f} / {:.2f} / {:.1f} | {}: {:.2f} / {:.2f} / {:.1f} | {:.2f} / {:.2f} | {:.1f} % / {:.1f} "
            "% | "
            "{:.1f} % / {:.0f} % |\n",
            name, v.worlds, v.mean_vs_least_loaded, v.p99_vs_least_loaded, v.p99_slowdown_vs_least_loaded,
            v.stable_worlds, v.mean_vs_round_robin, v.p99_vs_round_robin, v.variance_vs_round_robin, v.mean_vs_fcfs,
            v.p99_vs_fcfs, 100 * v.oracle_gap_mean, 100 * v.oracle_gap_p99, 100 * v.spread_median,
            100 * v.spread_within_15);
    };
    line("all", [](const WorldSpec&) { return true; });
    for (const std::string& name : spec.workloads) line(name, [&](const WorldSpec& w) { return w.workload == name; });
    for (const char cluster : spec.clusters)
        line(std::string(1, cluster), [&](const WorldSpec& w) { return w.cluster == cluster; });
    line("poisson", [](const WorldSpec& w) { return w.arrivals == Arrivals::poisson; });
    line("bursts", [](const WorldSpec& w) { return w.arrivals == Arrivals::bursts; });
    for (const double load : spec.loads)
        line(fmt::format("load {}", load), [&](const WorldSpec& w) { return w.load == load; });
    line("20 slots", [](const WorldSpec& w) { return w.workers == 20; });
    line("200 slots", [](const WorldSpec& w) { return w.workers == 50; });
    return out;
}

std::vector<Cell> of_seed(const std::vector<Cell>& cells, std::uint64_t seed) {
    std::vector<Cell> made;
    for (const Cell& cell : cells)
        if (cell.spec.seed == seed) made.push_back(cell);
    return made;
}

// What single seeds say, so that nobody takes the luck of one for a result. Empty for one seed.
std::string seeds_verdicts(const GridSpec& spec, const std::vector<Cell>& cells, std::size_t of) {
    if (spec.seeds < 2) return {};
    std::string out =
        "\nby seed: vs least-loaded mean / p99 / p99 slowdown, vs round-robin mean / p99, oracle gap, spread "
        "median / within 15 %\n";
    for (std::uint64_t seed = spec.seed; seed < spec.seed + spec.seeds; ++seed) {
        const GridVerdict v = judge(of_seed(cells, seed), of);
        out += fmt::format(
            "  seed {}: {:.2f} / {:.2f} / {:.1f}, {:.2f} / {:.2f}, {:.1f} % / {:.1f} %, {:.1f} % / {:.1f} %\n", seed,
            v.mean_vs_least_loaded, v.p99_vs_least_loaded, v.p99_slowdown_vs_least_loaded, v.mean_vs_round_robin,
            v.p99_vs_round_robin, 100 * v.oracle_gap_mean, 100 * v.oracle_gap_p99, 100 * v.spread_median,
            100 * v.spread_within_15);
    }
    return out;
}

}  // namespace

std::string grid_text(const GridSpec& spec, const std::vector<Cell>& cells, std::size_t of) {
    return spec.policies[of] + "\n" + verdict_table(judge(cells, of)) + seeds_verdicts(spec, cells, of) +
           parts_table(spec, cells, of) + "\n";
}

std::string grid_json(const GridSpec& spec, const std::vector<Cell>& cells, const std::vector<std::size_t>& judged) {
    nlohmann::ordered_json root{{"command", "simulate --grid"},
                                {"args", {{"seed", spec.seed}, {"seeds", spec.seeds}, {"tasks", spec.tasks}}}};
    for (const std::size_t of : judged) root["results"].push_back(verdict_json(spec.policies[of], judge(cells, of)));
    for (std::uint32_t n = 0; n < spec.seeds; ++n)
        root["by_seed"].push_back(
            verdict_json(fmt::format("seed {}", spec.seed + n), judge(of_seed(cells, spec.seed + n), 0)));
    for (const Cell& cell : cells) {
        auto row = nlohmann::ordered_json::parse(to_json("", {}, cell.results));
        root["cells"].push_back({{"name", cell_name(cell.spec)},
                                 {"seed", cell.spec.seed},
                                 {"equal_split_load", cell.equal_split_load},
                                 {"results", row["results"]}});
    }
    return root.dump() + "\n";
}

std::string grid_plot(const GridSpec& spec, const std::vector<Cell>& cells) {
    std::vector<std::string> labels;
    std::vector<Series> series{{"mean vs least-loaded", {}},
                               {"p99 vs least-loaded", {}},
                               {"mean vs round-robin", {}},
                               {"p99 vs round-robin", {}},
                               {"mean vs fcfs", {}}};
    for (const double load : spec.loads) {
        labels.push_back(fmt::format("load {}", load));
        std::vector<Cell> part;
        for (const Cell& cell : cells)
            if (cell.spec.load == load) part.push_back(cell);
        const GridVerdict verdict = judge(part, 0);
        series[0].y.push_back(verdict.mean_vs_least_loaded);
        series[1].y.push_back(verdict.p99_vs_least_loaded);
        series[2].y.push_back(verdict.mean_vs_round_robin);
        series[3].y.push_back(verdict.p99_vs_round_robin);
        series[4].y.push_back(verdict.mean_vs_fcfs);
    }
    return line_chart(spec.policies[0] + " over the grid, geometric means", "times better, logarithmic", labels, series,
                      true);
}

}  // namespace nexus::simulate
