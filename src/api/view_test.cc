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
