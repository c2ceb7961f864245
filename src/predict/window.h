#pragma once
// The last values of one key, kept sorted as they come and go, so that the mode costs one pass of integer additions.
//
//   ModeWindow    values only, weighted by recency
//   SampleWindow  values with what was known of the task, so that each query can weigh them by likeness
//
// Values are ln(microseconds). Not thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "predict/band.h"
#include "predict/lanes.h"
#include "predict/sorted_band.h"

namespace nexus::predict {

// decay^0, decay^1, ... in quanta: weights by age.
using AgeWeights = std::array<std::int32_t, kWindowMax>;
constexpr AgeWeights age_weights(float decay) {
    AgeWeights weights{};
    float w = 1;
    for (std::int32_t& slot : weights) {
        slot = quanta(w);
        w *= decay;
    }
    return weights;
}

inline constexpr float kSampleDecay = 0.97F;

class ModeWindow {
public:
    void insert(float value, std::size_t capacity);
    // Forgets all but the newest `count`.
    void keep_newest(std::size_t count);
    // Asked again with the same weights before anything changed: remembered. `weights` is a constant of the program.
    Band mode(const AgeWeights& weights) const;
    // Of all kept values, unweighted; the mean of the middle two when their number is even. Not of an empty window.
    float median() const;
    // The smallest kept value that a share `q` of them does not exceed, 0 < q <= 1. Not of an empty window.
    float quantile(float q) const;
    std::size_t size() const { return sorted_.size(); }
    bool empty() const { return sorted_.empty(); }

    void save(Writer& out) const;
    void load(Reader& in);

private:
    SortedBand sorted_;  // tags count insertions; a value's age is the newest number less its own
    std::uint32_t next_ = 0;
    mutable const AgeWeights* answered_for_ = nullptr;  // of answered_; null: to be computed anew
    mutable Band answered_;
};

// One finished run. Text is kept as 32-bit hashes: equal is what matters, and a collision only blurs a weight.
struct Sample {
    float value = 0;    // ln run
    float payload = 0;  // ln(1 + bytes)
    std::uint32_t type = 0;
    std::uint32_t user = 0;
    std::uint32_t demand = 0;  // resources asked for
    std::uint32_t worker = 0;  // 0 = unknown
    bool operator==(const Sample&) const = default;
};

// The last kWindowMax of them, in order of `value - slope * payload` and as columns by slot, the slots in order of
// arrival around a ring: a question weighs all of them in one pass over plain arrays.
class SampleWindow {
public:
    // `slope` is that of the last resort().
    void insert(const Sample& sample, float slope);
    void resort(float slope);
    void keep_newest(std::size_t count);

    std::size_t size() const { return sorted_.size(); }
    bool empty() const { return sorted_.empty(); }

    // Columns by slot, size() of each; up to the next multiple of kLane may be read.
    const float* values() const { return value_.data(); }
    const float* payloads() const { return payload_.data(); }
    const float* weights() const;  // kSampleDecay to the power of the age
    const std::uint32_t* types() const { return type_.data(); }
    const std::uint32_t* users() const { return user_.data(); }
    const std::uint32_t* demands() const { return demand_.data(); }
    const std::uint32_t* workers() const { return worker_.data(); }
    // The order; its tags are slots.
    const SortedBand& sorted() const { return sorted_; }
    Sample sample(std::size_t slot) const;
    // 0 is the newest.
    std::size_t age(std::size_t slot) const;

    void save(Writer& out) const;
    void load(Reader& in, float slope);

private:
    void put(std::size_t slot, const Sample& sample);

    SortedBand sorted_;
    std::vector<float> value_, payload_;
    std::vector<std::uint32_t> type_, user_, demand_, worker_;
    std::uint32_t oldest_ = 0;  // its slot; 0 until the ring is full
    std::uint32_t next_ = 0;    // number of the next insertion
};

}  // namespace nexus::predict
