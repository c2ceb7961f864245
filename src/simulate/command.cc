#include "simulate/command.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>

#include "simulate/grid.h"
#include "simulate/parallel.h"
#include "simulate/report.h"
#include "simulate/settings.h"
#include "simulate/srpt.h"

namespace nexus::simulate {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

struct Options {
    WorldSpec world;
    std::vector<std::string> policies{"predictive", "least-loaded", "round-robin"};
    std::vector<std::string> settings;
    std::string sweep, model = "mixture", arrivals, cluster = "A", output = "table", plot, kill;
    double noise_sigma = 0;
    bool reverse = false, overload = false, grid = false, check = false;
    std::uint32_t tasks = 0;
    std::uint32_t seeds = 1;
    unsigned threads = 2;
};

void add_world_options(CLI::App& verb, Options& o) {
    verb.add_option("--trace", o.world.trace, "Trace file (CSV, may be gzipped)");
    verb.add_option("--workload", o.world.workload, "mix, ln, ppar, par or bim")->capture_default_str();
    verb.add_option("--tasks", o.tasks, "Tasks; of a trace its first so many (default: 20000, of a trace all)");
    verb.add_option("--workers", o.world.workers, "Workers")->capture_default_str();
    verb.add_option("--slots", o.world.slots, "Slots per worker")->capture_default_str();
    verb.add_option("--cluster", o.cluster, "A heterogeneous, B with troubles, H equal workers")->capture_default_str();
    verb.add_option("--speed-sigma", o.world.speed_sigma, "Deviation of ln(worker speed)")->capture_default_str();
    verb.add_option("--load", o.world.load, "Work offered / capacity")->capture_default_str();
    verb.add_option("--arrivals", o.arrivals, "poisson, bursts or trace (default: poisson)");
    verb.add_option("--seed", o.world.seed, "Seed of the world")->capture_default_str();
    verb.add_option("--crash-rate", o.world.crash_rate, "Crashes per worker and 1000 mean run times");
    verb.add_option("--stragglers", o.world.straggler_share, "Share of attempts that take 3 to 8 times as long");
    verb.add_flag("--degrade", o.world.degrade, "One worker is 5x slower from 45 to 85 % of the run");
    verb.add_flag("--fail-worker", o.world.failing, "One worker fails everything from 40 to 60 % of the run");
    verb.add_option("--hardware", o.world.hardware_classes, "Hardware classes");
    verb.add_option("--affinity", o.world.affinity_sigma, "Deviation of ln(type x hardware factor)");
    verb.add_option("--zones", o.world.zones, "Zones; half of the tasks ask for one");
    verb.add_flag("--resources", o.world.resources, "Tasks ask for 250 to 2000 milli-cpu, a slot offers 1000");
    verb.add_option("--tenants", o.world.tenants, "Tenants; the first bursts to twice its rate");
    verb.add_flag("--priorities", o.world.priorities, "Tasks of priorities 3, 5 and 7");
    verb.add_flag("--overload", o.overload, "Load 1.2 for ten minutes, then --load");
}

void add_contender_options(CLI::App& verb, Options& o) {
    verb.add_option("--policy", o.policies, "Policies, comma-separated; oracle-NAME knows the truth")->delimiter(',');
    verb.add_option("--model", o.model, "Prediction model")->capture_default_str();
    verb.add_option("--set", o.settings, "NAME=VALUE of the core's configuration; may be repeated");
    verb.add_option("--sweep", o.sweep, "NAME=V1,V2,...: each policy once per value");
    verb.add_option("--noise-sigma", o.noise_sigma, "Multiply predictions by exp(N(0, sigma))");
    verb.add_flag("--reverse", o.reverse, "Mirror predictions: long looks short");
    verb.add_option("--kill-predictor", o.kill, "FROM:TO, shares of the run without predictions")->expected(0, 1);
    verb.add_flag("--grid", o.grid, "The whole grid of workloads, clusters, arrivals, loads and sizes");
    verb.add_option("--seeds", o.seeds, "Worlds, seeds counting up: medians and spread")->capture_default_str();
    verb.add_option("--threads", o.threads, "Threads of the grid, of --sweep and of --seeds")->capture_default_str();
    verb.add_flag("--check", o.check, "Check every invariant of the core after every event (slow)");
    verb.add_option("-o,--output", o.output, "table or json")->check(CLI::IsMember({"table", "json"}));
    verb.add_option("--plot", o.plot, "Write an SVG");
}

Result<std::pair<std::string, std::string>> split(const std::string& text, char by, const std::string& what) {
    const std::size_t at = text.find(by);
    if (at == std::string::npos || at == 0)
        return fail(Fault::invalid, what + ": '" + text + "' is not of the form A" + by + "B");
    return std::pair{text.substr(0, at), text.substr(at + 1)};
}

Result<void> finish_world(Options& o) {
    if (o.cluster.size() != 1) return fail(Fault::invalid, "--cluster must be A, B or H, not '" + o.cluster + "'");
    o.world.cluster = o.cluster[0];
    if (o.arrivals == "bursts")
        o.world.arrivals = Arrivals::bursts;
    else if (o.arrivals == "trace")
        o.world.arrivals = Arrivals::trace;
    else if (!o.arrivals.empty() && o.arrivals != "poisson")
        return fail(Fault::invalid, "--arrivals must be poisson, bursts or trace, not '" + o.arrivals + "'");
    if (o.tasks > 0)
        o.world.tasks = o.tasks;
    else
        o.world.tasks = o.world.trace.empty() ? 20'000 : 0;
    if (o.overload) o.world.load_profile = {{600, 1.2}};
    return {};
}

Result<std::vector<Contender>> contenders_of(const Options& o) {
    std::vector<Contender> made;
    std::vector<std::pair<std::string, std::string>> values{{}};
    if (!o.sweep.empty()) {
        const auto sweep = split(o.sweep, '=', "--sweep");
        if (!sweep) return std::unexpected(sweep.error());
        values.clear();
        std::stringstream list(sweep->second);
        for (std::string value; std::getline(list, value, ',');) values.emplace_back(sweep->first, value);
    }
    for (const std::string& policy : o.policies) {
        for (const auto& [name, value] : values) {
            Result<Contender> contender = make_contender(policy);
            if (!contender) return std::unexpected(std::move(contender).error());
            contender->model = o.model;
            contender->noise_sigma = o.noise_sigma;
            contender->reverse = o.reverse;
            for (const std::string& text : o.settings) {
                const auto setting = split(text, '=', "--set");
                if (!setting) return std::unexpected(setting.error());
                if (auto ok = set_config(contender->config, setting->first, setting->second); !ok)
                    return std::unexpected(std::move(ok).error());
            }
            if (!name.empty()) {
                if (auto ok = set_config(contender->config, name, value); !ok)
                    return std::unexpected(std::move(ok).error());
                contender->name += "[" + name + "=" + value + "]";
            }
            if (!o.kill.empty()) {
                const auto window = split(o.kill, ':', "--kill-predictor");
                if (!window) return std::unexpected(window.error());
                contender->kill_from = std::strtod(window->first.c_str(), nullptr);
                contender->kill_to = std::strtod(window->second.c_str(), nullptr);
            }
            made.push_back(std::move(*contender));
        }
    }
    return made;
}

Arguments arguments_of(const Options& o) {
    const WorldSpec& w = o.world;
    Arguments args{{w.trace.empty() ? "workload" : "trace", w.trace.empty() ? w.workload : w.trace},
                   {"workers", std::to_string(w.workers)},
                   {"slots", std::to_string(w.slots)},
                   {"speed_sigma", fmt::format("{}", w.speed_sigma)},
                   {"load", fmt::format("{}", w.load)},
                   {"cluster", o.cluster},
                   {"arrivals", o.arrivals.empty() ? "poisson" : o.arrivals},
                   {"tasks", std::to_string(w.tasks)},
                   {"model", o.model},
                   {"seed", std::to_string(w.seed)},
                   {"seeds", std::to_string(o.seeds)}};
    return args;
}

Result<void> write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    if (!file) return fail(Fault::unavailable, "cannot write " + path);
    return {};
}

