// What one task costs the store, for whom sizes a machine: N tasks per commit go through submission (with a body of 100
// bytes), start and end (drop of the body), while `pending` tasks wait. The state stays the same size while it runs.
//
// Then the history: rows per second as the server writes them, a batch of 1000 tasks with one attempt and one decision
// each.
//
//     store_bench [--seconds S] [--pending N] [--dir PATH] [--level disk|process]
//
// Columns: commits/s, tasks/s, CPU per task, commit p50/p99/max, bytes of journal per task.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "base/rng.h"
#include "history/sqlite/sqlite_history.h"
#include "journal/codec.h"
#include "store/memory/memory_journal.h"
#include "store/sqlite/sqlite_journal.h"

using namespace nexus;
using Clock = std::chrono::steady_clock;

namespace {

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds_of = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

double since(Clock::time_point from) {
    return std::chrono::duration<double>(Clock::now() - from).count();
}

struct Load {
    explicit Load(std::uint64_t first) : writer({first}, 0, 1) {}
    journal::BatchWriter writer;
    Rng rng{1};
    Instant at{1'763'890'000'000'000};
    std::deque<TaskId> pending;
    std::string body = std::string(100, 'b');
    std::uint64_t journal_bytes = 0;

    TaskId submit(store::JournalBatch& batch) {
        const TaskId task = make_task_id(at.us / 1000, 0, rng.next());
        core::TaskSubmitted fact{.task = task, .spec = {}, .estimate = {}};
        fact.spec.type = "resize-image";
        fact.spec.payload_bytes = body.size();
        fact.spec.body_hash = rng.next();
        fact.estimate = {.p50 = milliseconds(5),
                         .p90 = milliseconds(9),
                         .mean = milliseconds(6),
                         .confidence_permille = 800,
                         .source = EstimateSource::type_mode};
        writer.add({.at = at = at + microseconds(7), .what = std::move(fact)});
        batch.puts.push_back({.task = task, .body = body});
        return task;
    }
    void finish(TaskId task, store::JournalBatch& batch) {
        const AttemptId attempt{rng.next(), rng.next()};
        writer.add({.at = at = at + microseconds(7),
                    .what = core::AttemptStarted{.task = task, .attempt = attempt, .session = {7}}});
        writer.add(
            {.at = at = at + microseconds(7),
             .what = core::AttemptFinished{.task = task, .attempt = attempt, .session = {7}, .run = milliseconds(5)}});
        batch.drops.push_back(task);
    }
    void seal(store::JournalBatch& batch) {
        store::JournalBatch sealed = store::finish_batch(writer, rng.next());
        sealed.puts = std::move(batch.puts);
        sealed.drops = std::move(batch.drops);
        batch = std::move(sealed);
        journal_bytes += batch.bytes.size();
    }
};

template <class T>
bool failed(const Result<T>& done) {
    if (!done) std::fprintf(stderr, "store_bench: %s\n", done.error().what.c_str());
    return !done;
}

bool run_journal(store::JournalStore& store, Load& load, std::size_t tasks_per_commit, std::size_t pending,
                 double seconds, std::uint64_t trim_every_events = 300'000) {
    const auto claim = store::claim_now(store, {.name = "bench"});
    if (failed(claim)) return false;
    while (load.pending.size() < pending) {
        store::JournalBatch batch;
        for (int i = 0; i < 1000; ++i) load.pending.push_back(load.submit(batch));
        load.seal(batch);
        if (failed(store.append(*claim, {&batch, 1}))) return false;
    }
    std::vector<double> commits;
    std::uint64_t tasks = 0;
    const std::uint64_t bytes_before = load.journal_bytes;
    const double cpu_before = cpu_seconds();
    const Clock::time_point start = Clock::now();
    std::uint64_t untrimmed = 0;
    while (since(start) < seconds) {
        store::JournalBatch batch;
        for (std::size_t i = 0; i < tasks_per_commit; ++i) {
            load.pending.push_back(load.submit(batch));
            load.finish(load.pending.front(), batch);
            load.pending.pop_front();
        }
        load.seal(batch);
        const Clock::time_point before = Clock::now();
        if (failed(store.append(*claim, {&batch, 1}))) return false;
        commits.push_back(since(before));
        tasks += tasks_per_commit;
        untrimmed += batch.count;
        if (untrimmed < trim_every_events) continue;
        untrimmed = 0;
        const Sequence last{load.writer.first().n - 1};
        if (failed(store::put_snapshot(store, last, "bench"))) return false;
    }
    const double wall = since(start);
    const double cpu = cpu_seconds() - cpu_before;
    std::ranges::sort(commits);
    const auto quantile = [&](double q) {
        return 1e3 * commits[static_cast<std::size_t>(q * static_cast<double>(commits.size() - 1))];
    };
    std::printf("%8zu %10.0f %10.0f %9.2f %9.3f %9.3f %9.2f %9.0f\n", tasks_per_commit,
                static_cast<double>(commits.size()) / wall, static_cast<double>(tasks) / wall,
                1e6 * cpu / static_cast<double>(tasks), quantile(0.5), quantile(0.99), quantile(1),
                static_cast<double>(load.journal_bytes - bytes_before) / static_cast<double>(tasks));
    std::fflush(stdout);
    return true;
}

// One task with one attempt and one decision, the rows of a busy server.
bool run_history(const std::string& path, double seconds) {
    auto history = history::SqliteHistory::open({.path = path});
    if (!history) {
        std::fprintf(stderr, "store_bench: %s\n", history.error().what.c_str());
        return false;
    }
    std::printf("sqlite history\n%8s %10s %10s %9s %9s\n", "rows", "rows/s", "cpu us/r", "B/row", "of");
    for (const char* kind : {"tasks", "attempts", "decisions", "all"}) {
        Rng rng(1);
        const std::string_view of = kind;
        std::int64_t now = 1'763'890'000'000'000;
        std::uint64_t rows = 0;
        const std::uint64_t used_before = *(*history)->used_bytes();
        const double cpu_before = cpu_seconds();
        double spent = 0;
        while (spent < seconds) {
            history::HistoryBatch batch;
            for (int i = 0; i < 1000; ++i) {
                const TaskId task = make_task_id((now += 20) / 1000, 0, rng.next());
                const std::string type = "type-" + std::to_string(rng.below(50));
                const std::string worker = "worker-" + std::to_string(rng.below(1000));
                if (of == "tasks" || of == "all")
                    batch.tasks.push_back({.task = task,
                                           .type = type,
                                           .tenant = "default",
                                           .queue = "default",
                                           .priority = 5,
                                           .state = 4,
                                           .submitted = {now - 9'000},
                                           .started = {now - 5'000},
                                           .finished = {now},
                                           .run = {5'000},
                                           .worker = worker,
                                           .attempts = 1,
                                           .payload_bytes = 100,
                                           .predicted_p50 = {5'100},
                                           .predicted_p90 = {9'000},
                                           .eta_finish_p50 = {now},
                                           .eta_finish_p90 = {now + 4'000},
                                           .error = {}});
                if (of == "attempts" || of == "all")
                    batch.attempts.push_back({.task = task,
                                              .attempt = {rng.next(), rng.next()},
                                              .number = 1,
                                              .worker = worker,
                                              .outcome = 1,
                                              .assigned = {now - 6'000},
                                              .started = {now - 5'000},
                                              .ended = {now},
                                              .run = {5'000},
                                              .predicted_p50 = {5'100},
                                              .predicted_p90 = {9'000},
                                              .source = "type-mode",
                                              .peak_memory_bytes = 1 << 20,
                                              .error = {}});
                if (of == "decisions" || of == "all")
                    batch.decisions.push_back({.place = {.at = {now}, .number = static_cast<std::uint64_t>(now)},
                                               .task = task,
                                               .type = type,
                                               .worker = worker,
                                               .policy = "predictive",
                                               .record = std::string(400, 'r')});
            }
            const Clock::time_point before = Clock::now();
            if (failed((*history)->write(batch))) return false;
            spent += since(before);
            rows += batch.size();
        }
        std::printf("%8llu %10.0f %10.2f %9.0f %9s\n", static_cast<unsigned long long>(rows),
                    static_cast<double>(rows) / spent, 1e6 * (cpu_seconds() - cpu_before) / static_cast<double>(rows),
                    static_cast<double>(*(*history)->used_bytes() - used_before) / static_cast<double>(rows), kind);
        std::fflush(stdout);
    }
    return true;
}

// How long a start takes with so many tasks waiting, after a process that was killed (nothing trimmed, WAL not empty).
bool run_open(const std::string& directory, std::size_t pending) {
    std::filesystem::remove_all(directory);
    {
        auto journal = store::SqliteJournal::open({.directory = directory});
        Load load(1);
        if (!journal || !run_journal(**journal, load, 100, pending, 0.5, UINT64_MAX)) return false;
    }
    const Clock::time_point start = Clock::now();
    auto journal = store::SqliteJournal::open({.directory = directory});
    if (!journal) return false;
    const double opened = since(start);
    std::uint64_t bytes = 0;
    if (failed((*journal)->read({0}, {}, [&](Sequence, std::string_view batch) -> Result<void> {
            bytes += batch.size();
            return {};
        })))
        return false;
    std::printf("\nopen with %zu pending: %.3f s, then %.3f s to read %.0f MB of journal\n", pending, opened,
                since(start) - opened, static_cast<double>(bytes) / 1e6);
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    double seconds = 3;
    std::size_t pending = 10'000;
    std::string directory = std::filesystem::temp_directory_path() / "nexus-store-bench";
    store::Durability level = store::Durability::disk;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view flag = argv[i];
        if (flag == "--seconds")
            seconds = std::atof(argv[i + 1]);
        else if (flag == "--pending")
            pending = static_cast<std::size_t>(std::atoll(argv[i + 1]));
        else if (flag == "--dir")
            directory = argv[i + 1];
        else if (flag == "--level")
            level = std::string_view(argv[i + 1]) == "process" ? store::Durability::process : store::Durability::disk;
    }
    for (const char* kind : {"memory", "sqlite"}) {
        std::printf("%s journal, level %s, %zu pending\n%8s %10s %10s %9s %9s %9s %9s %9s\n", kind, name_of(level),
                    pending, "tasks/c", "commits/s", "tasks/s", "cpu us/t", "p50 ms", "p99 ms", "max ms", "B/task");
        for (const std::size_t tasks_per_commit :
             {std::size_t{1}, std::size_t{10}, std::size_t{100}, std::size_t{1000}}) {
            std::filesystem::remove_all(directory);
            std::unique_ptr<store::JournalStore> store;
            if (std::string_view(kind) == "memory") {
                store = std::make_unique<store::MemoryJournal>();
            } else {
                auto opened = store::SqliteJournal::open({.directory = directory, .level = level});
                if (!opened) {
                    std::fprintf(stderr, "store_bench: %s\n", opened.error().what.c_str());
                    return 1;
                }
                store = *std::move(opened);
            }
            Load load(1);
            if (!run_journal(*store, load, tasks_per_commit, pending, seconds)) return 1;
        }
    }
    const bool ok = run_open(directory, 1'000'000) && run_history(directory + "/history.db", seconds);
    std::filesystem::remove_all(directory);
    return ok ? 0 : 1;
}
