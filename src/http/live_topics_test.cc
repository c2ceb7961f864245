// The live stream by topics: columns and their changes, frames that are shared, resuming.

#include "http/live_topics.h"

#include <doctest/doctest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "http/site_test.h"

using namespace nexus;
using namespace nexus::http;
using nlohmann::json;

namespace {

engine::WorkerInfo a_worker(std::string name, std::uint32_t running = 0, double used = 0) {
    engine::WorkerInfo worker{.name = std::move(name), .connected = true, .slots = 4, .running = running};
    worker.labels = {{"zone", "a"}};
    worker.utilization = used;
    worker.breaker = "closed";
    return worker;
}

// What a reader makes of the frames: the columns of those that are there.
struct Viewer {
    json columns;
    std::set<std::size_t> gone;
    void take(const json& frame) {
        if (frame.contains("full")) {
            columns = frame["columns"];
            gone.clear();
            return;
        }
        const json left = frame.value("gone", json::array()), added = frame.value("added", json::object()),
                   changes = frame.value("changes", json::object());
        for (const auto& at : left) gone.insert(at.get<std::size_t>());
        for (const auto& [name, values] : added.items())
            for (const auto& value : values) columns[name].push_back(value);
        for (const auto& [name, change] : changes.items())
            for (std::size_t i = 0; i < change[0].size(); ++i)
                columns[name][change[0][i].get<std::size_t>()] = change[1][i];
    }
    json of(const std::string& name, const std::string& column) const {
        for (std::size_t at = 0; at < columns["name"].size(); ++at)
            if (!gone.contains(at) && columns["name"][at] == name) return columns[column][at];
        return nullptr;
    }
};

// The topics with a thread of their own where the server has its I/O thread.
struct Stream {
    Site site;
    std::mutex mutex;
    std::vector<std::function<void()>> work;
    std::condition_variable wake;
    std::shared_ptr<LiveTopics> topics = std::make_shared<LiveTopics>(*site.door, "b00t", [this](auto one) {
        const std::lock_guard lock(mutex);
        work.push_back(std::move(one));
        wake.notify_one();
    });
    void tick() { run(&LiveTopics::tick); }
    void run(void (LiveTopics::*ask)(std::function<void()>)) {
        bool done = false;
        ((*topics).*ask)([&] { done = true; });
        while (!done) {
            std::unique_lock lock(mutex);
            wake.wait(lock, [this] { return !work.empty(); });
            auto now = std::exchange(work, {});
            lock.unlock();
            for (auto& one : now) one();
        }
    }
    Result<LiveTopics::View> watch(const std::string& names, const std::string& last = {}) const {
        Request request{.path = "/v1/live", .query = {{"topics", names}}, .last_event_id = last, .from = "http:test"};
        return topics->watch(request);
    }
};

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

}  // namespace

TEST_CASE("whoever follows the changes of the columns sees what a full frame shows") {
    FleetColumns columns(100);
    Viewer reader;
    std::vector<engine::WorkerInfo> fleet{a_worker("w1"), a_worker("w2")};
    REQUIRE(columns.update(fleet));
    CHECK_EQ(columns.version(), 101);
    reader.take(json::parse(columns.full()));
    const auto follow = [&] {
        const std::uint64_t before = columns.version();
        columns.update(fleet);
        for (const std::string& change : columns.since(before)) reader.take(json::parse(change));
    };
    fleet[0].running = 3;
    follow();
    CHECK_EQ(reader.of("w1", "running"), 3);
    CHECK_EQ(reader.of("w2", "running"), 0);
    fleet.erase(fleet.begin());
    fleet.push_back(a_worker("w3", 1));
    follow();
    CHECK_EQ(reader.of("w1", "running"), nullptr);
    CHECK_EQ(reader.of("w3", "running"), 1);
    fleet[0].labels = {{"zone", "b"}};  // the same name, another place
    fleet[1].connected = false;
    follow();
    CHECK_EQ(reader.of("w2", "labels")["zone"], "b");
    CHECK_EQ(reader.of("w3", "state"), 3);
    Viewer anew;
    anew.take(json::parse(columns.full()));
    for (const char* name : {"w2", "w3"})
        for (const char* column : {"running", "state", "labels", "slots"})
            CHECK_EQ(anew.of(name, column), reader.of(name, column));
}

