#include "main/job_summary.h"

#include <fmt/format.h>

#include "cli/text.h"

namespace nexus::dev {

std::string summary_text(const JobProgress& progress, std::size_t ended_before, std::int64_t wall_us,
                         const cli::Terminal& terminal) {
    const Accuracy first = progress.part(0, 0.25), last = progress.part(0.75, 1);
    std::string text =
        fmt::format("\n{} of {} tasks succeeded in {} ({:.1f}/s){}\n", cli::count_text(progress.succeeded()),
                    cli::count_text(progress.total()), cli::span_text(wall_us),
                    static_cast<double>(progress.ended() - ended_before) / (static_cast<double>(wall_us) / 1e6),
                    ended_before > 0 ? fmt::format("; {} of them before this run", cli::count_text(ended_before)) : "");
    cli::Table times({"", ">P50", ">P90", ">P99"});
    const auto row = [&](const char* name, auto percentile) {
        times.add(
            {name, cli::span_text(percentile(0.5)), cli::span_text(percentile(0.9)), cli::span_text(percentile(0.99))});
    };
    row("waited", [&](double share) { return progress.wait_percentile(share); });
    row("ran", [&](double share) { return progress.run_percentile(share); });
    text += "\n" + times.text(terminal.colour);
    cli::Table workers({"WORKER", ">TASKS", ">BUSY", ""});
    for (const auto& [name, use] : progress.workers()) {
        const double share = static_cast<double>(use.busy_us) / static_cast<double>(wall_us);
        workers.add(
            {name, cli::count_text(use.tasks), cli::percent_text(share), cli::bar_text(share, 20, terminal.unicode)});
    }
    if (!workers.empty()) text += "\n" + workers.text(terminal.colour);
    cli::Table accuracy({"PREDICTIONS", ">WITHIN 25 %", ">MEDIAN ERROR"});
    accuracy.add(
        {"first quarter of the job", cli::percent_text(first.within_25), cli::percent_text(first.error_median)});
    accuracy.add({"last quarter of the job", cli::percent_text(last.within_25), cli::percent_text(last.error_median)});
    if (first.tasks > 0) text += "\n" + accuracy.text(terminal.colour);
    return text;
}

}  // namespace nexus::dev
