#include "main/copy_journal.h"

#include <algorithm>

#include "base/hash.h"
#include "journal/codec.h"

namespace nexus::journal_verbs {
namespace {

using store::Body, store::BodyKind, store::JournalBatch, store::Kept, store::MovableJournal;

constexpr std::size_t kBodiesAtOnce = 500;
constexpr std::size_t kBytesAtOnce = 1 << 20;
constexpr int kRoundsMax = 200;  // of a journal that moves on while it is copied
constexpr Duration kResultsTogether = minutes(1);

class Copier {
public:
    Copier(MovableJournal& from, MovableJournal& to, const CopyOptions& options)
        : from_(from), to_(to), options_(options), replica_(nobody_) {}

    Result<Copied> run() {
        using Step = Result<void> (Copier::*)();
        for (const Step step :
             {&Copier::choose_start, &Copier::begin, &Copier::copy_tasks, &Copier::copy_kept, &Copier::end})
            if (auto ok = (this->*step)(); !ok) return std::unexpected(std::move(ok).error());
        return std::move(copied_);
    }

private:
    // From the older snapshot, or from the first event of all; from the newest where the rest cannot be replayed by us, or
    // may be trimmed any moment.
    Result<void> choose_start() {
        auto newest = store::get_snapshot(from_, Kept::newest);
        if (!newest) return std::unexpected(std::move(newest).error().during("the newest snapshot"));
        newest_ = std::move(*newest);
        if (options_.live) return {};
        auto older = store::get_snapshot(from_, Kept::older);
        if (!older) return std::unexpected(std::move(older).error().during("the older snapshot"));
        start_ = std::move(*older);
        if (!start_ && newest_ && !begins_at_one()) start_ = newest_;
        for (;;) {
            engine::Replica trial(nobody_);
            const auto replayed = replay(trial);
            if (replayed) return {};
            if (replayed.error().fault != Fault::unsupported || !newest_ || (start_ && start_->at == newest_->at))
                return replayed;
            start_ = newest_;
        }
    }

    bool begins_at_one() {
        std::uint64_t first = 0;
        (void)from_.read({}, {}, [&](Sequence at, std::string_view) -> Result<void> {
            first = at.n;
            return fail(Fault::failed_state, "");  // one is enough
        });
        return first == 1;
    }

    Result<void> replay(engine::Replica& replica) {
        if (auto ok = load(replica); !ok) return ok;
        return replica.catch_up(from_);
    }

    Result<void> load(engine::Replica& replica) {
        if (!start_) return {};
        const auto snapshot = journal::decode_snapshot(start_->bytes);
        return snapshot ? replica.load(*snapshot) : Result<void>(std::unexpected(snapshot.error()));
    }

    Result<void> begin() {
        if (options_.live) start_ = newest_;
        if (auto ok = load(replica_); !ok) return ok;
        const auto head = from_.head();
        if (!head) return std::unexpected(head.error());
        if (!head->last) return fail(Fault::not_found, "nothing was ever stored there");
        copied_.first = {replica_.at().n + 1};
        const auto claim = to_.begin_copy({.last = replica_.at(),
                                           .chain = replica_.chain(),
                                           .epoch = head->claim.epoch,
                                           .history = std::min(head->history, replica_.at())},
                                          options_.claimant, options_.why);
        if (!claim) return std::unexpected(claim.error());
        claim_ = *claim;
        history_ = head->history;
        return start_ ? put_snapshot(*start_) : Result<void>();
    }

    Result<void> put_snapshot(const store::StoredSnapshot& snapshot) {
        if (auto ok = options_.progress("snapshot", snapshot.at.n, 0); !ok) return ok;
        copied_.snapshots.push_back({snapshot.at, hash_bytes(snapshot.bytes)});
        copied_.bytes += snapshot.bytes.size();
        return store::put_snapshot(to_, snapshot.at, snapshot.bytes);
    }

    // Batches, and the bodies of the tasks that have not ended. A body that was dropped while the batches before were
    // read is of a task that the batches after end.
    Result<void> copy_tasks() {
        Copied::Hashes missing;
        for (int round = 0;; ++round) {
            if (auto ok = follow(); !ok) return ok;
            const Copied::Hashes before = std::exchange(missing, {});
            if (auto ok = copy_bodies(before, missing); !ok) return ok;
            if (missing.empty()) return drop_ended();
            if (!options_.live) {
                copied_.lost = missing.size();
                return {};
            }
            if (round == kRoundsMax)
                return fail(Fault::unavailable,
                            "tasks end faster than they can be copied; try again when less is going on");
        }
    }

