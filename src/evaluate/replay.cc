#include "evaluate/replay.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <queue>
#include <unordered_map>

namespace nexus::evaluate {
namespace {

using Clock = std::chrono::steady_clock;

double nanoseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

// What happens to a running row, soonest first; among equals the lower row, and its end before its P90.
enum class What : std::uint8_t { ends, overdue, passes };
struct Happening {
    Instant at;
    std::uint32_t row = 0;
    What what = What::ends;
    bool operator>(const Happening& other) const {
        if (at != other.at) return at > other.at;
        if (row != other.row) return row > other.row;
        return what > other.what;
    }
};

class Player {
public:
    Player(const std::vector<TraceRow>& rows, predict::Predictor& predictor) : rows_(rows), predictor_(predictor) {
        result_.outcomes.resize(rows.size());
        known_of_.resize(rows.size());
        began_.resize(rows.size());
        std::unordered_map<std::string_view, std::uint32_t> numbers;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const auto next = static_cast<std::uint32_t>(numbers.size());
            known_of_[i] = numbers.try_emplace(rows[i].type, next).first->second;
        }
        known_.resize(numbers.size());
    }

    // Everything that happens up to and including `now`.
    void advance(Instant now) {
        while (!ahead_.empty() && ahead_.top().at <= now) {
            const Happening next = ahead_.top();
            ahead_.pop();
            switch (next.what) {
                case What::ends: finish(next.row, next.at); break;
                case What::overdue:
                    predictor_.overdue(features_of(rows_[next.row]), next.at - estimate_of(next.row).p90, next.at);
                    break;
                case What::passes: pass(next.row, next.at); break;
            }
        }
    }

    void start(std::uint32_t row, Instant now) {
        const auto began = Clock::now();
        const Estimate made = predictor_.estimate(features_of(rows_[row]), now);
        result_.predict_ns_mean += nanoseconds_since(began);
        began_[row] = now;
        result_.outcomes[row] = {.p50 = made.p50,
                                 .p90 = made.p90,
                                 .source = made.source,
                                 .confidence_permille = made.confidence_permille,
                                 .known = known_[known_of_[row]]};
        ahead_.push({.at = now + rows_[row].run, .row = row});
        if (rows_[row].run > made.p90) ahead_.push({.at = now + made.p90, .row = row, .what = What::overdue});
        plan_pass(row, now, {});
    }

    Replay take() {
        const auto rows = static_cast<double>(rows_.size());
        result_.predict_ns_mean /= rows;
        result_.learn_ns_mean /= std::max(1.0, learned_);
        result_.accuracy = predictor_.accuracy();
        return std::move(result_);
    }

private:
    Estimate estimate_of(std::uint32_t row) const {
        const Outcome& outcome = result_.outcomes[row];
        return {.p50 = outcome.p50,
                .p90 = outcome.p90,
                .mean = outcome.p50,
                .confidence_permille = outcome.confidence_permille,
                .source = outcome.source};
    }
    void plan_pass(std::uint32_t row, Instant began, Duration ran) {
        const Duration mark = predict::next_mark(result_.outcomes[row].p50, ran);
        if (mark < rows_[row].run) ahead_.push({.at = began + mark, .row = row, .what = What::passes});
    }
    void pass(std::uint32_t row, Instant now) {
        const Instant began = began_[row];
        predictor_.passed(features_of(rows_[row]), began, now);
        plan_pass(row, began, now - began);
    }
    void finish(std::uint32_t row, Instant now) {
        const predict::Observation seen{
            .features = features_of(rows_[row]), .run = rows_[row].run, .predicted = estimate_of(row), .at = now};
        const auto began = Clock::now();
        predictor_.learn(seen);
        result_.learn_ns_mean += nanoseconds_since(began);
        ++learned_;
        ++known_[known_of_[row]];
    }

    const std::vector<TraceRow>& rows_;
    predict::Predictor& predictor_;
    Replay result_;
    double learned_ = 0;
    std::vector<Instant> began_;
    std::vector<std::uint32_t> known_of_;  // row -> index into known_
    std::vector<std::uint64_t> known_;     // completed runs by type
    std::priority_queue<Happening, std::vector<Happening>, std::greater<>> ahead_;
};

}  // namespace

std::uint64_t workers_for(const std::vector<TraceRow>& rows) {
    double work = 0;
    for (const TraceRow& row : rows) work += static_cast<double>(row.run.us);
    const double span = rows.empty() ? 0 : static_cast<double>((rows.back().submit - rows.front().submit).us);
    constexpr double kLoad = 0.7;
    // A trace without extent in time offers no load to divide by: all rows may run at once.
    if (span <= 0) return std::max<std::uint64_t>(8, rows.size());
    const double wanted = std::ceil(work / span / kLoad);
    return static_cast<std::uint64_t>(std::clamp(wanted, 8.0, std::max(8.0, static_cast<double>(rows.size()))));
}

Replay replay(const std::vector<TraceRow>& rows, Moment moment, predict::Predictor& predictor) {
    const auto began = Clock::now();
    Player player(rows, predictor);
    std::priority_queue<Instant, std::vector<Instant>, std::greater<>> free_at;
    const std::uint64_t workers = moment == Moment::dispatch ? workers_for(rows) : 0;
    for (std::uint64_t w = 0; w < workers; ++w) free_at.push({});
    for (std::uint32_t row = 0; row < rows.size(); ++row) {
        Instant now = rows[row].submit;
        if (moment == Moment::dispatch) {
            now = std::max(now, free_at.top());
            free_at.pop();
            free_at.push(now + rows[row].run);
        }
        player.advance(now);
        player.start(row, now);
    }
    player.advance(kNever);
    Replay result = player.take();
    result.workers = workers;
    result.elapsed_s = nanoseconds_since(began) / 1e9;
    return result;
}

}  // namespace nexus::evaluate
