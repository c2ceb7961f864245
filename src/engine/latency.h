#pragma once
// A histogram of durations in logarithmic buckets (16 per octave, error below 5 %): for percentiles on the status page
// and in metrics. Not thread-safe.

#include <array>
#include <bit>
#include <cstdint>

namespace nexus::engine {

class Latency {
public:
    void add(std::int64_t ns) {
        const auto value = static_cast<std::uint64_t>(ns < 1 ? 1 : ns);
        ++buckets_[bucket_of(value)];
        ++count_;
        sum_ns_ += value;
        if (count_ >= kHalveAt) halve();
    }
    void add(const Latency& other) {
        for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
        count_ += other.count_;
        sum_ns_ += other.sum_ns_;
    }
    std::uint64_t count() const { return count_; }
    std::uint64_t sum_ns() const { return sum_ns_; }

    // In microseconds; 0 when empty.
    double quantile_us(double q) const {
        const auto wanted = static_cast<std::uint64_t>(q * static_cast<double>(count_));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            seen += buckets_[i];
            if (buckets_[i] > 0 && seen >= wanted) return static_cast<double>(upper_of(i)) / 1000.0;
        }
        return 0;
    }

private:
    static constexpr std::uint64_t kHalveAt = 2'000'000;  // older samples fade, so that percentiles follow the present
    static std::size_t bucket_of(std::uint64_t v) {
        const int octave = 63 - std::countl_zero(v);
        const std::uint64_t part = octave >= 4 ? (v >> (octave - 4)) & 15 : (v << (4 - octave)) & 15;
        return static_cast<std::size_t>(octave) * 16 + part;
    }
    static std::uint64_t upper_of(std::size_t bucket) {
        const std::size_t octave = bucket / 16;
        const double part = static_cast<double>(bucket % 16 + 1) / 16.0;
        return static_cast<std::uint64_t>(static_cast<double>(1ULL << octave) * (1.0 + part));
    }
    void halve() {
        count_ = 0;
        for (auto& n : buckets_) {
            n /= 2;
            count_ += n;
        }
        sum_ns_ /= 2;
    }
    std::array<std::uint64_t, 64 * 16> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t sum_ns_ = 0;
};

}  // namespace nexus::engine