std::string plot_of(const Options& o, const std::vector<Metrics>& results) {
    std::vector<std::string> labels;
    std::vector<Series> series;
    if (o.sweep.empty()) {
        labels = {"mean", "p50", "p95", "p99", "p99.9"};
        for (const Metrics& one : results)
            series.push_back({one.name,
                              {one.mean_response_s, one.p50_response_s, one.p95_response_s, one.p99_response_s,
                               one.p999_response_s}});
        return line_chart("Response time by policy", "seconds, logarithmic", labels, series, true);
    }
    series = {{"mean", {}}, {"p99", {}}, {"p99.9", {}}, {"p99 slowdown", {}}, {"max wait", {}}};
    for (const Metrics& one : results) {
        labels.push_back(one.name.substr(one.name.find('=') + 1));
        labels.back().pop_back();
        series[0].y.push_back(one.mean_response_s / results[0].mean_response_s);
        series[1].y.push_back(one.p99_response_s / results[0].p99_response_s);
        series[2].y.push_back(one.p999_response_s / results[0].p999_response_s);
        series[3].y.push_back(one.p99_slowdown / results[0].p99_slowdown);
        series[4].y.push_back(one.max_wait_s / std::max(1e-9, results[0].max_wait_s));
    }
    return line_chart("Effect of " + o.sweep.substr(0, o.sweep.find('=')), "relative to the first value", labels,
                      series, false);
}

