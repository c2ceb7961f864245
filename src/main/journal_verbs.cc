#include "main/journal_verbs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "main/configuration.h"
#include "main/copy_journal.h"
#include "main/log.h"
#include "main/open_store.h"
#include "main/progress_lines.h"
#include "store/sqlite/journal_inspect.h"
#include "store/sqlite/sqlite_journal.h"

namespace nexus::journal_verbs {
namespace {

using cli::Answer;
using serve::failed;
using store::BodyKind, store::Kept;

constexpr std::string_view kSettings[] = {
    "server.data",     "server.store",      "server.store_prefix", "server.store_password_file",
    "server.store_ca", "server.store_cert", "server.store_key"};
constexpr int kTries = 5;  // to read what is trimmed meanwhile
constexpr std::size_t kBodiesAtOnce = 500;
constexpr std::size_t kProblemsMax = 100;

struct Flags {
    serve::StartFlags start;
    std::string to;
    std::uint64_t after = 0;
};

bool embedded(const config::Start& start) {
    return start.values.server.store == "embedded";
}

// Replays what is stored, from the older snapshot if it can. Answers the events that came to the recorded digests; what
// another core decided cannot be replayed.
Result<std::uint64_t> replay(store::JournalStore& journal, engine::Replica& replica) {
    Error why;
    for (const Kept which : {Kept::older, Kept::newest}) {
        auto done = replay_from(journal, which, replica);
        if (done && !*done) {
            if (which == Kept::older) continue;
            const auto whole = replica.catch_up(journal);
            done = whole ? Result<bool>(true) : std::unexpected(whole.error());
        }
        if (done) return replica.at().n - replica.snapshot_at().n;
        why = std::move(done).error();
        if (why.fault != Fault::unsupported) break;
    }
    return std::unexpected(why);
}

int tell(const std::vector<std::string>& problems, const Result<std::uint64_t>& events) {
    for (const std::string& problem : problems) cli::put("problem: " + problem + "\n");
    if (events) cli::put(fmt::format("{} events replayed, every digest as recorded\n", *events));
    if (!events && events.error().fault == Fault::unsupported) cli::put("not replayed: " + events.error().what + "\n");
    cli::put(problems.empty() ? "sound\n" : fmt::format("{} problems\n", problems.size()));
    return problems.empty() ? cli::kExitOk : cli::kExitFailure;
}

Answer<int> verify_directory(const std::string& directory) {
    auto verdict = store::verify_journal(directory);
    if (!verdict) return failed(verdict.error(), "");
    auto stored = store::open_journal_to_read(directory);
    if (!stored) return failed(stored.error(), "");
    Nobody nobody;
    engine::Replica replica(nobody);
    const auto events = replay(**stored, replica);
    // What is damaged has been told already.
    if (!events && events.error().fault != Fault::unsupported && verdict->problems.empty())
        verdict->problems.push_back(events.error().what);
    cli::put(
        fmt::format("{}: events {} to {} in {} batches ({} bytes), snapshot at {}, {} bodies, {} results, {} batches "
                    "cut off earlier\n",
                    directory, verdict->first.n, verdict->last.n, verdict->batches, verdict->bytes, verdict->snapshot.n,
                    verdict->bodies, verdict->results, verdict->cut_batches));
    return tell(verdict->problems, events);
}

// ------------------------------------------------------------------------------------------------------------ in Redis

struct Stored {
    std::uint64_t first = 0, last = 0, batches = 0, bytes = 0, bodies = 0;
};

// Every batch, each event of it, and how they follow each other. The first fault ends it: what comes then has no chain.
Result<Stored> walk(store::JournalStore& journal) {
    Stored stored;
    std::uint64_t chain = 0;
    auto read = journal.read({}, {}, [&](Sequence first, std::string_view bytes) -> Result<void> {
        const auto head = journal::check_batch(bytes);
        if (!head) return std::unexpected(head.error());
        if (stored.first == 0) {
            stored.first = first.n;
            chain = head->chain_before;
        } else if (first.n != stored.last + 1) {
            return fail(Fault::corrupt, fmt::format("event {} is missing", stored.last + 1));
        }
        const auto batch = journal::decode_batch(bytes, chain);
        if (!batch) return std::unexpected(batch.error());
        chain = batch->chain;
        stored.last = first.n + batch->events.size() - 1;
        ++stored.batches;
        stored.bytes += bytes.size();
        return {};
    });
    if (!read) return std::unexpected(std::move(read).error());
    return stored;
}

// The tasks that have not ended and whose bodies are not there. A body that is gone may be of a task that has ended since:
// then it is not live any more when the journal is read on.
Result<std::vector<TaskId>> without_body(store::JournalStore& journal, engine::Replica& replica, Stored& stored) {
    std::vector<TaskId> missing;
    const auto look = each_live(replica.core(), kBodiesAtOnce, [&](std::span<const TaskId> tasks) -> Result<void> {
        const auto bodies = journal.bodies(BodyKind::body, tasks);
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            if (bodies[i].state == store::Body::State::unreachable) return fail(Fault::unreachable, bodies[i].why);
            if (bodies[i].state == store::Body::State::missing) missing.push_back(tasks[i]);
            stored.bodies += bodies[i].state == store::Body::State::found;
        }
        return {};
    });
    if (!look) return std::unexpected(look.error());
    if (missing.empty()) return missing;
    if (auto ok = replica.catch_up(journal); !ok) return std::unexpected(std::move(ok).error());
    std::erase_if(missing, [&](TaskId task) { return !replica.core().task(task).has_value(); });
    return missing;
}

Result<std::uint64_t> count_kept(store::MovableJournal& journal, BodyKind kind) {
    std::uint64_t count = 0;
    const auto done = journal.each_kept(kind, [&](TaskId, std::string_view, WallTime) -> Result<void> {
        ++count;
        return {};
    });
    if (!done) return std::unexpected(done.error());
    return count;
}

// While a server runs there it may trim what is being read: then what is read anew is sound.
Answer<int> verify_redis(store::MovableJournal& journal, const std::string& where) {
    for (int tries = 1;; ++tries) {
        std::vector<std::string> problems;
        const auto head = journal.head();
        if (!head) return failed(head.error(), where);
        if (!head->claim) return failed({Fault::not_found, "it holds no journal"}, where);
        auto stored = walk(journal);
        Nobody nobody;
        engine::Replica replica(nobody);
        const auto events = stored ? replay(journal, replica) : Result<std::uint64_t>(std::unexpected(stored.error()));
        if (!events && events.error().fault == Fault::unreachable) return failed(events.error(), where);
        if (!events && events.error().fault != Fault::unsupported) problems.push_back(events.error().what);
        // All batches are covered by a snapshot only where a copy began at it.
        if (stored && (stored->batches > 0 ? stored->last : head->snapshot.n) < head->last.n)
            problems.push_back(fmt::format("the head says that it ends at event {}", head->last.n));
        if (events) {
            const auto missing = without_body(journal, replica, *stored);
            if (!missing) return failed(missing.error(), where);
            for (const TaskId task : *missing)
                if (problems.size() < kProblemsMax)
                    problems.push_back("task " + to_text(task) + " has no payload any more");
        }
        if (!problems.empty() && tries < kTries) continue;
        const auto results = count_kept(journal, BodyKind::result), taken = count_kept(journal, BodyKind::taken);
        if (!results || !taken) return failed((results ? taken : results).error(), where);
        const Stored& told = stored ? *stored : Stored{};
        cli::put(fmt::format(
            "{}: events {} to {} in {} batches ({} bytes), snapshot at {}, {} bodies, {} results, {} "
            "marks of entries that became tasks\n",
            where, told.first, told.last, told.batches, told.bytes, head->snapshot.n, told.bodies, *results, *taken));
        const auto closed = journal.closed();
        if (closed && !closed->empty()) cli::put("closed: " + *closed + "\n");
        return tell(problems, events);
    }
}

Answer<int> verify(const config::Start& start, const Flags&) {
    if (embedded(start)) return verify_directory(start.values.server.data);
    serve::Log log;
    const auto journal = serve::open_redis_journal(start, {.to_read = true}, log);
    if (!journal) return std::unexpected(journal.error());
    return verify_redis(**journal, serve::place_of(start.values.server));
}

Answer<int> export_lines(const config::Start& start, const Flags& flags) {
    const auto line = [](std::string_view text) -> Result<void> {
        if (!cli::put(std::string(text) + "\n")) return fail(Fault::unavailable, "standard output cannot be written");
        return {};
    };
    Result<void> done;
    if (embedded(start)) {
        done = store::export_journal(start.values.server.data, Sequence{flags.after}, line);
    } else {
        serve::Log log;
        const auto journal = serve::open_redis_journal(start, {.to_read = true}, log);
        if (!journal) return std::unexpected(journal.error());
        done = store::export_events(**journal, Sequence{flags.after}, line);
    }
    if (!done) return failed(done.error(), "");
    return cli::kExitOk;
}

Answer<int> backup_directory(const std::string& directory, const std::string& to) {
    const auto closed = store::closed_journal(directory);
    if (!closed) return failed(closed.error(), directory);
    if (!closed->empty()) return failed({Fault::failed_state, "its journal is closed: " + *closed}, directory);
    const auto copied = store::backup_journal(directory, to);
    if (!copied) return failed(copied.error(), "");
    cli::put(fmt::format("{}: a copy of {} up to event {}\n", to, directory, copied->n));
    return cli::kExitOk;
}

// Until it is proven whole, the directory says that it is not.
Answer<Sequence> copy_to_directory(store::MovableJournal& from, const std::string& where, const std::string& to) {
    cli::Interrupt interrupt;
    const auto progress = progress_lines(interrupt);
    std::random_device random;
    Result<Copied> copied;
    {
        auto made = store::SqliteJournal::open({.directory = to, .reserve_bytes = 0});
        if (!made) return failed(made.error(), to);
        copied = copy_journal(from, **made,
                              {.why = serve::kCopyOf + where,
                               .claimant = {.name = "nexus journal backup", .address = {}, .token_hi = random()},
                               .live = true,
                               .progress = progress});
    }
    if (!copied) return failed(copied.error(), "copying " + where);
    auto copy = store::SqliteJournal::open({.directory = to, .reserve_bytes = 0});
    if (!copy) return failed(copy.error(), to);
    const auto same = compare_copy(**copy, *copied, progress);
    const auto head = (*copy)->head();
    Result<void> done = same ? Result<void>() : std::unexpected(same.error());
    if (done) done = head ? (*copy)->close(head->claim, {}) : std::unexpected(head.error());
    if (!done) return failed(done.error(), to);
    return copied->last;
}

Answer<int> backup_redis(const config::Start& start, const std::string& to) {
    serve::Log log;
    const std::string where = serve::place_of(start.values.server);
    const auto journal = serve::open_redis_journal(start, {.to_read = true}, log);
    if (!journal) return std::unexpected(journal.error());
    const auto closed = (*journal)->closed();
    if (!closed) return failed(closed.error(), where);
    if (!closed->empty()) return failed({Fault::failed_state, "its journal is closed: " + *closed}, where);
    std::error_code error;
    if (std::filesystem::exists(to, error)) return failed({Fault::conflict, to + " exists already"}, "");
    const auto copied = copy_to_directory(**journal, where, to);
    if (!copied) {
        std::filesystem::remove_all(to, error);
        return std::unexpected(copied.error());
    }
    cli::put(fmt::format("{}: a copy of {} up to event {}\n", to, where, copied->n));
    return cli::kExitOk;
}

Answer<int> backup(const config::Start& start, const Flags& flags) {
    return embedded(start) ? backup_directory(start.values.server.data, flags.to) : backup_redis(start, flags.to);
}

}  // namespace

