#include "engine/inbox.h"

#include <doctest/doctest.h>

using namespace nexus;
using namespace nexus::engine;

namespace {

Call a_call(int& answered, Fault& fault, std::size_t bytes = 10) {
    Submission item;
    item.body.payload.assign(bytes, 'x');
    SubmitTasks request;
    request.items.push_back(std::move(item));
    return Asked<SubmitTasks>{std::move(request), [&](Result<std::vector<Submitted>> answer) {
                                  ++answered;
                                  if (!answer) fault = answer.error().fault;
                              }};
}

std::vector<Inbox::Item> taken(Inbox& inbox) {
    std::vector<Inbox::Item> items;
    (void)inbox.take(items, [] { return 0; });
    return items;
}

}  // namespace

TEST_CASE("calls beyond a number or a size are refused at once, and there is room again when they are taken") {
    Inbox inbox({.calls_max = 3, .call_bytes_max = 20'000, .reports_per_session_max = 2, .report_bytes_max = 1'000});
    int answered = 0;
    Fault fault{};
    for (int i = 0; i < 3; ++i) inbox.put_call({}, a_call(answered, fault));
    CHECK_EQ(answered, 0);
    inbox.put_call({}, a_call(answered, fault));
    CHECK_EQ(answered, 1);
    CHECK(fault == Fault::exhausted);
    CHECK_EQ(taken(inbox).size(), 3);
    inbox.put_call({}, a_call(answered, fault, 30'000));
    CHECK_EQ(answered, 2);
    inbox.put_call({}, a_call(answered, fault));
    CHECK_EQ(answered, 2);
    inbox.close();
    inbox.put_call({}, a_call(answered, fault));
    CHECK_EQ(answered, 3);
    CHECK(fault == Fault::unavailable);
}

TEST_CASE("a session with too many reports is cut off, once; of signs of life one waits") {
    Inbox inbox({.calls_max = 3, .call_bytes_max = 1'000, .reports_per_session_max = 2, .report_bytes_max = 1'000});
    const auto nothing = [] { return Work([](Engine&) {}); };
    const SessionId chatty{1}, quiet{2};
    CHECK(inbox.put_report(chatty, 100, false, nothing()) == Inbox::Put::taken);
    CHECK(inbox.put_report(chatty, 100, false, nothing()) == Inbox::Put::taken);
    CHECK(inbox.put_report(chatty, 100, false, nothing()) == Inbox::Put::full);
    CHECK(inbox.put_report(chatty, 100, false, nothing()) == Inbox::Put::taken);  // dropped: it is cut off already
    for (int i = 0; i < 100; ++i) CHECK(inbox.put_report(quiet, 10, true, nothing()) == Inbox::Put::taken);
    CHECK_EQ(taken(inbox).size(), 3);
    CHECK(inbox.put_report(quiet, 900, false, nothing()) == Inbox::Put::taken);
    CHECK(inbox.put_report(chatty, 200, false, nothing()) == Inbox::Put::full);
}

TEST_CASE("calls can be refused while everything else stays") {
    Inbox inbox;
    int answered = 0;
    Fault fault{};
    inbox.put_call({}, a_call(answered, fault));
    CHECK(inbox.put([](Engine&) {}) == Inbox::Put::taken);
    inbox.put_call({}, a_call(answered, fault));
    inbox.refuse_calls({Fault::unavailable, "not now"}, 0);
    CHECK_EQ(answered, 2);
    CHECK(fault == Fault::unavailable);
    CHECK_EQ(inbox.calls_waiting(), 0);
    CHECK_EQ(taken(inbox).size(), 1);
}

TEST_CASE("field M: calls that only look wait in a line of their own, and what nobody waits for is dropped") {
    Inbox inbox({.calls_max = 3, .call_bytes_max = 20'000, .reports_per_session_max = 2, .report_bytes_max = 1'000});
    int answered = 0;
    Fault fault{};
    const auto look = [&] {
        return Call(Asked<ListTasks>{{}, [&](Result<TaskPage> answer) {
                                         ++answered;
                                         if (!answer) fault = answer.error().fault;
                                     }});
    };
    inbox.put_call({}, look());
    CHECK(inbox.put_report(SessionId{1}, 100, false, [](Engine&) {}) == Inbox::Put::taken);
    inbox.put_call({}, a_call(answered, fault));
    CHECK_EQ(taken(inbox).size(), 2);  // the look stays
    CHECK_EQ(inbox.calls_waiting(), 1);
    for (int i = 0; i < 2; ++i) inbox.put_call({}, look());
    CHECK_EQ(answered, 0);
    inbox.put_call({}, look());
    CHECK_EQ(answered, 1);
    CHECK(fault == Fault::exhausted);
    Inbox::Item item;
    for (int i = 0; i < 3; ++i) CHECK(inbox.take_look(item));
    CHECK_FALSE(inbox.take_look(item));
    // Given up meanwhile: refused without the engine.
    const auto gone = std::make_shared<std::atomic<bool>>(false);
    inbox.put_call({.name = "x", .gone = gone}, look());
    REQUIRE(inbox.take_look(item));
    CHECK_FALSE(item.dropped());
    *gone = true;
    CHECK(item.dropped());
    CHECK_EQ(answered, 2);
    CHECK(fault == Fault::unavailable);
    inbox.put_call({}, look());
    inbox.refuse_calls({Fault::unreachable, "not now"}, 0);
    CHECK_EQ(answered, 3);
    CHECK(fault == Fault::unreachable);
    inbox.put_call({}, look());
    inbox.close();
    std::vector<Inbox::Item> items;
    CHECK(inbox.take(items, [] { return -1; }));  // what waits is still answered
    CHECK(inbox.take_look(item));
    CHECK_FALSE(inbox.take(items, [] { return -1; }));
}

TEST_CASE("a report that says anything is no mere sign of life, and what it holds counts") {
    WorkerReport alive;
    alive.load.emplace();
    CHECK(only_alive(alive));
    const std::uint64_t least = bytes_of(alive);
    const struct {
        const char* name;
        void (*say)(WorkerReport&);
        std::uint64_t bytes;
    } rows[] = {
        {"started", [](WorkerReport& r) { r.started.emplace_back(); }, 1},
        {"paused", [](WorkerReport& r) { r.paused.emplace_back(); }, 1},
        {"progress", [](WorkerReport& r) { r.progress.emplace_back(); }, 1},
        {"finished", [](WorkerReport& r) { r.finished.emplace_back().result.resize(5000); }, 5000},
        {"written", [](WorkerReport& r) { r.written.emplace_back().out.resize(5000); }, 5000},
        {"capacity", [](WorkerReport& r) { r.capacity.emplace(); }, 0},
        {"goodbye", [](WorkerReport& r) { r.goodbye = true; }, 0},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        WorkerReport report = alive;
        row.say(report);
        CHECK_FALSE(only_alive(report));
        CHECK_GE(bytes_of(report), least + row.bytes);
    }
}

TEST_CASE("who reads what an attempt writes only looks") {
    CHECK(only_looks(Asked<ReadOutput>{{}, [](Result<OutputText>) {}}));
    CHECK_FALSE(only_looks(Asked<CancelTask>{{}, [](Result<TaskInfo>) {}}));
}
