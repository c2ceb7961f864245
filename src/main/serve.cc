#include "main/serve.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "engine/config_text.h"
#include "engine/runner.h"
#include "history/sqlite/sqlite_history.h"
#include "http/server.h"
#include "main/log.h"
#include "main/settings.h"
#include "store/sqlite/sqlite_journal.h"
#include "wire/server.h"

namespace nexus::serve {
namespace {

using cli::Answer;
using cli::failure;
using engine::LogLevel;

struct Flags {
    std::string config, listen, http, data, durability, nexus_snapshot;
    std::vector<std::string> set;
    bool config_wins = false;
    bool no_reflection = false;
};

std::unexpected<cli::Failure> failed(const Error& error, std::string_view doing, std::string next = {}) {
    return failure(exit_code_of(error.fault), doing.empty() ? error.what : fmt::format("{}: {}", doing, error.what),
                   std::move(next));
}

Answer<Settings> settings_of(const Flags& flags) {
    Settings settings;
    Result<void> done;
    if (!flags.config.empty()) done = apply_file(flags.config, settings);
    if (!done) return failed(done.error(), "configuration");
    std::size_t count = 0;
    while (environ[count] != nullptr) ++count;
    done = apply_environment(std::span<const char* const>(environ, count), settings);
    const auto flag = [&](const std::string& key, const std::string& value) {
        if (done && !value.empty()) done = set_value(key, value, "flag", settings);
    };
    flag("server.listen", flags.listen);
    flag("server.http", flags.http);
    flag("server.data", flags.data);
    flag("server.durability", flags.durability);
    for (const std::string& text : flags.set) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos)
            return failure(cli::kExitUsage, "--set " + cli::safe_text(text, 80) + ": expected key=value");
        flag(text.substr(0, equals), text.substr(equals + 1));
    }
    if (done) done = check(settings);
    if (!done) return failed(done.error(), "configuration", "see `nexus config show`");
    return settings;
}

bool names_scheduler(const Settings& settings) {
    for (const auto& [key, origin] : settings.origins)
        if (!key.starts_with("server.")) return true;
    return false;
}

// Everything that runs, in the order it is made; destroyed the other way round.
struct Running {
    std::unique_ptr<store::SqliteJournal> journal;
    std::unique_ptr<history::SqliteHistory> history;
    std::unique_ptr<engine::Runner> runner;
    std::unique_ptr<wire::Server> wire;
    std::unique_ptr<http::Server> http;
};

Answer<void> open_stores(const Settings& settings, Log& log, Running& running) {
    auto journal = store::SqliteJournal::open(
        {.directory = settings.data, .level = settings.durability, .reserve_bytes = settings.reserve_bytes});
    if (!journal)
        return failed(
            journal.error(), "open " + settings.data,
            journal.error().fault == Fault::conflict ? "stop that server, or give this one another --data" : "");
    running.journal = std::move(*journal);
    if (const auto& report = running.journal->open_report(); report.batches_cut > 0)
        log.write(LogLevel::warning, "journal_cut",
                  fmt::format("{} torn batches at the end were set aside: {}", report.batches_cut, report.cut_reason));
    auto history = history::SqliteHistory::open({.path = settings.data + "/history.db"});
    if (!history) return failed(history.error(), "open " + settings.data + "/history.db");
    running.history = std::move(*history);
    if (!running.history->put_aside().empty())
        log.write(LogLevel::warning, "history_put_aside",
                  "the history could not be read; it was put aside as " + running.history->put_aside());
    return {};
}

