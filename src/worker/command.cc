#include "worker/command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/quantity.h"
#include "nexus/worker.h"
#include "process/household.h"
#include "process/notify.h"
#include "reach/reach.h"
#include "worker/digest.h"
#include "worker/exec_handler.h"
#include "worker/machine.h"

namespace nexus::worker {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitNoInput = 66;  // sysexits.h: trying again cannot help, so the task ends at once

struct WorkerFlags {
    reach::Flags access;
    std::string name;
    std::uint32_t slots = 4;
    std::vector<std::string> labels;
    std::vector<std::string> allow;
    std::vector<std::string> allow_env = {"PATH", "HOME", "USER", "LANG", "LC_*", "TZ", "TMPDIR"};
    std::vector<std::string> types;
    std::optional<double> cpus;
    std::string memory;
    std::vector<std::string> resources;
    std::uint64_t descriptors_max = 0;
    std::string drain_limit = "30s";
    std::string stop_grace = "2s";
    bool no_pause = false;
    bool quiet = false;
};

int complain(const std::string& what) {
    std::fprintf(stderr, "nexus worker: %s\n", what.c_str());
    return kExitUsage;
}

Result<std::chrono::microseconds> duration_of(const std::string& text, const char* flag) {
    Result<Duration> duration = parse_duration(text);
    if (!duration) return std::unexpected(std::move(duration.error()).during(flag));
    return std::chrono::microseconds(duration->us);
}

Result<ExecRules> rules_of(const WorkerFlags& flags) {
    std::vector<std::string> programs;
    bool any = false;
    for (const std::string& allow : flags.allow)
        if (Result<void> parsed = ExecRules::parse_allow(allow, programs, any); !parsed)
            return std::unexpected(std::move(parsed.error()).during("--allow"));
    if (!any && programs.empty())
        return fail(Fault::invalid,
                    "nothing is allowed, so nothing could run\n  --allow exec runs any program a task names; "
                    "--allow exec=/usr/bin/convert,/opt/jobs/* only those");
    return ExecRules(any ? std::vector<std::string>{} : std::move(programs), flags.allow_env);
}

// What the machine has, unless told otherwise.
Result<ResourceRequest> offer_of(const WorkerFlags& flags) {
    const MachineOffer machine = machine_offer();
    ResourceRequest offered{.cpu_milli = machine.cpu_milli, .memory_bytes = machine.memory_bytes};
    if (flags.cpus) offered.cpu_milli = static_cast<std::int64_t>(*flags.cpus * 1000);
    if (!flags.memory.empty()) {
        const Result<std::uint64_t> bytes = parse_size(flags.memory);
        if (!bytes) return std::unexpected(Error(bytes.error()).during("--memory"));
        offered.memory_bytes = static_cast<std::int64_t>(*bytes);
    }
    for (const std::string& resource : flags.resources) {
        const std::size_t equals = resource.find('=');
        std::int64_t amount = 0;
        if (equals == std::string::npos || equals == 0 ||
            !CLI::detail::lexical_cast(resource.substr(equals + 1), amount) || amount < 0)
            return fail(Fault::invalid, "--resource " + resource + ": expected name=amount, like gpu=2");
        const std::string name = resource.substr(0, equals);
        offered.custom[name] = amount;
        if (name == "gpu") offered.gpu_milli = amount * 1000;
    }
    return offered;
}

Result<WorkerOptions> options_of(const WorkerFlags& flags, const reach::Access& access) {
    WorkerOptions options{.name = flags.name,
                          .target = access.server,
                          .slots = flags.slots,
                          .can_pause = !flags.no_pause,
                          .version = "nexus",
                          .tls = access.tls,
                          .token = access.token};
    for (const std::string& label : flags.labels) {
        const std::size_t equals = label.find('=');
        if (equals == std::string::npos || equals == 0)
            return fail(Fault::invalid, "--label " + label + ": expected name=value");
        options.labels[label.substr(0, equals)] = label.substr(equals + 1);
    }
    Result<ResourceRequest> offered = offer_of(flags);
    if (!offered) return std::unexpected(std::move(offered.error()));
    options.resources = std::move(*offered);
    Result<std::chrono::microseconds> limit = duration_of(flags.drain_limit, "--drain-limit");
    if (!limit) return std::unexpected(std::move(limit.error()));
    options.drain_limit = *limit;
    if (!flags.quiet)
        options.log = [](std::string_view line) {
            std::fprintf(stderr, "nexus worker: %.*s\n", static_cast<int>(line.size()), line.data());
        };
    return options;
}

int run_worker(const WorkerFlags& flags) {
    Result<ExecRules> rules = rules_of(flags);
    if (!rules) return complain(rules.error().what);
    const Result<reach::Access> access = reach::resolve(flags.access);
    if (!access) return complain(access.error().what);
    Result<WorkerOptions> options = options_of(flags, *access);
    if (!options) return complain(options.error().what);
    const Result<std::chrono::microseconds> grace = duration_of(flags.stop_grace, "--stop-grace");
    if (!grace) return complain(grace.error().what);
    // A handler must have killed its process before the runtime stops waiting for it.
    options->cancel_grace = *grace + std::chrono::seconds(3);

    if (const Duration watchdog = process::watchdog_interval(); watchdog.us > 0) {
        options->alive = [] { process::notify("WATCHDOG=1"); };
        options->alive_every = std::chrono::microseconds(watchdog.us / 2);
    }
    // First of all: it forks, which only a process with one thread may do without a thought.
    Household household({.memory_bytes = flags.memory.empty() ? 0 : options->resources->memory_bytes,
                         .cpu_milli = flags.cpus ? options->resources->cpu_milli : 0});
    Worker worker(std::move(*options));
    const Handler handler = exec_handler(std::move(*rules),
                                         {.stop_grace = std::chrono::duration_cast<std::chrono::milliseconds>(*grace),
                                          .descriptors_max = flags.descriptors_max},
                                         &household);
    if (flags.types.empty()) worker.handle_any(handler);
    for (const std::string& type : flags.types) worker.handle(type, handler);
    worker.stop_on_signals();
    process::notify("READY=1");
    const int code = worker.run();
    process::notify("STOPPING=1");
    if (code == 2) return complain("the server at " + access->server + " refuses this worker: " + worker.refusal());
    return code;
}

void add_worker(CLI::App& root, int& exit_code) {
    const auto flags = std::make_shared<WorkerFlags>();
    // `worker` is a group of the operators' verbs too (worker list, worker drain, ...); alone, with --allow, it works.
    CLI::App* verb = root.add_subcommand("worker", "Run a worker that executes programs; or list and direct workers");
    reach::add_flags(*verb, flags->access, "Server");
    verb->add_option("-s", flags->access.server, "As --server")->group("Server");
    verb->add_option("--name,-n", flags->name, "Stable, unique name (default: host name and process number)");
    verb->add_option("--slots", flags->slots, "Tasks it runs at once")
        ->check(CLI::Range(1U, 4096U))
        ->capture_default_str();
    verb->add_option("--label,-l", flags->labels, "Label name=value that tasks may ask for; repeatable");
    verb->add_option("--allow", flags->allow,
                     "What tasks may run: exec, or exec=PATTERN,PATTERN (a path with *, or a bare name)");
    verb->add_option("--allow-env", flags->allow_env, "Environment variables that are passed on, or set by tasks")
        ->delimiter(',')
        ->capture_default_str();
    verb->add_option("--types", flags->types, "Take only tasks of these types")->delimiter(',');
    verb->add_option("--cpus", flags->cpus,
                     "Cores for programs, offered to tasks that ask for CPU (default: the machine's; 0: any number)")
        ->check(CLI::NonNegativeNumber);
    verb->add_option("--memory", flags->memory,
                     "Memory for programs, offered to tasks that ask for it, e.g. 8GiB (default: the machine's)");
    verb->add_option("--resource", flags->resources,
                     "Another resource that tasks may ask for, name=amount; repeatable");
    verb->add_option("--nofile", flags->descriptors_max, "Files each program may have open (default: as this process)")
        ->check(CLI::Range(8U, 1U << 30U));
    verb->add_option("--drain-limit", flags->drain_limit, "How long tasks may continue to run after SIGTERM")
        ->capture_default_str();
    verb->add_option("--stop-grace", flags->stop_grace, "Time from SIGTERM to SIGKILL of a cancelled program")
        ->capture_default_str();
    verb->add_flag("--no-pause", flags->no_pause, "Do not let the server pause programs here (see scheduler.pause)");
    verb->add_flag("--quiet,-q", flags->quiet, "Do not report connections");
    verb->footer(
        "Examples:\n"
        "  nexus worker --allow exec                                  any program, four at once\n"
        "  nexus worker --name gpu-1 --slots 2 --label gpu=a100 --allow 'exec=/opt/train/*'\n"
        "  nexus worker --allow exec=convert --types thumb --memory 8GiB --nofile 256\n"
        "  nexus worker --allow exec --resource gpu=2\n"
        "SIGTERM or Ctrl-C once: takes nothing more, finishes what runs, ends with 0. Twice: stops what runs, ends "
        "with 1.");
    verb->callback([verb, flags, &exit_code] {
        if (verb->get_subcommands().empty()) exit_code = run_worker(*flags);
    });
}

void add_digest(CLI::App& root, int& exit_code) {
    struct Flags {
        std::string file, out;
    };
    const auto flags = std::make_shared<Flags>();
    CLI::App* verb =
        root.add_subcommand("digest", "Hash and compress a file; print SHA-256, size, compressed size, path");
    verb->add_option("file", flags->file, "The file")->required();
    verb->add_option("--out", flags->out, "Write the compressed file into this directory");
    verb->footer(
        "Examples:\n  nexus digest README.md\n  nexus task submit --type digest.md --wait -- nexus digest README.md");
    verb->callback([flags, &exit_code] {
        std::string out;
        if (!flags->out.empty()) out = flags->out + "/" + std::filesystem::path(flags->file).filename().string() + ".z";
        const Result<FileDigest> digest = digest_file(flags->file, out);
        if (!digest) {
            std::fprintf(stderr, "nexus digest: %s\n", digest.error().what.c_str());
            exit_code = digest.error().fault == Fault::no_space ? 1 : kExitNoInput;
            return;
        }
        std::printf("%s %llu %llu %s\n", digest->sha256.c_str(), static_cast<unsigned long long>(digest->bytes),
                    static_cast<unsigned long long>(digest->compressed_bytes), flags->file.c_str());
    });
}

}  // namespace

void add_command(CLI::App& root, int& exit_code) {
    add_worker(root, exit_code);
    add_digest(root, exit_code);
}

}  // namespace nexus::worker
