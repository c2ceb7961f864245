#include "bench/sdk_bench.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "bench/server_process.h"
#include "bench/workers.h"
#include "nexus/client.h"
#include "nexus/worker.h"

namespace nexus::bench {
namespace {

constexpr std::chrono::seconds kStandstillMax{20};  // without any progress: what is missing counts as lost
constexpr std::uint64_t kGridWork_us = 3'000'000;   // for each slot in a run of the grid

double seconds_since(Clock::time_point began) {
    return std::chrono::duration<double>(Clock::now() - began).count();
}

double own_cpu_s() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// The slots of a worker that are free, by the time since when.
struct Slots {
    std::mutex mutex;
    std::vector<std::int64_t> free_since_ns;
};

// What handlers do and measure.
class Handlers {
public:
    // `in_hand`: so many tasks the workers may hold; with fewer to do nothing waits any more.
    Handlers(std::uint64_t tasks, std::uint64_t task_us, std::uint64_t in_hand)
        : ledger(tasks), gap_ns_(tasks), task_us_(task_us), in_hand_(in_hand) {}

    Outcome run(Context& task, Slots& slots) {
        thread_local const bool exact = prctl(PR_SET_TIMERSLACK, 1UL) == 0;  // sleeps are not stretched
        const std::int64_t began = now_ns();
        const std::uint64_t number = take_slot(task, slots, began);
        if (exact && task_us_ > 0) std::this_thread::sleep_for(std::chrono::microseconds(task_us_));
        note(number, began);
        leave_slot(slots, began);
        return Outcome::success();
    }
    std::vector<Outcome> run_batch(std::span<Context> tasks, Slots& slots) {
        const std::int64_t began = now_ns();
        std::vector<std::uint64_t> numbers{take_slot(tasks[0], slots, began)};
        for (std::size_t i = 1; i < tasks.size(); ++i) numbers.push_back(number_of(tasks[i]));
        if (task_us_ > 0) std::this_thread::sleep_for(std::chrono::microseconds(task_us_));
        for (const std::uint64_t number : numbers) note(number, began);
        leave_slot(slots, began);
        return std::vector<Outcome>(tasks.size(), Outcome::success());
    }
    std::uint64_t done() const { return done_; }
    double busy_s() const { return static_cast<double>(busy_ns_) * 1e-9; }
    double mean_batch() const {
        return static_cast<double>(done_) / static_cast<double>(std::max<std::uint64_t>(calls_, 1));
    }
    std::vector<std::int64_t> sorted_gaps() const {
        std::vector<std::int64_t> gaps;
        for (const auto& gap : gap_ns_)
            if (gap > 0) gaps.push_back(gap);
        std::sort(gaps.begin(), gaps.end());
        return gaps;
    }

    Ledger ledger;

private:
    static std::uint64_t number_of(const Context& task) {
        std::uint64_t number = 0;
        std::memcpy(&number, task.payload().data(), sizeof number);
        return number;
    }
    std::uint64_t take_slot(const Context& task, Slots& slots, std::int64_t now) {
        const std::uint64_t number = number_of(task);
        const std::lock_guard lock(slots.mutex);
        if (slots.free_since_ns.empty()) return number;
        if (done_ + in_hand_ < ledger.runs.size()) gap_ns_[number] = now - slots.free_since_ns.back();
        slots.free_since_ns.pop_back();
        return number;
    }
    void note(std::uint64_t number, std::int64_t began) {
        if (++ledger.runs[number] == 1) ++done_;
        ledger.started_ns[number] = began;
    }
    void leave_slot(Slots& slots, std::int64_t began) {
        const std::lock_guard lock(slots.mutex);
        const std::int64_t now = now_ns();
        ++calls_;
        busy_ns_ += now - began;
        slots.free_since_ns.push_back(now);
    }