Answer<void> start_engine(const Settings& settings, const Flags& flags, Log& log, Running& running) {
    engine::Options options;
    options.config = settings.scheduler;
    options.config_wins = flags.config_wins;
    options.model = settings.model;
    options.history_retention = settings.history_retention;
    options.history_bytes_max = settings.history_bytes_max;
    if (!flags.nexus_snapshot.empty()) {
        std::ifstream file(flags.nexus_snapshot, std::ios::binary);
        options.nexus_snapshot.assign(std::istreambuf_iterator<char>(file), {});
        if (!file.is_open() || options.nexus_snapshot.empty())
            return failed({Fault::not_found, "no such file, or nothing in it"}, flags.nexus_snapshot);
    }
    options.log = [&log](const engine::LogLine& line) { log.write(line.level, line.event, line.text); };
    options.on_fatal = [&log](const Error& error) {
        log.write(LogLevel::error, "store_failed", "the store failed, ending at once: " + error.what);
        _exit(kExitStoreFailed);
    };
    auto runner = engine::Runner::start(std::move(options), *running.journal, *running.history);
    if (!runner) return failed(runner.error(), "recover " + settings.data);
    running.runner = std::move(*runner);
    if (names_scheduler(settings) && !running.runner->recovery().fresh && !flags.config_wins)
        log.write(LogLevel::info, "config_of_journal",
                  "the journal's own scheduler configuration is in force; --config-wins replaces it");
    return {};
}

std::string with_port(const std::string& address, std::uint16_t port) {
    return address.substr(0, address.rfind(':') + 1) + std::to_string(port);
}

Answer<void> open_ports(const Settings& settings, const Flags& flags, Running& running) {
    auto wire = wire::Server::start({.address = settings.listen,
                                     .durability = store::name_of(settings.durability),
                                     .reflection = !flags.no_reflection},
                                    *running.runner);
    if (!wire)
        return failed(wire.error(), "listen on " + settings.listen,
                      "is another server running there? choose another with --listen, or :0 for any free port");
    running.wire = std::move(*wire);
    if (settings.http == "off") return {};
    auto http = http::Server::start({.address = settings.http}, *running.runner);
    if (!http)
        return failed(http.error(), "listen on " + settings.http, "choose another address with --http, or --http off");
    running.http = std::move(*http);
    return {};
}

void say_ready(const Settings& settings, const Running& running, Log& log) {
    const engine::Recovery& recovery = running.runner->recovery();
    std::string line = "nexus: ready on " + with_port(settings.listen, running.wire->port());
    if (running.http) line += ", http://" + with_port(settings.http, running.http->port());
    line += fmt::format(", data {}, {}", settings.data,
                        recovery.fresh
                            ? std::string("new")
                            : fmt::format("recovered {} tasks in {} ms", recovery.tasks_live, recovery.took.us / 1000));
    cli::put(line + "\n");
    log.write(LogLevel::info, "ready", line.substr(7));
}

int stop(Running& running, int signal, Log& log) {
    log.write(LogLevel::info, "stopping",
              signal == 2 ? "stopping on Ctrl-C; a second one ends it at once" : "stopping on SIGTERM");
    running.wire->set_ready(false);
    running.http.reset();
    running.wire->stop(seconds(1));
    const auto stopped = running.runner->stop(seconds(3));
    if (!stopped)
        log.write(LogLevel::warning, "stopped_early", stopped.error().what);
    else
        log.write(LogLevel::info, "stopped", "everything acknowledged is stored");
    return cli::kExitOk;
}

Answer<int> serve(const Flags& flags) {
    const auto settings = settings_of(flags);
    if (!settings) return std::unexpected(settings.error());
    Log log;
    cli::Interrupt interrupt;
    Running running;
    Answer<void> done = open_stores(*settings, log, running);
    if (done) done = start_engine(*settings, flags, log, running);
    if (done) done = open_ports(*settings, flags, running);
    if (!done) return std::unexpected(std::move(done).error());
    say_ready(*settings, running, log);
    std::string why;
    bool was_ready = true;
    while (!interrupt.wait(milliseconds(500))) {
        const bool ready = running.runner->ready(&why);
        if (ready == was_ready) continue;
        was_ready = ready;
        running.wire->set_ready(ready);
        log.write(ready ? LogLevel::info : LogLevel::warning, ready ? "ready_again" : "not_ready",
                  ready ? "ready again" : "not ready: " + why);
    }
    return stop(running, interrupt.signal(), log);
}

