#include "simulate/workload.h"

#include <array>
#include <cmath>
#include <map>
#include <string_view>

#include "evaluate/trace.h"
#include "simulate/draw.h"

namespace nexus::simulate {
namespace {

constexpr std::uint32_t kTypes = 20;
constexpr double kMedianLow = 0.1;  // seconds
constexpr double kMedianHigh = 30.0;
constexpr double kPayloadMedian = 100e3;
constexpr std::uint32_t kUsers = 8;

enum class Residual : std::uint8_t { lognormal, bimodal, pareto };

// What hides inside one type. `work = median x payload^slope x residual`, the residual of median about 1.
struct Kind {
    Residual residual = Residual::lognormal;
    double sigma = 0.15;
    double slope = 0;
    double payload_sigma = 1;     // of ln(payload / its median)
    bool payload_pareto = false;  // heavy-tailed payload
};

Kind mixed_kind(std::uint32_t type, Rng& rng) {
    static constexpr std::array slopes{0.0, 0.5, 1.0};
    const double sigma = 0.1 + 0.4 * rng.unit();
    const double slope = slopes[rng.below(slopes.size())];
    // Types 2, 7, 12, 17 are bimodal and 4, 9, 14, 19 Pareto: each kind covers short and long ones, whatever the seed.
    if (type % 5 == 2) return {.residual = Residual::bimodal, .sigma = 0.15};
    if (type % 5 == 4) return {.residual = Residual::pareto};
    return {.sigma = sigma, .slope = slope};
}

Kind kind_of(std::string_view workload, std::uint32_t type, Rng& rng) {
    if (workload == "mix") return mixed_kind(type, rng);
    if (workload == "ppar") return {.sigma = 0.2, .slope = 1, .payload_pareto = true};
    if (workload == "par") return {.residual = Residual::pareto};
    if (workload == "bim") return {.residual = Residual::bimodal, .sigma = 0.1};
    return {.sigma = 0.15};
}

double draw_residual(const Kind& kind, Rng& rng) {
    const double normal = draw_normal(rng);
    const double pareto = draw_pareto(rng, 1.5, 0.63, 189.0);  // median 1, 1:300
    const bool second_mode = rng.unit() < 0.1;
    switch (kind.residual) {
        case Residual::lognormal: return std::exp(kind.sigma * normal);
        case Residual::bimodal: return std::exp(kind.sigma * normal) * (second_mode ? 8.0 : 1.0);
        case Residual::pareto: return pareto;
    }
    return 1;
}

Duration duration_of(double seconds) {
    return Duration{std::max<std::int64_t>(1, std::llround(seconds * 1e6))};
}

Duration mean_of(const std::vector<SimTask>& tasks) {
    double sum = 0;
    for (const SimTask& task : tasks) sum += static_cast<double>(task.work.us);
    return Duration{std::max<std::int64_t>(1, std::llround(sum / static_cast<double>(tasks.size())))};
}

// Names get a number in order of first appearance.
class Names {
public:
    std::uint32_t number_of(const std::string& name) {
        const auto [at, fresh] = numbers_.try_emplace(name, static_cast<std::uint32_t>(names_.size()));
        if (fresh) names_.push_back(name);
        return at->second;
    }
    std::vector<std::string> take() { return std::move(names_); }

private:
    std::map<std::string, std::uint32_t, std::less<>> numbers_;
    std::vector<std::string> names_;
};

// Arrays of one user and type, 1 to 300 members in a row, that differ far more from each other than their members do.
void draw_arrays(Workload& made, std::uint32_t tasks, std::uint64_t seed) {
    constexpr std::uint32_t kMembersMost = 300;
    constexpr double kAmongArrays = 1.3, kWithin = 0.12;
    Rng rng = rng_for(seed, 2);
    while (made.tasks.size() < tasks) {
        const auto type = static_cast<std::uint32_t>(rng.below(made.types.size()));
        const auto user = static_cast<std::uint32_t>(rng.below(made.users.size()));
        const auto members = static_cast<std::uint32_t>(draw_pareto(rng, 0.8, 1, kMembersMost));
        const double median = std::exp(kAmongArrays * draw_normal(rng)) * (1 + type);
        for (std::uint32_t n = 0; n < members && made.tasks.size() < tasks; ++n)
            made.tasks.push_back({.work = duration_of(median * std::exp(kWithin * draw_normal(rng))),
                                  .type = type,
                                  .user = user,
                                  .payload_bytes = static_cast<std::uint64_t>(kPayloadMedian)});
    }
}

// Builds of several projects: most find a cache and take a few seconds, the rest ten times as long; each project's times
// grow or shrink by up to a half in ten steps over the run.
void draw_drift(Workload& made, std::uint32_t tasks, std::uint64_t seed) {
    constexpr std::uint32_t kSteps = 10;
    constexpr double kCached = 0.7, kUncached = 10, kStep = 0.4, kWithin = 0.2;
    Rng rng = rng_for(seed, 2);
    std::vector<double> median(made.types.size());
    for (double& one : median) one = std::exp(1.2 * draw_normal(rng));
    for (std::uint32_t n = 0; n < tasks; ++n) {
        if (n % std::max(1U, tasks / kSteps) == 0)
            for (double& one : median) one *= std::exp(kStep * (2 * rng.unit() - 1));
        const auto type = static_cast<std::uint32_t>(rng.below(made.types.size()));
        const auto user = static_cast<std::uint32_t>(rng.below(made.users.size()));
        const bool cached = rng.unit() < kCached;
        const double run = median[type] * (cached ? 1 : kUncached) * std::exp(kWithin * draw_normal(rng));
        const double changed = std::exp(draw_normal(rng)) * (cached ? 1 : 6);
        made.tasks.push_back({.work = duration_of(run),
                              .type = type,
                              .user = user,
                              .payload_bytes = static_cast<std::uint64_t>(kPayloadMedian * changed)});
    }
}

}  // namespace

std::vector<std::string_view> workload_names() {
    return {"mix", "ln", "ppar", "par", "bim", "arrays", "drift"};
}

Result<Workload> draw_workload(const std::string& name, std::uint32_t tasks, std::uint64_t seed) {
    const auto known = workload_names();
    if (std::find(known.begin(), known.end(), name) == known.end())
        return fail(Fault::invalid,
                    "workload '" + name + "' is unknown; known are mix, ln, ppar, par, bim, arrays, drift");
    if (tasks == 0) return fail(Fault::invalid, "a synthetic workload needs a number of tasks above 0");

    Rng kinds_rng = rng_for(seed, 1);
    std::vector<Kind> kinds;
    std::vector<double> medians, popularity;
    Workload made{.name = name};
    for (std::uint32_t type = 0; type < kTypes; ++type) {
        kinds.push_back(kind_of(name, type, kinds_rng));
        medians.push_back(kMedianLow * std::pow(kMedianHigh / kMedianLow, type / (kTypes - 1.0)));
        popularity.push_back((type == 0 ? 0 : popularity.back()) + 1.0 / (type + 1.0));
        made.types.push_back("type-" + std::string(type < 9 ? "0" : "") + std::to_string(type + 1));
    }
    for (std::uint32_t user = 0; user < kUsers; ++user) made.users.push_back("user-" + std::to_string(user + 1));
    made.tenants = {"default"};
    made.tasks.reserve(tasks);
    if (name == "arrays" || name == "drift") {
        name == "arrays" ? draw_arrays(made, tasks, seed) : draw_drift(made, tasks, seed);
        made.mean_work = mean_of(made.tasks);
        return made;
    }

    Rng rng = rng_for(seed, 2);
    for (std::uint32_t n = 0; n < tasks; ++n) {
        const std::uint32_t type = draw_index(rng, popularity);
        const Kind& kind = kinds[type];
        const double payload_normal = draw_normal(rng);
        const double payload_pareto = draw_pareto(rng, 1.5, 0.63, 189.0);
        const double payload = kind.payload_pareto ? payload_pareto : std::exp(kind.payload_sigma * payload_normal);
        const auto user = static_cast<std::uint32_t>(rng.below(kUsers));
        const double residual = draw_residual(kind, rng);
        made.tasks.push_back({
            .work = duration_of(medians[type] * std::pow(payload, kind.slope) * residual),
            .type = type,
            .user = user,
            .payload_bytes = static_cast<std::uint64_t>(kPayloadMedian * payload),
        });
    }
    made.mean_work = mean_of(made.tasks);
    return made;
}

Result<Workload> read_workload(const std::string& path, std::uint32_t limit, evaluate::TraceFormat format) {
    Result<std::vector<evaluate::TraceRow>> rows = evaluate::read_trace(path, limit, format);
    if (!rows) return std::unexpected(std::move(rows).error());
    if (rows->empty()) return fail(Fault::invalid, path + ": no rows");
    Workload made{.name = path.substr(path.find_last_of('/') + 1)};
    made.tenants = {"default"};
    Names types, users;
    made.tasks.reserve(rows->size());
    for (const evaluate::TraceRow& row : *rows) {
        made.tasks.push_back({
            .arrival = row.submit,
            .work = row.run,
            .type = types.number_of(row.type),
            .user = users.number_of(row.group),
            .payload_bytes = row.payload,
            .hint = row.user_estimate,
            .cpu_milli = static_cast<std::int32_t>(std::clamp<std::int64_t>(row.cpu_milli, 0, 1'000'000'000)),
        });
    }
    made.types = types.take();
    made.users = users.take();
    made.mean_work = mean_of(made.tasks);
    return made;
}

}  // namespace nexus::simulate
