#include "worker/exec_handler.h"

#include <absl/strings/escaping.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/quantity.h"
#include "process/household.h"
#include "process/run.h"

namespace nexus::worker {
namespace {

using process::ChildEnd;
using process::ChildSpec;
using process::Kept;

constexpr std::size_t kLookBytes = 64 * 1024;  // of each stream
constexpr int kTemporaryFailure = 75;
constexpr int kKilledInside = 128 + SIGKILL;  // a shell's word for a command that was killed

using Json = nlohmann::ordered_json;

// As shells tell of a program that they could not start.
constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;

std::string joined(const Kept& kept) {
    if (!kept.cut()) return kept.head;
    const std::string mark = "[nexus: " + std::to_string(kept.left_out) + " bytes left out]\n";
    return kept.head + (kept.head.empty() || kept.head.ends_with('\n') ? "" : "\n") + mark + kept.tail;
}

// Nothing when it is no text, or would be half as long again as text of JSON.
std::optional<Json> as_text(const std::string& bytes) {
    if (bytes.find('\0') != std::string::npos) return std::nullopt;
    Json json = bytes;
    try {
        if (json.dump().size() > bytes.size() + bytes.size() / 2 + 64) return std::nullopt;
    } catch (const Json::type_error&) {  // not UTF-8
        return std::nullopt;
    }
    return json;
}

void put_stream(Json& json, const std::string& name, const Kept& kept) {
    const std::string bytes = joined(kept);
    if (auto text = as_text(bytes)) {
        json[name] = std::move(*text);
        return;
    }
    json[name] = nullptr;
    json[name + "_base64"] = absl::Base64Escape(bytes);
}

// Where bytes are missing, which the line between the parts says to people.
void put_left_out(Json& json, const std::string& name, const Kept& kept) {
    if (kept.cut()) json[name + "_left_out"] = kept.left_out;
}

std::string result_of(const ChildEnd& end, const Kept& out, const Kept& err) {
    Json json;
    json["exit_code"] = end.signal != 0 ? Json() : Json(end.exit_code);
    json["signal"] = end.signal;
    json["stopped"] = end.stopped;
    put_stream(json, "stdout", out);
    put_stream(json, "stderr", err);
    json["stdout_bytes"] = out.bytes;
    json["stderr_bytes"] = err.bytes;
    json["truncated"] = out.cut() || err.cut();
    put_left_out(json, "stdout", out);
    put_left_out(json, "stderr", err);
    json["user_us"] = end.user_us;
    json["sys_us"] = end.system_us;
    json["max_rss_bytes"] = end.peak_memory_bytes;
    return json.dump();
}

std::string last_line(std::string_view text) {
    const std::size_t end = text.find_last_not_of(" \t\r\n");
    if (end == std::string_view::npos) return {};
    text = text.substr(0, end + 1);
    const std::size_t newline = text.rfind('\n');
    return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1)).substr(0, 500);
}

// What the kernel's count of kills for memory says of a run that was killed.
enum class Count { silent, same, risen };