void add_command(CLI::App& root, int& exit_code) {
    CLI::App& noun = *cli::add_noun(root, "journal", "Check, export or back up a journal, also while its server runs");
    const auto flags = std::make_shared<Flags>();
    const auto add = [&](const char* name, const char* about, const char* examples,
                         Answer<int> (*run)(const config::Start&, const Flags&)) {
        CLI::App* verb = noun.add_subcommand(name, about);
        verb->footer(examples);
        serve::add_start_flags(*verb, flags->start, kSettings);
        verb->callback([flags, run, &exit_code] {
            const auto start = serve::read_journal_start(flags->start);
            const auto done = start ? run(*start, *flags) : Answer<int>(std::unexpected(start.error()));
            exit_code = done ? *done : cli::report(done.error());
        });
        return verb;
    };
    add("verify", "Check every checksum, batch, body and event; exit code 1 when one is wrong",
        "Examples:\n  nexus journal verify --data /var/lib/nexus\n  nexus journal verify --store redis://10.0.0.5",
        verify);
    add("export", "Print every event as one line of JSON",
        "Examples:\n  nexus journal export | jq .event\n  nexus journal export --after 120000", export_lines)
        ->add_option("--after", flags->after, "Only events after this one");
    add("backup", "Copy the state into a new directory, from which a server can be started",
        "A copy of a journal in Redis is a data directory, too; `nexus store migrate` brings it back.\n"
        "Examples:\n  nexus journal backup /backup/monday\n  nexus journal backup --store redis://10.0.0.5 "
        "/backup/monday",
        backup)
        ->add_option("directory", flags->to, "New directory; must not exist")
        ->required();
}

}  // namespace nexus::journal_verbs
