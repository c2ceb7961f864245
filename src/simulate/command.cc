#include "simulate/command.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <mutex>

#include "simulate/driver.h"
#include "simulate/grid_report.h"
#include "simulate/options.h"
#include "simulate/parallel.h"
#include "simulate/srpt.h"

namespace nexus::simulate {

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

Result<void> write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    if (!file) return fail(Fault::unavailable, "cannot write " + path);
    return {};
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
    if (!o.plot.empty()) return write_file(o.plot, response_plot(o.sweep.substr(0, o.sweep.find('=')), results));
    return {};
}

Result<void> run_whole_grid(const Options& o) {
    GridSpec spec{.tasks = o.tasks, .seed = o.world.seed, .seeds = o.seeds, .threads = o.threads};
    if (o.policies.size() > 1 && o.policies != Options{}.policies) spec.policies = o.policies;
    auto settings = settings_of(o);
    if (!settings) return std::unexpected(std::move(settings).error());
    spec.settings = std::move(*settings);
    Progress progress;
    const Result<std::vector<Cell>> cells =
        run_grid(spec, [&](std::size_t done, std::size_t all) { progress.done(done, all); });
    if (!cells) return std::unexpected(cells.error());
    std::vector<std::size_t> judged{0};
    for (std::size_t of = 1; of < spec.policies.size(); ++of)
        if (spec.policies[of].starts_with("predictive")) judged.push_back(of);
    std::string text;
    if (o.output == "json")
        text = grid_json(spec, *cells, judged);
    else
        for (const std::size_t of : judged) text += grid_text(spec, *cells, of);
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (!o.plot.empty()) return write_file(o.plot, grid_plot(spec, *cells));
    return {};
}

int answer(Options& o) {
    Result<void> ok = finish(o);
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
    add_options(*verb, *options);
    verb->callback([options, &exit_code] { exit_code = answer(*options); });
}

}  // namespace nexus::simulate
