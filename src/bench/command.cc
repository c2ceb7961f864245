#include "bench/command.h"

#include <memory>
#include <string>

#include "bench/core_bench.h"
#include "bench/live_bench.h"
#include "bench/readers_bench.h"
#include "bench/report.h"
#include "bench/sdk_bench.h"

namespace nexus::bench {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

int failed(const Error& error) {
    progress("nexus bench: " + error.what);
    return error.fault == Fault::invalid ? kExitUsage : kExitFailed;
}

void add_output(CLI::App& verb, std::string& output) {
    verb.add_option("-o,--output", output, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
}

void add_core(CLI::App& bench, const std::shared_ptr<std::string>& output, int& exit_code) {
    const auto options = std::make_shared<CoreOptions>();
    CLI::App* verb = bench.add_subcommand("core", "Decisions of the core alone");
    verb->footer("Examples:\n  nexus bench core --workers 1000 --pending 1000000");
    verb->add_option("--workers", options->workers, "Workers")->check(CLI::Range(1, 100'000))->capture_default_str();
    verb->add_option("--slots", options->slots, "Slots per worker")->check(CLI::Range(1, 4096))->capture_default_str();
    verb->add_option("--pending", options->pending, "Tasks waiting")->capture_default_str();
    verb->add_option("--tasks", options->tasks, "Decisions measured")->capture_default_str();
    verb->add_option("--types", options->types, "Task types")->check(CLI::Range(1, 10'000))->capture_default_str();
    verb->add_option("--seed", options->seed, "Seed")->capture_default_str();
    add_output(*verb, *output);
    verb->callback([options, output, &exit_code] {
        print(run_core(*options), *output);
        exit_code = 0;
    });
}

void add_end_to_end(CLI::App& bench, const std::shared_ptr<std::string>& output, int& exit_code) {
    const auto options = std::make_shared<EndToEndOptions>();
    CLI::App* verb = bench.add_subcommand("e2e", "A real server, real gRPC and a real store");
    verb->footer(
        "Examples:\n  nexus bench e2e --tasks 500000\n  nexus bench e2e --tasks 3000 --rate 100\n"
        "  nexus bench e2e --tasks 50000 --batch 1 --inflight 64\n"
        "  nexus bench e2e --store redis --durability process");
    verb->add_option("--tasks", options->tasks, "Tasks")->check(CLI::Range(1, 100'000'000))->capture_default_str();
    verb->add_option("--rate", options->rate, "Tasks per second (Poisson), or max")->capture_default_str();
    verb->add_option("--workers", options->workers, "Workers")->check(CLI::Range(1, 4000))->capture_default_str();
    verb->add_option("--slots", options->slots, "Slots per worker")->check(CLI::Range(1, 4096))->capture_default_str();
    verb->add_option("--payload", options->payload, "Bytes per task")
        ->check(CLI::Range(8, 256 * 1024))
        ->capture_default_str();
    verb->add_option("--batch", options->batch, "Tasks per submit call; 0 = 500, with --rate 1")
        ->check(CLI::Range(0, 1000));
    verb->add_option("--inflight", options->inflight, "Submit calls at once; 0 = 4, or 64 with single tasks")
        ->check(CLI::Range(0, 4096));
    verb->add_option("--store", options->store, "sqlite, or redis: a redis-server of its own")
        ->check(CLI::IsMember({"sqlite", "redis"}))
        ->capture_default_str();
    verb->add_option("--durability", options->durability, "disk or process; of Redis, AOF always or everysec")
        ->check(CLI::IsMember({"disk", "process"}));
    verb->add_flag("--started", options->tell_started, "Workers also report each start");
    verb->add_option("--auth", options->auth, "tokens: the server asks, clients and workers show one")
        ->check(CLI::IsMember({"none", "tokens"}));
    verb->add_flag("--tls", options->tls, "All connections in TLS");
    const auto beside = std::make_shared<bool>(false);
    verb->add_flag("--beside", *beside, "The same without tokens and TLS, in turns: three of each");
    verb->add_option("--seed", options->seed, "Seed")->capture_default_str();
    add_output(*verb, *output);
    verb->callback([options, output, beside, &exit_code] {
        bool complete = false;
        if (*beside) {
            const auto reports = run_beside(*options, complete);
            if (!reports) {
                exit_code = failed(reports.error());
                return;
            }
            print(*reports, *output);
            exit_code = complete ? 0 : kExitFailed;
            return;
        }
        const auto report = run_end_to_end(*options, complete);
        if (!report) {
            exit_code = failed(report.error());
            return;
        }
        print(*report, *output);
        exit_code = complete ? 0 : kExitFailed;
    });
}

void add_recover(CLI::App& bench, const std::shared_ptr<std::string>& output, int& exit_code) {
    const auto options = std::make_shared<RecoverOptions>();
    CLI::App* verb =
        bench.add_subcommand("recover", "Time from kill -9 until ready, and until the first task is assigned");
    verb->footer("Examples:\n  nexus bench recover --pending 1000000");
    verb->add_option("--pending", options->pending, "Tasks waiting")
        ->check(CLI::Range(1, 4'000'000))
        ->capture_default_str();
    verb->add_option("--payload", options->payload, "Bytes per task")
        ->check(CLI::Range(8, 256 * 1024))
        ->capture_default_str();
    verb->add_option("--store", options->store, "Store")->check(CLI::IsMember({"sqlite"}))->capture_default_str();
    verb->add_option("--seed", options->seed, "Seed")->capture_default_str();
    add_output(*verb, *output);
    verb->callback([options, output, &exit_code] {
        const auto report = run_recover(*options);
        if (!report) {
            exit_code = failed(report.error());
            return;
        }
        print(*report, *output);
        exit_code = 0;
    });
}

void add_readers(CLI::App& bench, const std::shared_ptr<std::string>& output, int& exit_code) {
    const auto options = std::make_shared<ReadersOptions>();
    CLI::App* verb = bench.add_subcommand("readers", "What an open page and lists cost those who submit");
    verb->footer("Examples:\n  nexus bench readers --pending 500000");
    verb->add_option("--pending", options->pending, "Tasks waiting that no worker may run")
        ->check(CLI::Range(1, 4'000'000))
        ->capture_default_str();
    verb->add_option("--rounds", options->rounds, "Rounds, half of each without readers")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    verb->add_option("--seconds", options->seconds, "Seconds of half a round")
        ->check(CLI::Range(1, 3600))
        ->capture_default_str();
    verb->add_option("--rate", options->rate, "Tasks per second")->check(CLI::Range(1, 10'000))->capture_default_str();
    verb->add_option("--seed", options->seed, "Seed")->capture_default_str();
    add_output(*verb, *output);
    verb->callback([options, output, &exit_code] {
        const auto report = run_readers(*options);
        if (!report) {
            exit_code = failed(report.error());
            return;
        }
        print(*report, *output);
        exit_code = 0;
    });
}

void add_sdk(CLI::App& bench, const std::shared_ptr<std::string>& output, int& exit_code) {
    const auto options = std::make_shared<SdkOptions>();
    CLI::App* verb = bench.add_subcommand("sdk", "The same through the C++ SDK: nexus::Client and nexus::Worker");
    verb->footer(
        "Examples:\n  nexus bench sdk --workers 2 --slots 8\n  nexus bench sdk --slots 8 --task-us 1000 --tasks 20000\n"
        "  nexus bench sdk --tasks 3000 --rate 100\n  nexus bench sdk --grid\n"
        "  nexus bench sdk --slots 4 --batch 100");
    verb->add_option("--tasks", options->tasks, "Tasks")->check(CLI::Range(1, 100'000'000))->capture_default_str();
    verb->add_option("--workers", options->workers, "Workers")->check(CLI::Range(1, 4000))->capture_default_str();
    verb->add_option("--slots", options->slots, "Slots per worker")->check(CLI::Range(1, 4096))->capture_default_str();
    verb->add_option("--task-us", options->task_us, "Microseconds that a task sleeps")->capture_default_str();
    verb->add_option("--prefetch", options->prefetch,
                     "Tasks a worker may hold beyond its slots; absent = as the SDK does")
        ->check(CLI::Range(0, 4096));
    verb->add_option("--batch", options->batch, "Tasks that a handler takes at once; 0 = one")
        ->check(CLI::Range(0, 1000))
        ->capture_default_str();
    verb->add_option("--rate", options->rate, "Submit calls a second (Poisson); 0 = all before the workers connect")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    verb->add_option("--payload", options->payload, "Bytes per task")
        ->check(CLI::Range(8, 256 * 1024))
        ->capture_default_str();
    verb->add_option("--seed", options->seed, "Seed of the pauses between calls")->capture_default_str();
    const auto grid = std::make_shared<bool>(false);
    verb->add_flag("--grid", *grid, "1, 4, 16 and 50 slots, with tasks of 0, 1 and 10 ms")
        ->excludes("--slots", "--task-us", "--rate");
    add_output(*verb, *output);
    verb->callback([options, grid, output, &exit_code] {
        bool complete = false;
        if (*grid) {
            const auto reports = run_sdk_grid(*options, complete);
            if (!reports) {
                exit_code = failed(reports.error());
                return;
            }
            print(*reports, *output);
            exit_code = complete ? 0 : kExitFailed;
            return;
        }
        const auto report = run_sdk(*options, complete);
        if (!report) {
            exit_code = failed(report.error());
            return;
        }
        print(*report, *output);
        exit_code = complete ? 0 : kExitFailed;
    });
}

}  // namespace

void add_command(CLI::App& root, int& exit_code) {
    CLI::App* bench = root.add_subcommand("bench", "Measure the scheduler on this machine");
    bench->require_subcommand(1);
    const auto output = std::make_shared<std::string>("table");
    add_core(*bench, output, exit_code);
    add_end_to_end(*bench, output, exit_code);
    add_sdk(*bench, output, exit_code);
    add_recover(*bench, output, exit_code);
    add_readers(*bench, output, exit_code);
}

}  // namespace nexus::bench
