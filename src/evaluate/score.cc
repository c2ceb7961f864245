#include "evaluate/score.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "predict/band.h"

namespace nexus::evaluate {
namespace {

using Picked = std::vector<std::uint32_t>;  // row numbers

double median(std::vector<double>& values) {
    if (values.empty()) return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

double microseconds_of(Duration d) {
    return static_cast<double>(std::max<std::int64_t>(d.us, 1));
}

bool hit(const TraceRow& row, const Outcome& outcome) {
    const double actual = microseconds_of(row.run);
    return std::abs(static_cast<double>(outcome.p50.us) - actual) <= 0.25 * actual;
}

Score score_of(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes, const Picked& picked) {
    Score result{.rows = picked.size()};
    if (picked.empty()) return result;
    std::vector<double> errors;
    std::vector<double> points;
    for (const std::uint32_t i : picked) {
        const double actual = microseconds_of(rows[i].run);
        const double predicted = microseconds_of(outcomes[i].p50);
        result.within_25 += hit(rows[i], outcomes[i]) ? 1 : 0;
        result.p90_coverage += rows[i].run <= outcomes[i].p90 ? 1 : 0;
        result.mean_abs_log_ratio += std::abs(std::log(predicted / actual));
        errors.push_back(std::abs(predicted - actual) / actual);
        points.push_back(predicted);
    }
    const auto count = static_cast<double>(picked.size());
    result.within_25 /= count;
    result.p90_coverage /= count;
    result.mean_abs_log_ratio /= count;
    result.median_ape = median(errors);
    result.p50_us = median(points);
    return result;
}

std::map<std::string_view, Picked> rows_by_type(const std::vector<TraceRow>& rows) {
    std::map<std::string_view, Picked> by_type;
    for (std::uint32_t i = 0; i < rows.size(); ++i) by_type[rows[i].type].push_back(i);
    return by_type;
}

double hindsight_of(const std::vector<TraceRow>& rows, const Picked& picked) {
    std::vector<float> logs;
    for (const std::uint32_t i : picked) logs.push_back(static_cast<float>(std::log(microseconds_of(rows[i].run))));
    std::sort(logs.begin(), logs.end());
    const std::vector<float> ones(logs.size(), 1.0F);
    const predict::Band band = predict::densest_band(logs.data(), ones.data(), logs.size());
    return static_cast<double>(band.weight) / static_cast<double>(logs.size());
}

// Standard deviation of ln(run) around its least-squares line in ln(1 + payload).
double sigma_of(const std::vector<TraceRow>& rows, const Picked& picked) {
    const auto n = static_cast<double>(picked.size());
    double mean_x = 0;
    double mean_y = 0;
    for (const std::uint32_t i : picked) {
        mean_x += std::log1p(static_cast<double>(rows[i].payload)) / n;
        mean_y += std::log(microseconds_of(rows[i].run)) / n;
    }
    double xx = 0;
    double xy = 0;
    double yy = 0;
    for (const std::uint32_t i : picked) {
        const double dx = std::log1p(static_cast<double>(rows[i].payload)) - mean_x;
        const double dy = std::log(microseconds_of(rows[i].run)) - mean_y;
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    const double explained = xx > 1e-9 ? xy * xy / xx : 0;
    return std::sqrt(std::max(0.0, yy - explained) / n);
}

constexpr std::size_t kPredictableRows = 20;
constexpr double kPredictableShare = 0.8;

}  // namespace

Score score(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes) {
    Picked all(rows.size());
    for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    return score_of(rows, outcomes, all);
}

std::vector<TypeScore> score_by_type(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes) {
    std::vector<TypeScore> scores;
    for (const auto& [type, picked] : rows_by_type(rows)) {
        TypeScore entry{.type = std::string(type), .score = score_of(rows, outcomes, picked)};
        entry.sigma = sigma_of(rows, picked);
        // 2 Phi(z) - 1 = erf(z / sqrt 2)
        entry.ceiling = entry.sigma > 0 ? std::erf(0.2554 / entry.sigma / std::sqrt(2.0)) : 1;
        entry.hindsight = hindsight_of(rows, picked);
        entry.share_of_ceiling = entry.score.within_25 / std::max({entry.ceiling, entry.hindsight, 1e-9});
        scores.push_back(std::move(entry));
    }
    std::stable_sort(scores.begin(), scores.end(),
                     [](const TypeScore& a, const TypeScore& b) { return a.score.rows > b.score.rows; });
    return scores;
}

Score score_predictable(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes) {
    Picked predictable;
    for (const auto& [type, picked] : rows_by_type(rows)) {
        if (picked.size() < kPredictableRows || hindsight_of(rows, picked) < kPredictableShare) continue;
        predictable.insert(predictable.end(), picked.begin(), picked.end());
    }
    return score_of(rows, outcomes, predictable);
}

std::vector<LearningStep> learning_speed(const std::vector<TraceRow>& rows, const std::vector<Outcome>& outcomes) {
    std::vector<LearningStep> steps;
    for (const std::uint64_t known : {0, 1, 3, 5, 10, 20, 50}) steps.push_back({.known_min = known});
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::size_t at = steps.size() - 1;
        while (steps[at].known_min > outcomes[i].known) --at;
        ++steps[at].rows;
        steps[at].within_25 += hit(rows[i], outcomes[i]) ? 1 : 0;
    }
    for (LearningStep& step : steps)
        if (step.rows > 0) step.within_25 /= static_cast<double>(step.rows);
    return steps;
}

}  // namespace nexus::evaluate
