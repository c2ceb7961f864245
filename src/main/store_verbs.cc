#include "main/store_verbs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "base/system_clock.h"
#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "cli/text.h"
#include "main/configuration.h"
#include "main/copy_journal.h"
#include "main/log.h"
#include "main/open_store.h"
#include "main/progress_lines.h"
#include "store/redis/redis_journal.h"
#include "store/sqlite/sqlite_journal.h"

namespace nexus::journal_verbs {
namespace {

using cli::Answer;
using serve::closed_failure, serve::failed, serve::kCopyOf, serve::kMovedTo, serve::Log, serve::place_of;

constexpr std::string_view kMigrateSettings[] = {
    "server.store_prefix", "server.store_password_file", "server.store_ca",       "server.store_cert",
    "server.store_key",    "server.store_volatile",      "server.store_replicas", "server.durability"};
constexpr std::string_view kReopenSettings[] = {
    "server.data",     "server.store",      "server.store_prefix", "server.store_password_file",
    "server.store_ca", "server.store_cert", "server.store_key"};
constexpr std::chrono::milliseconds kRenewEvery{500};

struct Flags {
    serve::StartFlags start;
    std::string from, to;
};

bool is_redis(const std::string& place) {
    return place.contains("://");
}

store::Claimant claimant() {
    std::random_device random;
    char host[256] = {};
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    const auto word = [&random] { return std::uint64_t{random()} << 32 | random(); };
    return {.name = fmt::format("{}/nexus store migrate, process {}", host, getpid()),
            .address = {},
            .token_hi = word(),
            .token_lo = word()};
}

// One side of a move.
struct Side {
    config::Start start;  // of the server that would run on it
    std::unique_ptr<store::MovableJournal> journal;
    bool embedded() const { return settings().store == "embedded"; }
    const config::Server& settings() const { return start.values.server; }
    std::string place() const { return place_of(settings()); }
};

Answer<Side> side_of(const Flags& flags, const std::string& place) {
    serve::StartFlags as = flags.start;
    as.named["server.store"] = is_redis(place) ? place : "embedded";
    if (!is_redis(place)) as.named["server.data"] = place;
    auto start = serve::read_start(as);
    if (!start) return std::unexpected(std::move(start).error());
    Side side;
    side.start = *std::move(start);
    return side;
}

Answer<std::unique_ptr<store::MovableJournal>> open_directory(const Side& side, std::function<WallTime()> now) {
    const config::Server& settings = side.settings();
    auto opened = store::SqliteJournal::open(
        {.directory = settings.data, .reserve_bytes = settings.reserve_bytes, .now = std::move(now)});
    if (!opened)
        return failed(opened.error(), "open " + settings.data,
                      opened.error().fault == Fault::conflict ? "stop that server first" : "");
    return *std::move(opened);
}

// `to_read`: of a server that may promise less than was asked for.
Answer<std::unique_ptr<store::MovableJournal>> open_side(const Side& side, bool to_read, std::function<WallTime()> now,
                                                         Log& log) {
    if (side.embedded()) return open_directory(side, std::move(now));
    auto opened = serve::open_redis_journal(side.start, {.to_read = to_read, .now = std::move(now)}, log);
    if (!opened) return std::unexpected(std::move(opened).error());
    return *std::move(opened);
}

// ---------------------------------------------------------------------------------------------------------- the source

// Keeps others from claiming it while it is copied.
class Hold {
public:
    Hold(store::MovableJournal& journal, store::Claim claim) : journal_(journal), claim_(claim) {
        thread_ = std::jthread([this](const std::stop_token& stop) {
            for (auto due = std::chrono::steady_clock::now(); !stop.stop_requested();) {
                std::this_thread::sleep_for(std::chrono::milliseconds(50));
                if (std::chrono::steady_clock::now() < due) continue;
                due = std::chrono::steady_clock::now() + kRenewEvery;
                (void)journal_.renew(claim_, {});  // one that was lost is found when the journal is closed
            }
        });
    }
    // Whoever comes next need not wait until we are proven gone.
    ~Hold() {
        thread_.request_stop();
        thread_.join();
        (void)journal_.renew(claim_, "any");
    }

private:
    store::MovableJournal& journal_;
    store::Claim claim_;
    std::jthread thread_;
};

Answer<void> open_source(Side& from, const std::string& target, Log& log) {
    if (from.embedded() && !store::holds_journal(from.settings().data))
        return failed({Fault::not_found, "it holds no journal"}, from.settings().data, "name its data directory");
    auto opened = open_side(from, true, {}, log);
    if (!opened) return std::unexpected(std::move(opened).error());
    from.journal = *std::move(opened);
    const auto head = from.journal->head();
    const auto closed = from.journal->closed();
    if (!head || !closed) return failed(head ? closed.error() : head.error(), from.place());
    if (!head->claim) return failed({Fault::not_found, "it holds no journal"}, from.place());
    // A move that was interrupted in its very last step is finished by doing it again.
    if (closed->empty() || *closed == kMovedTo + target) return {};
    return closed_failure(*closed, from.settings());
}

// The lock of a directory is held already.
Answer<std::unique_ptr<Hold>> hold_source(Side& from, const store::Claimant& me, Log& log) {
    const auto closed = from.journal->closed();
    if (!closed) return failed(closed.error(), from.place());
    if (from.embedded() || !closed->empty()) return nullptr;
    if (auto ok = serve::await_owner(*from.journal, me.name, from.settings(), log); !ok)
        return std::unexpected(cli::Failure{ok.error().exit_code, ok.error().what, "stop that server first"});
    const auto claim = store::claim_now(*from.journal, me);
    if (!claim) return failed(claim.error(), from.place(), "stop that server first");
    return std::make_unique<Hold>(*from.journal, *claim);
}

// ---------------------------------------------------------------------------------------------------------- the target

std::unexpected<cli::Failure> not_empty(const Side& to, const std::string& what) {
    return failed({Fault::conflict, what}, to.place(),
                  to.embedded() ? "give another directory, or move its journal.* and snapshot-* files away"
                                : "give another --store-prefix or database");
}

// Makes room where an unfinished copy lies, or the journal that moved from there to where it comes back from now.
Answer<void> prepare_directory(const Side& to, const std::string& source) {
    const std::string& directory = to.settings().data;
    const auto closed = store::closed_journal(directory);
    if (!closed) return failed(closed.error(), directory);
    const bool ours = closed->starts_with(kCopyOf) || *closed == kMovedTo + source;
    if (!closed->empty() && !ours) return not_empty(to, "its journal was " + *closed);
    if (!store::holds_journal(directory)) return {};
    if (closed->empty()) return not_empty(to, "it holds a journal");
    // Nobody may be at work there, such as another migration.
    if (auto opened = open_directory(to, {}); !opened) return std::unexpected(std::move(opened).error());
    const auto aside = store::put_journal_aside(directory);
    if (!aside) return failed(aside.error(), directory);
    fmt::print(stderr, "nexus: what lay in {} ({}) is now in {}\n", directory, *closed, *aside);
    return {};
}

Answer<void> prepare_redis(const Side& to, const std::string& source) {
    auto& journal = dynamic_cast<store::RedisJournal&>(*to.journal);
    const auto head = journal.head();
    const auto closed = journal.closed();
    if (!head || !closed) return failed(head ? closed.error() : head.error(), to.place());
    if (!head->claim) return {};
    if (closed->empty())
        return not_empty(to, fmt::format("it holds a journal of {} events", cli::count_text(head->last.n)));
    if (!closed->starts_with(kCopyOf) && *closed != kMovedTo + source)
        return not_empty(to, "its journal was " + *closed);
    fmt::print(stderr, "nexus: {}: deleting what lies there ({})\n", to.place(), *closed);
    if (auto ok = journal.discard(); !ok) return failed(ok.error(), to.place());
    return {};
}

Answer<void> open_target(Side& to, const std::string& source, std::atomic<std::int64_t>& clock, Log& log) {
    if (to.embedded())
        if (auto ok = prepare_directory(to, source); !ok) return ok;
    auto opened = open_side(
        to, false,
        [&clock] {
            const std::int64_t at = clock;
            return at != 0 ? WallTime{at} : system_wall();
        },
        log);
    if (!opened) return std::unexpected(std::move(opened).error());
    to.journal = *std::move(opened);
    return to.embedded() ? Answer<void>() : prepare_redis(to, source);
}

// ------------------------------------------------------------------------------------------------------------ the verbs

Answer<void> copy_and_compare(Side& from, Side& to, const store::Claimant& me, Log& log, const Progress& progress,
                              Copied& copied, Compared& compared) {
    std::atomic<std::int64_t> clock = 0;
    if (auto ok = open_target(to, from.place(), clock, log); !ok) return ok;
    const auto copy =
        copy_journal(*from.journal, *to.journal,
                     {.why = kCopyOf + from.place(), .claimant = me, .clock = &clock, .progress = progress});
    const char* again = "nothing was changed at the source; repeat the command when this is mended";
    if (!copy) return failed(copy.error(), "copying " + from.place() + " to " + to.place(), again);
    copied = *copy;
    to.journal.reset();
    auto opened = open_side(to, false, {}, log);  // nothing of it is remembered: it is read back
    if (!opened) return std::unexpected(std::move(opened).error());
    to.journal = *std::move(opened);
    const auto same = compare_copy(*to.journal, copied, progress);
    if (!same) return failed(same.error(), "reading back " + to.place(), again);
    compared = *same;
    const auto head = from.journal->head();
    if (!head) return failed(head.error(), from.place(), again);
    if (head->last != copied.last || head->chain != copied.chain)
        return failed({Fault::conflict, "somebody has written to it meanwhile"}, from.place(), again);
    return {};
}

// First the source is closed, then the copy is opened: whatever happens between, at most one of them starts.
Answer<void> hand_over(Side& from, Side& to) {
    const auto head = from.journal->head();
    Result<void> done = head ? from.journal->close(head->claim, kMovedTo + to.place()) : std::unexpected(head.error());
    if (!done) return failed(done.error(), "closing " + from.place(), "repeat the command");
    const auto copy = to.journal->head();
    done = copy ? to.journal->renew(copy->claim, "any") : std::unexpected(copy.error());
    if (done && to.embedded()) done = serve::forget_journal(to.settings());
    if (done) done = to.journal->close(copy->claim, {});
    if (!done) return failed(done.error(), "opening " + to.place(), "repeat the command");
    return {};
}

std::string summary(const Side& from, const Side& to, const Copied& copied, const Compared& compared, double seconds) {
    std::string text = fmt::format(
        "moved {} to {}: events up to {} ({} of them replayed, digest and chain as recorded), {} payloads, {} results, "
        "{:.1f} MiB in {:.1f} s\n",
        from.place(), to.place(), cli::count_text(copied.last.n), cli::count_text(compared.events),
        cli::count_text(copied.bodies), cli::count_text(copied.results.size()),
        static_cast<double>(copied.bytes) / (1 << 20), seconds);
    if (copied.lost > 0)
        text += fmt::format("{} tasks had no payload at the source either; they will end as dead\n",
                            cli::count_text(copied.lost));
    if (compared.expired > 0)
        text += fmt::format("{} of the results were beyond what is kept there, the oldest ones\n",
                            cli::count_text(compared.expired));
    const std::string& directory = to.embedded() ? to.settings().data : from.settings().data;
    text += to.embedded() ? fmt::format("start it: nexus serve --data {}\n", directory)
                          : fmt::format("start it: nexus serve --store {} --data {}\n",
                                        from.embedded() ? to.place().substr(0, to.place().find(' ')) : "", directory);
    text += to.embedded() ? "the history was not moved: copy history.db from the data directory that the server had "
                            "there, if that is another one\n"
                          : "the history was not moved: it stays in that directory (or in ClickHouse)\n";
    return text;
}

Answer<int> migrate(const Flags& flags) {
    if (is_redis(flags.from) == is_redis(flags.to))
        return cli::failure(cli::kExitUsage, "one of --from and --to is a data directory, the other a Redis address",
                            is_redis(flags.from) ? "from Redis to Redis: by way of a directory"
                                                 : "a directory is copied by `nexus journal backup`");
    Log log;
    cli::Interrupt interrupt;
    const auto begin = std::chrono::steady_clock::now();
    auto from = side_of(flags, flags.from), to = side_of(flags, flags.to);
    if (!from || !to) return std::unexpected((from ? to : from).error());
    if (auto ok = open_source(*from, to->place(), log); !ok) return std::unexpected(std::move(ok).error());
    const store::Claimant me = claimant();
    const auto hold = hold_source(*from, me, log);
    if (!hold) return std::unexpected(hold.error());
    Copied copied;
    Compared compared;
    if (auto ok = copy_and_compare(*from, *to, me, log, progress_lines(interrupt), copied, compared); !ok)
        return std::unexpected(std::move(ok).error());
    if (auto ok = hand_over(*from, *to); !ok) return std::unexpected(std::move(ok).error());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    cli::put(summary(*from, *to, copied, compared, took.count()));
    return cli::kExitOk;
}

Answer<int> reopen(const Flags& flags) {
    Log log;
    const auto start = serve::read_journal_start(flags.start);
    if (!start) return std::unexpected(start.error());
    Side side;
    side.start = *start;
    if (side.embedded() && !store::holds_journal(side.settings().data))
        return failed({Fault::not_found, "it holds no journal"}, side.settings().data);
    auto opened = side.embedded() ? open_directory(side, {}) : open_side(side, true, {}, log);
    if (!opened) return std::unexpected(std::move(opened).error());
    side.journal = *std::move(opened);
    const auto head = side.journal->head();
    const auto closed = side.journal->closed();
    if (!head || !closed) return failed(head ? closed.error() : head.error(), side.place());
    if (closed->empty()) return failed({Fault::failed_state, "its journal is open: nothing was changed"}, side.place());
    if (!closed->starts_with(kMovedTo)) return closed_failure(*closed, side.settings());
    Result<void> done = side.journal->renew(head->claim, "any");
    if (done && side.embedded()) done = serve::forget_journal(side.settings());
    if (done) done = side.journal->close(head->claim, {});
    if (!done) return failed(done.error(), side.place());
    cli::put(
        fmt::format("{}: open again as of event {}. It was {}: never start both, and what happened there since is "
                    "not in this one\n",
                    side.place(), head->last.n, *closed));
    return cli::kExitOk;
}

}  // namespace

void add_store_verbs(CLI::App& root, int& exit_code) {
    CLI::App& noun = *cli::add_noun(root, "store", "Move the journal between a data directory and Redis");
    const auto add = [&](const char* name, const char* about, const char* examples, Answer<int> (*run)(const Flags&),
                         std::span<const std::string_view> settings) {
        const auto flags = std::make_shared<Flags>();
        CLI::App* verb = noun.add_subcommand(name, about);
        verb->footer(examples);
        if (run == migrate) {
            verb->add_option("--from", flags->from, "Where the journal is: a data directory, or redis://…")->required();
            verb->add_option("--to", flags->to, "Where it goes: redis://…, or a data directory")->required();
        }
        serve::add_start_flags(*verb, flags->start, settings);
        verb->callback([flags, run, &exit_code] {
            const auto done = run(*flags);
            exit_code = done ? *done : cli::report(done.error());
        });
    };
    add("migrate", "Copy a journal whose server is stopped, read all of it back, and close the old one",
        "Nothing is changed at the source until the copy is proven whole. An interrupted migration is repeated.\n"
        "Examples:\n"
        "  nexus store migrate --from /var/lib/nexus --to redis://10.0.0.5:6379\n"
        "  nexus store migrate --from /var/lib/nexus --to redis://nexus@10.0.0.5 --store-password-file "
        "/etc/nexus/redis\n"
        "  nexus store migrate --config /etc/nexus/nexus.toml --from redis://10.0.0.5:6379 --to /var/lib/nexus",
        migrate, kMigrateSettings);
    add("reopen", "Undo a migration: the journal that was moved away may be started again, as it was then",
        "Examples:\n  nexus store reopen --data /var/lib/nexus\n  nexus store reopen --store redis://10.0.0.5:6379",
        reopen, kReopenSettings);
}

}  // namespace nexus::journal_verbs
