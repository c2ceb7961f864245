// The one binary: every room that offers verbs adds them here.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string_view>

#include <absl/synchronization/mutex.h>

#include <CLI/CLI.hpp>

#include "bench/command.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/failure.h"
#include "evaluate/command.h"
#include "main/arguments.h"
#include "main/audit_verify.h"
#include "main/config_verbs.h"
#include "main/dev.h"
#include "main/history_trace.h"
#include "main/journal_verbs.h"
#include "main/manual.h"
#include "main/scheduler_keys.h"
#include "main/serve.h"
#include "main/store_verbs.h"
#include "main/usage.h"
#include "simulate/command.h"
#include "simulate/eta.h"
#include "worker/command.h"

namespace {

int run(int argc, char** argv) {
    CLI::App root("Nexus Scheduler: decides which task runs where and when, from what it predicts and learns", "nexus");
    root.footer(
        "Start here: `nexus dev` runs a server, four workers and a real job in this directory.\nEach verb has "
        "examples: nexus VERB --help");
    root.require_subcommand(1);
    root.failure_message([](const CLI::App* app, const CLI::Error& error) { return nexus::usage_text(*app, error); });
    int exit_code = 0;
    nexus::Arguments arguments;
    nexus::worker::add_command(root, exit_code);
    nexus::cli::add_command(root, exit_code, arguments.program);
    nexus::dev::add_command(root, exit_code);
    nexus::serve::add_command(root, exit_code);
    nexus::serve::add_config_verbs(root, exit_code);
    nexus::serve::add_audit_verify(root, exit_code);
    nexus::journal_verbs::add_command(root, exit_code);
    nexus::journal_verbs::add_store_verbs(root, exit_code);
    nexus::evaluate::add_command(root, exit_code, nexus::simulate::measure_etas, nexus::serve::history_source());
    nexus::simulate::add_command(root, exit_code);
    nexus::bench::add_command(root, exit_code);
    nexus::add_manual(root, exit_code);
    if (argc > 1 && std::string_view(argv[1]) == nexus::cli::kCompleteVerb)
        return nexus::cli::complete(root, {argv + 2, argv + argc});
    arguments = nexus::arrange(root, {argv + std::min(argc, 1), argv + argc});
    nexus::serve::hide_keys(argc, argv);
    std::ranges::reverse(arguments.words);  // as CLI11 takes them
    try {
        root.parse(arguments.words);
    } catch (const CLI::ParseError& error) {
        return root.exit(error) == 0 ? 0 : nexus::cli::kExitUsage;
    }
    return exit_code;
}

// So that no file or pipe of ours gets the number of a stream that whoever started us has closed.
void open_streams() {
    for (int stream = 0; stream < 3; ++stream)
        // Takes the lowest number that is free: this one. What cannot be written is still told of.
        if (fcntl(stream, F_GETFD) < 0) open("/dev/null", stream == STDOUT_FILENO ? O_RDONLY : O_RDWR);
}

}  // namespace

int main(int argc, char** argv) {
    open_streams();
    std::signal(SIGPIPE, SIG_IGN);
    // Debian builds Abseil with its lock-order detector on, which takes a stack trace at gRPC's locks.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "nexus: %s\n", error.what());
        return nexus::cli::kExitFailure;
    }
}
