#include "simulate/world.h"

#include <algorithm>
#include <cmath>

#include "simulate/draw.h"
#include "simulate/workload.h"

namespace nexus::simulate {
namespace {

constexpr double kSlowShare = 0.03;  // cluster B: workers that are 3 to 5 times slow all the time
constexpr double kDegradeFactor = 5;
constexpr double kBurstRate = 1.8;  // two-state arrivals: a third of the time fast, two thirds slow
constexpr double kCalmRate = 0.6;
constexpr double kBurstTasks = 30;  // mean length of a burst, in mean run times; calm: twice that
constexpr double kDownTasks = 20;   // how long a crashed worker stays away, in mean run times
constexpr double kTenantBurst = 2;
constexpr double kTenantBurstFrom = 0.5, kTenantBurstTo = 0.6;

Result<void> check(const WorldSpec& spec) {
    if (spec.workers == 0) return fail(Fault::invalid, "--workers must be at least 1");
    if (spec.workers > 100'000) return fail(Fault::invalid, "--workers must be at most 100000");
    if (spec.slots == 0) return fail(Fault::invalid, "--slots must be at least 1");
    if (spec.slots > 10'000) return fail(Fault::invalid, "--slots must be at most 10000");
    if (!(spec.load > 0)) return fail(Fault::invalid, "--load must be above 0");
    if (!(spec.load <= 10)) return fail(Fault::invalid, "--load must be at most 10");
    if (!(spec.speed_sigma >= 0)) return fail(Fault::invalid, "--speed-sigma must be 0 or more");
    if (!(spec.speed_sigma <= 3)) return fail(Fault::invalid, "--speed-sigma must be at most 3");
    if (spec.cluster != 'A' && spec.cluster != 'B' && spec.cluster != 'H')
        return fail(Fault::invalid, std::string("--cluster must be A, B or H, not '") + spec.cluster + "'");
    if (spec.arrivals == Arrivals::trace && spec.trace.empty())
        return fail(Fault::invalid, "--arrivals trace needs --trace FILE");
    if (spec.tasks > 50'000'000) return fail(Fault::invalid, "--tasks must be at most 50000000");
    if (spec.tenants == 0) return fail(Fault::invalid, "--tenants must be at least 1");
    if (spec.tenants > 1000) return fail(Fault::invalid, "--tenants must be at most 1000");
    if (spec.zones > 100) return fail(Fault::invalid, "--zones must be at most 100");
    if (spec.zones > spec.workers) return fail(Fault::invalid, "--zones must be at most --workers");
    if (spec.hardware_classes > 64) return fail(Fault::invalid, "--hardware must be at most 64");
    if (!(spec.straggler_share <= 1)) return fail(Fault::invalid, "--stragglers must be a share, at most 1");
    if (!(spec.crash_rate >= 0)) return fail(Fault::invalid, "--crash-rate must be 0 or more");
    return {};
}

// Arrival instants in units of "mean tasks at rate 1": a process whose long-run rate is 1.
std::vector<double> draw_arrivals(const WorldSpec& spec, const Workload& workload, double tasks_per_mean_work) {
    Rng rng = rng_for(spec.seed, 3);
    std::vector<double> at;
    at.reserve(workload.tasks.size());
    double now = 0;
    bool bursting = false;
    double switch_at = 0;
    for (std::size_t n = 0; n < workload.tasks.size(); ++n) {
        double left = draw_exponential(rng);
        if (spec.arrivals != Arrivals::bursts) {
            now += left;
        } else {
            // `left` is the hazard still to be spent; each state spends it at its own rate until it switches.
            for (;;) {
                const double rate = bursting ? kBurstRate : kCalmRate;
                if (switch_at > now && now + left / rate <= switch_at) {
                    now += left / rate;
                    break;
                }
                left -= std::max(0.0, switch_at - now) * rate;
                now = std::max(now, switch_at);
                bursting = !bursting;
                const double length = (bursting ? kBurstTasks : 2 * kBurstTasks) * tasks_per_mean_work;
                switch_at = now + length * draw_exponential(rng);
            }
        }
        at.push_back(now);
    }
    return at;
}

// In the tenants' burst window the first tenant sends twice its share: gaps shrink so that the others notice nothing
// but the crowd.
void spread_tenants(const WorldSpec& spec, Workload& workload, std::vector<double>& at) {
    if (spec.tenants < 2) return;
    workload.tenants.clear();
    for (std::uint32_t n = 0; n < spec.tenants; ++n) workload.tenants.push_back("tenant-" + std::to_string(n + 1));
    Rng rng = rng_for(spec.seed, 4);
    const double count = static_cast<double>(spec.tenants);
    const double squeeze = count / (count - 1 + kTenantBurst);
    double before = 0, now = 0;
    for (std::size_t n = 0; n < at.size(); ++n) {
        const double progress = static_cast<double>(n) / static_cast<double>(at.size());
        const bool burst = progress >= kTenantBurstFrom && progress < kTenantBurstTo;
        const double u = rng.unit() * (burst ? count - 1 + kTenantBurst : count);
        const double first = burst ? kTenantBurst : 1;
        workload.tasks[n].tenant = u < first ? std::uint16_t{0} : static_cast<std::uint16_t>(1 + (u - first));
        now += (at[n] - before) * (burst ? squeeze : 1);
        before = at[n];
        at[n] = now;
    }
}

// Turns unit arrivals into instants: scaled to the load, or led through the load profile.
void set_arrivals(const WorldSpec& spec, Workload& workload, const std::vector<double>& at, double capacity) {
    const double mean = static_cast<double>(workload.mean_work.us);
    const double total = mean * static_cast<double>(workload.tasks.size());
    if (spec.load_profile.empty()) {
        const double first = at.front();
        const double span = std::max(at.back() - first, 1e-9);
        const double want = total / (capacity * spec.load);
        for (std::size_t n = 0; n < at.size(); ++n)
            workload.tasks[n].arrival = Instant{std::llround((at[n] - first) / span * want)};
        return;
    }
    std::size_t part = 0;
    double part_start = 0, now = 0, spent = 0;  // microseconds; `spent` in unit arrivals
    for (std::size_t n = 0; n < at.size(); ++n) {
        for (;;) {
            const bool last = part == spec.load_profile.size();
            const double rate = (last ? spec.load : spec.load_profile[part].second) * capacity / mean;
            const double then = now + (at[n] - spent) / rate;
            const double part_end = last ? 0 : part_start + spec.load_profile[part].first * 1e6;
            if (last || then <= part_end) {
                now = then;
                spent = at[n];
                break;
            }
            spent += (part_end - now) * rate;
            now = part_start = part_end;
            ++part;
        }
        workload.tasks[n].arrival = Instant{std::llround(now)};
    }
}

Cluster make_cluster(const WorldSpec& spec, std::size_t types) {
    Rng rng = rng_for(spec.seed, 5);
    Cluster made;
    const double sigma = spec.cluster == 'H' ? 0 : spec.speed_sigma;
    for (std::uint32_t n = 0; n < spec.workers; ++n) {
        SimWorker worker{.name = "worker-" + std::to_string(n + 1), .slots = spec.slots};
        worker.multiplier = std::exp(sigma * draw_normal(rng));
        if (spec.hardware_classes > 0) worker.hardware = n % spec.hardware_classes;
        if (spec.zones > 0) worker.zone = static_cast<std::uint8_t>(1 + n % spec.zones);
        made.workers.push_back(std::move(worker));
    }
    if (spec.cluster == 'B') {
        made.straggler_share = 0.01;
        const auto slow = std::max(1L, std::lround(kSlowShare * spec.workers));
        for (long n = 0; n < slow; ++n) {
            SimWorker& worker = made.workers[rng.below(made.workers.size())];
            const double factor = 3 + 2 * rng.unit();
            if (!worker.healthy || made.workers.size() == 1) continue;
            worker.multiplier *= factor;
            worker.healthy = false;
        }
    }
    if (spec.straggler_share >= 0) made.straggler_share = spec.straggler_share;
    if (spec.resources) made.cpu_milli_per_slot = 1000;
    if (spec.hardware_classes > 0) {
        Rng affinity_rng = rng_for(spec.seed, 6);
        made.affinity.assign(types, std::vector<double>(spec.hardware_classes, 1.0));
        for (auto& row : made.affinity)
            for (double& factor : row) factor = std::exp(spec.affinity_sigma * draw_normal(affinity_rng));
    }
    return made;
}

// The first worker after the middle that is healthy: troubles meet a worker that was unsuspicious before.
std::uint32_t victim_of(const Cluster& cluster) {
    const std::size_t count = cluster.workers.size();
    for (std::size_t n = 0; n < count; ++n) {
        const std::size_t at = (count / 2 + n) % count;
        if (cluster.workers[at].healthy) return static_cast<std::uint32_t>(at);
    }
    return 0;
}

Instant at_share(Instant end, double share) {
    return Instant{std::llround(static_cast<double>(end.us) * share)};
}

void add_troubles(const WorldSpec& spec, World& world) {
    const Instant end = world.workload.last_arrival();
    Cluster& cluster = world.cluster;
    const auto trouble = [&](TroubleKind kind, double from, double to, double factor) {
        const std::uint32_t worker = victim_of(cluster);
        cluster.workers[worker].healthy = false;
        cluster.troubles.push_back(
            {.kind = kind, .worker = worker, .from = at_share(end, from), .to = at_share(end, to), .factor = factor});
    };
    if (spec.degrade || (spec.cluster == 'B' && cluster.workers.size() > 1))
        trouble(TroubleKind::slow, 0.45, 0.85, kDegradeFactor);
    if (spec.failing) trouble(TroubleKind::fails, 0.40, 0.60, 1);
    if (spec.crash_rate > 0) {
        const double mean = static_cast<double>(world.workload.mean_work.us);
        for (std::uint32_t n = 0; n < cluster.workers.size(); ++n) {
            Rng rng = rng_for(spec.seed, 7, n);
            double now = 0;
            for (;;) {
                now += draw_exponential(rng) * 1000 * mean / spec.crash_rate;
                if (now >= static_cast<double>(end.us)) break;
                const double back = now + kDownTasks * mean;
                cluster.troubles.push_back({.kind = TroubleKind::down,
                                            .worker = n,
                                            .from = Instant{std::llround(now)},
                                            .to = Instant{std::llround(back)}});
                now = back;
            }
        }
    }
    std::sort(cluster.troubles.begin(), cluster.troubles.end(), [](const Trouble& a, const Trouble& b) {
        return a.worker != b.worker ? a.worker < b.worker : a.from < b.from;
    });
}

void colour_tasks(const WorldSpec& spec, Workload& workload) {
    static constexpr std::int32_t cpu[] = {250, 500, 500, 1000, 1000, 1000, 1000, 2000};
    static constexpr std::uint8_t priorities[] = {3, 5, 5, 5, 7};
    Rng rng = rng_for(spec.seed, 8);
    for (SimTask& task : workload.tasks) {
        const std::uint64_t zone = rng.below(std::max<std::uint64_t>(1, 2ULL * spec.zones));
        const std::int32_t asked = cpu[rng.below(std::size(cpu))];
        const std::uint8_t priority = priorities[rng.below(std::size(priorities))];
        if (spec.zones > 0 && zone < spec.zones) task.zone = static_cast<std::uint8_t>(zone + 1);
        task.cpu_milli = spec.resources ? asked : 0;
        if (spec.priorities) task.priority = priority;
    }
}

}  // namespace

std::uint32_t Cluster::slots() const {
    std::uint32_t sum = 0;
    for (const SimWorker& worker : workers) sum += worker.slots;
    return sum;
}

double Cluster::capacity() const {
    double sum = 0;
    for (const SimWorker& worker : workers) sum += worker.slots / worker.multiplier;
    return sum;
}

const Trouble* World::trouble_of(std::uint32_t worker, TroubleKind kind, Instant at) const {
    const auto& troubles = cluster.troubles;
    auto it = std::partition_point(troubles.begin(), troubles.end(),
                                   [&](const Trouble& trouble) { return trouble.worker < worker; });
    for (; it != troubles.end() && it->worker == worker; ++it)
        if (it->kind == kind && it->from <= at && at < it->to) return &*it;
    return nullptr;
}

double World::speed_of(std::uint32_t worker, Instant at) const {
    const Trouble* slow = trouble_of(worker, TroubleKind::slow, at);
    return cluster.workers[worker].multiplier * (slow == nullptr ? 1.0 : slow->factor);
}

double World::equal_split_load() const {
    const double span = static_cast<double>(std::max<std::int64_t>(1, workload.last_arrival().us));
    const double work = static_cast<double>(workload.mean_work.us) * static_cast<double>(workload.tasks.size());
    const double offered = work / span / static_cast<double>(cluster.workers.size());
    double most = 0;
    for (const SimWorker& worker : cluster.workers) most = std::max(most, offered * worker.multiplier / worker.slots);
    for (const Trouble& trouble : cluster.troubles) {
        const SimWorker& worker = cluster.workers[trouble.worker];
        if (trouble.kind == TroubleKind::slow)
            most = std::max(most, offered * worker.multiplier * trouble.factor / worker.slots);
    }
    return most;
}

double World::affinity_of(std::uint32_t type, std::uint32_t worker) const {
    return cluster.affinity.empty() ? 1.0 : cluster.affinity[type][cluster.workers[worker].hardware];
}

Duration World::run_time(std::uint32_t task, std::uint32_t worker, std::uint32_t number, Instant start) const {
    const SimTask& what = workload.tasks[task];
    double run = static_cast<double>(what.work.us) * speed_of(worker, start) * affinity_of(what.type, worker);
    if (cluster.straggler_share > 0) {
        Rng rng = rng_for(seed, 9, (static_cast<std::uint64_t>(task) << 8) | number);
        const double u = rng.unit();
        const double factor = cluster.straggler_low + (cluster.straggler_high - cluster.straggler_low) * rng.unit();
        if (u < cluster.straggler_share) run *= factor;
    }
    return Duration{std::max<std::int64_t>(1, std::llround(run))};
}

Result<World> make_world(const WorldSpec& spec) {
    if (Result<void> ok = check(spec); !ok) return std::unexpected(std::move(ok).error());
    Result<Workload> workload = spec.trace.empty() ? draw_workload(spec.workload, spec.tasks, spec.seed)
                                                   : read_workload(spec.trace, spec.tasks, spec.format);
    if (!workload) return std::unexpected(std::move(workload).error());
    World world{.workload = std::move(*workload), .seed = spec.seed, .load = spec.load};
    world.cluster = make_cluster(spec, world.workload.types.size());
    const double capacity = world.cluster.capacity();
    std::vector<double> at;
    if (spec.arrivals == Arrivals::trace) {
        const Instant first = world.workload.tasks.front().arrival;
        const double span = static_cast<double>((world.workload.last_arrival() - first).us);
        const double scale = static_cast<double>(world.workload.tasks.size()) / std::max(span, 1.0);
        for (const SimTask& task : world.workload.tasks)
            at.push_back(static_cast<double>((task.arrival - first).us) * scale);
    } else {
        at = draw_arrivals(spec, world.workload, capacity * spec.load);
    }
    spread_tenants(spec, world.workload, at);
    set_arrivals(spec, world.workload, at, capacity);
    colour_tasks(spec, world.workload);
    add_troubles(spec, world);
    return world;
}

}  // namespace nexus::simulate