    Result<void> follow() {
        std::vector<JournalBatch> group;
        std::size_t bytes = 0;
        const auto send = [&]() -> Result<void> {
            if (group.empty()) return {};
            const auto done = to_.append(claim_, group);
            group.clear();
            bytes = 0;
            return done ? Result<void>() : std::unexpected(done.error());
        };
        const auto read = from_.read(replica_.at(), {}, [&](Sequence first, std::string_view batch) -> Result<void> {
            const std::uint64_t before = replica_.chain();
            if (auto ok = replica_.apply(batch); !ok) return ok;
            group.push_back({.first = first,
                             .count = replica_.at().n - first.n + 1,
                             .chain_before = before,
                             .chain = replica_.chain(),
                             .bytes = std::string(batch),
                             .history_upto = std::min(history_, replica_.at())});
            ++copied_.batches;
            copied_.bytes += batch.size();
            bytes += batch.size();
            if (bytes < kBytesAtOnce) return {};
            if (auto ok = options_.progress("event", replica_.at().n, 0); !ok) return ok;
            return send();
        });
        return read ? send() : read;
    }

    Result<void> copy_bodies(const Copied::Hashes& missed_before, Copied::Hashes& missing) {
        const core::Counters& counters = replica_.core().counters();
        const std::uint64_t live = counters.waiting + counters.assigned + counters.running + counters.paused;
        std::vector<TaskId> asked;
        const auto ask = [&]() -> Result<void> {
            std::vector<Body> bodies = from_.bodies(BodyKind::body, asked);
            JournalBatch batch;
            for (std::size_t i = 0; i < asked.size(); ++i) {
                if (bodies[i].state == Body::State::unreachable) return fail(Fault::unreachable, bodies[i].why);
                if (bodies[i].state == Body::State::found) {
                    note(copied_.body_hashes, asked[i], bodies[i].bytes);
                    ++copied_.bodies;
                    batch.puts.push_back({.task = asked[i], .body = std::move(bodies[i].bytes)});
                } else if (options_.live && missed_before.contains(asked[i])) {
                    lost_.emplace(asked[i], 0);  // it has not ended, so nobody dropped it
                    ++copied_.lost;
                } else {
                    missing.emplace(asked[i], 0);
                }
            }
            asked.clear();
            if (auto ok = options_.progress("body", copied_.bodies, live); !ok) return ok;
            return put(std::move(batch));
        };
        auto done = each_live(replica_.core(), kBodiesAtOnce, [&](std::span<const TaskId> tasks) -> Result<void> {
            for (const TaskId task : tasks)
                if (!copied_.body_hashes.contains(task) && !lost_.contains(task)) asked.push_back(task);
            return asked.size() < kBodiesAtOnce ? Result<void>() : ask();
        });
        if (done && !asked.empty()) done = ask();
        return done;
    }

    Result<void> put(JournalBatch batch) {
        if (batch.puts.empty() && batch.drops.empty() && batch.results.empty() && batch.taken.empty()) return {};
        const auto done = to_.append(claim_, std::span(&batch, 1));
        return done ? Result<void>() : std::unexpected(done.error());
    }

    Result<void> drop_ended() {
        JournalBatch batch;
        for (const auto& [task, hash] : copied_.body_hashes)
            if (!replica_.core().task(task)) batch.drops.push_back(task);
        return put(std::move(batch));
    }

    // What ended tasks left keeps its age.
    Result<void> copy_kept() {
        JournalBatch batch;
        WallTime since;
        std::size_t bytes = 0;
        const auto send = [&]() -> Result<void> {
            if (options_.clock != nullptr) *options_.clock = since.us;
            auto done = put(std::exchange(batch, {}));
            if (options_.clock != nullptr) *options_.clock = 0;
            bytes = 0;
            return done ? options_.progress("result", copied_.results.size(), 0) : done;
        };
        auto done =
            from_.each_kept(BodyKind::result, [&](TaskId task, std::string_view result, WallTime at) -> Result<void> {
                if (bytes > kBytesAtOnce || batch.results.size() == kBodiesAtOnce || at - since > kResultsTogether)
                    if (auto ok = send(); !ok) return ok;
                if (batch.results.empty()) since = at;
                bytes += result.size();
                note(copied_.results, task, result);
                batch.results.push_back({.task = task, .body = std::string(result)});
                return {};
            });
        if (done) done = send();
        if (!done) return done;
        done = from_.each_kept(BodyKind::taken, [&](TaskId task, std::string_view entry, WallTime) -> Result<void> {
            note(copied_.taken, task, entry);
            batch.taken.push_back({.task = task, .body = std::string(entry)});
            return batch.taken.size() < kBodiesAtOnce ? Result<void>() : put(std::exchange(batch, {}));
        });
        return done ? put(std::move(batch)) : done;
    }

    Result<void> end() {
        copied_.last = replica_.at();
        copied_.chain = replica_.chain();
        copied_.digest = replica_.core().digest();
        if (!newest_ || (start_ && newest_->at <= start_->at)) return {};
        return put_snapshot(*newest_);
    }

    void note(Copied::Hashes& hashes, TaskId task, std::string_view bytes) {
        hashes[task] = hash_bytes(bytes);
        copied_.bytes += bytes.size();
    }

