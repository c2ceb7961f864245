// Lists by text and time, queues, and what is done to many tasks at once.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/world_test.h"

using namespace nexus;
using namespace nexus::engine;

namespace {

AttemptReport failed_for_good() {
    AttemptReport report;
    report.outcome = core::AttemptOutcome::failed;
    report.retryable = false;
    return report;
}

// What was asked, with what is found: the same live as of the history.
std::vector<TaskId> found(World& world, TaskFilter filter) {
    std::vector<TaskId> ids;
    std::string page;
    do {
        const auto more = world.ask<TaskPage>(
            [&](Engine& e, auto done) { e.answer({}, ListTasks{filter, 3, page}, std::move(done)); });
        REQUIRE(more.has_value());
        CHECK((more->next.empty() || more->tasks.size() == 3));
        for (const TaskInfo& task : more->tasks) ids.push_back(task.task);
        page = more->next;
    } while (!page.empty());
    return ids;
}

template <class Request>
Result<ChangedMany> change(World& world, Request request, const Caller& caller = {}) {
    return world.ask<ChangedMany>([&](Engine& e, auto done) { e.answer(caller, std::move(request), std::move(done)); });
}

std::size_t refused(const ChangedMany& changed) {
    return static_cast<std::size_t>(
        std::ranges::count_if(changed.tasks, [](const Changed& one) { return one.refused.has_value(); }));
}

Submission named(std::string type, std::string queue, std::string tenant = "default") {
    Submission item = a_task(std::move(type));
    item.spec.queue = std::move(queue);
    item.spec.tenant = std::move(tenant);
    return item;
}

void step(World& world) {
    world.now.at = world.now.at + seconds(20);
    world.now.wall = world.now.wall + seconds(20);
}

}  // namespace

TEST_CASE("a list finds text in names and at the begin of ids, live and ended, in pages") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("gpu-7", 2), link);
    std::vector<TaskId> all;
    const struct {
        const char *type, *queue, *tenant;
    } rows[] = {{"resize", "day", "acme"}, {"Resize", "night", "zoo"},  {"mail", "day", "zoo"},
                {"mail", "night", "acme"}, {"video", "day", "resizer"}, {"sum", "day", "zoo"},
                {"sum", "day", "zoo"}};
    for (const auto& row : rows) {
        all.push_back(world.submitted(named(row.type, row.queue, row.tenant)));
        step(world);
        world.turn([&](Engine& e) { e.report(session, {}); });
    }
    // Two of them have ended, two run.
    for (int i = 0; i < 2; ++i) world.finish(session, link->assigned().at(static_cast<std::size_t>(i)));
    const auto ids = [&](std::initializer_list<int> numbers) {
        std::vector<TaskId> list;
        for (const int n : numbers) list.push_back(all[static_cast<std::size_t>(n)]);
        std::ranges::sort(list, std::greater{});
        return list;
    };
    CHECK(found(world, {.search = "resize"}) == ids({0, 1, 4}));
    CHECK(found(world, {.search = "RESIZE"}) == ids({0, 1, 4}));
    CHECK(found(world, {.tenant = "zoo", .search = "resize"}) == ids({1}));
    CHECK(found(world, {.search = "igh"}) == ids({1, 3}));
    CHECK(found(world, {.search = "nowhere"}).empty());
    CHECK(found(world, {.search = to_text(all[5])}) == ids({5}));
    CHECK(found(world, {.search = to_text(all[0]).substr(0, 13)}).size() >= 1);
    CHECK(found(world, {.search = "0"}).size() == all.size());  // all ids begin so
    // What ran on that worker, or runs there now.
    const auto of_worker = found(world, {.search = "PU-7"});
    CHECK(of_worker.size() == 4);
    CHECK(found(world, {.worker = "gpu-7", .search = "gpu"}) == of_worker);
}

TEST_CASE("a list keeps to the time of submission, live and ended") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    std::vector<TaskId> all;
    std::vector<WallTime> at;
    for (int i = 0; i < 9; ++i) {
        at.push_back(world.now.wall);
        all.push_back(world.submitted(a_task()));
        step(world);
        world.turn([&](Engine& e) { e.report(session, {}); });
    }
    for (std::size_t i = 0; i < 4; ++i) world.finish(session, link->assigned().at(i));
    for (std::size_t from = 0; from < 9; ++from)
        for (std::size_t to = from; to <= 9; ++to) {
            std::vector<TaskId> want(all.begin() + static_cast<std::ptrdiff_t>(from),
                                     all.begin() + static_cast<std::ptrdiff_t>(to));
            std::ranges::reverse(want);
            const WallTime end = to == 9 ? WallTime{} : at[to];
            CHECK(found(world, {.submitted_from = at[from], .submitted_to = end}) == want);
        }
}

