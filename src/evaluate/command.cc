#include "evaluate/command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "evaluate/plot.h"
#include "evaluate/score.h"

namespace nexus::evaluate {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
    std::vector<std::string> traces;
    bool from_history = false;
    std::string format = "csv";
    std::vector<std::string> models{"mixture"};
    std::string moment = "dispatch";
    std::uint64_t limit = 0;
    std::uint64_t seed = 1;
    bool by_type = false;
    std::uint64_t types_shown = 20;
    std::string output = "table";
    std::string plot;
    bool eta = false;
    EtaQuestion fleet;  // with --eta
    std::string arrivals = "recorded";
};

struct Run {
    std::string trace;  // file name without folders
    std::string model;
    Replay replay;
    Score score;
    Score predictable;
    std::vector<TypeScore> types;
    std::vector<LearningStep> learning;
};

void complain(const std::string& what) {
    fmt::print(stderr, "nexus evaluate: {}\n", what);
}

std::string file_name(const std::string& path) {
    return path.substr(path.find_last_of('/') + 1);
}

void put_score(Json& json, const Score& score) {
    json["rows"] = score.rows;
    json["within_25"] = score.within_25;
    json["median_ape"] = score.median_ape;
    json["mean_abs_log_ratio"] = score.mean_abs_log_ratio;
    json["p90_coverage"] = score.p90_coverage;
    json["p50_us"] = score.p50_us;
}

Json json_of(const Run& run, bool by_type) {
    Json json = {{"name", run.model}, {"trace", run.trace}};
    put_score(json, run.score);
    json["predict_ns_mean"] = run.replay.predict_ns_mean;
    json["learn_ns_mean"] = run.replay.learn_ns_mean;
    json["elapsed_s"] = run.replay.elapsed_s;
    json["workers"] = run.replay.workers;
    json["predictable_rows"] = run.predictable.rows;
    json["predictable_within_25"] = run.predictable.within_25;
    json["learning"] = Json::array();
    for (const LearningStep& step : run.learning)
        json["learning"].push_back({{"known_min", step.known_min}, {"rows", step.rows}, {"within_25", step.within_25}});
    if (!by_type) return json;
    json["types"] = Json::array();
    for (const TypeScore& type : run.types) {
        Json entry = {{"type", type.type}};
        put_score(entry, type.score);
        entry["sigma"] = type.sigma;
        entry["ceiling"] = type.ceiling;
        entry["hindsight"] = type.hindsight;
        entry["share_of_ceiling"] = type.share_of_ceiling;
        json["types"].push_back(std::move(entry));
    }
    return json;
}

void print_json(const Options& options, const std::vector<Run>& runs) {
    Json json = {{"command", "evaluate"}};
    json["args"] = {{"trace", options.traces}, {"from_history", options.from_history},
                    {"model", options.models}, {"moment", options.moment},
                    {"limit", options.limit},  {"seed", options.seed}};
    json["results"] = Json::array();
    for (const Run& run : runs) json["results"].push_back(json_of(run, options.by_type));
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

void print_types(const Run& run, std::uint64_t shown) {
    fmt::print("\n{} on {}, by type ({} of {} types, most rows first)\n", run.model, run.trace,
               std::min<std::uint64_t>(shown, run.types.size()), run.types.size());
    fmt::print("{:<44} {:>8} {:>9} {:>7} {:>7} {:>6} {:>8} {:>9} {:>8}\n", "type", "rows", "within25", "medAPE",
               "cov90", "sigma", "ceiling", "hindsight", "of ceil");
    for (std::size_t i = 0; i < run.types.size() && i < shown; ++i) {
        const TypeScore& type = run.types[i];
        fmt::print("{:<44.44} {:>8} {:>8.1f}% {:>6.1f}% {:>6.1f}% {:>6.2f} {:>7.1f}% {:>8.1f}% {:>7.1f}%\n", type.type,
                   type.score.rows, 100 * type.score.within_25, 100 * type.score.median_ape,
                   100 * type.score.p90_coverage, type.sigma, 100 * type.ceiling, 100 * type.hindsight,
                   100 * type.share_of_ceiling);
    }
}

void print_tables(const Options& options, const std::vector<Run>& runs) {
    fmt::print("moment {}: share of rows predicted within 25 % of their run time\n\n", options.moment);
    fmt::print("{:<26} {:<10} {:>8} {:>9} {:>7} {:>7} {:>7} {:>11} {:>11} {:>9}\n", "trace", "model", "rows",
               "within25", "medAPE", "|ln r|", "cov90", "predictable", "predict ns", "learn ns");
    for (const Run& run : runs)
        fmt::print("{:<26.26} {:<10} {:>8} {:>8.2f}% {:>6.1f}% {:>7.3f} {:>6.1f}% {:>11} {:>11.0f} {:>9.0f}\n",
                   run.trace, run.model, run.score.rows, 100 * run.score.within_25, 100 * run.score.median_ape,
                   run.score.mean_abs_log_ratio, 100 * run.score.p90_coverage,
                   run.predictable.rows == 0 ? "-" : fmt::format("{:.1f}%", 100 * run.predictable.within_25),
                   run.replay.predict_ns_mean, run.replay.learn_ns_mean);
    fmt::print("\nwithin 25 % after so many completed runs of the type\n{:<26} {:<10}", "trace", "model");
    for (const char* heading : {"0", "1-2", "3-4", "5-9", "10-19", "20-49", "50+"}) fmt::print(" {:>7}", heading);
    fmt::print("\n");
    for (const Run& run : runs) {
        fmt::print("{:<26.26} {:<10}", run.trace, run.model);
        for (const LearningStep& step : run.learning)
            fmt::print(" {:>7}", step.rows == 0 ? "-" : fmt::format("{:.1f}%", 100 * step.within_25));
        fmt::print("\n");
    }
    if (options.by_type)
        for (const Run& run : runs) print_types(run, options.types_shown);
}

Result<void> write_plot(const std::string& path, const std::string& svg) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << svg;
    file.close();
    if (!file) return fail(Fault::unavailable, path + ": cannot write the plot");
    return {};
}

