// Feeds of event streams without a socket: what is kept for a slow reader, and the bounds. Whole streams, and coming again,
// are in test/e2e/test_rest.py.
#include "http/watch.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "http/site_test.h"

namespace nexus::http {
namespace {

struct Watched : Site {
    std::shared_ptr<WatchFeed::Shared> shared = std::make_shared<WatchFeed::Shared>();
    std::atomic<int> woken{0};

    std::shared_ptr<WatchFeed> watch(const std::string& target) {
        Request request;
        REQUIRE(parse_target(target, request.path, request.query));
        auto feed =
            WatchFeed::start(*door, find_route(api::Verb::get, request.path), request, shared, [this] { ++woken; });
        REQUIRE(feed.has_value());
        return *feed;
    }
    std::string submit(const std::string& type = "a") const {
        const std::string body = post("/v1/tasks", R"({"type":")" + type + R"("})").body;
        return body.substr(body.find("\"id\":\"") + 6, 36);
    }
    template <class Condition>
    static void await(Condition condition) {
        for (int i = 0; i < 20'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        REQUIRE(condition());
    }
};

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
}

TEST_CASE("who reads slowly gets the newest state of each task, once, then the end") {
    Watched site;
    const std::string id = site.submit();
    const auto feed = site.watch("/v1/tasks/" + id + "/watch");
    site.await([&] { return site.woken >= 1; });
    (void)site.post("/v1/tasks/" + id + "/cancel");
    site.await([&] { return site.woken >= 2; });
    bool over = false;
    const std::string text = feed->take(1 << 20, over);
    CHECK(over);
    CHECK_EQ(count_of(text, "event: task"), 1);
    CHECK_EQ(count_of(text, "TASK_STATE_CANCELLED"), 1);
    CHECK_LT(text.find("event: task"), text.find("event: end"));
    CHECK_EQ(site.shared->bytes, 0);
    feed->close();
}

TEST_CASE("a watch that is not read ends with a problem, and what it held is let go") {
    Watched site;
    const auto feed = site.watch("/v1/tasks/watch?type=many");
    std::string batch = R"({"tasks":[)";
    for (int i = 0; i < 1000; ++i) batch += R"({"type":"many"},)";
    batch.back() = ']';
    batch += "}";
    for (int i = 0; i < 11; ++i) REQUIRE_EQ(site.post("/v1/tasks/batch", batch).status, 202);
    site.await([&] { return site.door->http.cut > 0; });
    bool over = false;
    const std::string text = feed->take(1 << 20, over);
    CHECK(over);
    CHECK_EQ(count_of(text, "event: task"), 0);
    CHECK_EQ(count_of(text, "EXHAUSTED"), 1);
    CHECK_EQ(site.shared->bytes, 0);
    feed->close();
}

TEST_CASE("what no watch can be about is refused before it begins") {
    Watched site;
    const auto refused = [&](const std::string& target, const std::string& last = {}) {
        Request request;
        REQUIRE(parse_target(target, request.path, request.query));
        request.last_event_id = last;
        const auto feed =
            WatchFeed::start(*site.door, find_route(api::Verb::get, request.path), request, site.shared, [] {});
        return feed ? "" : feed.error().what;
    };
    CHECK_NE(refused("/v1/tasks/nonsense/watch").find("id"), std::string::npos);
    CHECK_NE(refused("/v1/tasks/watch?id=1,2").find("id"), std::string::npos);
    CHECK_NE(refused("/v1/tasks/watch?colour=red").find("colour"), std::string::npos);
    CHECK_NE(refused("/v1/tasks/watch", "x").find("Last-Event-ID"), std::string::npos);
    CHECK_NE(refused("/v1/tasks/watch?type=a&id=" + site.submit()).find("either"), std::string::npos);
}

}  // namespace
}  // namespace nexus::http
