#include "bench/live_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "bench/server_process.h"
#include "bench/submitter.h"
#include "bench/workers.h"

namespace nexus::bench {
namespace {

constexpr std::chrono::seconds kConnectMax{60};
constexpr std::chrono::seconds kStandstillMax{20};  // without any progress: what is missing counts as lost

double seconds_since(Clock::time_point began) {
    return std::chrono::duration<double>(Clock::now() - began).count();
}

Result<double> to_rate(const std::string& text) {
    if (text == "max") return 0.0;
    double rate = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    if (!whole || !(rate > 0) || rate > 1e9)
        return fail(Fault::invalid, "--rate: a number of tasks per second, or max");
    return rate;
}

// Until the server took every result, or nothing moves any more.
void wait_for_results(const Ledger& ledger, std::uint64_t tasks) {
    std::uint64_t seen = 0;
    auto moved = Clock::now();
    while (ledger.acknowledged < tasks) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        if (ledger.acknowledged != seen) {
            seen = ledger.acknowledged;
            moved = Clock::now();
        } else if (Clock::now() - moved > kStandstillMax) {
            return;
        }
    }
}

struct Tally {
    std::vector<std::int64_t> start_ns;  // submit call to handler, sorted
    std::uint64_t lost = 0, duplicated = 0;
};

Tally tally(const Ledger& ledger) {
    Tally sum;
    sum.start_ns.reserve(ledger.runs.size());
    for (std::size_t i = 0; i < ledger.runs.size(); ++i) {
        const std::uint32_t runs = ledger.runs[i];
        if (runs == 0)
            ++sum.lost;
        else
            sum.start_ns.push_back(ledger.started_ns[i] - ledger.submitted_ns[i]);
        if (runs > 1) ++sum.duplicated;
    }
    std::sort(sum.start_ns.begin(), sum.start_ns.end());
    return sum;
}

double us(const std::vector<std::int64_t>& sorted_ns, double q) {
    return static_cast<double>(quantile(sorted_ns, q)) / 1000;
}

Json args_of(const EndToEndOptions& o) {
    return {{"tasks", o.tasks},
            {"rate", o.rate},
            {"workers", o.workers},
            {"slots", o.slots},
            {"payload", o.payload},
            {"batch", o.batch},
            {"inflight", o.inflight},
            {"store", o.store},
            {"durability", o.durability},
            {"started", o.tell_started},
            {"seed", o.seed},
            {"auth", o.auth},
            {"tls", o.tls}};
}

}  // namespace

Result<Report> run_end_to_end(EndToEndOptions options, bool& complete) {
    const Result<double> rate = to_rate(options.rate);
    if (!rate) return std::unexpected(rate.error());
    if (options.batch == 0) options.batch = *rate > 0 ? 1 : 500;
    if (options.inflight == 0) options.inflight = options.batch == 1 ? 64 : 4;
    const ScratchDirectory scratch;
    std::unique_ptr<RedisProcess> redis;
    if (options.store == "redis") {
        auto started = RedisProcess::start(scratch.path(), options.durability);
        if (!started) return std::unexpected(std::move(started).error());
        redis = std::move(*started);
    }
    auto server = ServerProcess::start(scratch.path(), options.durability, "off",
                                       {.tokens = options.auth == "tokens", .tls = options.tls},
                                       redis ? redis->url() : "embedded");
    if (!server) return std::unexpected(std::move(server).error());
    Ledger ledger(options.tasks);
    Workers workers((*server)->target(), options.workers, options.slots, options.tell_started, ledger);
    if (Result<void> connected = workers.wait_connected(kConnectMax); !connected)
        return std::unexpected(std::move(connected).error());
    progress(fmt::format("{} workers connected, submitting {} tasks", options.workers, options.tasks));
    const double cpu_before = (*server)->cpu_s();
    const auto began = Clock::now();
    const auto submitted = submit_all((*server)->target(),
                                      {.tasks = options.tasks,
                                       .batch = options.batch,
                                       .inflight = options.inflight,
                                       .payload = options.payload,
                                       .rate = *rate,
                                       .seed = options.seed},
                                      ledger);
    if (!submitted) return std::unexpected(submitted.error());
    wait_for_results(ledger, options.tasks);
    const double took_s = seconds_since(began);
    const Tally sum = tally(ledger);
    complete = sum.lost == 0 && sum.duplicated == 0 && ledger.acknowledged == options.tasks;
    Report report{.command = "bench e2e", .args = args_of(options), .name = options.store};
    report.metrics = {{"submit_per_s", static_cast<double>(submitted->accepted) / submitted->took_s},
                      {"completed_per_s", static_cast<double>(ledger.acknowledged.load()) / took_s},
                      {"submit_to_start_us_p50", us(sum.start_ns, 0.5)},
                      {"submit_to_start_us_p99", us(sum.start_ns, 0.99)},
                      {"submit_to_start_us_p999", us(sum.start_ns, 0.999)},
                      {"server_rss_bytes", (*server)->rss_bytes()},
                      {"server_cpu_s", (*server)->cpu_s() - cpu_before},
                      {"lost", sum.lost},
                      {"duplicated", sum.duplicated},
                      {"results_taken", ledger.acknowledged.load()},
                      {"results_refused", ledger.refused.load()},
                      {"submits_put_off", submitted->retried},
                      {"streams_lost", workers.streams_lost()},
                      {"took_s", took_s}};
    if (redis) {
        report.metrics["redis_cpu_s"] = cpu_s(redis->pid());
        report.metrics["redis_rss_bytes"] = rss_bytes(redis->pid());
    }
    return report;
}

