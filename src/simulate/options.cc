#include "simulate/options.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <sstream>

#include "simulate/settings.h"

namespace nexus::simulate {

namespace {

void add_world_options(CLI::App& verb, Options& o) {
    verb.add_option("--trace", o.world.trace, "Trace file (CSV, may be gzipped)");
    verb.add_option("--workload", o.world.workload, "mix, ln, ppar, par, bim, arrays or drift")->capture_default_str();
    verb.add_option("--tasks", o.tasks, "Tasks; with --trace, the first so many (default: 20000, with --trace all)");
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

}  // namespace

void add_options(CLI::App& verb, Options& options) {
    add_world_options(verb, options);
    add_contender_options(verb, options);
}

Result<void> finish(Options& o) {
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

Result<std::vector<std::pair<std::string, std::string>>> settings_of(const Options& o) {
    std::vector<std::pair<std::string, std::string>> settings;
    for (const std::string& text : o.settings) {
        auto setting = split(text, '=', "--set");
        if (!setting) return std::unexpected(std::move(setting).error());
        settings.push_back(std::move(*setting));
    }
    return settings;
}

Result<std::vector<Contender>> contenders_of(const Options& o) {
    const auto settings = settings_of(o);
    if (!settings) return std::unexpected(settings.error());
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
            for (const auto& [set, to] : *settings)
                if (auto ok = set_config(contender->config, set, to); !ok)
                    return std::unexpected(std::move(ok).error());
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

}  // namespace nexus::simulate
