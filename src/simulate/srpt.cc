#include "simulate/srpt.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <queue>

namespace nexus::simulate {
namespace {

struct Job {
    double left = 0;  // microseconds of work
    std::uint32_t task = 0;
    bool operator>(const Job& other) const { return left != other.left ? left > other.left : task > other.task; }
};

class Limit {
public:
    Limit(const World& world, const DriverOptions& options) : world_(world), options_(options) {}

    RunRecord run() {
        const auto begin = std::chrono::steady_clock::now();
        start();
        const auto& tasks = world_.workload.tasks;
        std::size_t arrived = 0;
        for (;;) {
            const double arrival = arrived < tasks.size() ? static_cast<double>(tasks[arrived].arrival.us) : kEnd;
            const double finish = busy_.empty() ? kEnd : now_ + busy_.front().left * slots_.front();
            const double change = change_ < changes_.size() ? changes_[change_] : kEnd;
            const double next = std::min({arrival, finish, change});
            if (next >= kEnd) break;
            advance(next);
            if (next == finish)
                end_first();
            else if (next == change)
                ++change_, sort_slots();
            else
                arrive(static_cast<std::uint32_t>(arrived++));
        }
        record_.makespan = Instant{std::llround(now_)};
        record_.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        return std::move(record_);
    }

private:
    static constexpr double kEnd = 1e300;

    void start() {
        const auto& tasks = world_.workload.tasks;
        record_.tasks.resize(tasks.size());
        record_.workers.resize(world_.cluster.workers.size());
        const auto first = static_cast<std::size_t>(static_cast<double>(tasks.size()) * options_.warm_up);
        record_.window_from = tasks[std::min(first, tasks.size() - 1)].arrival;
        record_.window_to = world_.workload.last_arrival();
        for (const Trouble& trouble : world_.cluster.troubles) {
            changes_.push_back(static_cast<double>(trouble.from.us));
            changes_.push_back(static_cast<double>(trouble.to.us));
        }
        std::sort(changes_.begin(), changes_.end());
        sort_slots();
    }

    // Multipliers of all slots that are up, fastest first.
    void sort_slots() {
        const Instant now{std::llround(now_)};
        slots_.clear();
        for (std::uint32_t worker = 0; worker < world_.cluster.workers.size(); ++worker) {
            if (world_.trouble_of(worker, TroubleKind::down, now) != nullptr) continue;
            if (world_.trouble_of(worker, TroubleKind::fails, now) != nullptr) continue;
            slots_.insert(slots_.end(), world_.cluster.workers[worker].slots, world_.speed_of(worker, now));
        }
        std::sort(slots_.begin(), slots_.end());
        while (busy_.size() > slots_.size()) {
            waiting_.push(busy_.back());
            busy_.pop_back();
        }
        while (busy_.size() < slots_.size() && !waiting_.empty()) take_waiting();
    }

    // The k-th shortest runs on the k-th fastest slot, so the order of `busy_` never changes between events.
    void advance(double to) {
        const double passed = to - now_;
        for (std::size_t n = 0; n < busy_.size(); ++n)
            busy_[n].left = std::max(0.0, busy_[n].left - passed / slots_[n]);
        now_ = to;
    }

    void insert(Job job) {
        record_.tasks[job.task].first_start =
            std::min(record_.tasks[job.task].first_start, Instant{std::llround(now_)});
        busy_.insert(
            std::lower_bound(busy_.begin(), busy_.end(), job, [](const Job& a, const Job& b) { return b > a; }), job);
    }
    void take_waiting() {
        const Job job = waiting_.top();
        waiting_.pop();
        insert(job);
    }

    void arrive(std::uint32_t task) {
        const Job job{.left = static_cast<double>(world_.workload.tasks[task].work.us), .task = task};
        if (busy_.size() == slots_.size() && (busy_.empty() || job > busy_.back())) return waiting_.push(job);
        insert(job);
        if (busy_.size() <= slots_.size()) return;
        waiting_.push(busy_.back());
        busy_.pop_back();
    }

    void end_first() {
        TaskRecord& told = record_.tasks[busy_.front().task];
        told.finish = Instant{std::llround(now_)};
        told.state = core::TaskState::succeeded;
        busy_.erase(busy_.begin());
        if (!waiting_.empty()) take_waiting();
    }

    const World& world_;
    const DriverOptions& options_;
    RunRecord record_;
    std::vector<double> slots_, changes_;
    std::size_t change_ = 0;
    std::vector<Job> busy_;  // shortest first
    std::priority_queue<Job, std::vector<Job>, std::greater<>> waiting_;
    double now_ = 0;
};

}  // namespace

RunRecord run_srpt(const World& world, const DriverOptions& options) {
    return Limit(world, options).run();
}

}  // namespace nexus::simulate