// Says how far a long command is, and how long it will take from how long it took.
class Progress {
public:
    void done(std::size_t parts, std::size_t all) {
        const std::lock_guard lock(printing_);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began_;
        const double left = took.count() / static_cast<double>(parts) * static_cast<double>(all - parts);
        fmt::print(stderr, "\r{} of {}, {:.0f} s, about {:.0f} s left   {}", parts, all, took.count(), left,
                   parts == all ? "\n" : "");
    }

private:
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::mutex printing_;
};

// How far the worlds of several seeds lie apart.
std::string seeds_table(const std::vector<std::vector<Metrics>>& by_seed, std::uint64_t first) {
    const std::size_t width = name_width(by_seed.front());
    std::string out = fmt::format(
        "\nabove: medians over seeds {} to {}, factors as geometric means; below: least to greatest\n"
        "{:<{}}{:>22}{:>22}{:>22}\n",
        first, first + by_seed.size() - 1, "policy", width, "mean_s", "p99_s", "p99_slow");
    for (std::size_t n = 0; n < by_seed.front().size(); ++n) {
        const auto range = [&](double Metrics::* value) {
            double low = by_seed.front()[n].*value, high = low;
            for (const std::vector<Metrics>& world : by_seed) {
                low = std::min(low, world[n].*value);
                high = std::max(high, world[n].*value);
            }
            return fmt::format("{:.3f} .. {:.3f}", low, high);
        };
        out +=
            fmt::format("{:<{}}{:>22}{:>22}{:>22}\n", by_seed.front()[n].name, width, range(&Metrics::mean_response_s),
                        range(&Metrics::p99_response_s), range(&Metrics::p99_slowdown));
    }
    return out;
}

Result<Metrics> run_one(const Options& o, const World& world, const Contender& contender) {
    const DriverOptions driver{.check = o.check};
    Result<RunRecord> record =
        contender.srpt_limit ? Result<RunRecord>(run_srpt(world, driver)) : run(world, contender, driver);
    if (!record) return std::unexpected(std::move(record).error());
    return measure(contender.name, world, *record, driver.warm_up);
}

Result<void> run_single(Options& o) {
    if (o.seeds == 0) return fail(Fault::invalid, "--seeds must be at least 1");
    const Result<std::vector<Contender>> contenders = contenders_of(o);
    if (!contenders) return std::unexpected(contenders.error());
    std::vector<World> worlds;
    for (std::uint32_t n = 0; n < o.seeds; ++n) {
        WorldSpec spec = o.world;
        spec.seed += n;
        Result<World> world = make_world(spec);
        if (!world) return std::unexpected(std::move(world).error());
        worlds.push_back(std::move(*world));
    }
    std::vector<std::vector<Metrics>> by_seed(worlds.size(), std::vector<Metrics>(contenders->size()));
    // One run after the other where somebody may look at the timings.
    const bool many = o.seeds > 1 || !o.sweep.empty();
    const std::size_t runs = worlds.size() * contenders->size();
    Progress progress;
    std::atomic<std::size_t> done{0};
    const Result<void> all = in_parallel(runs, many ? o.threads : 1, [&](std::size_t at) -> Result<void> {
        const std::size_t seed = at / contenders->size(), which = at % contenders->size();
        Result<Metrics> result = run_one(o, worlds[seed], (*contenders)[which]);
        if (!result) return std::unexpected(std::move(result).error());
        by_seed[seed][which] = std::move(*result);
        if (many) progress.done(++done, runs);
        return {};
    });
    if (!all) return all;
    for (std::vector<Metrics>& world : by_seed) compare(world);
    std::vector<Metrics> results = by_seed.front();
    for (std::size_t n = 0; o.seeds > 1 && n < results.size(); ++n) {
        std::vector<Metrics> own;
        for (const std::vector<Metrics>& world : by_seed) own.push_back(world[n]);
        results[n] = over_worlds(own);
    }
    std::string text = o.output == "json" ? to_json("simulate", arguments_of(o), results) : to_table(results);
    if (o.seeds > 1 && o.output != "json") text += seeds_table(by_seed, o.world.seed);
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (!o.plot.empty()) return write_file(o.plot, plot_of(o, results));
    return {};
}

