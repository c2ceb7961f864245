#include "evaluate/replay.h"

#include <doctest/doctest.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <string>

#include "base/rng.h"
#include "evaluate/command.h"
#include "evaluate/plot.h"
#include "evaluate/score.h"

using namespace nexus;
using namespace nexus::evaluate;

namespace {

// Answers with the number of runs it was told of, and writes down in which order it was asked and told.
class Diary final : public predict::Model {
public:
    explicit Diary(std::string& pages) : pages_(pages) {}
    std::string_view name() const override { return "diary"; }
    Result<Estimate> estimate(const predict::Features& features) override {
        pages_ += "?" + std::string(features.type) + " ";
        return Estimate{
            .p50 = seconds(told_ + 1), .p90 = seconds(told_ + 1), .mean = seconds(1), .source = EstimateSource::model};
    }
    void learn(const predict::Observation& seen) override {
        pages_ += "!" + std::string(seen.features.type) + "@" + std::to_string(seen.at.us / 1'000'000) + " ";
        ++told_;
    }
    void forget(std::string_view) override {}
    void save(std::string&) const override {}
    Result<void> load(std::string_view) override { return {}; }

private:
    std::string& pages_;
    std::int64_t told_ = 0;
};

std::string diary_of(const std::string& csv, Moment moment) {
    std::string pages;
    predict::Predictor predictor(std::make_unique<Diary>(pages));
    replay(parse_trace("submit_time_s,duration_s,type\n" + csv, "t").value(), moment, predictor);
    return pages;
}

std::vector<TraceRow> generated(std::size_t count) {
    Rng rng(3);
    std::vector<TraceRow> rows;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t kind = rng.below(5);
        rows.push_back({.submit = {static_cast<std::int64_t>(i) * 1'000'000},
                        .run = {static_cast<std::int64_t>(1'000'000 * (kind + 1) + rng.below(100'000))},
                        .type = "t" + std::to_string(kind)});
    }
    return rows;
}

int run_verb(std::vector<std::string> words) {
    CLI::App app("nexus");
    int exit_code = 0;
    add_command(app, exit_code);
    std::vector<const char*> arguments{"nexus", "evaluate"};
    for (const std::string& word : words) arguments.push_back(word.c_str());
    try {
        app.parse(static_cast<int>(arguments.size()), arguments.data());
    } catch (const CLI::ParseError&) {
        return 2;
    }
    return exit_code;
}

}  // namespace

TEST_CASE("a run is learned when it ends, never before; an end comes before a dispatch of the same moment") {
    CHECK_EQ(diary_of("0,5,a\n1,1,b\n2,9,c\n", Moment::submit), "?a ?b !b@2 ?c !a@5 !c@11 ");
    CHECK_EQ(diary_of("0,5,a\n5,1,b\n", Moment::dispatch), "?a !a@5 ?b !b@6 ");
}

TEST_CASE("dispatch waits for one of W = max(8, ceil(mean load / 0.7)) workers, first come first served") {
    // Eight long runs hold the eight workers; the ninth is asked only when the shortest of them has ended.
    std::string csv;
    for (int i = 0; i < 8; ++i) csv += "0," + std::to_string(10 + i) + ",w" + std::to_string(i) + "\n";
    csv += "1,1,late\n100,1,end\n";
    const std::string pages = diary_of(csv, Moment::dispatch);
    CHECK(pages.find("?w7 !w0@10 ?late !w1@11 !late@11 ") != std::string::npos);

    std::vector<TraceRow> rows(2001);
    for (std::size_t i = 0; i < rows.size(); ++i)
        rows[i] = {.submit = {static_cast<std::int64_t>(i) * 1'000'000}, .run = seconds(14)};
    CHECK_EQ(workers_for(rows), 21);  // load 14.007 / 0.7, rounded up
    rows.resize(1);
    CHECK_EQ(workers_for(rows), 8);
}

TEST_CASE("the same trace gives the same outcomes, and the figures agree with the predictor's own") {
    const auto rows = generated(3000);
    std::vector<Duration> first;
    for (int round = 0; round < 2; ++round) {
        predict::Predictor predictor(nullptr);
        const Replay result = replay(rows, Moment::dispatch, predictor);
        std::vector<Duration> points;
        for (const Outcome& outcome : result.outcomes) points.push_back(outcome.p50);
        if (round == 0) first = points;
        CHECK_EQ(points, first);
        const Score figures = score(rows, result.outcomes);
        CHECK_GT(figures.within_25, 0.98);
        CHECK_EQ(figures.rows, 3000);
        CHECK_EQ(result.accuracy.within_25, doctest::Approx(figures.within_25).epsilon(0.01));
        CHECK_EQ(result.outcomes.back().known, doctest::Approx(600).epsilon(0.2));
    }
}

TEST_CASE("scores by hand") {
    const auto rows = parse_trace("submit_time_s,duration_s,type\n0,100,a\n1,100,a\n2,100,a\n3,200,b\n", "t").value();
    const std::vector<Outcome> outcomes = {
        {.p50 = seconds(75), .p90 = seconds(99), .known = 0},    // at the edge: a hit; P90 missed
        {.p50 = seconds(125), .p90 = seconds(125), .known = 1},  // at the other edge
        {.p50 = seconds(126), .p90 = seconds(130), .known = 4},  // just outside
        {.p50 = seconds(200), .p90 = seconds(200), .known = 70},
    };
    const Score all = score(rows, outcomes);
    CHECK_EQ(all.within_25, 0.75);
    CHECK_EQ(all.p90_coverage, 0.75);
    CHECK_EQ(all.median_ape, 0.25);
    CHECK_EQ(all.p50_us, 126e6);
    CHECK_EQ(all.mean_abs_log_ratio, doctest::Approx((std::log(1 / 0.75) + std::log(1.25) + std::log(1.26)) / 4));
    const auto types = score_by_type(rows, outcomes);
    REQUIRE_EQ(types.size(), 2);
    CHECK_EQ(types[0].type, "a");
    CHECK_EQ(types[0].sigma, 0);
    CHECK_EQ(types[0].ceiling, 1);
    CHECK_EQ(types[0].hindsight, 1);
    CHECK_EQ(types[0].share_of_ceiling, doctest::Approx(2.0 / 3));
    CHECK_EQ(score_predictable(rows, outcomes).rows, 0);
    const auto steps = learning_speed(rows, outcomes);
    CHECK_EQ(steps[0].rows, 1);
    CHECK_EQ(steps[2].within_25, 0);
    CHECK_EQ(steps.back().within_25, 1);
}

TEST_CASE("the ceiling of a log-normal type is that of its sigma, the payload explained") {
    Rng rng(5);
    std::vector<TraceRow> rows;
    for (std::int64_t i = 0; i < 4000; ++i) {
        double sum = -6;
        for (int k = 0; k < 12; ++k) sum += rng.unit();
        const std::uint64_t payload = 1 + rng.below(1'000'000);
        const double us = 1e3 * std::sqrt(static_cast<double>(payload + 1)) * std::exp(0.2 * sum);
        rows.push_back({.submit = {i}, .run = {static_cast<std::int64_t>(us)}, .type = "t", .payload = payload});
    }
    const auto types = score_by_type(rows, std::vector<Outcome>(rows.size()));
    CHECK_EQ(types[0].sigma, doctest::Approx(0.2).epsilon(0.05));
    CHECK_EQ(types[0].ceiling, doctest::Approx(0.798).epsilon(0.03));
    CHECK_LT(types[0].hindsight, 0.5);
}

TEST_CASE("the plot is one closed SVG whose title cannot break out of it") {
    const auto rows = generated(200);
    predict::Predictor predictor(nullptr);
    const std::string svg = plot_svg(rows, replay(rows, Moment::dispatch, predictor).outcomes, "a <b> & c");
    CHECK(svg.starts_with("<svg "));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK(svg.find("a &lt;b> &amp; c") != std::string::npos);
    CHECK_EQ(svg.find("nan"), std::string::npos);
    CHECK_NE(svg.find("<polyline"), std::string::npos);
}

TEST_CASE("the verb's exit codes") {
    CHECK_EQ(run_verb({}), 2);
    CHECK_EQ(run_verb({"--trace", "/nowhere.csv"}), 2);
    CHECK_EQ(run_verb({"--trace", "/nowhere.csv", "--model", "crystal-ball"}), 2);
    CHECK_EQ(run_verb({"--trace", "/nowhere.csv", "--moment", "later"}), 2);
    CHECK_EQ(run_verb({"--trace", "/nowhere.csv", "-o", "yaml"}), 2);
}