    std::vector<std::atomic<std::int64_t>> gap_ns_;  // before each task; 0 = none
    const std::uint64_t task_us_, in_hand_;
    std::atomic<std::uint64_t> done_{0}, calls_{0};
    std::atomic<std::int64_t> busy_ns_{0};
};

class SdkWorkers {
public:
    SdkWorkers(const std::string& address, const SdkOptions& options, Handlers& handlers) : slots_(options.workers) {
        for (std::uint32_t n = 0; n < options.workers; ++n) {
            Slots& slots = slots_[n];
            workers_.push_back(std::make_unique<Worker>(WorkerOptions{.name = "sdk-" + std::to_string(n),
                                                                      .target = address,
                                                                      .slots = options.slots,
                                                                      .prefetch_max = options.prefetch}));
            if (options.batch > 1)
                workers_.back()->handle_batch(
                    "noop", {.max = options.batch},
                    [&handlers, &slots](std::span<Context> tasks) { return handlers.run_batch(tasks, slots); });
            else
                workers_.back()->handle("noop",
                                        [&handlers, &slots](Context& task) { return handlers.run(task, slots); });
            threads_.emplace_back([worker = workers_.back().get()] { worker->run(); });
        }
    }
    ~SdkWorkers() {
        for (const auto& worker : workers_) worker->stop();
        for (std::thread& thread : threads_) thread.join();
    }

private:
    std::vector<Slots> slots_;
    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<std::thread> threads_;
};

Task numbered(std::uint64_t number, std::uint32_t bytes) {
    Task task;
    task.type = "noop";
    task.payload.assign(std::max<std::size_t>(bytes, sizeof number), 'x');
    std::memcpy(task.payload.data(), &number, sizeof number);
    return task;
}

// One call per task, at random moments.
Result<void> submit_at_rate(Client& client, const SdkOptions& options, Ledger& ledger) {
    std::mt19937_64 random(options.seed);
    std::exponential_distribution<double> pause(options.rate);
    auto due = Clock::now();
    for (std::uint64_t number = 0; number < options.tasks; ++number) {
        due += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(pause(random)));
        std::this_thread::sleep_until(due);
        ledger.submitted_ns[number] = now_ns();
        const auto answer = client.submit(numbered(number, options.payload));
        if (!answer) return fail(Fault::unavailable, "submit: " + answer.error().message);
    }
    return {};
}

Result<void> submit_at_once(Client& client, const SdkOptions& options) {
    constexpr std::uint64_t kChunk = 100'000;  // all of them at once would hold their answers, too
    for (std::uint64_t from = 0; from < options.tasks; from += kChunk) {
        std::vector<Task> tasks;
        for (std::uint64_t n = from; n < std::min(options.tasks, from + kChunk); ++n)
            tasks.push_back(numbered(n, options.payload));
        for (const auto& answer : client.submit_many(tasks))
            if (!answer) return fail(Fault::unavailable, "submit_many: " + answer.error().message);
    }
    return {};
}

void wait_for_all(const Handlers& handlers, std::uint64_t tasks) {
    std::uint64_t seen = 0;
    auto moved = Clock::now();
    while (handlers.done() < tasks && Clock::now() - moved < kStandstillMax) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (const std::uint64_t done = handlers.done(); done != seen) {
            seen = done;
            moved = Clock::now();
        }
    }
}

double us(const std::vector<std::int64_t>& sorted_ns, double q) {
    return static_cast<double>(quantile(sorted_ns, q)) / 1000;
}

}  // namespace