TEST_CASE("queues tell what waits and runs in them, and what the configuration says of them") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    world.connect(a_worker("w1"), link);
    const WallTime begin = world.now.wall;
    world.submitted(named("a", "day"));
    step(world);
    world.submitted(named("a", "day"));
    world.submitted(named("b", "day"));
    world.turn([&](Engine& e) { e.answer({}, PauseQueue{"night", true, "", ""}, [](auto) {}); });
    world.submitted(named("a", "night"));
    const auto queues =
        world.ask<std::vector<QueueInfo>>([&](Engine& e, auto done) { e.answer({}, ListQueues{}, std::move(done)); });
    REQUIRE(queues.has_value());
    REQUIRE(queues->size() == 3);  // by name: day, default, night
    const QueueInfo& day = queues->at(0);
    CHECK(day.name == "day");
    CHECK(day.waiting == 2);
    CHECK(day.running == 1);
    CHECK(day.oldest.us == begin.us + seconds(20).us);
    CHECK(day.work.us > 0);
    CHECK_FALSE(day.paused);
    CHECK(queues->at(1).name == "default");
    CHECK(queues->at(1).oldest.us == 0);
    CHECK(queues->at(2).paused);
    CHECK(queues->at(2).waiting == 1);
    const auto get = [&](std::string name) {
        return world.ask<QueueInfo>([&](Engine& e, auto done) { e.answer({}, GetQueue{name}, std::move(done)); });
    };
    CHECK(get("night")->waiting == 1);
    CHECK(get("never").error().fault == Fault::not_found);
}

TEST_CASE("many tasks are cancelled by filter, a few at a time, and a dry run changes nothing") {
    World world;
    std::vector<TaskId> mail, sum;
    for (int i = 0; i < 7; ++i) mail.push_back(world.submitted(a_task("mail")));
    for (int i = 0; i < 3; ++i) sum.push_back(world.submitted(a_task("sum")));
    const auto dry = change(world, CancelMany{{.filter = {.type = "mail"}, .dry_run = true, .limit = 5}});
    REQUIRE(dry.has_value());
    CHECK(dry->tasks.size() == 5);
    CHECK_FALSE(dry->next.empty());
    CHECK(world.engine->live_tasks() == 10);
    std::string page;
    std::size_t calls = 0, cancelled = 0;
    do {
        const auto some =
            change(world, CancelMany{{.filter = {.type = "mail"}, .page = page, .reason = "enough", .limit = 3}});
        REQUIRE(some.has_value());
        CHECK(refused(*some) == 0);
        cancelled += some->tasks.size();
        page = some->next;
        ++calls;
    } while (!page.empty());
    CHECK(cancelled == 7);
    CHECK(calls == 3);
    CHECK(world.engine->live_tasks() == 3);
    CHECK(world.get(mail[0])->error == "cancelled: enough");
    CHECK(world.get(sum[0])->state == core::TaskState::waiting);
}

TEST_CASE("named tasks are cancelled each by itself: ended, unknown, repeated and other tenants' ones") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1"), link);
    const TaskId done = world.submitted(a_task()), waits = world.submitted(a_task());
    Submission behind = a_task();
    behind.spec.after = {waits};
    const TaskId after = world.submitted(std::move(behind));
    world.finish(session, link->assigned().at(0));
    const TaskId never{0x0190'0000'0000'7000, 5};
    const auto changed = change(world, CancelMany{{.tasks = {done, waits, never, waits, after}}});
    REQUIRE(changed.has_value());
    CHECK(changed->tasks.size() == 4);
    CHECK(refused(*changed) == 2);
    for (const Changed& one : changed->tasks) {
        if (one.task == done) CHECK(one.refused.value().fault == Fault::failed_state);
        if (one.task == never) CHECK(one.refused.value().fault == Fault::not_found);
        if (one.task == waits || one.task == after) CHECK_FALSE(one.refused.has_value());
    }
    CHECK(world.get(after)->state == core::TaskState::cancelled);
    CHECK(refused(*change(world, CancelMany{{.tasks = {waits}}})) == 0);  // again: as it is
    const TaskId theirs = world.submitted(named("a", "q", "zoo")), ours = world.submitted(named("a", "q", "acme"));
    const Caller acme{.name = "acme", .tenant = "acme", .roles = kAllRoles, .from = ""};
    CHECK(change(world, CancelMany{{.tasks = {theirs}}}, acme)->tasks.at(0).refused.value().fault == Fault::not_found);
    CHECK(change(world, CancelMany{{.filter = {.queue = "q"}}}, acme)->tasks.size() == 1);
    CHECK(world.get(ours)->state == core::TaskState::cancelled);
    CHECK(world.get(theirs)->state != core::TaskState::cancelled);
}