TraceFormat format_of(const Options& options) {
    return options.format == "sacct"    ? TraceFormat::sacct
           : options.format == "joblog" ? TraceFormat::joblog
                                        : TraceFormat::csv;
}

Result<std::vector<Run>> run_all(const Options& options, const HistorySource& history) {
    std::vector<Run> runs;
    const Moment moment = options.moment == "submit" ? Moment::submit : Moment::dispatch;
    const TraceFormat format = format_of(options);
    for (const std::string& path : options.from_history ? std::vector<std::string>{"history"} : options.traces) {
        auto rows = options.from_history ? history.read(options.limit) : read_trace(path, options.limit, format);
        if (!rows) return std::unexpected(std::move(rows).error());
        for (const std::string& name : options.models) {
            auto model = predict::make_model(name);
            if (!model) return std::unexpected(std::move(model).error());
            predict::Predictor predictor(std::move(*model));
            Run run{.trace = file_name(path), .model = name, .replay = replay(*rows, moment, predictor)};
            run.score = score(*rows, run.replay.outcomes);
            run.predictable = score_predictable(*rows, run.replay.outcomes);
            run.learning = learning_speed(*rows, run.replay.outcomes);
            if (options.by_type) run.types = score_by_type(*rows, run.replay.outcomes);
            if (!options.plot.empty() && runs.empty()) {
                const std::string title =
                    fmt::format("{} on {}: {:.1f} % within 25 %", run.model, run.trace, 100 * run.score.within_25);
                auto written = write_plot(options.plot, plot_svg(*rows, run.replay.outcomes, title));
                if (!written) return std::unexpected(std::move(written).error());
            }
            run.replay.outcomes = {};
            runs.push_back(std::move(run));
        }
    }
    return runs;
}

int exit_code_of(const Error& error) {
    complain(error.what);
    return error.fault == Fault::invalid || error.fault == Fault::not_found || error.fault == Fault::corrupt ? 2 : 1;
}

int evaluate_etas(const Options& options, const EtaAnswer& etas) {
    EtaQuestion question = options.fleet;
    question.traces = options.traces;
    question.format = format_of(options);
    question.models = options.models;
    question.limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(options.limit, UINT32_MAX));
    question.recorded_arrivals = options.arrivals == "recorded";
    question.seed = options.seed;
    question.json = options.output == "json";
    const auto text = etas(question);
    if (!text) return exit_code_of(text.error());
    std::fwrite(text->data(), 1, text->size(), stdout);
    return 0;
}

bool names_nothing(const Options& options, bool has_history) {
    if (!options.traces.empty() || options.from_history) return false;
    complain(has_history ? "nothing to measure: give --trace FILE, or --from-history" : "give --trace FILE");
    return true;
}

