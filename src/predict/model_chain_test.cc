// The champion fails in every way it can; the predictor goes on.
#include <doctest/doctest.h>

#include <stdexcept>

#include "predict/generated_world.h"

using namespace nexus;
using namespace nexus::predict;

namespace {

enum class Illness { none, error, thrown, zero, negative, huge, nan, slow };

std::int64_t clock_us = 0;  // what the injected stopwatch shows
Instant stopwatch() {
    return {clock_us};
}

class IllModel final : public Model {
public:
    explicit IllModel(const Illness& illness) : illness_(illness) {}
    std::string_view name() const override { return "ill"; }
    Result<Estimate> estimate(const Features&) override {
        ++asked;
        Estimate made{.p50 = seconds(7),
                      .p90 = seconds(9),
                      .mean = seconds(7),
                      .confidence_permille = 500,
                      .source = EstimateSource::model};
        switch (illness_) {
            case Illness::none: break;
            case Illness::error: return fail(Fault::unavailable, "no");
            case Illness::thrown: throw std::runtime_error("no");
            case Illness::zero: made.p50 = {}; break;
            case Illness::negative: made.p50 = seconds(-7); break;
            case Illness::huge: made.mean = {INT64_MAX}; break;
            case Illness::nan: made.p50.us = static_cast<std::int64_t>(std::llround(std::nan(""))); break;
            case Illness::slow: clock_us += 5000; break;
        }
        return made;
    }
    void learn(const Observation&) override {
        if (illness_ == Illness::thrown) throw std::runtime_error("no");
    }
    void forget(std::string_view) override {}
    void save(std::string& out) const override { out += "x"; }
    Result<void> load(std::string_view) override { return {}; }
    int asked = 0;

private:
    const Illness& illness_;
};

}  // namespace

TEST_CASE("a failing champion is replaced for that answer, flagged and counted") {
    static constexpr struct {
        const char* name;
        Illness illness;
        std::uint64_t ModelFailures::* counted;
    } rows[] = {
        {"returns an error", Illness::error, &ModelFailures::errors},
        {"throws", Illness::thrown, &ModelFailures::exceptions},
        {"says zero", Illness::zero, &ModelFailures::invalid},
        {"says a negative time", Illness::negative, &ModelFailures::invalid},
        {"says more than ten years", Illness::huge, &ModelFailures::invalid},
        {"rounds a NaN", Illness::nan, &ModelFailures::invalid},
        {"takes five milliseconds", Illness::slow, &ModelFailures::slow},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Illness illness = Illness::none;
        Predictor predictor(std::make_unique<IllModel>(illness));
        predictor.set_stopwatch(stopwatch);
        const Features known{.type = "known"};
        CHECK_EQ(predictor.estimate(known, {}).source, EstimateSource::model);
        predictor.learn({.features = known, .run = seconds(3)});

        illness = row.illness;
        CHECK_EQ(predictor.estimate({.type = "unknown"}, {}).source, EstimateSource::none);
        CHECK_EQ(predictor.failures_in_a_row(), 1);
        const Estimate stand_in = predictor.estimate(known, {});
        CHECK_EQ(stand_in.source, EstimateSource::ema);
        CHECK_EQ(stand_in.p50.us, seconds(3).us);
        CHECK_EQ(predictor.failures_in_a_row(), 2);
        CHECK_EQ(predictor.failures().*row.counted, 2);
        CHECK_EQ(predictor.failures().unanswered, 1);

        illness = Illness::none;
        CHECK_EQ(predictor.estimate(known, {}).source, EstimateSource::model);
        CHECK_EQ(predictor.failures_in_a_row(), 0);
    }
}

TEST_CASE("after three failures in a row the champion rests, then one call finds out whether it is back") {
    Illness illness = Illness::error;
    auto owned = std::make_unique<IllModel>(illness);
    const IllModel& model = *owned;
    Predictor predictor(std::move(owned));
    for (int i = 0; i < 3 + 1000; ++i) CHECK_EQ(predictor.estimate({.type = "t"}, {}).source, EstimateSource::none);
    CHECK_EQ(model.asked, 3);
    CHECK_EQ(predictor.failures().skipped, 1000);
    illness = Illness::none;
    CHECK_EQ(predictor.estimate({.type = "t"}, {}).source, EstimateSource::model);
    CHECK_EQ(predictor.failures_in_a_row(), 0);
}

TEST_CASE("a champion that throws while learning loses that lesson only") {
    Illness illness = Illness::thrown;
    Predictor predictor(std::make_unique<IllModel>(illness));
    predictor.learn({.features = {.type = "t"}, .run = seconds(4)});
    CHECK_EQ(predictor.failures().exceptions, 1);
    CHECK_EQ(predictor.estimate({.type = "t"}, {}).p50.us, seconds(4).us);
}

TEST_CASE("random illness never yields an unusable estimate") {
    Illness illness = Illness::none;
    Predictor predictor(std::make_unique<IllModel>(illness));
    predictor.set_stopwatch(stopwatch);
    Feed feed(predictor);
    Rng rng(3);
    for (int i = 0; i < 3000; ++i) {
        illness = static_cast<Illness>(rng.below(8));
        feed.run({.type = rng.one_in(2) ? "a" : "b", .worker = "w"}, 1e6 * (1 + rng.unit()));
        if (feed.made().source == EstimateSource::none) continue;
        REQUIRE_GE(feed.made().p50.us, 1);
        REQUIRE_GE(feed.made().p90.us, feed.made().p50.us);
        REQUIRE_LE(feed.made().p90.us, hours(24 * 3650).us);
    }
}
