// What happened lately: rings of points, windows that slide, what is kept of workers and types.

#include "engine/lately.h"

#include <cmath>

#include "doctest/doctest.h"
#include "engine/world_test.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

constexpr std::int64_t kStart = 1'800'000'000'000'000;  // a whole minute

Point with(Gauge gauge, float value) {
    Point point;
    point[gauge] = value;
    return point;
}

}  // namespace

TEST_CASE("a series gives the finest steps that fit, and says what it does not know") {
    Series series;
    for (int step = 0; step < 12; ++step)
        if (step != 3) series.add({kStart + step * 10'000'000}, with(Gauge::finished, static_cast<float>(step)));
    const WallTime now{kStart + 120'000'000};
    auto all = series.read({.names = {"finished"}, .from = {kStart}, .to = {}, .step = {}}, now);
    REQUIRE(all.has_value());
    CHECK_EQ(all->from, WallTime{kStart});
    CHECK_EQ(all->step, seconds(10));
    REQUIRE_EQ(all->values.at(0).size(), 12);
    CHECK_EQ(all->values[0][2], 2.0F);
    CHECK(std::isnan(all->values[0][3]));
    // Larger steps: what is counted is added up.
    auto wide = series.read({.names = {"finished"}, .from = {kStart}, .to = {}, .step = seconds(20)}, now);
    REQUIRE(wide.has_value());
    CHECK_EQ(wide->step, seconds(20));
    CHECK_EQ(wide->values[0], std::vector<float>{1, 2, 9, 13, 17, 21});
    // Minutes are made of what was known of them.
    auto minutes_of = series.read({.names = {"finished"}, .from = {kStart}, .to = {}, .step = minutes(1)}, now);
    REQUIRE(minutes_of.has_value());
    CHECK_EQ(minutes_of->values[0], std::vector<float>{12, 51});
}

TEST_CASE("soon after a start the half hour that one asks for usually has the finest steps, as far as they are there") {
    Series series;
    for (int step = 0; step < 12; ++step) series.add({kStart + step * 10'000'000}, with(Gauge::finished, 1));
    const auto told = series.read({.names = {"finished"}, .from = {}, .to = {}, .step = {}}, {kStart + 120'000'000});
    REQUIRE(told.has_value());
    CHECK_EQ(told->step, seconds(10));
    CHECK_EQ(told->from.us, kStart);
    CHECK_EQ(told->values[0].size(), 12);
}

TEST_CASE("a series refuses names it does not have, and times the wrong way round") {
    const Series series;
    const WallTime now{kStart};
    CHECK_EQ(series.read({.names = {"wating"}, .from = {}, .to = {}, .step = {}}, now).error().what,
             "names: no such series (did you mean \"waiting\"?)");
    CHECK_EQ(series.read({.names = {}, .from = {kStart + 5}, .to = {}, .step = {}}, now).error().fault, Fault::invalid);
    auto nothing = series.read({}, now);
    REQUIRE(nothing.has_value());
    CHECK_EQ(nothing->gauges.size(), kGauges);
    CHECK(nothing->values[0].empty());
}