int evaluate(const Options& options, const HistorySource& history) {
    for (const std::string& name : options.models) {
        const auto model = predict::make_model(name);
        if (model) continue;
        complain(model.error().what);
        return 2;
    }
    const auto runs = run_all(options, history);
    if (!runs) return exit_code_of(runs.error());
    if (options.output == "json")
        print_json(options, *runs);
    else
        print_tables(options, *runs);
    return 0;
}

}  // namespace

void add_command(CLI::App& root, int& exit_code, EtaAnswer etas, HistorySource history) {
    auto options = std::make_shared<Options>();
    CLI::App* verb =
        root.add_subcommand("evaluate", "Measure how well models predict the run times of a recorded workload");
    verb->footer(
        "Each row is predicted before its run time is known, and learned only when it completes.\n"
        "Examples:\n"
        "  nexus evaluate --trace jobs.csv.gz\n"
        "  nexus evaluate --trace jobs.csv.gz --model mixture,ema --moment submit --by-type\n"
        "  nexus evaluate --trace a.csv.gz --trace b.csv.gz -o json\n"
        "  nexus evaluate --trace jobs.csv.gz --plot jobs.svg\n"
        "  nexus evaluate --from-history --data /var/lib/nexus --by-type\n"
        "  nexus evaluate --from-history --history clickhouse://localhost:8123/nexus --limit 100000\n"
        "  nexus evaluate --trace jobs.csv.gz --eta --workers 20 --slots 4 --load 0.9\n"
        "  sacct -P -S 2026-01-01 -o JobID,JobName,User,Submit,ElapsedRaw,State,NodeList > jobs.txt; nexus evaluate "
        "--format sacct --trace jobs.txt");
    verb->add_option("--trace", options->traces, "Trace file (CSV, may be gzip); may be given several times");
    if (history.read) {
        verb->add_flag("--from-history", options->from_history,
                       "Instead: the tasks that succeeded, as the history of a server holds them; it may be running")
            ->excludes("--trace");
        history.add_flags(*verb);
    }
    verb->add_option("--format", options->format,
                     "csv (see docs/prediction.md), sacct (sacct -P with a header) or joblog (parallel --joblog)")
        ->check(CLI::IsMember({"csv", "sacct", "joblog"}))
        ->capture_default_str();
    verb->add_option("--model", options->models, "Models, separated by commas")->delimiter(',')->capture_default_str();
    verb->add_option("--moment", options->moment, "When a row is predicted: dispatch or submit")
        ->check(CLI::IsMember({"dispatch", "submit"}))
        ->capture_default_str();
    verb->add_option("--limit", options->limit,
                     "Only the first N rows of each trace, or the newest N tasks of the history; 0 = all")
        ->capture_default_str();
    verb->add_option("--seed", options->seed, "Echoed in the result; the replay itself draws no random numbers")
        ->capture_default_str();
    verb->add_flag("--by-type", options->by_type, "The same figures for each type, with the best that was possible");
    verb->add_option("--types", options->types_shown, "Types the table shows; json shows all")->capture_default_str();
    verb->add_option("-o,--output", options->output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    verb->add_option("--plot", options->plot, "Write an SVG of the first trace and model to this file");
    if (etas) {
        EtaQuestion& fleet = options->fleet;
        auto* eta = verb->add_flag("--eta", options->eta,
                                   "Instead: let the trace arrive at equal workers in simulated time, and measure how "
                                   "the finish times told at submission hold");
        const auto only = [&](CLI::Option* option) { option->needs(eta)->capture_default_str(); };
        only(verb->add_option("--workers", fleet.workers, "With --eta: workers")->check(CLI::Range(1, 100'000)));
        only(verb->add_option("--slots", fleet.slots, "With --eta: slots per worker")->check(CLI::Range(1, 10'000)));
        only(verb->add_option("--load", fleet.load,
                              "With --eta: work offered / capacity; arrivals are sped up or "
                              "slowed down to it")
                 ->check(CLI::Range(0.01, 10.0)));
        only(verb->add_option("--arrivals", options->arrivals, "With --eta: recorded or poisson")
                 ->check(CLI::IsMember({"recorded", "poisson"})));
        eta->excludes("--by-type", "--plot");
        if (history.read) eta->excludes("--from-history");
    }
    verb->callback([options, etas = std::move(etas), history = std::move(history), &exit_code] {
        exit_code = names_nothing(*options, history.read != nullptr) ? 2
                    : options->eta                                   ? evaluate_etas(*options, etas)
                                                                     : evaluate(*options, history);
    });
}

}  // namespace nexus::evaluate
