#include "base/spelling.h"

#include <doctest/doctest.h>
#include <array>

using namespace nexus;

TEST_CASE("nearest_word forgives a slip and no more") {
    static constexpr std::array<std::string_view, 5> known{"lease", "policy", "ttl", "tasks_max", "breaker"};
    static constexpr struct {
        std::string_view word, want;
    } rows[] = {{"leese", "lease"},
                {"laese", "lease"},
                {"plicy", "policy"},
                {"tl", "ttl"},
                {"task_max", "tasks_max"},
                {"banana", ""},
                {"", ""},
                {"x", ""}};
    for (const auto& row : rows) {
        CAPTURE(row.word);
        CHECK_EQ(nearest_word(row.word, known), row.want);
    }
    CHECK_EQ(did_you_mean("leese", known), " (did you mean \"lease\"?)");
    CHECK_EQ(nearest_word(std::string(1'000'000, 'a'), known), "");
}