    MovableJournal& from_;
    MovableJournal& to_;
    const CopyOptions& options_;
    Nobody nobody_;
    engine::Replica replica_;  // stands where the copy ends
    std::optional<store::StoredSnapshot> start_, newest_;
    store::Claim claim_;
    Sequence history_;
    Copied::Hashes lost_;
    Copied copied_;
};

std::unexpected<Error> differs(const std::string& what) {
    return fail(Fault::corrupt, "the copy differs from its source: " + what);
}

// Of `kind`, everything that is there must be what was copied. Answers how much of it is there.
Result<std::uint64_t> compare_kept(MovableJournal& copy, BodyKind kind, const Copied::Hashes& with) {
    std::uint64_t same = 0;
    auto done = copy.each_kept(kind, [&](TaskId task, std::string_view bytes, WallTime) -> Result<void> {
        const auto copied = with.find(task);
        if (copied == with.end() || copied->second != hash_bytes(bytes))
            return differs("what task " + to_text(task) + " left");
        ++same;
        return {};
    });
    if (!done) return std::unexpected(std::move(done).error());
    return same;
}

Result<void> compare_bodies(MovableJournal& copy, const core::Scheduler& core, const Copied& with,
                            const Progress& progress) {
    std::uint64_t found = 0;
    return each_live(core, kBodiesAtOnce, [&](std::span<const TaskId> tasks) -> Result<void> {
        const std::vector<Body> bodies = copy.bodies(BodyKind::body, tasks);
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            const auto copied = with.body_hashes.find(tasks[i]);
            const bool had = copied != with.body_hashes.end(), has = bodies[i].state == Body::State::found;
            if (bodies[i].state == Body::State::unreachable) return fail(Fault::unreachable, bodies[i].why);
            if (had != has || (has && copied->second != hash_bytes(bodies[i].bytes)))
                return differs("the payload of task " + to_text(tasks[i]));
        }
        return progress("body read back", found += tasks.size(), with.bodies);
    });
}

}  // namespace

Result<void> each_live(const core::Scheduler& core, std::size_t at_once,
                       const std::function<Result<void>(std::span<const TaskId>)>& visit) {
    for (TaskId after;;) {
        const std::vector<TaskId> tasks = core.tasks_after(after, at_once);
        if (tasks.empty()) return {};
        if (auto ok = visit(tasks); !ok) return ok;
        after = tasks.back();
    }
}

Result<bool> replay_from(store::JournalStore& journal, Kept which, engine::Replica& replica) {
    const auto stored = store::get_snapshot(journal, which);
    if (!stored) return std::unexpected(stored.error());
    if (!*stored) return false;
    const auto snapshot = journal::decode_snapshot((*stored)->bytes);
    Result<void> done = snapshot ? replica.load(*snapshot) : Result<void>(std::unexpected(snapshot.error()));
    if (done) done = replica.catch_up(journal);
    if (!done) return std::unexpected(std::move(done).error());
    return true;
}

Result<Copied> copy_journal(MovableJournal& from, MovableJournal& to, const CopyOptions& options) {
    return Copier(from, to, options).run();
}

Result<Compared> compare_copy(MovableJournal& copy, const Copied& with, const Progress& progress) {
    Compared compared;
    std::vector<Copied::Snapshot> kept;
    for (const Kept which : {Kept::older, Kept::newest}) {
        const auto snapshot = store::get_snapshot(copy, which);
        if (!snapshot) return std::unexpected(snapshot.error());
        if (*snapshot) kept.push_back({(*snapshot)->at, hash_bytes((*snapshot)->bytes)});
    }
    if (!std::ranges::equal(kept, with.snapshots,
                            [](const auto& a, const auto& b) { return a.at == b.at && a.hash == b.hash; }))
        return differs("the snapshots");
    // Once as a server starts, and once from as far back as there is something.
    Nobody nobody;
    engine::Replica recovered(nobody), replayed(nobody);
    if (auto ok = recovered.recover(copy); !ok) return std::unexpected(std::move(ok).error());
    auto from_older = replay_from(copy, Kept::older, replayed);
    if (from_older && !*from_older && with.first.n == 1) {
        const auto whole = replayed.catch_up(copy);
        from_older = whole ? Result<bool>(true) : std::unexpected(whole.error());
    }
    if (!from_older) return std::unexpected(std::move(from_older).error());
    for (const engine::Replica* replica : {&recovered, *from_older ? &replayed : &recovered})
        if (replica->at() != with.last || replica->chain() != with.chain || replica->core().digest() != with.digest)
            return differs("it ends at event " + std::to_string(replica->at().n) + " with another digest or chain");
    compared.events = with.last.n + 1 - with.first.n;
    if (auto ok = compare_bodies(copy, recovered.core(), with, progress); !ok)
        return std::unexpected(std::move(ok).error());
    const auto results = compare_kept(copy, BodyKind::result, with.results);
    if (!results) return std::unexpected(results.error());
    compared.expired = with.results.size() - *results;
    const auto taken = compare_kept(copy, BodyKind::taken, with.taken);
    if (!taken) return std::unexpected(taken.error());
    if (*taken != with.taken.size()) return differs("marks of entries that became tasks are missing");
    return compared;
}

}  // namespace nexus::journal_verbs