Result<Report> run_sdk(const SdkOptions& options, bool& complete) {
    const ScratchDirectory scratch;
    auto server = ServerProcess::start(scratch.path(), "disk");
    if (!server) return std::unexpected(std::move(server).error());
    const std::uint64_t prefetch = options.prefetch.value_or(256);  // no default is larger
    Handlers handlers(options.tasks, options.task_us, options.workers * (options.slots + prefetch));
    Client client((*server)->address());
    const double tasks = static_cast<double>(options.tasks);
    double submit_client_s = own_cpu_s(), submit_server_s = (*server)->cpu_s();
    if (options.rate == 0) {
        progress(fmt::format("submitting {} tasks", options.tasks));
        if (auto done = submit_at_once(client, options); !done) return std::unexpected(std::move(done).error());
    }
    submit_client_s = own_cpu_s() - submit_client_s;
    submit_server_s = (*server)->cpu_s() - submit_server_s;
    progress(fmt::format("{} workers of {} slots, each task {} us", options.workers, options.slots, options.task_us));
    const double own_before = own_cpu_s(), server_before = (*server)->cpu_s();
    const auto began = Clock::now();
    {
        const SdkWorkers workers((*server)->address(), options, handlers);
        if (options.rate > 0)
            if (auto done = submit_at_rate(client, options, handlers.ledger); !done)
                return std::unexpected(std::move(done).error());
        wait_for_all(handlers, options.tasks);
    }
    const double took_s = seconds_since(began);
    const double own_s = own_cpu_s() - own_before, server_s = (*server)->cpu_s() - server_before;
    std::uint64_t lost = 0, twice = 0;
    std::vector<std::int64_t> starts;
    for (std::uint64_t n = 0; n < options.tasks; ++n) {
        const std::uint32_t runs = handlers.ledger.runs[n];
        lost += runs == 0 ? 1 : 0;
        twice += runs > 1 ? 1 : 0;
        if (options.rate > 0 && runs > 0)
            starts.push_back(handlers.ledger.started_ns[n] - handlers.ledger.submitted_ns[n]);
    }
    complete = lost == 0 && twice == 0;
    std::sort(starts.begin(), starts.end());
    const std::vector<std::int64_t> gaps = handlers.sorted_gaps();
    Report report{.command = "bench sdk", .args = {}, .name = "sqlite", .metrics = {}};
    report.args = {{"tasks", options.tasks},     {"workers", options.workers}, {"slots", options.slots},
                   {"task_us", options.task_us}, {"rate", options.rate},       {"payload", options.payload},
                   {"seed", options.seed}};
    if (options.prefetch) report.args["prefetch"] = *options.prefetch;
    if (options.batch > 1) report.args["batch"] = options.batch;
    report.metrics = {{"completed_per_s", tasks / took_s}, {"took_s", took_s}};
    if (options.rate == 0) {
        report.metrics["gap_us_p50"] = us(gaps, 0.5);
        report.metrics["gap_us_p99"] = us(gaps, 0.99);
        report.metrics["slots_at_work"] = handlers.busy_s() / (took_s * options.workers * options.slots);
        if (options.batch > 1) report.metrics["mean_batch"] = handlers.mean_batch();
        report.metrics["worker_cpu_us_per_task"] = own_s / tasks * 1e6;
        report.metrics["server_cpu_us_per_task"] = server_s / tasks * 1e6;
        report.metrics["submit_client_cpu_us_per_task"] = submit_client_s / tasks * 1e6;
        report.metrics["submit_server_cpu_us_per_task"] = submit_server_s / tasks * 1e6;
    } else {
        report.metrics["submit_to_start_us_p50"] = us(starts, 0.5);
        report.metrics["submit_to_start_us_p99"] = us(starts, 0.99);
    }
    report.metrics["lost"] = lost;
    report.metrics["duplicated"] = twice;
    return report;
}

Result<std::vector<Report>> run_sdk_grid(SdkOptions options, bool& complete) {
    std::vector<Report> reports;
    complete = true;
    const std::uint64_t tasks_max = options.tasks;
    for (const std::uint64_t task_us : {0, 1'000, 10'000}) {
        for (const std::uint32_t slots : {1, 4, 16, 50}) {
            options.slots = slots;
            options.task_us = task_us;
            options.tasks = tasks_max;
            if (task_us > 0) options.tasks = std::min(tasks_max, options.workers * slots * kGridWork_us / task_us);
            bool all = false;
            Result<Report> report = run_sdk(options, all);
            if (!report) return std::unexpected(std::move(report).error());
            report->name = fmt::format("{} x {} slots, {} us", options.workers, slots, task_us);
            complete = complete && all;
            reports.push_back(*std::move(report));
        }
    }
    return reports;
}

}  // namespace nexus::bench