int finish(const Answer<int>& done) {
    return done ? *done : cli::report(done.error());
}

void add_setting_flags(CLI::App& verb, Flags& flags) {
    verb.add_option("-c,--config", flags.config, "TOML file; the environment and flags win over it");
    verb.add_option("--listen", flags.listen, "gRPC address (default 127.0.0.1:7070; port 0 = any free one)");
    verb.add_option("--http", flags.http, "Address of the page and REST (default 127.0.0.1:7080), or off");
    verb.add_option("--data", flags.data, "Directory of the embedded store (default ./nexus-data)");
    verb.add_option("--durability", flags.durability, "disk (default) or process");
    verb.add_option("--set", flags.set, "Any key of the configuration, e.g. scheduler.lease=3s");
}

void add_config_verbs(CLI::App& config, int& exit_code) {
    const auto path = std::make_shared<std::string>();
    CLI::App* validate = config.add_subcommand("validate", "Check a configuration file without starting anything");
    validate->footer("Examples:\n  nexus config validate nexus.toml");
    validate->add_option("file", *path, "The file")->required();
    validate->callback([path, &exit_code] {
        exit_code = finish([&]() -> Answer<int> {
            Settings settings;
            auto done = apply_file(*path, settings);
            if (done) done = check(settings);
            if (!done) return failed(done.error(), "");
            cli::put(fmt::format("{}: fine, {} keys\n", *path, settings.origins.size()));
            return cli::kExitOk;
        }());
    });
    const auto flags = std::make_shared<Flags>();
    CLI::App* show = config.add_subcommand("show", "The configuration a server would start with");
    show->footer("Examples:\n  nexus config show > nexus.toml\n  nexus config show --effective --config nexus.toml");
    const auto effective = std::make_shared<bool>(false);
    show->add_flag("--effective", *effective, "With where each value came from");
    add_setting_flags(*show, *flags);
    show->callback([flags, effective, &exit_code] {
        exit_code = finish([&]() -> Answer<int> {
            const auto settings = settings_of(*flags);
            if (!settings) return std::unexpected(settings.error());
            cli::put(settings_text(*settings, *effective));
            return cli::kExitOk;
        }());
    });
}

}  // namespace

int exit_code_of(Fault fault) {
    switch (fault) {
        case Fault::invalid: return cli::kExitUsage;
        case Fault::not_found: return cli::kExitNotFound;
        case Fault::conflict:
        case Fault::denied: return cli::kExitRefused;
        case Fault::corrupt:
        case Fault::failed:
        case Fault::no_space: return kExitStoreFailed;
        default: return cli::kExitFailure;
    }
}

void add_command(CLI::App& root, int& exit_code) {
    const auto flags = std::make_shared<Flags>();
    CLI::App* verb = root.add_subcommand("serve", "Run the server");
    verb->footer(
        "Examples:\n"
        "  nexus serve\n"
        "  nexus serve --config nexus.toml --data /var/lib/nexus\n"
        "  nexus serve --listen 127.0.0.1:0 --http off --set scheduler.lease=3s");
    add_setting_flags(*verb, *flags);
    verb->add_flag("--config-wins", flags->config_wins,
                   "The scheduler's configuration given here replaces the one in the journal");
    verb->add_option("--nexus-snapshot", flags->nexus_snapshot,
                     "What the old Nexus learned (JSON of its key scheduler:predictions), for a new store");
    verb->add_flag("--no-reflection", flags->no_reflection, "Without gRPC reflection");
    verb->callback([flags, &exit_code] { exit_code = finish(serve(*flags)); });
    const auto nouns = root.get_subcommands([](const CLI::App* app) { return app->get_name() == "config"; });
    add_config_verbs(nouns.empty() ? *cli::add_noun(root, "config", "The configuration") : *nouns.front(), exit_code);
}

}  // namespace nexus::serve
