#include "worker/exec_handler.h"

#include <csignal>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "process/run.h"

namespace nexus::worker {
namespace {

using process::ChildEnd;
using process::ChildSpec;

// Escapes can make text six times as long: what is kept of the streams is halved until the whole fits into a result.
constexpr std::size_t kResultBytesMax = 250 * 1024;
constexpr int kTemporaryFailure = 75;
constexpr int kKilledInside = 128 + SIGKILL;  // a shell's word for a command that was killed

std::string result_of(const ChildEnd& end, std::size_t output_bytes_max) {
    for (std::size_t most = output_bytes_max;; most /= 2) {
        nlohmann::ordered_json json;
        json["exit_code"] = end.signal != 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(end.exit_code);
        json["signal"] = end.signal;
        json["stdout"] = end.out.kept.substr(0, most);
        json["stderr"] = end.err.kept.substr(0, most);
        json["stdout_bytes"] = end.out.bytes;
        json["stderr_bytes"] = end.err.bytes;
        json["truncated"] = end.out.bytes > most || end.err.bytes > most || end.out.cut() || end.err.cut();
        json["user_us"] = end.user_us;
        json["sys_us"] = end.system_us;
        json["max_rss_bytes"] = end.peak_memory_bytes;
        std::string text = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
        if (text.size() <= kResultBytesMax) return text;
    }
}

std::string last_line(std::string_view text) {
    while (text.ends_with('\n')) text.remove_suffix(1);
    const std::size_t newline = text.rfind('\n');
    return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1)).substr(0, 500);
}

// What the kernel's count of kills for memory says of a run that was killed.
enum class Count { silent, same, risen };

Outcome outcome_of(const ExecRequest& request, const ChildEnd& end, Count kills) {
    if (end.stopped && end.exit_code != 0) return Outcome::cancelled();  // the runtime knows why, and reports it
    const std::string said = last_line(end.err.kept);
    const std::string tail = said.empty() ? "" : ": " + said;
    if (end.signal != 0) {
        const std::string by = request.argv.front() + " was ended by signal " + std::to_string(end.signal) + " (" +
                               strsignal(end.signal) + ")";
        if (end.signal == SIGKILL && kills == Count::risen)
            return Outcome::out_of_memory(by + " for lack of memory" + tail);
        if (end.signal == SIGKILL && kills == Count::silent)
            return Outcome::out_of_memory(by + ", most likely for lack of memory" + tail);
        return Outcome::failure(by + tail);
    }
    if (end.exit_code == 0) return Outcome::success();
    const std::string ended = request.argv.front() + " ended with exit code " + std::to_string(end.exit_code) + tail;
    if (end.exit_code == kKilledInside && kills == Count::risen)
        return Outcome::out_of_memory(ended + " while the kernel killed for lack of memory");
    const bool hopeless = end.exit_code >= 64 && end.exit_code <= 78 && end.exit_code != kTemporaryFailure;
    return hopeless ? Outcome::fatal(ended) : Outcome::failure(ended);
}

Outcome refusal_of(const Error& error) {
    return error.fault == Fault::exhausted ? Outcome::rejected(error.what) : Outcome::fatal(error.what);
}

// Another worker may have what this one lacks.
Error here(Error error) {
    if (error.fault == Fault::not_found || error.fault == Fault::denied) error.what += " on this worker";
    return error;
}

}  // namespace

Outcome run_exec(const ExecTask& task, const ExecRules& rules, const ExecOptions& options, ChildStop& stop,
                 Guard* guard) {
    if (!task.handler.empty() && task.handler != "exec")
        return Outcome::rejected("this worker runs programs only, not the handler " + std::string(task.handler));
    Result<ExecRequest> request = parse_exec_request(task.payload);
    // A task that does not say exec may be meant for a handler of another worker.
    if (!request) return task.handler.empty() ? Outcome::rejected(request.error().what) : refusal_of(request.error());
    Result<std::string> program = rules.resolve(*request);
    if (!program) return refusal_of(program.error());
    Result<std::vector<std::string>> environment = rules.environment(*request);
    if (!environment) return refusal_of(environment.error());
    environment->insert(environment->end(), task.variables.begin(), task.variables.end());
    const ChildSpec spec{.program = std::move(*program),
                         .argv = request->argv,
                         .environment = std::move(*environment),
                         .directory = request->directory,
                         .input = std::move(request->input),
                         .output_bytes_max = options.output_bytes_max,
                         .stop_grace = options.stop_grace};
    const std::optional<std::uint64_t> before = options.oom_kills();
    const Result<ChildEnd> end = run_child(spec, stop, guard);
    if (!end) return refusal_of(here(end.error()));
    const std::optional<std::uint64_t> after = options.oom_kills();
    const Count kills = !before || !after ? Count::silent : *after > *before ? Count::risen : Count::same;
    return outcome_of(*request, *end, kills)
        .with_result(result_of(*end, options.output_bytes_max))
        .with_peak_memory(end->peak_memory_bytes);
}

Handler exec_handler(ExecRules rules, ExecOptions options, Guard* guard) {
    return [rules = std::move(rules), options, guard](Context& task) {
        ExecTask exec{.payload = task.payload(), .handler = task.metadata("handler")};
        exec.variables = {"NEXUS_TASK_ID=" + task.task_id(), "NEXUS_ATTEMPT_ID=" + task.attempt_id(),
                          "NEXUS_ATTEMPT=" + std::to_string(task.attempt()),
                          "NEXUS_FENCE=" + std::to_string(task.fence())};
        if (!task.traceparent().empty()) exec.variables.push_back("TRACEPARENT=" + task.traceparent());
        const auto stop = std::make_shared<ChildStop>();  // also the callback's, which lives as long as the attempt
        task.on_cancel([stop](CancelReason reason) { reason == CancelReason::fenced ? stop->kill() : stop->ask(); });
        task.on_pause([stop](bool still) { return stop->pause(still); });
        return run_exec(exec, rules, options, *stop, guard);
    };
}

}  // namespace nexus::worker
