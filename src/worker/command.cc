#include "worker/command.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <memory>

#include "nexus/worker.h"
#include "worker/digest.h"
#include "worker/exec.h"

namespace nexus::worker {
namespace {

struct Settings {
    std::string server = "127.0.0.1:7070";
    std::string name;
    std::uint32_t slots = 4;
    std::vector<std::string> labels;
    std::vector<std::string> types;
    std::vector<std::string> allow;
    std::vector<std::string> allow_env;
    std::int64_t cpu_milli = 0, memory_mib = 0;
    std::uint32_t drain_s = 30;
    bool quiet = false;
};

// Exit codes that say "trying again is pointless" (sysexits.h), EX_TEMPFAIL excepted; and those of a shell that found
// no program to run.
bool is_final(int exit_code) {
    return (exit_code >= 64 && exit_code <= 78 && exit_code != 75) || exit_code == 126 || exit_code == 127;
}

std::string last_line(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    const std::size_t start = text.rfind('\n');
    return std::string(start == std::string_view::npos ? text : text.substr(start + 1)).substr(0, 500);
}

Outcome run_task(Context& task, const ExecRules& rules) {
    auto request = parse_exec_request(task.payload());
    if (!request) return Outcome::fatal(request.error().what);
    auto path = find_program(*request, rules);
    // Another worker may allow or have it.
    if (!path)
        return path.error().fault == Fault::denied ? Outcome::fatal(path.error().what)
                                                   : Outcome::failure(path.error().what);
    const int stop_fd = eventfd(0, EFD_CLOEXEC);
    if (stop_fd < 0) return Outcome::failure("no file descriptors left for another program");
    task.on_cancel([stop_fd](CancelReason) {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = write(stop_fd, &one, sizeof one);
    });
    const std::vector<std::string> about = {"NEXUS_TASK_ID=" + task.task_id(),
                                            fmt::format("NEXUS_ATTEMPT={}", task.attempt()),
                                            fmt::format("NEXUS_FENCE={}", task.fence())};
    auto done = run_program(*request, *path, rules, stop_fd, about);
    close(stop_fd);
    if (!done)
        return done.error().fault == Fault::exhausted ? Outcome::failure(done.error().what)
                                                      : Outcome::fatal(done.error().what);
    std::string result = to_json(*done);
    const std::int64_t memory = done->max_rss_bytes;
    if (done->stopped) return Outcome::cancelled(std::string("stopped: ") + std::string(name_of(task.cancel_reason())));
    if (done->exit_code == 0) return Outcome::success(std::move(result)).with_peak_memory(memory);
    std::string error = done->signal != 0 ? fmt::format("{} was ended by signal {} ({})", request->argv[0],
                                                        done->signal, strsignal(done->signal))
                                          : fmt::format("{} exited with {}", request->argv[0], done->exit_code);
    if (const std::string line = last_line(done->err); !line.empty()) error += ": " + line;
    Outcome outcome = is_final(done->exit_code) ? Outcome::fatal(std::move(error)) : Outcome::failure(std::move(error));
    return std::move(outcome).with_result(std::move(result)).with_peak_memory(memory);
}

// "exec" or "exec=/usr/bin/*,/opt/tool". False when it is neither.
bool allow(std::string_view text, ExecRules& rules) {
    if (text == "exec") {
        rules.programs.clear();
        return true;
    }
    if (!text.starts_with("exec=")) return false;
    text.remove_prefix(5);
    while (!text.empty()) {
        const std::size_t comma = text.find(',');
        if (comma != 0) rules.programs.emplace_back(text.substr(0, comma));
        text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    }
    return !rules.programs.empty();
}

int run(const Settings& settings) {
    ExecRules rules;
    for (const std::string& text : settings.allow) {
        if (allow(text, rules)) continue;
        fmt::print(stderr, "nexus worker: --allow {}: say exec, or exec=PATTERN,… with absolute paths\n", text);
        return 2;
    }
    if (settings.allow.empty()) {
        fmt::print(stderr,
                   "nexus worker: nothing is allowed, so nothing could run; add --allow exec (any program) or --allow "
                   "exec=/usr/bin/*\n");
        return 2;
    }
    for (const std::string& name : settings.allow_env) rules.env.push_back(name);
    WorkerOptions options;
    options.name = settings.name;
    options.target = settings.server;
    options.slots = settings.slots;
    options.version = "nexus worker";
    options.drain_limit = std::chrono::seconds(settings.drain_s);
    for (const std::string& label : settings.labels) {
        const std::size_t equals = label.find('=');
        if (equals == std::string::npos || equals == 0) {
            fmt::print(stderr, "nexus worker: --label {}: say NAME=VALUE\n", label);
            return 2;
        }
        options.labels[label.substr(0, equals)] = label.substr(equals + 1);
    }
    if (settings.cpu_milli > 0 || settings.memory_mib > 0) {
        options.resources.emplace();
        options.resources->cpu_milli = settings.cpu_milli;
        options.resources->memory_bytes = settings.memory_mib << 20;
    }
    if (!settings.quiet) options.log = [](std::string_view line) { fmt::print(stderr, "nexus worker: {}\n", line); };
    Worker worker(std::move(options));
    const Handler handler = [rules](Context& task) { return run_task(task, rules); };
    if (settings.types.empty()) worker.handle_any(handler);
    for (const std::string& type : settings.types) worker.handle(type, handler);
    worker.stop_on_signals();
    const int code = worker.run();
    if (code == 2) fmt::print(stderr, "nexus worker: the server refused this worker: {}\n", worker.refusal());
    return code;
}

}  // namespace

void add_command(CLI::App& root, int& exit_code) {
    auto settings = std::make_shared<Settings>();  // lives as long as the parser's callbacks
    if (const char* server = std::getenv("NEXUS_SERVER")) settings->server = server;
    CLI::App* worker =
        root.add_subcommand("worker", "Run tasks: connect to a server and run the programs --allow names");
    worker->footer(
        "Each task is one child process: an argument vector, never a shell. Its output is returned as the task's "
        "result.\n\n"
        "Examples:\n"
        "  nexus worker --slots 4 --allow exec                        run any program\n"
        "  nexus worker --allow 'exec=/usr/bin/convert,/opt/tools/*'  only these\n"
        "  nexus worker --name gpu-7 --label zone=a --label gpu=t4 --types train,render --allow exec\n\n"
        "SIGTERM or Ctrl-C drains: what runs is finished, nothing new is taken; a second one stops what still runs.");
    worker->add_option("--server,-s", settings->server, "host:port of the server (or NEXUS_SERVER)")
        ->capture_default_str();
    worker->add_option("--name,-n", settings->name, "stable name of this worker; default <host>-<pid>");
    worker->add_option("--slots", settings->slots, "tasks at once")->check(CLI::Range(1, 4096))->capture_default_str();
    worker->add_option("--label,-l", settings->labels, "NAME=VALUE, for placement; may be repeated");
    worker->add_option("--types", settings->types, "only tasks of these types; default any")->delimiter(',');
    worker->add_option("--allow", settings->allow,
                       "what may run: exec, or exec=PATTERN,… of absolute paths; may be repeated");
    worker->add_option("--allow-env", settings->allow_env, "further environment variables that programs may see")
        ->delimiter(',');
    worker->add_option("--cpu-milli", settings->cpu_milli, "CPU offered, 1000 = one core; default unlimited")
        ->check(CLI::NonNegativeNumber);
    worker->add_option("--memory-mib", settings->memory_mib, "memory offered; default unlimited")
        ->check(CLI::NonNegativeNumber);
    worker->add_option("--drain-limit", settings->drain_s, "seconds a drain may take")->capture_default_str();
    worker->add_flag("--quiet,-q", settings->quiet, "say nothing on stderr");
    // `nexus worker list` and its like are verbs below this one; then there is nothing to run here.
    worker->callback([settings, worker, &exit_code] {
        if (worker->get_subcommands().empty()) exit_code = run(*settings);
    });
    add_digest(root, exit_code);
}

}  // namespace nexus::worker
