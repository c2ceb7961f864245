#pragma once
// The last values of one key, kept sorted as they come and go, so that the mode costs one linear pass.
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

namespace nexus::predict {

inline constexpr std::size_t kWindowMax = 128;

// decay^0, decay^1, ... for weights by age.
using AgeWeights = std::array<float, kWindowMax>;
constexpr AgeWeights age_weights(float decay) {
    AgeWeights weights{};
    float w = 1;
    for (float& slot : weights) {
        slot = w;
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
    Band mode(const AgeWeights& weights) const;
    // Of all kept values, unweighted; the mean of the middle two when their number is even. Not of an empty window.
    float median() const;
    // The smallest kept value that a share `q` of them does not exceed, 0 < q <= 1. Not of an empty window.
    float quantile(float q) const;
    std::size_t size() const { return values_.size(); }
    bool empty() const { return values_.empty(); }

    void save(Writer& out) const;
    void load(Reader& in);

private:
    // Sorted by value. `number_` counts insertions; a value's age is the newest number less its own.
    std::vector<float> values_;
    std::vector<std::uint32_t> number_;
    std::uint32_t next_ = 0;
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

// The last kWindowMax of them in order of `value - slope * payload`, as columns: queries read plain arrays.
class SampleWindow {
public:
    // `slope` is that of the last resort().
    void insert(const Sample& sample, float slope);
    void resort(float slope);
    void keep_newest(std::size_t count);

    std::size_t size() const { return key_.size(); }
    bool empty() const { return key_.empty(); }
    // i-th in order, of size() each.
    const float* keys() const { return key_.data(); }
    const float* payloads() const { return payload_.data(); }
    const float* weights() const { return weight_.data(); }  // kSampleDecay to the power of the age
    const std::uint32_t* types() const { return type_.data(); }
    const std::uint32_t* users() const { return user_.data(); }
    const std::uint32_t* demands() const { return demand_.data(); }
    const std::uint32_t* workers() const { return worker_.data(); }
    Sample sample(std::size_t i) const;
    // Of the i-th; 0 is the newest.
    std::size_t age(std::size_t i) const { return next_ - 1 - number_[i]; }

    void save(Writer& out) const;
    void load(Reader& in, float slope);

private:
    template <class Column>
    void move_slot(Column& column, std::size_t from, std::size_t to);
    void put(std::size_t at, const Sample& sample, float key, std::uint32_t number);

    std::vector<float> key_, value_, payload_, weight_;
    std::vector<std::uint32_t> type_, user_, demand_, worker_, number_;
    std::uint32_t next_ = 0;  // number of the next insertion
};

}  // namespace nexus::predict