Outcome outcome_of(const ExecRequest& request, const ChildEnd& end, const Kept& err, Count kills,
                   std::int64_t memory_bytes) {
    // Its control group counts kills by whatever limit; near its own it was that one.
    const bool beyond_limit = memory_bytes > 0 && end.oom_kills.value_or(0) > 0 && !end.stopped &&
                              end.peak_memory_bytes >= memory_bytes - memory_bytes / 16 &&
                              (end.signal == SIGKILL || end.exit_code == kKilledInside);
    if (end.over_memory || beyond_limit)
        return Outcome::out_of_memory(request.argv.front() + " was killed: it used more than the " +
                                      size_text(static_cast<std::uint64_t>(memory_bytes)) +
                                      " of memory that it asked for");
    if (end.stopped) return Outcome::cancelled();  // however it ended; the runtime knows why, and reports it
    const std::string said = last_line(err.cut() ? err.tail : err.head);
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

// A directory for the temporary files of one attempt.
class Scratch {
public:
    explicit Scratch(Household* household) {
        if (household != nullptr) path_ = household->make_scratch();
    }
    ~Scratch() {
        std::error_code ignored;
        if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

Outcome not_started(const Error& error) {
    const bool found = error.fault != Fault::not_found;
    ChildEnd end;
    end.exit_code = found ? kNotExecutable : kNotFound;
    return refusal_of(error).with_result(result_of(end, {}, {}));
}

Error here(Error error) {
    if (error.fault == Fault::not_found || error.fault == Fault::denied) error.what += " on this worker";
    return error;
}

}  // namespace

Outcome run_exec(const ExecTask& task, const ExecRules& rules, const ExecOptions& options, ChildOutput& output,
                 ChildStop& stop, Household* household) {
    if (task.handler != "exec")
        return Outcome::rejected(task.handler.empty()
                                     ? "this worker runs programs only, and the task does not say so (metadata "
                                       "handler=exec)"
                                     : "this worker runs programs only, not the handler " + std::string(task.handler));
    Result<ExecRequest> request = parse_exec_request(task.payload);
    if (!request) return refusal_of(request.error());
    Result<std::string> program = rules.resolve(*request);
    if (!program) return not_started(program.error());
    Result<std::vector<std::string>> environment = rules.environment(*request);
    if (!environment) return refusal_of(environment.error());
    environment->insert(environment->end(), task.variables.begin(), task.variables.end());
    const Scratch scratch(household);
    if (!scratch.path().empty() && !request->environment.contains("TMPDIR")) {
        std::erase_if(*environment, [](const std::string& entry) { return entry.starts_with("TMPDIR="); });
        environment->push_back("TMPDIR=" + scratch.path());
    }
    const ChildSpec spec{
        .program = std::move(*program),
        .argv = request->argv,
        .environment = std::move(*environment),
        .directory = request->directory,
        .input = std::move(request->input),
        .stop_grace = options.stop_grace,
        .mark = task.mark,
        .limits = {
            .memory_bytes = task.memory_bytes, .cpu_milli = task.cpu_milli, .descriptors = options.descriptors_max}};
    const std::optional<std::uint64_t> before = options.oom_kills();
    const Result<ChildEnd> end = run_child(spec, output, stop, household);
    if (!end) return not_started(here(end.error()));
    const std::optional<std::uint64_t> after = options.oom_kills();
    Count kills = !before || !after ? Count::silent : *after > *before ? Count::risen : Count::same;
    if (end->oom_kills) kills = *end->oom_kills > 0 ? Count::risen : Count::same;
    const Kept err = output.err.kept();
    return outcome_of(*request, *end, err, kills, task.memory_bytes)
        .with_result(result_of(*end, output.out.kept(), err))
        .with_peak_memory(end->peak_memory_bytes);
}

Handler exec_handler(ExecRules rules, ExecOptions options, Household* household) {
    return [rules = std::move(rules), options, household](Context& task) {
        ExecTask exec{.payload = task.payload(), .handler = task.metadata("handler")};
        exec.variables = {"NEXUS_TASK_ID=" + task.task_id(), "NEXUS_ATTEMPT_ID=" + task.attempt_id(),
                          "NEXUS_ATTEMPT=" + std::to_string(task.attempt()),
                          "NEXUS_FENCE=" + std::to_string(task.fence())};
        exec.mark = exec.variables[1];
        if (!task.traceparent().empty()) exec.variables.push_back("TRACEPARENT=" + task.traceparent());
        const auto stop = std::make_shared<ChildStop>();  // also the callback's, which lives as long as the attempt
        task.on_cancel([stop](CancelReason reason) { reason == CancelReason::fenced ? stop->kill() : stop->ask(); });
        task.on_pause([stop](bool still) { return stop->pause(still); });
        const auto output = std::make_shared<ChildOutput>(options.output_bytes_max);  // the callback's, likewise
        task.on_look([output](std::uint64_t out_from, std::uint64_t err_from) {
            process::Part out = output->out.part(out_from, kLookBytes), err = output->err.part(err_from, kLookBytes);
            return Written{.out = std::move(out.bytes),
                           .err = std::move(err.bytes),
                           .out_from = out.offset,
                           .err_from = err.offset};
        });
        exec.memory_bytes = task.resources().memory_bytes;
        exec.cpu_milli = task.resources().cpu_milli;
        return run_exec(exec, rules, options, *output, *stop, household);
    };
}

}  // namespace nexus::worker