TEST_CASE("columns say nothing when nothing changed, and not each small step of use") {
    FleetColumns columns;
    std::vector<engine::WorkerInfo> fleet{a_worker("w1", 1, 0.5)};
    columns.update(fleet);
    CHECK_FALSE(columns.update(fleet));
    fleet[0].utilization = 0.53;
    CHECK_FALSE(columns.update(fleet));
    fleet[0].utilization = 0.56;
    CHECK(columns.update(fleet));
    fleet[0].utilization = 1;
    CHECK(columns.update(fleet));
    CHECK_EQ(columns.since(columns.version() - 2).size(), 2);
    CHECK(columns.since(columns.version()).empty());
    CHECK(columns.since(0).empty());  // from before all that is kept
}

TEST_CASE("what changes all the time is told exactly, of each worker at every tenth update") {
    std::vector<engine::WorkerInfo> fleet;
    for (int n = 0; n < 20; ++n) fleet.push_back(a_worker("w" + std::to_string(n)));
    FleetColumns columns;
    Viewer reader;
    columns.update(fleet);
    reader.take(json::parse(columns.full()));
    for (engine::WorkerInfo& worker : fleet) worker.cpu_usage = 0.42, worker.memory_usage = 0.17;
    for (int turn = 0; turn < 10; ++turn) {
        std::size_t told = 0;
        for (engine::WorkerInfo& worker : fleet) ++worker.succeeded;
        const std::uint64_t before = columns.version();
        columns.update(fleet);
        for (const std::string& change : columns.since(before)) {
            reader.take(json::parse(change));
            told += json::parse(change)["changes"]["done"][0].size();
        }
        CHECK_EQ(told, 2);
    }
    for (const engine::WorkerInfo& worker : fleet) {
        const int done = reader.of(worker.name, "done");
        CHECK(done >= 1);
        CHECK(done <= 10);
        CHECK_EQ(reader.of(worker.name, "cpu"), 42);
        CHECK_EQ(reader.of(worker.name, "memory"), 17);
    }
}

