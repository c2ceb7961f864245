// The proving ground itself: worlds have the moments they claim, metrics are what a hand computes, runs repeat.

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "simulate/command.h"
#include "simulate/draw.h"
#include "simulate/eta.h"
#include "simulate/event_queue.h"
#include "simulate/grid.h"
#include "simulate/metrics.h"
#include "simulate/parallel.h"
#include "simulate/report.h"
#include "simulate/settings.h"
#include "simulate/srpt.h"

namespace nexus::simulate {
namespace {

World drawn(const WorldSpec& spec) {
    Result<World> world = make_world(spec);
    REQUIRE(world.has_value());
    return std::move(*world);
}

RunRecord played(const World& world, const std::string& policy, const DriverOptions& options = {}) {
    const Result<Contender> contender = make_contender(policy);
    REQUIRE(contender.has_value());
    Result<RunRecord> record = run(world, *contender, options);
    REQUIRE(record.has_value());
    return std::move(*record);
}

// Two workers of speed 1 and 2, three tasks of one type; nothing is left to chance.
World tiny_world() {
    World world;
    world.workload.types = {"a"};
    world.workload.users = {"u"};
    world.workload.tenants = {"default"};
    world.workload.mean_work = seconds(2);
    for (const auto& [arrival, work] : {std::pair{0, 1}, {10, 2}, {10, 3}})
        world.workload.tasks.push_back({.arrival = Instant{seconds(arrival).us}, .work = seconds(work)});
    world.cluster.workers = {{.name = "worker-1"}, {.name = "worker-2", .multiplier = 2}};
    return world;
}

TEST_CASE("several worlds: the median of what is measured, the geometric mean of factors, stable only if all are") {
    std::vector<Metrics> worlds(3, Metrics{.name = "predictive"});
    const double means[] = {5, 1, 3};
    const double factors[] = {1, 2, 4};
    for (std::size_t n = 0; n < worlds.size(); ++n) {
        worlds[n].mean_response_s = means[n];
        worlds[n].mean_vs_least_loaded = factors[n];
    }
    worlds[1].stable = false;
    const Metrics all = over_worlds(worlds);
    CHECK_EQ(all.name, "predictive");
    CHECK_EQ(all.mean_response_s, 3);
    CHECK_EQ(all.mean_vs_least_loaded, doctest::Approx(2));
    CHECK_EQ(all.mean_vs_round_robin, 0);  // was not compared with
    CHECK_FALSE(all.stable);
    worlds.resize(2);
    CHECK_EQ(over_worlds(worlds).mean_response_s, 3);
}

TEST_CASE("pieces of work are done once each on several threads, and none is begun after a failure") {
    for (const unsigned threads : {0U, 1U, 3U}) {
        CAPTURE(threads);
        std::vector<std::atomic<int>> done(100);
        CHECK(in_parallel(done.size(), threads, [&](std::size_t at) -> Result<void> {
            ++done[at];
            return {};
        }));
        for (const std::atomic<int>& times : done) REQUIRE_EQ(times.load(), 1);
    }
    std::size_t begun = 0;
    const Result<void> failed = in_parallel(100, 1, [&](std::size_t at) -> Result<void> {
        ++begun;
        if (at == 4) return fail(Fault::invalid, "the fifth");
        return {};
    });
    REQUIRE_FALSE(failed.has_value());
    CHECK_EQ(failed.error().what, "the fifth");
    CHECK_EQ(begun, 5);
}

TEST_CASE("plans come out by time, then in the order they were made") {
    EventQueue queue;
    Rng rng(7);
    for (std::uint32_t n = 0; n < 1000; ++n)
        queue.plan(Instant{static_cast<std::int64_t>(rng.below(20))}, Happening::run_ends, n);
    Planned before = queue.take();
    for (int n = 1; n < 1000; ++n) {
        const Planned next = queue.take();
        REQUIRE(before.at <= next.at);
        if (before.at == next.at) REQUIRE(before.number < next.number);
        before = next;
    }
    CHECK(queue.empty());
    CHECK_EQ(queue.next_at().us, kNever.us);
}

TEST_CASE("draws have the mean they claim") {
    Rng rng(3);
    double exponential = 0, normal = 0, square = 0, pareto = 0;
    constexpr int count = 400'000;
    for (int n = 0; n < count; ++n) {
        exponential += draw_exponential(rng);
        const double z = draw_normal(rng);
        normal += z;
        square += z * z;
        pareto += draw_pareto(rng, 1.5, 1, 300);
    }
    CHECK(exponential / count == doctest::Approx(1).epsilon(0.01));
    CHECK(std::abs(normal / count) < 0.01);
    CHECK(square / count == doctest::Approx(1).epsilon(0.01));
    CHECK(pareto / count == doctest::Approx(pareto_mean(1.5, 1, 300)).epsilon(0.05));
}

TEST_CASE("every workload reaches its load by either kind of arrival") {
    for (const std::string_view name : workload_names()) {
        for (const Arrivals arrivals : {Arrivals::poisson, Arrivals::bursts}) {
            CAPTURE(name);
            const World world =
                drawn({.workload = std::string(name), .tasks = 5000, .load = 0.7, .arrivals = arrivals});
            double work = 0;
            Instant before;
            for (const SimTask& task : world.workload.tasks) {
                REQUIRE(task.arrival >= before);
                before = task.arrival;
                work += static_cast<double>(task.work.us);
            }
            const double offered = work / (static_cast<double>(before.us) * world.cluster.capacity());
            CHECK(offered == doctest::Approx(0.7).epsilon(0.001));
        }
    }
}

TEST_CASE("bursts are more uneven than Poisson arrivals") {
    const auto dispersion = [](Arrivals arrivals) {
        const World world = drawn({.workload = "ln", .tasks = 20'000, .arrivals = arrivals});
        const std::int64_t step = world.workload.last_arrival().us / 400 + 1;
        std::vector<double> counts(400);
        for (const SimTask& task : world.workload.tasks) ++counts[static_cast<std::size_t>(task.arrival.us / step)];
        double squares = 0;
        for (const double count : counts) squares += (count - 50) * (count - 50);
        return squares / 400 / 50;  // 1 for a Poisson process
    };
    CHECK(dispersion(Arrivals::poisson) < 1.4);
    CHECK(dispersion(Arrivals::bursts) > 3);
}

TEST_CASE("clusters are what their letter says") {
    const World equal = drawn({.tasks = 100, .workers = 100, .cluster = 'H'});
    CHECK_EQ(equal.cluster.capacity(), doctest::Approx(100));
    CHECK(equal.cluster.troubles.empty());
    const World troubled = drawn({.tasks = 100, .workers = 100, .cluster = 'B'});
    REQUIRE_EQ(troubled.cluster.troubles.size(), 1);
    const Trouble& slow = troubled.cluster.troubles[0];
    CHECK_EQ(troubled.speed_of(slow.worker, slow.from) / troubled.speed_of(slow.worker, slow.to), doctest::Approx(5));
    CHECK_EQ(troubled.cluster.straggler_share, 0.01);
    int unwell = 0;
    for (const SimWorker& worker : troubled.cluster.workers) unwell += worker.healthy ? 0 : 1;
    CHECK_EQ(unwell, 4);
}

TEST_CASE("metrics of three tasks are those a hand computes") {
    const World world = tiny_world();
    RunRecord record;
    record.window_from = Instant{};
    record.window_to = Instant{seconds(20).us};
    const std::pair<int, int> times[] = {{0, 1}, {10, 12}, {14, 20}};  // start, finish
    for (const auto& [start, finish] : times)
        record.tasks.push_back({.first_start = Instant{seconds(start).us},
                                .finish = Instant{seconds(finish).us},
                                .state = core::TaskState::succeeded,
                                .predicted = seconds(2),
                                .run = seconds(finish - start),
                                .eta_p50 = Instant{seconds(12).us},
                                .eta_p90 = Instant{seconds(15).us}});
    record.workers = {{.busy = seconds(5)}, {.busy = seconds(15)}};
    record.makespan = Instant{seconds(20).us};
    const Metrics metrics = measure("hand", world, record, 0);  // responses 1, 2, 10; work 1, 2, 3
    CHECK(metrics.mean_response_s == doctest::Approx(13.0 / 3));
    CHECK_EQ(metrics.p50_response_s, 2);
    CHECK_EQ(metrics.p99_response_s, 10);
    CHECK(metrics.mean_slowdown == doctest::Approx((1 + 1 + 10.0 / 3) / 3));
    CHECK(metrics.response_variance_s2 == doctest::Approx(16.2222).epsilon(0.0001));
    CHECK(metrics.cv_response_by_type == doctest::Approx(std::sqrt(16.2222) / (13.0 / 3)).epsilon(0.0001));
    CHECK_EQ(metrics.max_wait_s, 4);
    CHECK_EQ(metrics.max_wait_large_s, 4);
    CHECK(metrics.utilization_spread == doctest::Approx(0.5));
    CHECK(metrics.utilization == doctest::Approx(0.5));
    CHECK(metrics.run_within_25 == doctest::Approx(1.0 / 3));
    CHECK(metrics.eta_within_25 == doctest::Approx(1.0 / 3));
    CHECK(metrics.eta_p90_coverage == doctest::Approx(2.0 / 3));
}

TEST_CASE("comparisons divide the other by this one") {
    std::vector<Metrics> results(3);
    results[0] = {.name = "predictive", .mean_response_s = 2, .p99_response_s = 5, .response_variance_s2 = 1};
    results[1] = {.name = "round-robin", .mean_response_s = 6, .p99_response_s = 20, .response_variance_s2 = 9};
    results[2] = {.name = "oracle-predictive", .mean_response_s = 1.6, .p99_response_s = 5};
    compare(results);
    CHECK(results[0].mean_vs_round_robin == doctest::Approx(3));
    CHECK(results[0].p99_vs_round_robin == doctest::Approx(4));
    CHECK(results[0].variance_vs_round_robin == doctest::Approx(9));
    CHECK(results[0].oracle_gap_mean == doctest::Approx(0.25));
    CHECK_EQ(results[0].mean_vs_least_loaded, 0);
}

TEST_CASE("the clairvoyant limit runs the shortest first, and on the fastest worker") {
    const RunRecord record = run_srpt(tiny_world());
    CHECK_EQ(record.tasks[0].finish.us, seconds(1).us);
    CHECK_EQ(record.tasks[1].finish.us, seconds(12).us);
    CHECK_EQ(record.tasks[2].finish.us, seconds(14).us);  // two seconds at half speed, then the fast worker is free
}

TEST_CASE("one world and one policy give one digest, with every invariant of the core kept") {
    const World world = drawn({.tasks = 600, .workers = 5, .cluster = 'B', .load = 0.9});
    for (const char* policy : {"predictive", "fcfs", "least-loaded", "least-work", "power-of-two", "random",
                               "round-robin", "nexus-ema", "oracle-predictive"}) {
        CAPTURE(policy);
        const RunRecord one = played(world, policy, {.check = true});
        const RunRecord two = played(world, policy);
        CHECK_EQ(one.digest, two.digest);
        CHECK_EQ(one.unfinished, 0);
        CHECK_EQ(one.makespan.us, two.makespan.us);
    }
    CHECK_NE(played(world, "predictive").digest,
             played(drawn({.tasks = 600, .workers = 5, .cluster = 'B', .load = 0.9, .seed = 2}), "predictive").digest);
}

TEST_CASE("late binding leaves no slot idle while a task waits; binding at arrival does") {
    const World world = drawn({.tasks = 3000, .workers = 10, .load = 0.85});
    CHECK_EQ(played(world, "predictive").idle_while_waiting.us, 0);
    CHECK_EQ(played(world, "fcfs").idle_while_waiting.us, 0);
    CHECK(played(world, "round-robin").idle_while_waiting.us > 0);
}

TEST_CASE("a world with zones, resources, tenants, priorities, hardware and crashes finishes all its tasks") {
    const World world = drawn({.tasks = 1500,
                               .workers = 8,
                               .slots = 2,
                               .load = 0.6,
                               .crash_rate = 3,
                               .hardware_classes = 2,
                               .affinity_sigma = 0.5,
                               .zones = 2,
                               .resources = true,
                               .tenants = 3,
                               .priorities = true});
    const RunRecord record = played(world, "predictive");
    CHECK_EQ(record.unfinished, 0);
    std::size_t succeeded = 0;
    for (const TaskRecord& task : record.tasks) succeeded += task.state == core::TaskState::succeeded ? 1 : 0;
    CHECK_EQ(succeeded, record.tasks.size());
}

TEST_CASE("what is told at submission is as good as runs are predictable, less what a queue takes") {
    struct Row {
        const char* workload;
        double within_25;  // 20 workers, load .85: a queue now and then
    };
    for (const Row& row : {Row{"ln", 0.76}, Row{"mix", 0.62}, Row{"par", 0.40}}) {
        CAPTURE(row.workload);
        const World queued =
            drawn({.workload = row.workload, .tasks = 10'000, .workers = 20, .cluster = 'H', .load = 0.85, .seed = 7});
        const Metrics busy = measure("predictive", queued, played(queued, "predictive"));
        CHECK(busy.eta_within_25 >= row.within_25);
        CHECK(busy.eta_p90_coverage > 0.85);
        CHECK(busy.eta_p90_coverage < 0.95);
        CHECK(busy.eta_p10_coverage > 0.85);
        CHECK(busy.eta_placed_share + busy.eta_queued_share + busy.eta_backlog_share == doctest::Approx(1));
        const World calm = drawn({.workload = row.workload,
                                  .tasks = 10'000,
                                  .workers = 50,
                                  .slots = 2,
                                  .cluster = 'H',
                                  .load = 0.5,
                                  .seed = 7});
        const Metrics idle = measure("predictive", calm, played(calm, "predictive"));
        CHECK(idle.eta_within_25 >= idle.run_within_25 - 0.01);
    }
}

TEST_CASE("much tail for little mean is marked as a bad trade") {
    struct Row {
        double mean, p99, bad;
    };
    for (const Row& row : {Row{9, 100, 0}, Row{9, 103, 0}, Row{9.9, 103, 0.03}, Row{5, 120, 0}, Row{9.5, 115, 0.15}}) {
        CAPTURE(row.p99);
        CAPTURE(row.mean);
        std::vector<Metrics> results{{.name = "predictive", .mean_response_s = row.mean, .p99_response_s = row.p99},
                                     {.name = "fcfs", .mean_response_s = 10, .p99_response_s = 90},
                                     {.name = "least-loaded", .mean_response_s = 11, .p99_response_s = 100}};
        compare(results);
        CHECK_EQ(results[0].bad_trade, doctest::Approx(row.bad));
    }
}

TEST_CASE("without predictions in the middle of the run no task is lost, and the fallback is counted") {
    const World world = drawn({.tasks = 2000, .workers = 10});
    Result<Contender> contender = make_contender("predictive");
    REQUIRE(contender.has_value());
    contender->kill_from = 0.4;
    contender->kill_to = 0.6;
    const Result<RunRecord> record = run(world, *contender);
    REQUIRE(record.has_value());
    CHECK_EQ(record->unfinished, 0);
    CHECK(record->counters.fallback_decisions > 0);
    CHECK(record->counters.fallback_decisions < record->counters.decisions / 2);
}

TEST_CASE("what cannot be is refused with its reason") {
    const std::pair<WorldSpec, const char*> rows[] = {
        {{.workload = "none"}, "unknown"},
        {{.workers = 0}, "--workers"},
        {{.slots = 0}, "--slots"},
        {{.cluster = 'X'}, "--cluster"},
        {{.load = 0}, "--load"},
        {{.tasks = 0}, "number of tasks"},
        {{.arrivals = Arrivals::trace}, "--trace"},
        {{.zones = 50}, "--zones"},
    };
    for (const auto& [spec, part] : rows) {
        CAPTURE(part);
        const Result<World> world = make_world(spec);
        REQUIRE_FALSE(world.has_value());
        CHECK_EQ(world.error().fault, Fault::invalid);
        CHECK_NE(world.error().what.find(part), std::string::npos);
    }
    const Result<World> lost = make_world({.trace = "/nowhere/at/all.csv"});
    REQUIRE_FALSE(lost.has_value());
    CHECK_EQ(lost.error().fault, Fault::not_found);
    CHECK_FALSE(make_contender("clever").has_value());
    core::Config config;
    CHECK_FALSE(set_config(config, "size-weight", "much").has_value());
    CHECK_FALSE(set_config(config, "colour", "1").has_value());
    REQUIRE(set_config(config, "size-weight", "0.25").has_value());
    CHECK_EQ(config.size_weight_permille, 250);
}

TEST_CASE("the verb answers 2 to a bad argument") {
    CLI::App app;
    int exit_code = 0;
    add_command(app, exit_code);
    app.parse("simulate --policy clever --tasks 10");
    CHECK_EQ(exit_code, 2);
}

TEST_CASE("nexus evaluate --eta: a recorded workload on a fleet, with its arrivals or others; what cannot be is said") {
    std::string csv = "submit_time_s,duration_s,type\n";
    for (int n = 0; n < 4000; ++n) csv += fmt::format("{},{},type{}\n", n / 10 * 10, 1 + n % 3, n % 3);
    const std::string path =
        fmt::format("{}/nexus-eta-{}.csv", std::filesystem::temp_directory_path().string(), ::getpid());
    std::ofstream(path) << csv;
    evaluate::EtaQuestion question{
        .traces = {path}, .models = {"mixture"}, .workers = 4, .slots = 1, .load = 0.6, .json = true};
    const auto told = [&] {
        const auto text = measure_etas(question);
        REQUIRE(text.has_value());
        return nlohmann::json::parse(*text)["results"][0];
    };
    const auto recorded = told();
    CHECK_GT(recorded["eta_within_25"].get<double>(), 0.6);  // ten come at once: what waits is known
    CHECK_GT(recorded["run_within_25"].get<double>(), 0.95);
    CHECK_GT(recorded["eta_backlog_share"].get<double>() + recorded["eta_queued_share"].get<double>(), 0.4);
    CHECK_GT(recorded["eta_again_share"].get<double>(), 0.4);
    CHECK_GT(recorded["eta_again_within_25"].get<double>(), 0.7);
    question.recorded_arrivals = false;
    CHECK_LT(told()["eta_queued_share"].get<double>(), recorded["eta_queued_share"].get<double>());
    question.models = {"mixture", "ema"};
    question.json = false;
    const auto table = measure_etas(question);
    REQUIRE(table.has_value());
    CHECK(table->find(".csv ema ") != std::string::npos);
    question.models = {"clever"};
    CHECK_EQ(measure_etas(question).error().fault, Fault::not_found);
    CHECK(measure_etas(question).error().what.find("clever") != std::string::npos);
    question.traces = {"/nowhere/at/all.csv"};
    CHECK_EQ(measure_etas(question).error().fault, Fault::not_found);
    std::filesystem::remove(path);
}

TEST_CASE("a grid does not depend on its threads") {
    GridSpec spec{.workloads = {"ln"},
                  .clusters = {'B'},
                  .loads = {0.7},
                  .policies = {"predictive", "round-robin"},
                  .tasks = 400,
                  .threads = 1};
    const auto quiet = [](std::size_t, std::size_t) {};
    const auto one = run_grid(spec, quiet);
    spec.threads = 2;
    const auto two = run_grid(spec, quiet);
    REQUIRE(one.has_value());
    REQUIRE(two.has_value());
    REQUIRE_EQ(one->size(), 4);
    for (std::size_t n = 0; n < one->size(); ++n) CHECK_EQ((*one)[n].results[0].digest, (*two)[n].results[0].digest);
    CHECK_EQ(judge(*one, 0).cells, 4);
}

TEST_CASE("field J: the columns of a table never run together, however large its figures") {
    Metrics small, large;
    small.name = "fcfs";
    small.digest = "0123456789abcdef";
    large.name = "least-work (a name that is longer than others)";
    large.digest = "fedcba9876543210";
    for (const MetricName& metric : metric_names()) large.*metric.value = 123'456'789'012.0;
    const std::string table = to_table({small, large});
    std::istringstream lines(table);
    std::size_t wanted = 0;
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line.find(": ") != std::string::npos) {
            wanted = 0;
            continue;
        }
        if (const std::size_t at = line.find(large.name); at == 0) line.replace(0, large.name.size(), "name");
        std::istringstream words(line);
        std::size_t count = 0;
        for (std::string word; words >> word;) ++count;
        if (wanted == 0) wanted = count;
        CAPTURE(line);
        CHECK_EQ(count, wanted);
    }
}

}  // namespace
}  // namespace nexus::simulate
