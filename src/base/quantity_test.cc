#include "base/quantity.h"

#include <doctest/doctest.h>

using namespace nexus;

TEST_CASE("parse_duration takes numbers with units") {
    static constexpr struct {
        std::string_view text;
        std::int64_t us;
    } rows[] = {
        {"0", 0},
        {"0s", 0},
        {"5s", 5'000'000},
        {"250ms", 250'000},
        {"7us", 7},
        {"1m30s", 90'000'000},
        {"1.5s", 1'500'000},
        {"0.25ms", 250},
        {"2h", 7'200'000'000},
        {"7d", 604'800'000'000},
        {"1d2h3m4s5ms6us", 93'784'005'006},
        {"36500d", 3'153'600'000'000'000},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto parsed = parse_duration(row.text);
        REQUIRE(parsed.has_value());
        CHECK_EQ(parsed->us, row.us);
    }
}

TEST_CASE("parse_duration refuses what is not plainly a duration") {
    for (const std::string_view text : {"",
                                        "5",
                                        "5x",
                                        "-1s",
                                        "1e9d",
                                        "s",
                                        "5 s",
                                        "1s1m",
                                        "1s1s",
                                        "1.5us",
                                        ".5s",
                                        "5.s",
                                        "1..5s",
                                        "36501d",
                                        "99999999999999999999s",
                                        "9223372036854775807d",
                                        "nan",
                                        "inf",
                                        "5S",
                                        "5s "}) {
        CAPTURE(text);
        const auto parsed = parse_duration(text);
        REQUIRE_FALSE(parsed.has_value());
        CHECK_EQ(parsed.error().fault, Fault::invalid);
    }
}

TEST_CASE("duration_text is exact and short") {
    static constexpr struct {
        std::int64_t us;
        std::string_view text;
    } rows[] = {{0, "0s"},           {1, "1us"},          {1'500'000, "1500ms"},   {5'000'000, "5s"},
                {90'000'000, "90s"}, {300'000'000, "5m"}, {604'800'000'000, "7d"}, {1'000'001, "1000001us"}};
    for (const auto& row : rows) {
        CHECK_EQ(duration_text({row.us}), row.text);
        CHECK_EQ(parse_duration(row.text)->us, row.us);
    }
}

TEST_CASE("sizes") {
    static constexpr struct {
        std::string_view text;
        std::uint64_t bytes;
    } rows[] = {{"0B", 0},    {"64MiB", 64U << 20}, {"1500B", 1500}, {"10GB", 10'000'000'000}, {"3TiB", 3ULL << 40},
                {"2kB", 2000}};
    for (const auto& row : rows) {
        CAPTURE(row.text);
        REQUIRE(parse_size(row.text).has_value());
        CHECK_EQ(*parse_size(row.text), row.bytes);
        CHECK_EQ(*parse_size(size_text(row.bytes)), row.bytes);
    }
    for (const std::string_view bad : {"", "5", "MiB", "1.5MiB", "-1B", "5mib", "99999999TiB", "5 MiB"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_size(bad).has_value());
    }
}

TEST_CASE("counts have commas, and a plural unless there is one") {
    CHECK_EQ(counted(0, "task"), "0 tasks");
    CHECK_EQ(counted(1, "task"), "1 task");
    CHECK_EQ(counted(999, "task"), "999 tasks");
    CHECK_EQ(counted(1'234'567, "worker"), "1,234,567 workers");
}
