#include "simulate/eta.h"

#include <fmt/format.h>

#include "base/must.h"
#include "simulate/driver.h"
#include "simulate/report.h"

namespace nexus::simulate {

Result<std::string> measure_etas(const evaluate::EtaQuestion& question) {
    std::vector<Metrics> results;
    for (const std::string& trace : question.traces) {
        const Result<World> world =
            make_world({.trace = trace,
                        .format = question.format,
                        .tasks = question.limit,
                        .workers = question.workers,
                        .slots = question.slots,
                        .cluster = 'H',
                        .load = question.load,
                        .arrivals = question.recorded_arrivals ? Arrivals::trace : Arrivals::poisson,
                        .seed = question.seed});
        if (!world) return std::unexpected(world.error());
        for (const std::string& model : question.models) {
            Result<Contender> contender = make_contender("predictive");
            if (!contender) return std::unexpected(std::move(contender).error());
            contender->model = model;
            DriverOptions options;
            const Result<RunRecord> first = run(*world, *contender, options);
            if (!first) return std::unexpected(first.error());
            options.ask_again = &*first;
            const Result<RunRecord> record = run(*world, *contender, options);
            if (!record) return std::unexpected(record.error());
            MUST(record->digest == first->digest);  // who asks changes nothing
            results.push_back(measure(world->workload.name + (question.models.size() > 1 ? " " + model : ""), *world,
                                      *record, options.warm_up));
        }
    }
    if (!question.json)
        return fmt::format(
                   "finish times told at submission, on {} workers x {} slots at load {}\n"
                   "eta25, run25: within 25 % of the actual response, of the run; of_run: eta25 / run25; p10, p90: "
                   "share "
                   "that kept the bound; width: p90 / actual; again: asked after half of the wait, of what was "
                   "left\n\n",
                   question.workers, question.slots, question.load) +
               eta_table("trace", results);
    const Arguments args{{"workers", std::to_string(question.workers)},
                         {"slots", std::to_string(question.slots)},
                         {"load", fmt::format("{}", question.load)},
                         {"arrivals", question.recorded_arrivals ? "recorded" : "poisson"},
                         {"limit", std::to_string(question.limit)},
                         {"seed", std::to_string(question.seed)}};
    return to_json("evaluate", args, results);
}

}  // namespace nexus::simulate