TEST_CASE("a ring forgets its oldest, drops what is not newer, and begins anew after a long pause") {
    Ring ring(seconds(10), 3);
    for (int step = 0; step < 5; ++step) ring.add({kStart + step * 10'000'000}, with(Gauge::waiting, 1));
    CHECK_EQ(ring.first(), kStart / 10'000'000 + 2);
    CHECK_EQ(ring.end() - ring.first(), 3);
    ring.add({kStart}, with(Gauge::waiting, 9));
    CHECK(ring.at(kStart / 10'000'000) == nullptr);
    ring.add({kStart + 1'000'000'000}, with(Gauge::waiting, 2));
    CHECK_EQ(ring.end() - ring.first(), 1);
}

TEST_CASE("joined points sum what is counted, keep extremes and average the rest") {
    Point a, b;
    a[Gauge::finished] = 2;
    b[Gauge::finished] = 3;
    a[Gauge::use_min] = 0.2F;
    b[Gauge::use_min] = 0.1F;
    a[Gauge::use_max] = 0.5F;
    b[Gauge::use_max] = 0.9F;
    a[Gauge::waiting] = 10;
    const Point one = joined({&a, nullptr, &b});
    CHECK_EQ(one[Gauge::finished], 5.0F);
    CHECK_EQ(one[Gauge::use_min], 0.1F);
    CHECK_EQ(one[Gauge::use_max], 0.9F);
    CHECK_EQ(one[Gauge::waiting], 10.0F);
    CHECK(std::isnan(one[Gauge::wait_p50_us]));
}

TEST_CASE("slot time is that of the window, by name") {
    SlotTime times(minutes(1), 15);
    times.add({kStart}, 1, seconds(30));
    times.add({kStart + minutes(10).us}, 2, seconds(10));
    CHECK_EQ(times.all(), seconds(40));
    CHECK_EQ(times.of(1), seconds(30));
    times.forget({kStart + minutes(15).us});
    CHECK_EQ(times.all(), seconds(10));
    CHECK_EQ(times.of(1), Duration{});
    CHECK_EQ(times.by_name().size(), 1);
    CHECK_EQ(times.newest(1), WallTime{kStart});  // however long ago
    CHECK_EQ(times.newest(3), WallTime{});
}

TEST_CASE("of a worker the last runs are kept, and how many of them failed") {
    Lately lately;
    for (int n = 0; n < 40; ++n)
        lately.ran("w1", {.at = {kStart + n},
                          .task = {1, static_cast<std::uint64_t>(n)},
                          .run = seconds(1),
                          .predicted = seconds(1),
                          .outcome = n % 4 == 0 ? core::AttemptOutcome::failed : core::AttemptOutcome::succeeded});
    const Lately::OfWorker* worker = lately.worker("w1");
    REQUIRE(worker != nullptr);
    CHECK_EQ(worker->runs.size(), 36);
    CHECK_EQ(worker->runs.front().at.us, kStart + 39);
    CHECK_EQ(worker->failures, 9);  // of 4 to 39
    lately.happened({.at = {kStart}, .what = What::cordoned, .about = "w1", .author = "ann", .reason = "disk"});
    CHECK_EQ(lately.worker("w1")->author, "ann");
    lately.breaker("w1", 1, "slow", {kStart + 5});
    lately.breaker("w1", 1, "slow", {kStart + 6});
    CHECK_EQ(lately.worker("w1")->breaker_since.us, kStart + 5);
    const auto events = lately.events(false, "w1");
    REQUIRE_EQ(events.size(), 2);
    CHECK_EQ(events[0].what, What::breaker_opened);
    lately.happened({.at = {kStart}, .what = What::forgotten, .about = "w1"});
    CHECK(lately.worker("w1") == nullptr);
}

TEST_CASE("the engine tells what happened: runs and states of workers, series, tenants, deaths") {
    World world;
    auto given = world.given_a_task();
    world.pass(milliseconds(300));
    world.finish(given.session, given.order, {.run = milliseconds(250)});
    world.pass(seconds(11));

    auto detail = world.call(GetWorker{"w1"});
    REQUIRE(detail.has_value());
    REQUIRE_EQ(detail->runs.size(), 1);
    CHECK_EQ(detail->runs[0].type, "resize");
    CHECK_EQ(detail->runs[0].run, milliseconds(250));
    CHECK(detail->worker.state_since.us > 0);
    CHECK_EQ(world.call(GetWorker{"nobody"}).error().fault, Fault::not_found);

    REQUIRE(world.call(ControlWorker{"w1", core::WorkerOrder::cordon, "ann", "disk"}).has_value());
    detail = world.call(GetWorker{"w1"});
    CHECK_EQ(detail->worker.state_author, "ann");
    CHECK_EQ(detail->worker.state_reason, "disk");
    auto events = world.call(ListHappened{.of_type = false, .about = "w1"});
    REQUIRE(events.has_value());
    CHECK_EQ(events->front().what, What::cordoned);
    CHECK_EQ(events->back().what, What::connected);
    CHECK_EQ(world.call(ListHappened{.of_type = true, .about = "nothing"}).error().fault, Fault::not_found);

    auto series =
        world.call(ReadSeries{{.names = {"finished", "submitted", "use_max"}, .from = {}, .to = {}, .step = {}}});
    REQUIRE(series.has_value());
    float finished = 0;
    for (const float count : series->values[0]) finished += std::isnan(count) ? 0 : count;
    CHECK_EQ(finished, 1.0F);

    auto tenants = world.call(ListTenants{});
    REQUIRE(tenants.has_value());
    REQUIRE_EQ(tenants->size(), 1);
    CHECK_EQ(tenants->front().name, "default");
    CHECK_EQ(tenants->front().got_15m, 1.0);
    CHECK_EQ(tenants->front().entitled, 0.0);

    auto runs = world.call(ListTypeRuns{"resize"});
    REQUIRE(runs.has_value());
    REQUIRE_EQ(runs->size(), 1);
    CHECK_EQ(runs->front().run, milliseconds(250));
    CHECK_EQ(runs->front().size, 6);

    auto state = world.call(ReadState{});
    CHECK((*state)->status.wait_p99.us >= 0);
    CHECK_EQ((*state)->dead_lately, 0);
}

TEST_CASE("a closed breaker is an act: audited, and the worker takes work again") {
    World world;
    auto good = std::make_shared<RecordingLink>(), bad = std::make_shared<RecordingLink>();
    const SessionId good_session = world.connect(a_worker("good"), good);
    const SessionId bad_session = world.connect(a_worker("bad"), bad);
    const auto on = [](const char* worker) {
        Submission item = a_task();
        item.spec.pinned_worker = worker;
        item.spec.retry.attempts_max = 1;
        return item;
    };
    world.submitted(on("good"));
    world.finish(good_session, good->assigned().back());
    for (int n = 0; n < 4; ++n) {
        world.submitted(on("bad"));
        world.finish(bad_session, bad->assigned().back(),
                     {.outcome = core::AttemptOutcome::failed, .run = milliseconds(20)});
        world.pass(milliseconds(10));
    }
    world.pass(seconds(1));
    auto detail = world.call(GetWorker{"bad"});
    REQUIRE_EQ(detail->worker.breaker, "open");
    CHECK(detail->worker.breaker_since.us > 0);
    CHECK(detail->worker.next_trial > world.now.wall);
    CHECK_EQ(detail->worker.failures_recent, 4);
    CHECK_EQ((*world.call(ReadState{}))->dead_lately, 4);

    auto closed = world.call(ControlWorker{"bad", core::WorkerOrder::close_breaker, "ann", "new disk"});
    REQUIRE(closed.has_value());
    CHECK_EQ(closed->breaker, "closed");
    auto audit = world.call(ListAudit{});
    REQUIRE(audit.has_value());
    CHECK_EQ(audit->entries.front().author, "ann");
    CHECK(audit->entries.front().action.find("close-breaker") != std::string::npos);
    CHECK_EQ(world.call(ListHappened{.of_type = false, .about = "bad"})->front().what, What::breaker_ordered);
}

TEST_CASE("waiting tasks are told by their reason, with what most of them wait for") {
    World world;
    const auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    for (int n = 0; n < 3; ++n) world.submitted(a_task());
    Submission far = a_task("far");
    far.spec.labels_required = {{"zone", "moon"}};
    world.submitted(std::move(far));
    Submission late = a_task();
    late.spec.run_at = world.now.wall + hours(1);
    world.submitted(std::move(late));
    const auto state = *world.call(ReadState{});
    const auto& by = state->status.waiting_by;
    REQUIRE_EQ(by.size(), 3);
    CHECK_EQ(by[0].reason, core::WaitReason::capacity);
    CHECK_EQ(by[0].count, 2);
    const auto of = [&](core::WaitReason reason) {
        return std::ranges::find(by, reason, &core::WaitingBy::reason)->count;
    };
    CHECK_EQ(of(core::WaitReason::no_eligible_worker), 1);
    CHECK_EQ(of(core::WaitReason::not_before), 1);
    CHECK(state->status.oldest_waiting.us > 0);
    CHECK(state->status.drain_p10 <= state->status.drain_eta);
    CHECK(state->status.drain_eta <= state->status.drain_p90);
}

TEST_CASE("a task tells its attempts' predictions, its next start and what it asked for") {
    World world;
    auto given = world.given_a_task();
    world.finish(given.session, given.order, {.outcome = core::AttemptOutcome::failed, .run = milliseconds(20)});
    auto task = world.get(given.task);
    REQUIRE(task.has_value());
    CHECK(task->whole);
    REQUIRE(task->spec != nullptr);
    CHECK_EQ(task->spec->type, "resize");
    REQUIRE_EQ(task->attempts.size(), 1);
    CHECK(task->attempts[0].next_from > task->attempts[0].ended);
}

TEST_CASE("decisions are found by kind and time, with what became of them") {
    World world;
    auto given = world.given_a_task();
    world.pass(milliseconds(300));
    world.finish(given.session, given.order, {.run = milliseconds(250)});
    ListDecisions all;
    auto page = world.call(all);
    REQUIRE_EQ(page->decisions.size(), 1);
    REQUIRE(page->decisions[0].outcome.has_value());
    CHECK_EQ(page->decisions[0].outcome->run, milliseconds(250));
    ListDecisions of_kind;
    of_kind.query.kind = page->decisions[0].reason;
    CHECK_EQ(world.call(of_kind)->decisions.size(), 1);
    of_kind.query.kind = "preempted";
    CHECK(world.call(of_kind)->decisions.empty());
    ListDecisions later;
    later.query.from = page->decisions[0].place.at + seconds(1);
    CHECK(world.call(later)->decisions.empty());
    ListDecisions before;
    before.to = page->decisions[0].place.at;
    CHECK(world.call(before)->decisions.empty());
    ListDecisions fallback;
    fallback.query.fallback = true;
    CHECK_EQ(world.call(fallback)->decisions.size(), page->decisions[0].fallback ? 1 : 0);
}

TEST_CASE("a decision tells by how much the runner-up would have been done earlier, of what succeeded") {
    World world;
    auto first = std::make_shared<RecordingLink>(), second = std::make_shared<RecordingLink>();
    const SessionId one = world.connect(a_worker("w1"), first);
    world.teach(one, *first);
    const SessionId two = world.connect(a_worker("w2"), second);
    const auto run = [&](Duration took, core::AttemptOutcome outcome) {
        const std::size_t before = first->assigned().size();
        const TaskId task = world.submitted(a_task());
        const bool there = first->assigned().size() > before;
        world.pass(took);
        AttemptReport report{.run = took};
        report.outcome = outcome;
        report.retryable = false;
        world.finish(there ? one : two, (there ? first : second)->assigned().back(), report);
        return task;
    };
    const auto told = [&](TaskId task) {
        ListDecisions of_task;
        of_task.query.task = task;
        const auto page = world.call(of_task);
        REQUIRE_EQ(page->decisions.size(), 1);
        REQUIRE(page->decisions[0].outcome.has_value());
        CHECK_EQ(page->decisions[0].candidates.size(), 2);
        const auto explained = world.call(ExplainTask{task});
        REQUIRE(explained->decision.has_value());
        REQUIRE(explained->decision->outcome.has_value());
        CHECK_EQ(explained->decision->outcome->regret, page->decisions[0].outcome->regret);
        return page->decisions[0].outcome->regret;
    };
    const Duration regret = told(run(seconds(5), core::AttemptOutcome::succeeded));
    CHECK(regret > seconds(4));
    CHECK(regret < milliseconds(4900));
    CHECK_EQ(told(run(milliseconds(10), core::AttemptOutcome::succeeded)), Duration{});  // no later than predicted
    CHECK_EQ(told(run(seconds(5), core::AttemptOutcome::failed)), Duration{});
}

TEST_CASE("slots that come free are told of the workers that take a type and have the labels") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    WorkerHello hello = a_worker("w1", 3);
    hello.joined.labels = {{"zone", "a"}};
    hello.joined.types = {"resize"};
    const SessionId session = world.connect(hello, link);
    world.teach(session, *link);
    CHECK_EQ(world.call(GetFreeSlots{})->free, 3);
    world.submitted(a_task());
    world.submitted(a_task());
    for (const GetFreeSlots& wanted :
         {GetFreeSlots{}, GetFreeSlots{.type = "resize"}, GetFreeSlots{.type = "resize", .labels = {{"zone", "a"}}}}) {
        const auto told = world.call(wanted);
        CHECK_EQ(told->free, 1);
        CHECK_EQ(told->taken, 2);
        REQUIRE_EQ(told->coming.size(), 13);
        CHECK_EQ(told->coming.front().p90, 0);
        for (std::size_t n = 1; n < told->coming.size(); ++n) {
            const auto& [before, point] = std::pair(told->coming[n - 1], told->coming[n]);
            CHECK_EQ(point.in - before.in, seconds(5));
            CHECK(point.p50 >= before.p50);
            CHECK(point.p10 <= point.p50);
            CHECK(point.p50 <= point.p90);
            CHECK(point.p90 <= 2);
        }
        CHECK(told->coming.back().p10 == doctest::Approx(2));
    }
    for (const GetFreeSlots& wanted : {GetFreeSlots{.type = "other"}, GetFreeSlots{.labels = {{"zone", "b"}}},
                                       GetFreeSlots{.labels = {{"zone", "a"}, {"gpu", "yes"}}}}) {
        CHECK_EQ(world.call(wanted)->free, 0);
        CHECK_EQ(world.call(wanted)->taken, 0);
    }
    world.call(ControlWorker{.name = "w1"});
    CHECK_EQ(world.call(GetFreeSlots{})->free, 0);  // it takes no new ones
}