// How many times better the judged policy is than another, by load: what the grid's picture shows.
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

Result<void> run_whole_grid(const Options& o) {
    GridSpec spec{.tasks = o.tasks, .seed = o.world.seed, .seeds = o.seeds, .threads = o.threads};
    if (o.policies.size() > 1 && o.policies != Options{}.policies) spec.policies = o.policies;
    for (const std::string& text : o.settings) {
        const auto setting = split(text, '=', "--set");
        if (!setting) return std::unexpected(setting.error());
        spec.settings.push_back(*setting);
    }
    Progress progress;
    const Result<std::vector<Cell>> cells =
        run_grid(spec, [&](std::size_t done, std::size_t all) { progress.done(done, all); });
    if (!cells) return std::unexpected(cells.error());
    std::vector<std::size_t> judged{0};
    for (std::size_t of = 1; of < spec.policies.size(); ++of)
        if (spec.policies[of].starts_with("predictive")) judged.push_back(of);
    if (o.output == "json") {
        nlohmann::ordered_json root{{"command", "simulate --grid"},
                                    {"args", {{"seed", spec.seed}, {"seeds", spec.seeds}, {"tasks", spec.tasks}}}};
        for (const std::size_t of : judged)
            root["results"].push_back(verdict_json(spec.policies[of], judge(*cells, of)));
        for (std::uint32_t n = 0; n < spec.seeds; ++n)
            root["by_seed"].push_back(
                verdict_json(fmt::format("seed {}", spec.seed + n), judge(of_seed(*cells, spec.seed + n), 0)));
        for (const Cell& cell : *cells) {
            auto row = nlohmann::ordered_json::parse(to_json("", {}, cell.results));
            root["cells"].push_back({{"name", cell_name(cell.spec)},
                                     {"seed", cell.spec.seed},
                                     {"equal_split_load", cell.equal_split_load},
                                     {"results", row["results"]}});
        }
        fmt::print("{}\n", root.dump());
    } else {
        for (const std::size_t of : judged)
            fmt::print("{}\n{}{}{}\n", spec.policies[of], verdict_table(judge(*cells, of)),
                       seeds_verdicts(spec, *cells, of), parts_table(spec, *cells, of));
    }
    if (!o.plot.empty()) return write_file(o.plot, grid_plot(spec, *cells));
    return {};
}

int answer(Options& o) {
    Result<void> ok = finish_world(o);
    if (ok) ok = o.grid ? run_whole_grid(o) : run_single(o);
    if (ok) return 0;
    fmt::print(stderr, "nexus simulate: {}\n", ok.error().what);
    return ok.error().fault == Fault::invalid ? kExitUsage : kExitFailed;
}

}  // namespace

void add_command(CLI::App& root, int& exit_code) {
    CLI::App* verb = root.add_subcommand("simulate", "Compare policies on simulated workers and simulated time");
    verb->footer(
        "Examples:\n"
        "  nexus simulate --workload mix --workers 20 --load 0.85 --policy predictive,fcfs,oracle-predictive\n"
        "  nexus simulate --trace run.csv.gz --workers 100 --slots 4 --load 0.8 -o json\n"
        "  nexus simulate --policy predictive --sweep size-weight=0.25,0.5,1,2,4 --plot c.svg\n"
        "  nexus simulate --grid");
    const auto options = std::make_shared<Options>();  // owned by the verb's callback, which is the last to use it
    add_world_options(*verb, *options);
    add_contender_options(*verb, *options);
    verb->callback([options, &exit_code] { exit_code = answer(*options); });
}

}  // namespace nexus::simulate