Result<std::vector<Report>> run_beside(const EndToEndOptions& options, bool& complete) {
    constexpr int kTurns = 3;
    EndToEndOptions open = options;
    open.auth = "none";
    open.tls = false;
    std::vector<Report> reports;
    complete = true;
    for (int turn = 0; turn < kTurns; ++turn)
        for (const EndToEndOptions* one : {static_cast<const EndToEndOptions*>(&open), &options}) {
            bool whole = false;
            auto report = run_end_to_end(*one, whole);
            if (!report) return std::unexpected(std::move(report).error());
            complete = complete && whole;
            report->name = std::string(one == &open ? "open" : "") + (one->auth == "tokens" ? "tokens " : "") +
                           (one->tls ? "TLS" : "");
            reports.push_back(std::move(*report));
        }
    return reports;
}

Result<Report> run_recover(const RecoverOptions& options) {
    const ScratchDirectory scratch;
    Ledger ledger(options.pending);
    std::uint64_t before_bytes = 0;
    {
        auto server = ServerProcess::start(scratch.path(), "disk");
        if (!server) return std::unexpected(std::move(server).error());
        progress(fmt::format("submitting {} tasks", options.pending));
        const auto submitted = submit_all(
            (*server)->address(),
            {.tasks = options.pending, .batch = 500, .inflight = 4, .payload = options.payload, .seed = options.seed},
            ledger);
        if (!submitted) return std::unexpected(submitted.error());
        before_bytes = (*server)->rss_bytes();
        progress("kill -9");
        (*server)->kill_now();
    }
    const auto killed = Clock::now();
    const std::int64_t killed_ns = now_ns();
    auto server = ServerProcess::start(scratch.path(), "disk");
    if (!server) return std::unexpected(std::move(server).error());
    const double ready_s = seconds_since(killed);
    Workers workers((*server)->address(), 1, 1, false, ledger);
    while (ledger.first_assign_ns == 0) {
        if (Clock::now() - killed > kConnectMax)
            return fail(Fault::unavailable, "no task was assigned after the restart");
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    Report report{.command = "bench recover", .name = options.store};
    report.args = {
        {"pending", options.pending}, {"payload", options.payload}, {"store", options.store}, {"seed", options.seed}};
    report.metrics = {{"ready_s", ready_s},
                      {"dispatch_s", static_cast<double>(ledger.first_assign_ns - killed_ns) * 1e-9},
                      {"server_rss_bytes_before", before_bytes},
                      {"server_rss_bytes", (*server)->rss_bytes()}};
    return report;
}

}  // namespace nexus::bench
