#include "main/job_progress.h"

#include <algorithm>
#include <cmath>

namespace nexus::dev {
namespace {

namespace pb = nexus::v1;

constexpr double kP90Sigmas = 1.2816;      // of a normal distribution
constexpr double kErrorPerSigma = 0.6745;  // median absolute error of a normal distribution
constexpr double kErrorUnknown = 0.5;      // of a median, until there are errors to look at: chosen
constexpr std::size_t kErrorsWanted = 10;
constexpr std::size_t kErrorWindow = 100;

std::int64_t percentile(std::vector<std::int64_t> values, double share) {
    if (values.empty()) return 0;
    const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
    std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(at));
    return values[at];
}

}  // namespace

void JobProgress::expect(const std::string& id) {
    const auto [ours, added] = ours_.try_emplace(id, false);
    const auto latest = latest_.find(id);
    if (!added || latest == latest_.end() || latest->second.state < pb::TASK_STATE_SUCCEEDED) return;
    ours->second = true;
    count_end(latest->second);
}

void JobProgress::begin_run() {
    workers_.clear();
    ends_.clear();
}

void JobProgress::take(const pb::Task& task) {
    Latest& latest = latest_[task.id()];
    if (latest.state >= pb::TASK_STATE_SUCCEEDED) return;
    latest.state = task.state();
    latest.estimate_us = task.estimate().p50_us();
    latest.run_us = task.run_us();
    latest.wait_us = task.wait_us();
    if (!task.attempts().empty()) {
        latest.predicted_us = task.attempts().rbegin()->predicted_us();
        latest.worker = task.attempts().rbegin()->worker();
    }
    const auto ours = ours_.find(task.id());
    if (ours == ours_.end() || ours->second || task.state() < pb::TASK_STATE_SUCCEEDED) return;
    ours->second = true;
    count_end(latest);
}

void JobProgress::count_end(const Latest& latest) {
    ++ended_;
    if (latest.state != pb::TASK_STATE_SUCCEEDED) return;
    ++succeeded_;
    ends_.push_back({.predicted_us = latest.predicted_us, .run_us = latest.run_us, .wait_us = latest.wait_us});
    WorkerUse& use = workers_[latest.worker];
    ++use.tasks;
    use.busy_us += latest.run_us;
}

std::size_t JobProgress::running() const {
    std::size_t count = 0;
    for (const auto& [id, counted] : ours_) {
        const auto latest = counted ? latest_.end() : latest_.find(id);
        if (latest != latest_.end() && latest->second.state == pb::TASK_STATE_RUNNING) ++count;
    }
    return count;
}

std::vector<std::string> JobProgress::open_ids() const {
    std::vector<std::string> ids;
    for (const auto& [id, counted] : ours_)
        if (!counted) ids.push_back(id);
    return ids;
}

JobEta JobProgress::eta(std::int64_t drain_us, std::uint32_t slots) const {
    double work = 0, squares = 0;
    for (const auto& [id, counted] : ours_) {
        const auto latest = counted ? latest_.end() : latest_.find(id);
        if (latest == latest_.end()) continue;
        const auto estimate = static_cast<double>(latest->second.estimate_us);
        work += estimate;
        squares += estimate * estimate;
    }
    if (work <= 0) return {.p50_us = drain_us, .p90_us = drain_us};
    const double p50 = drain_us > 0 ? static_cast<double>(drain_us) : work / std::max(slots, 1U);
    const Accuracy seen = recent(kErrorWindow);
    const double error = seen.tasks < kErrorsWanted ? kErrorUnknown : seen.error_median;
    // Errors of single tasks average out; half of the median error is taken to be common to all of them.
    const double chance = kP90Sigmas * error / kErrorPerSigma * std::sqrt(squares) / work;
    return {.p50_us = static_cast<std::int64_t>(p50),
            .p90_us = static_cast<std::int64_t>(p50 * (1 + chance + error / 2))};
}

Accuracy JobProgress::accuracy(std::size_t from, std::size_t to) const {
    Accuracy result;
    std::vector<double> errors;
    for (std::size_t i = from; i < to; ++i) {
        if (ends_[i].predicted_us <= 0 || ends_[i].run_us <= 0) continue;
        const auto actual = static_cast<double>(ends_[i].run_us);
        errors.push_back(std::abs(static_cast<double>(ends_[i].predicted_us) - actual) / actual);
    }
    result.tasks = errors.size();
    if (errors.empty()) return result;
    result.within_25 = static_cast<double>(std::ranges::count_if(errors, [](double error) { return error <= 0.25; })) /
                       static_cast<double>(errors.size());
    std::ranges::nth_element(errors, errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2));
    result.error_median = errors[errors.size() / 2];
    return result;
}

Accuracy JobProgress::recent(std::size_t window) const {
    return accuracy(ends_.size() - std::min(window, ends_.size()), ends_.size());
}

Accuracy JobProgress::part(double from, double to) const {
    const auto size = static_cast<double>(ends_.size());
    return accuracy(static_cast<std::size_t>(size * from), static_cast<std::size_t>(size * to));
}

std::int64_t JobProgress::wait_percentile(double share) const {
    std::vector<std::int64_t> values;
    for (const End& end : ends_) values.push_back(end.wait_us);
    return percentile(std::move(values), share);
}

std::int64_t JobProgress::run_percentile(double share) const {
    std::vector<std::int64_t> values;
    for (const End& end : ends_) values.push_back(end.run_us);
    return percentile(std::move(values), share);
}

}  // namespace nexus::dev
