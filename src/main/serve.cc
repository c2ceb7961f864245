#include "main/serve.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <sstream>

#include "api/configuration.h"
#include "api/methods.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "engine/runner.h"
#include "http/server.h"
#include "main/audit_head.h"
#include "main/configuration.h"
#include "main/disk_watch.h"
#include "main/log.h"
#include "main/open_history.h"
#include "main/open_store.h"
#include "main/protect.h"
#include "main/scheduler_keys.h"
#include "process/notify.h"
#include "process/proc.h"
#include "wire/server.h"

namespace nexus::serve {
namespace {

using cli::Answer;
using cli::failure;
using engine::LogLevel;

struct Flags {
    StartFlags start;
    std::string nexus_snapshot;
    bool config_wins = false;
    bool no_reflection = false;
    std::string scheduler_keys;
};

bool names_scheduler(const config::Start& start) {
    for (const auto& [key, origin] : start.origins)
        if (!key.starts_with("server.")) return true;
    return false;
}

// Everything that runs, in the order it is made; destroyed the other way round.
struct Running {
    std::shared_ptr<identity::Guard> guard;
    std::optional<identity::TlsFiles> tls;
    OpenJournal store;
    std::unique_ptr<OpenHistory> history;
    std::unique_ptr<engine::Runner> runner;
    RedisDoors redis;
    std::unique_ptr<api::Door> door;
    std::unique_ptr<wire::Server> wire;
    std::unique_ptr<http::Server> http;
};

Answer<void> prepare(const config::Server& settings, Log& log, Running& running) {
    if (geteuid() == 0) log.write(LogLevel::warning, "runs_as_root", "the server runs as root, which it does not need");
    if (config::is_open_beyond_loopback(settings))
        log.write(LogLevel::error, "insecure",
                  "INSECURE, by server.insecure: whoever reaches this server can run programs on its workers");
    auto tls = tls_of(settings);
    if (!tls) return std::unexpected(std::move(tls).error());
    running.tls = std::move(*tls);
    auto guard = make_guard(settings);
    if (!guard) return std::unexpected(std::move(guard).error());
    running.guard = std::move(*guard);
    return protect_data(settings.data, log);
}

Answer<void> open_stores(const config::Start& start, cli::Interrupt& interrupt, Log& log, Running& running) {
    const config::Server& settings = start.values.server;
    auto opened = open_journal(start, [&interrupt](Duration time) { return interrupt.wait(time); }, log);
    if (!opened) return std::unexpected(std::move(opened).error());
    running.store = *std::move(opened);
    auto history = OpenHistory::open(settings, log);
    if (!history) return std::unexpected(std::move(history).error());
    running.history = std::move(*history);
    return {};
}

Answer<void> start_engine(const config::Start& start, const Flags& flags, Log& log, Running& running) {
    const config::Server& settings = start.values.server;
    engine::Options options;
    options.config = start.values.scheduler;
    options.config_wins = flags.config_wins;
    options.model = settings.model;
    options.history_retention = settings.history_retention;
    options.history_bytes_max = settings.history_bytes_max;
    if (!flags.nexus_snapshot.empty()) {
        std::ifstream file(flags.nexus_snapshot, std::ios::binary);
        options.nexus_snapshot.assign(std::istreambuf_iterator<char>(file), {});
        if (!file.is_open() || options.nexus_snapshot.empty())
            return failed({Fault::not_found, "no such file, or nothing in it"}, flags.nexus_snapshot);
    } else {
        options.nexus_snapshot = learned_by_old_nexus(settings, log);
    }
    options.publish_tokens = [guard = running.guard](auto tokens) { guard->publish(std::move(tokens)); };
    options.log = [&log](const engine::LogLine& line) { log.write(line.level, line.event, line.text); };
    options.on_fatal = [&log](const Error& error) {
        log.write(LogLevel::error, "store_failed", "the store failed, ending at once: " + error.what);
        _exit(kExitStoreFailed);
    };
    options.name = running.store.owner;
    options.address = settings.listen;
    auto runner = engine::Runner::start(std::move(options), *running.store.journal, running.history->store());
    if (!runner) return failed(runner.error(), "recover " + settings.data);
    running.runner = std::move(*runner);
    if (auto ok = remember_journal(settings, *running.store.journal); !ok) return ok;
    if (names_scheduler(start) && !running.runner->recovery().fresh && !flags.config_wins)
        log.write(LogLevel::info, "config_of_journal",
                  "the journal's own scheduler configuration is in force; --config-wins replaces it");
    return {};
}

std::string with_port(const std::string& address, std::uint16_t port) {
    if (address.starts_with("unix:")) return address;
    return address.substr(0, address.rfind(':') + 1) + std::to_string(port);
}

Answer<std::vector<std::string>> scheduler_keys(const config::Server& settings, const Flags& flags, Log& log) {
    std::vector<std::string> keys = keys_of_text(flags.scheduler_keys);
    if (!keys.empty())
        log.write(LogLevel::warning, "keys_on_command_line",
                  "the keys of --scheduler-keys were visible to others while this started, and stand in the shell's "
                  "history; use --scheduler-keys-file");
    if (settings.scheduler_keys_file.empty()) return keys;
    auto more = keys_of_file(settings.scheduler_keys_file);
    if (!more) return more;
    keys.insert(keys.end(), more->begin(), more->end());
    return keys;
}

Answer<void> open_ports(const config::Start& start, const Flags& flags, Log& log, Running& running) {
    const config::Server& settings = start.values.server;
    running.door = std::make_unique<api::Door>(*running.runner, running.store.promised, running.guard);
    running.door->store = running.store.facts;
    running.redis = open_redis_doors(settings, *running.store.journal, *running.runner, log);
    if (running.redis.intake) running.door->intake = [&doors = running.redis] { return facts_of(doors); };
    if (running.redis.workers)
        running.door->heard = [&doors = running.redis](const std::string& worker, engine::WorkerReport::Load load) {
            doors.workers->heard(worker, load);
        };
    running.door->start_files = start_files(flags.start, start);
    running.door->name = settings.name;
    running.door->disk = [watch = std::make_shared<DiskWatch>(settings.data)] { return watch->look(); };
    running.door->history = running.history->health();
    // gRPC's own reflection asks nobody who they are.
    const bool reflection = !flags.no_reflection && !running.guard->asks();
    auto wire =
        wire::Server::start({.address = settings.listen, .tls = running.tls, .reflection = reflection}, *running.door);
    if (!wire)
        return failed(wire.error(), "listen on " + settings.listen,
                      "is another server running there? choose another with --listen, or :0 for any free port");
    running.wire = std::move(*wire);
    if (settings.http == "off") return {};
    auto keys = scheduler_keys(settings, flags, log);
    if (!keys) return std::unexpected(std::move(keys).error());
    http::Options options{.address = settings.http};
    options.tls = running.tls;
    options.scheduler_keys = *std::move(keys);
    std::istringstream names(settings.http_hosts);
    for (std::string name; std::getline(names, name, ',');) options.hosts.push_back(name);
    auto http = http::Server::start(std::move(options), *running.door);
    if (!http)
        return failed(http.error(), "listen on " + settings.http, "choose another address with --http, or --http off");
    running.http = std::move(*http);
    return {};
}

void say_ready(const config::Server& settings, const Running& running, Log& log) {
    const engine::Recovery& recovery = running.runner->recovery();
    std::string line = "nexus: ready on " + with_port(settings.listen, running.wire->port());
    if (running.http)
        line += (running.tls ? ", https://" : ", http://") + with_port(settings.http, running.http->port());
    if (!running.store.told.empty()) line += ", store " + running.store.told;
    line += fmt::format(", data {}, {}", settings.data,
                        recovery.fresh
                            ? std::string("new")
                            : fmt::format("recovered {} tasks in {} ms", recovery.tasks_live, recovery.took.us / 1000));
    cli::put(line + "\n");
    process::notify("READY=1\nSTATUS=" + line.substr(7));
    log.write(LogLevel::info, "ready", line.substr(7));
}

// Gives back to the system what a burst of calls needed: the allocator keeps it for ever. Looks every few seconds.
class Memory {
public:
    void look() {
        const auto now = std::chrono::steady_clock::now();
        if (now < next_) return;
        next_ = now + std::chrono::seconds(5);
        const std::uint64_t held = process::memory_of(getpid());
        least_ = std::min(least_, held);
        if (held < least_ + least_ / 4 + kWorthwhileBytes) return;
        malloc_trim(0);
        least_ = process::memory_of(getpid());
    }

private:
    static constexpr std::uint64_t kWorthwhileBytes = 32 << 20;
    std::chrono::steady_clock::time_point next_;
    std::uint64_t least_ = std::numeric_limits<std::uint64_t>::max();  // since it last gave back
};

int stop(Running& running, int signal, Log& log) {
    log.write(LogLevel::info, "stopping",
              signal == 2 ? "stopping on Ctrl-C; a second one ends it at once" : "stopping on SIGTERM");
    process::notify("STOPPING=1");
    running.wire->set_ready(false);
    running.http.reset();
    running.wire->stop(seconds(1));
    running.redis.workers.reset();
    running.redis.intake.reset();
    const auto stopped = running.runner->stop(seconds(3));
    if (stopped) {  // whoever comes next need not wait until we are proven gone
        const auto head = running.store.journal->head();
        if (head && head->owner == running.store.owner) (void)running.store.journal->renew(head->claim, "any");
    }
    if (!stopped)
        log.write(LogLevel::warning, "stopped_early", stopped.error().what);
    else
        log.write(LogLevel::info, "stopped", "everything acknowledged is stored");
    // A store that does not answer may hold a thread that nobody can end; all that is left would wait for it.
    if (!stopped && stopped.error().fault == Fault::unreachable) _exit(cli::kExitOk);
    return cli::kExitOk;
}

// SIGHUP waits in the kernel until somebody looks.
void keep_hangups() {
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &hangup, nullptr);  // before the first thread, so that all have it blocked
}

bool take_hangup() {
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    const timespec at_once{};
    return sigtimedwait(&hangup, nullptr, &at_once) == SIGHUP;
}

void reload_on_hangup(api::Door& door, Log& log) {
    api::reload(door, server_itself(), "SIGHUP", "the files were read again", [&log](Result<api::Reloaded> done) {
        if (!done) return log.write(LogLevel::error, "reload_failed", "nothing was changed: " + done.error().what);
        std::string text = fmt::format("files read again, version {} is in force", done->now.config.version);
        for (const config::Change& change : done->now.changes)
            text += fmt::format("; {}: {} -> {}", change.key, change.before.empty() ? "-" : change.before,
                                change.after.empty() ? "-" : change.after);
        if (!done->restart_keys.empty())
            text += fmt::format("; needs a restart: {}", fmt::join(done->restart_keys, ", "));
        log.write(LogLevel::info, "reloaded", std::move(text));
    });
}

Answer<int> serve(const Flags& flags) {
    keep_hangups();
    const auto start = read_start(flags.start);
    if (!start) return std::unexpected(start.error());
    const config::Server& settings = start->values.server;
    Log log;
    cli::Interrupt interrupt;
    Running running;
    Answer<void> done = prepare(settings, log, running);
    if (done) done = open_stores(*start, interrupt, log, running);
    if (done) done = start_engine(*start, flags, log, running);
    if (!done) return std::unexpected(std::move(done).error());
    const Answer<std::string> first = first_admin(settings, *running.runner, *running.guard);
    if (!first) return std::unexpected(first.error());
    done = open_ports(*start, flags, log, running);
    if (!done) return std::unexpected(std::move(done).error());
    say_ready(settings, running, log);
    if (!first->empty()) cli::put("nexus: " + *first + "\n");
    std::string why;
    bool was_ready = true;
    const Duration watchdog = process::watchdog_interval();
    const Duration half{watchdog.us / 2};
    const auto alive = std::make_shared<std::atomic<bool>>(true);  // the loop has answered since the last ping
    using Clock = std::chrono::steady_clock;
    Clock::time_point ping_at = Clock::now();
    Memory memory;
    AuditHead head(settings.data, log);
    while (
        !interrupt.wait(watchdog.us > 0 ? std::min(milliseconds(500), Duration{watchdog.us / 8}) : milliseconds(500))) {
        if (watchdog.us > 0 && Clock::now() >= ping_at && alive->exchange(false)) {
            process::notify("WATCHDOG=1");
            ping_at = Clock::now() + std::chrono::microseconds(half.us);
            running.runner->ask(server_itself(), engine::GetConfig{}, [alive](auto) { *alive = true; });
        }
        memory.look();
        head.look(*running.runner);
        if (take_hangup()) reload_on_hangup(*running.door, log);
        const bool ready = running.runner->ready(&why);
        if (ready == was_ready) continue;
        was_ready = ready;
        running.wire->set_ready(ready);
        log.write(ready ? LogLevel::info : LogLevel::warning, ready ? "ready_again" : "not_ready",
                  ready ? "ready again" : "not ready: " + why);
    }
    return stop(running, interrupt.signal(), log);
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
        "  nexus serve --listen 127.0.0.1:0 --http off --set scheduler.lease=3s\n"
        "  nexus serve --store redis://127.0.0.1:6379");
    add_start_flags(*verb, flags->start);
    verb->add_flag("--config-wins", flags->config_wins,
                   "Replace the scheduler's configuration in the journal by the one given here");
    verb->add_option("--nexus-snapshot", flags->nexus_snapshot,
                     "File with what the old Nexus learned (JSON of its key scheduler:predictions), for a new store");
    verb->add_option("--scheduler-keys", flags->scheduler_keys,
                     "Keys of /scheduler/* with commas between them; better: --scheduler-keys-file");
    verb->add_flag("--no-reflection", flags->no_reflection, "Switch gRPC reflection off");
    verb->callback([flags, &exit_code] {
        const auto done = serve(*flags);
        exit_code = done ? *done : cli::report(done.error());
    });
}

}  // namespace nexus::serve
