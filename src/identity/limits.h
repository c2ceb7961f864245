#pragma once
// How much one caller, and one tenant, may ask of the server. Thread-safe.
//
//   requests   a bucket that refills at so many a second and holds ten seconds' worth
//   tasks      the same, counted by the tasks of a submission
//   in flight  requests that are being answered
//   streams    watches, submit streams and event streams that are open. Streams of workers are not counted: a fleet
//              behind one credential is what credentials are for
//
// A caller is who it has proved to be; whoever proved nothing is told apart by the address it calls from, for gRPC with
// its port: a connection. 0 = no limit.

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/caller.h"
#include "base/result.h"
#include "base/units.h"

namespace nexus::identity {

struct LimitRules {
    std::uint64_t requests_per_s = 50'000;
    std::uint64_t tasks_per_s = 100'000;
    std::uint64_t in_flight = 8192;
    std::uint64_t streams = 512;
    std::uint64_t tenant_requests_per_s = 100'000;
    std::uint64_t tenant_tasks_per_s = 200'000;
};

enum class Limit : std::uint8_t { requests, tasks, in_flight, streams, sign_ins };
inline constexpr std::size_t kLimits = 5;
std::string_view name_of(Limit limit);

// Tokens that come back with time. Not thread-safe.
class Bucket {
public:
    static constexpr std::int64_t kHolds_s = 10;
    // Takes `n`, or says how long until they are there. A bucket that is not empty gives any number, and owes the rest.
    Duration take(std::uint64_t n, std::uint64_t per_s, std::int64_t now_us);
    std::uint64_t left(std::uint64_t per_s, std::int64_t now_us) const;

private:
    std::int64_t full_at_us_ = 0;  // when it will be full again
};

// What a caller has left of its requests, for the RateLimit headers; of 0 there is no limit.
struct Allowance {
    std::uint64_t limit = 0, left = 0;
};

class Limits {
public:
    explicit Limits(LimitRules rules = {}, std::int64_t (*steady_us)() = nullptr);

    // A place among those in flight, given back when the last copy goes.
    using Place = std::shared_ptr<const void>;
    // Faults: exhausted, with when to come back.
    Result<Place> enter(const Caller& caller);
    Result<void> take_tasks(const Caller& caller, std::uint64_t tasks);
    Result<Place> open_stream(const Caller& caller);
    Allowance allowance(const Caller& caller) const;

    void count(Limit limit) { refused_[static_cast<std::size_t>(limit)].fetch_add(1, std::memory_order_relaxed); }
    std::uint64_t refused(Limit limit) const {
        return refused_[static_cast<std::size_t>(limit)].load(std::memory_order_relaxed);
    }

private:
    struct Meter {
        Bucket requests, tasks;
        std::atomic<std::uint64_t> in_flight{0}, streams{0};
        std::int64_t used_us = 0;
    };
    using Meters = std::unordered_map<std::string, std::shared_ptr<Meter>>;
    struct Rates {
        std::uint64_t requests, tasks;
    };
    // Called with mutex_ held.
    const std::shared_ptr<Meter>& meter(std::string key, std::int64_t now);
    Result<void> take(const Caller& caller, Limit limit, std::uint64_t n);
    Error refuse(Limit limit, const std::string& who, std::uint64_t most, Duration wait);

    const LimitRules rules_;
    std::int64_t (*steady_us_)();
    std::array<std::atomic<std::uint64_t>, kLimits> refused_{};
    mutable std::mutex mutex_;  // guards meters_ and their buckets
    Meters meters_;
};

}  // namespace nexus::identity
