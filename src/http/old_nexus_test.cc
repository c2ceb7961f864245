// Keys and the rate limit of /scheduler/*, on a clock that moves only when told; the rest is test/e2e/test_scheduler.py.
#include "http/old_nexus.h"

#include "http/site_test.h"

namespace nexus::http {
namespace {

struct Face : Site {
    Instant now{1'000'000};
    std::shared_ptr<OldNexus> old =
        std::make_shared<OldNexus>(*door, std::vector<std::string>{"good"}, [this] { return now; });

    Response ask(const std::string& key, const std::string& from = "http:a") const {
        Request request{.path = "/scheduler/workers", .scheduler_key = key, .from = from};
        const Route where = find_route(api::Verb::get, request.path);
        if (auto refusal = old->find_caller(request, where.method)) return *std::move(refusal);
        std::promise<Response> promise;
        old->answer(where, std::move(request), [&](Response response) { promise.set_value(std::move(response)); });
        return promise.get_future().get();
    }
};

TEST_CASE("a key may ask a hundred times a minute, then again in the next one") {
    Face face;
    for (unsigned i = 0; i < OldNexus::kRequestsMax; ++i) REQUIRE_EQ(face.ask("good").status, 200);
    CHECK_EQ(face.ask("good").status, 429);
    face.now = face.now + seconds(59);
    const Response refused = face.ask("good");
    CHECK_EQ(refused.status, 429);
    CHECK(refused.body.find("\"retryAfter\":1") != std::string::npos);
    face.now = face.now + seconds(1);
    CHECK_EQ(face.ask("good").status, 200);
}

TEST_CASE("wrong keys and none are counted by themselves, and ever new ones share a count") {
    Face face;
    for (unsigned i = 0; i < OldNexus::kRequestsMax; ++i) REQUIRE_EQ(face.ask("wrong").status, 403);
    CHECK_EQ(face.ask("wrong").status, 429);
    CHECK_EQ(face.ask("").status, 401);
    CHECK_EQ(face.ask("good").status, 200);
    unsigned refused = 0;
    for (int i = 0; i < 5000; ++i) refused += face.ask("guess " + std::to_string(i)).status == 429 ? 1 : 0;
    CHECK_GT(refused, 500);
    CHECK_EQ(face.ask("good").status, 200);
}

}  // namespace
}  // namespace nexus::http
