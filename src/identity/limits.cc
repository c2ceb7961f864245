#include "identity/limits.h"

#include <algorithm>
#include <chrono>

#include "base/system_clock.h"

namespace nexus::identity {
namespace {

constexpr std::size_t kMetersMax = 10'000;
constexpr std::int64_t kIdle_us = 60'000'000;  // then a bucket is full again, whatever was taken
constexpr std::int64_t kMicro = 1'000'000;

std::string key_of(const Caller& caller) {
    return caller.credential.empty() ? caller.from : caller.credential;
}
std::string tenant_key(const Caller& caller) {
    return "tenant:" + caller.tenant;
}

// Counts down when the last owner lets go.
Limits::Place place_in(std::shared_ptr<void> owner, std::atomic<std::uint64_t>& count) {
    return {static_cast<const void*>(&count),
            [owner = std::move(owner), &count](const void*) { count.fetch_sub(1, std::memory_order_relaxed); }};
}

}  // namespace

std::string_view name_of(Limit limit) {
    static constexpr std::string_view names[] = {"requests", "tasks", "in_flight", "streams", "sign_ins"};
    static_assert(std::size(names) == kLimits);
    return names[static_cast<std::size_t>(limit)];
}

Duration Bucket::take(std::uint64_t n, std::uint64_t per_s, std::int64_t now_us) {
    const std::int64_t full_at = std::max(full_at_us_, now_us);
    const std::int64_t empty_at = now_us + kHolds_s * kMicro;
    if (full_at >= empty_at) return {full_at - empty_at + kMicro / static_cast<std::int64_t>(per_s) + 1};
    full_at_us_ = full_at + static_cast<std::int64_t>(n * kMicro / per_s);
    return {0};
}

std::uint64_t Bucket::left(std::uint64_t per_s, std::int64_t now_us) const {
    const std::int64_t owed = std::max<std::int64_t>(0, full_at_us_ - now_us);
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, kHolds_s * kMicro - owed)) * per_s / kMicro;
}

Limits::Limits(LimitRules rules, std::int64_t (*steady_us)())
    : rules_(rules), steady_us_(steady_us != nullptr ? steady_us : system_steady_us) {}

const std::shared_ptr<Limits::Meter>& Limits::meter(std::string key, std::int64_t now) {
    if (const auto found = meters_.find(key); found != meters_.end()) {
        found->second->used_us = now;
        return found->second;
    }
    if (meters_.size() >= kMetersMax)
        std::erase_if(meters_, [now](const auto& each) {
            const Meter& meter = *each.second;
            return meter.in_flight == 0 && meter.streams == 0 && now - meter.used_us > kIdle_us;
        });
    // Of more than can be told apart the rest share one.
    auto& made = meters_[meters_.size() >= kMetersMax ? std::string("others") : std::move(key)];
    if (!made) made = std::make_shared<Meter>();
    made->used_us = now;
    return made;
}

Error Limits::refuse(Limit limit, const std::string& who, std::uint64_t most, Duration wait) {
    count(limit);
    const bool rate = limit == Limit::requests || limit == Limit::tasks;
    const std::string what = limit == Limit::requests    ? "requests a second"
                             : limit == Limit::tasks     ? "tasks a second"
                             : limit == Limit::in_flight ? "requests at once"
                                                         : "open streams";
    return {.fault = Fault::exhausted,
            .what = who + " is over its limit of " + std::to_string(most) + " " + what +
                    (rate ? "; send slower, or in batches" : "; wait for answers, or close some"),
            .retry_after = wait};
}

Result<void> Limits::take(const Caller& caller, Limit limit, std::uint64_t n) {
    const bool tasks = limit == Limit::tasks;
    const std::uint64_t own = tasks ? rules_.tasks_per_s : rules_.requests_per_s;
    const std::uint64_t all = tasks ? rules_.tenant_tasks_per_s : rules_.tenant_requests_per_s;
    const std::int64_t now = steady_us_();
    const auto of = [&](std::string key, const std::string& who, std::uint64_t per_s) -> Result<void> {
        if (per_s == 0) return {};
        Meter& taker = *meter(std::move(key), now);
        const Duration wait = (tasks ? taker.tasks : taker.requests).take(n, per_s, now);
        if (wait.us > 0) return std::unexpected(refuse(limit, who, per_s, wait));
        return {};
    };
    if (auto ok = of(key_of(caller), caller.name, own); !ok || caller.tenant.empty()) return ok;
    return of(tenant_key(caller), "tenant " + caller.tenant, all);
}

Result<Limits::Place> Limits::enter(const Caller& caller) {
    const std::lock_guard lock(mutex_);
    const std::shared_ptr<Meter> mine = meter(key_of(caller), steady_us_());
    if (rules_.in_flight > 0 && mine->in_flight >= rules_.in_flight)
        return std::unexpected(refuse(Limit::in_flight, caller.name, rules_.in_flight, milliseconds(100)));
    if (auto ok = take(caller, Limit::requests, 1); !ok) return std::unexpected(std::move(ok).error());
    mine->in_flight.fetch_add(1, std::memory_order_relaxed);
    return place_in(mine, mine->in_flight);
}

Result<void> Limits::take_tasks(const Caller& caller, std::uint64_t tasks) {
    const std::lock_guard lock(mutex_);
    return take(caller, Limit::tasks, tasks);
}

Result<Limits::Place> Limits::open_stream(const Caller& caller) {
    const std::lock_guard lock(mutex_);
    const std::shared_ptr<Meter> mine = meter(key_of(caller), steady_us_());
    if (rules_.streams > 0 && mine->streams >= rules_.streams)
        return std::unexpected(refuse(Limit::streams, caller.name, rules_.streams, seconds(1)));
    mine->streams.fetch_add(1, std::memory_order_relaxed);
    return place_in(mine, mine->streams);
}

Allowance Limits::allowance(const Caller& caller) const {
    if (rules_.requests_per_s == 0) return {};
    const std::lock_guard lock(mutex_);
    const auto found = meters_.find(key_of(caller));
    const std::uint64_t most = rules_.requests_per_s * Bucket::kHolds_s;
    if (found == meters_.end()) return {.limit = most, .left = most};
    return {.limit = most, .left = found->second->requests.left(rules_.requests_per_s, steady_us_())};
}

}  // namespace nexus::identity
