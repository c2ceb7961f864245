#pragma once
// What the tests of this room share: a real engine with stores in memory, asked through the routes.

#include <doctest/doctest.h>

#include <future>
#include <memory>
#include <string>

#include "engine/runner.h"
#include "history/memory/memory_history.h"
#include "http/routes.h"
#include "http/target.h"
#include "store/memory/faulty_journal.h"

namespace nexus::http {

struct Site {
    store::FaultyJournal journal{1, {}};
    history::MemoryHistory history;
    std::unique_ptr<engine::Runner> engine;
    std::unique_ptr<api::Door> door;

    Site() {
        auto started = engine::Runner::start({}, journal, history);
        REQUIRE(started.has_value());
        engine = std::move(*started);
        door = std::make_unique<api::Door>(*engine);
    }
    ~Site() { engine->stop(); }

    Response ask(api::Verb verb, const std::string& target, const std::string& body = {},
                 const std::string& key = {}) const {
        Request request{.verb = verb, .idempotency_key = key, .body = body, .from = "http:test"};
        REQUIRE(parse_target(target, request.path, request.query));
        if (!body.empty()) request.content_type = "application/json";
        const Route where = find_route(verb, request.path);
        std::promise<Response> promise;
        route(*door, where, std::move(request), [&](Response response) { promise.set_value(std::move(response)); });
        return promise.get_future().get();
    }
    Response get(const std::string& target) const { return ask(api::Verb::get, target); }
    Response post(const std::string& target, const std::string& body = {}) const {
        return ask(api::Verb::post, target, body);
    }
};

}  // namespace nexus::http
