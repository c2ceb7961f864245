#include "api/view.h"

#include <doctest/doctest.h>

using namespace nexus;

TEST_CASE("field J: decisions that one event caused have ids of their own") {
    engine::DecisionPage page;
    for (std::uint32_t part = 0; part < 3; ++part) {
        history::DecisionInfo decision;
        decision.place = {.number = 1024, .part = part};
        page.decisions.push_back(decision);
    }
    nexus::v1::ListDecisionsResponse out;
    api::to_message(page, out);
    CHECK_EQ(out.decisions(0).id(), "1024");
    CHECK_EQ(out.decisions(1).id(), "1024.1");
    CHECK_EQ(out.decisions(2).id(), "1024.2");
    CHECK_EQ(out.decisions(2).number(), 1024);
}

TEST_CASE("what a decision cost, until when a task may be overtaken, and slots that come free are told") {
    engine::Explanation explanation;
    explanation.overtaken_until = {1'800'000'000'000'000};
    explanation.decision.emplace().outcome = history::DecisionInfo::Outcome{.run = seconds(9), .regret = seconds(2)};
    nexus::v1::Explanation out;
    api::to_message(explanation, out);
    CHECK_EQ(out.overtaken_until_unix_us(), 1'800'000'000'000'000);
    CHECK_EQ(out.decision().outcome().run_us(), 9'000'000);
    CHECK_EQ(out.decision().outcome().regret_us(), 2'000'000);

    nexus::v1::FreeSlots slots;
    api::to_message(engine::FreeSlotsInfo{.free = 3, .taken = 7, .coming = {{}, {seconds(5), 1, 2, 4}}}, slots);
    CHECK_EQ(slots.free(), 3);
    CHECK_EQ(slots.taken(), 7);
    REQUIRE_EQ(slots.slots_free_size(), 2);
    CHECK_EQ(slots.slots_free(0).in_us(), 0);
    CHECK_EQ(slots.slots_free(1).in_us(), 5'000'000);
    CHECK_EQ(slots.slots_free(1).p10(), 1);
    CHECK_EQ(slots.slots_free(1).p50(), 2);
    CHECK_EQ(slots.slots_free(1).p90(), 4);
}