TEST_CASE("dead tasks are submitted again by filter, once, and by the rules for all") {
    World world;
    auto link = std::make_shared<RecordingLink>();
    const SessionId session = world.connect(a_worker("w1", 100), link);
    std::vector<TaskId> dead;
    for (int i = 0; i < 80; ++i) dead.push_back(world.submitted(a_task("mail")));
    for (std::size_t i = 0; i < 80; ++i) world.finish(session, link->assigned().at(i), failed_for_good());
    const TaskId good = world.submitted(a_task("mail"));
    world.finish(session, link->assigned().back());
    const TaskId waits = world.submitted(a_task("mail"));
    const auto dry = change(world, RetryMany{{.filter = {.type = "mail"}, .dry_run = true}});
    REQUIRE(dry.has_value());
    CHECK(dry->tasks.size() == 80);
    CHECK(refused(*dry) == 0);
    CHECK(world.engine->live_tasks() == 1);
    world.turn([&](Engine& e) { e.answer({}, Configure{0, "[scheduler]\ntasks_max = 41\n", "", ""}, [](auto) {}); });
    const auto some = change(world, RetryMany{{.filter = {.type = "mail"}}});
    REQUIRE(some.has_value());
    CHECK(some->tasks.size() == 80);
    CHECK(refused(*some) == 40);  // each by itself: as many as the limit lets in
    CHECK(world.engine->live_tasks() == 41);
    world.turn([&](Engine& e) { e.answer({}, Configure{0, "[scheduler]\ntasks_max = 1000\n", "", ""}, [](auto) {}); });
    const auto rest = change(world, RetryMany{{.filter = {.type = "mail"}}});
    CHECK(refused(*rest) == 40);  // those of before are told with the task that they became
    for (const Changed& one : rest->tasks) {
        CHECK(one.again);
        if (one.refused) CHECK(one.refused->fault == Fault::conflict);
        CHECK(world.get(one.again)->redrive_of == one.task);
    }
    CHECK(world.engine->live_tasks() == 81);
    // By name each call makes a new one; what succeeded or has not ended is refused.
    const auto named_ones = change(world, RetryMany{{.tasks = {dead[0], good, waits}}});
    CHECK(refused(*named_ones) == 2);
    CHECK(change(world, RetryMany{{.filter = {.states = {core::TaskState::waiting}}}}).error().fault == Fault::invalid);
    const Caller zoo{.name = "zoo", .tenant = "zoo", .roles = kAllRoles, .from = ""};
    CHECK(change(world, RetryMany{{.tasks = {dead[0]}}}, zoo)->tasks.at(0).refused.value().fault == Fault::not_found);
    CHECK(change(world, RetryMany{{.filter = {.type = "mail"}}}, zoo)->tasks.empty());
}

TEST_CASE("many are submitted again a page at a time; cancelled ones only when asked for") {
    World world;
    std::vector<TaskId> all;
    for (int i = 0; i < 5; ++i) all.push_back(world.submitted(a_task("mail")));
    REQUIRE(change(world, CancelMany{{.tasks = all}}).has_value());
    CHECK(change(world, RetryMany{{.filter = {.type = "mail"}}})->tasks.empty());
    std::vector<TaskId> seen;
    std::string page;
    do {
        const auto some = change(
            world,
            RetryMany{{.filter = {.states = {core::TaskState::cancelled}, .type = "mail"}, .page = page, .limit = 2}});
        REQUIRE(some.has_value());
        CHECK(refused(*some) == 0);
        for (const Changed& one : some->tasks) seen.push_back(one.task);
        page = some->next;
    } while (!page.empty());
    std::ranges::sort(seen);
    std::ranges::sort(all);
    CHECK(seen == all);
}