TEST_CASE("a thousand busy workers change by less than ten kilobytes a second") {
    std::vector<engine::WorkerInfo> fleet;
    for (int n = 0; n < 1000; ++n) fleet.push_back(a_worker("worker-" + std::to_string(n), n % 4, (n % 100) / 100.0));
    FleetColumns columns;
    columns.update(fleet);
    std::size_t bytes = 0;
    std::uint32_t seed = 7;
    for (int second = 0; second < 20; ++second) {
        for (engine::WorkerInfo& worker : fleet) {
            seed = seed * 1'664'525U + 1'013'904'223U;
            if ((seed >> 16U) % 2 == 0) worker.running = (worker.running + 1) % 5;
            worker.utilization = std::min(1.0, worker.utilization + ((seed >> 20U) % 5) / 500.0);
            worker.succeeded += 1;
            worker.cpu_usage = ((seed >> 12U) % 100) / 100.0;
            worker.memory_usage = ((seed >> 8U) % 100) / 100.0;
        }
        const std::uint64_t before = columns.version();
        columns.update(fleet);
        for (const std::string& change : columns.since(before)) bytes += change.size();
    }
    CHECK(bytes / 20 < 10'000);
}

TEST_CASE("one stream tells the topics that were asked for, what changed only, and one frame serves all") {
    Stream stream;
    auto first = stream.watch("status,attention,fleet,tasks(state=waiting|running,type=thumb)");
    auto second = stream.watch("attention");
    REQUIRE(first.has_value());
    REQUIRE(second.has_value());
    CHECK_EQ(first->take(), "");
    stream.tick();
    const std::string text = first->take();
    for (const char* name : {"event: status\n", "event: attention\n", "event: fleet\n",
                             "event: tasks(state=waiting|running,type=thumb)\n"})
        CHECK_EQ(count(text, name), 1);
    CHECK_EQ(count(text, "id: b00t-"), 4);
    CHECK_EQ(count(second->take(), "event: "), 1);
    REQUIRE_EQ(stream.site.post("/v1/tasks", R"({"type": "thumb"})").status, 202);
    stream.tick();
    const std::string later = first->take();
    CHECK_EQ(count(later, "event: tasks"), 1);
    CHECK_EQ(count(later, "event: fleet"), 0);
    CHECK_EQ(first->take(), "");
}

TEST_CASE("whoever comes is told at once; without topics of status, attention and fleet") {
    Stream stream;
    auto first = stream.watch("types");
    stream.tick();
    CHECK_EQ(count(first->take(), "event: types\n"), 1);
    Request request{.path = "/v1/live", .from = "http:test"};
    auto second = stream.topics->watch(request);
    REQUIRE(second.has_value());
    stream.run(&LiveTopics::begin);
    const std::string text = second->take();
    for (const char* name : {"event: status\n", "event: attention\n", "event: fleet\n"}) CHECK_EQ(count(text, name), 1);
    CHECK_EQ(count(text, "event: "), 3);
    CHECK_EQ(first->take(), "");
}

TEST_CASE("series tells the newest minute") {
    Stream stream;
    auto view = stream.watch("series");
    stream.tick();
    const std::string text = view->take();
    const std::size_t data = text.find("data: ") + 6;
    const json told = json::parse(text.substr(data, text.find("\n\n") - data));
    CHECK(told["values"][0].size() <= 7);
}

TEST_CASE("a stream goes on behind the id that was seen, or says that there is a gap") {
    Stream stream;
    auto first = stream.watch("fleet");
    stream.tick();
    const std::string text = first->take();
    const std::string id = text.substr(4, text.find('\n') - 4);
    auto again = stream.watch("fleet", id);
    CHECK_EQ(again->take(), "");  // it has seen all of it
    for (const char* other : {"b00t-77", "another-1", "nonsense"}) {
        auto lost = stream.watch("fleet", other);
        const std::string told = lost->take();
        CHECK(told.starts_with("id: b00t-"));
        CHECK_EQ(count(told, "event: gap\n"), 1);
        CHECK_EQ(count(told, "\"full\":true"), 1);
    }
}

TEST_CASE("topics that are none, or too many, are refused; one that is not there is told of once") {
    Stream stream;
    CHECK_EQ(stream.watch("").error().fault, Fault::invalid);
    CHECK_EQ(
        stream.watch("nonsense").error().what,
        "topics: there is no 'nonsense'; there are status, attention, queues, types, tenants, series, fleet, tasks, "
        "tasks(FILTER), task:ID, worker:NAME and type:NAME");
    CHECK_EQ(stream.watch("tasks(state").error().fault, Fault::invalid);
    CHECK_EQ(stream.watch("tasks(state)").error().fault, Fault::invalid);
    CHECK_EQ(stream.watch("task:../../metrics").error().fault, Fault::invalid);
    std::string many = "status";
    for (int n = 0; n < 16; ++n) many += ",type:t" + std::to_string(n);
    CHECK_EQ(stream.watch(many).error().fault, Fault::invalid);
    auto view = stream.watch("type:unknown,tasks(state=wrong)");
    REQUIRE(view.has_value());
    stream.tick();
    const std::string text = view->take();
    CHECK_EQ(count(text, "event: error\n"), 2);
    CHECK_EQ(count(text, R"("topic":"type:unknown")"), 1);
    stream.tick();
    CHECK_EQ(view->take(), "");
}
