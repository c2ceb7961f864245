#include "main/journal_verbs.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "base/quantity.h"
#include "cli/failure.h"
#include "cli/output.h"
#include "cli/shell.h"
#include "engine/replica.h"
#include "main/serve.h"
#include "store/sqlite/journal_inspect.h"

namespace nexus::journal_verbs {
namespace {

struct Flags {
    std::string data = "nexus-data", to;
    std::uint64_t after = 0;
};

int complain(const Error& error) {
    return cli::report({.exit_code = serve::exit_code_of(error.fault), .what = error.what});
}

// Follows nothing: the core and its digests are what is looked at.
struct Nobody final : engine::Replica::Follower {
    Result<void> loaded(const journal::Snapshot&) override { return {}; }
    void event(Sequence, const core::Event&, const core::Scheduler&) override {}
    void command(core::Command&) override {}
};

// Replays what is stored, from the older snapshot if it can. Answers the events that came to the recorded digests; what
// another core decided cannot be replayed.
Result<std::uint64_t> replayed(const std::string& data) {
    auto stored = store::open_journal_to_read(data);
    if (!stored) return std::unexpected(std::move(stored).error());
    Error why;
    for (const store::Kept which : {store::Kept::older, store::Kept::newest}) {
        const auto bytes = store::get_snapshot(**stored, which);
        if (!bytes) return std::unexpected(bytes.error());
        if (!*bytes && which == store::Kept::older) continue;
        Nobody nobody;
        engine::Replica replica(nobody);
        Result<void> done;
        if (*bytes) {
            const auto snapshot = journal::decode_snapshot((*bytes)->bytes);
            done = snapshot ? replica.load(*snapshot) : Result<void>(std::unexpected(snapshot.error()));
        }
        if (done) done = replica.catch_up(**stored);
        if (done) return replica.at().n - replica.snapshot_at().n;
        why = std::move(done).error();
        if (why.fault != Fault::unsupported) break;
    }
    return std::unexpected(why);
}

int verify(const Flags& flags) {
    auto verdict = store::verify_journal(flags.data);
    if (!verdict) return complain(verdict.error());
    const auto events = replayed(flags.data);
    const bool other_core = !events && events.error().fault == Fault::unsupported;
    // What is damaged has been told already.
    if (!events && !other_core && verdict->problems.empty()) verdict->problems.push_back(events.error().what);
    cli::put(
        fmt::format("{}: events {} to {} in {} batches ({} bytes), snapshot at {}, {} bodies, {} results, {} batches "
                    "cut off earlier\n",
                    flags.data, verdict->first.n, verdict->last.n, verdict->batches, verdict->bytes,
                    verdict->snapshot.n, verdict->bodies, verdict->results, verdict->cut_batches));
    for (const std::string& problem : verdict->problems) cli::put("problem: " + problem + "\n");
    if (events) cli::put(fmt::format("{} events replayed, every digest as recorded\n", *events));
    if (other_core) cli::put("not replayed: " + events.error().what + "\n");
    cli::put(verdict->problems.empty() ? "sound\n" : fmt::format("{} problems\n", verdict->problems.size()));
    return verdict->problems.empty() ? cli::kExitOk : cli::kExitFailure;
}

int export_lines(const Flags& flags) {
    const auto done =
        store::export_journal(flags.data, Sequence{flags.after}, [](std::string_view line) -> Result<void> {
            if (!cli::put(std::string(line) + "\n"))
                return fail(Fault::unavailable, "standard output cannot be written");
            return {};
        });
    return done ? cli::kExitOk : complain(done.error());
}

int backup(const Flags& flags) {
    const auto copied = store::backup_journal(flags.data, flags.to);
    if (!copied) return complain(copied.error());
    cli::put(fmt::format("{}: a copy of {} up to event {}\n", flags.to, flags.data, copied->n));
    return cli::kExitOk;
}

}  // namespace

void add_command(CLI::App& root, int& exit_code) {
    CLI::App& noun =
        *cli::add_noun(root, "journal", "Check, export or back up a data directory, also while its server runs");
    const auto flags = std::make_shared<Flags>();
    const auto add = [&](const char* name, const char* about, const char* examples, int (*run)(const Flags&)) {
        CLI::App* verb = noun.add_subcommand(name, about);
        verb->footer(examples);
        verb->add_option("--data", flags->data, "The data directory")->capture_default_str();
        verb->callback([flags, run, &exit_code] { exit_code = run(*flags); });
        return verb;
    };
    add("verify", "Check every checksum, batch, body and event; exit code 1 when one is wrong",
        "Examples:\n  nexus journal verify --data /var/lib/nexus", verify);
    add("export", "Print every event as one line of JSON",
        "Examples:\n  nexus journal export | jq .event\n  nexus journal export --after 120000", export_lines)
        ->add_option("--after", flags->after, "Only events after this one");
    add("backup", "Copy the state into a new directory, from which a server can be started",
        "Examples:\n  nexus journal backup /backup/monday", backup)
        ->add_option("directory", flags->to, "New directory; must not exist")
        ->required();
}

}  // namespace nexus::journal_verbs
