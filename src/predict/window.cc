#include "predict/window.h"

#include <algorithm>
#include <cmath>

#include "base/must.h"
#include "predict/floats.h"

namespace nexus::predict {
namespace {

// kSampleDecay to the power of the age around a full ring, twice: wherever the newest is, its column of weights stands
// in here without a break.
constexpr std::array<float, 2 * kWindowMax> kRingWeights = [] {
    std::array<float, 2 * kWindowMax> weights{};
    float w = 1;
    for (std::size_t age = 0; age < kWindowMax; ++age) {
        weights[kWindowMax - 1 - age] = weights[2 * kWindowMax - 1 - age] = w;
        w *= kSampleDecay;
    }
    return weights;
}();

}  // namespace

void ModeWindow::insert(float value, std::size_t capacity) {
    MUST(capacity > 0);
    MUST(capacity <= kWindowMax);
    answered_for_ = nullptr;
    if (sorted_.size() < capacity)
        sorted_.insert(value, next_);
    else
        sorted_.replace(sorted_.place_of(next_ - static_cast<std::uint32_t>(sorted_.size())), value, next_);
    ++next_;
}

void ModeWindow::keep_newest(std::size_t count) {
    answered_for_ = nullptr;
    SortedBand kept;
    for (std::size_t i = 0; i < sorted_.size(); ++i)
        if (next_ - sorted_.tag(i) <= count) kept.append(sorted_.value(i), sorted_.tag(i));
    sorted_ = std::move(kept);
}

Band ModeWindow::mode(const AgeWeights& weights) const {
    if (answered_for_ == &weights) return answered_;
    answered_for_ = &weights;
    answered_ = sorted_.densest([&](std::uint32_t number) { return weights[next_ - 1 - number]; });
    return answered_;
}

float ModeWindow::median() const {
    MUST(!empty());
    return (sorted_.value((size() - 1) / 2) + sorted_.value(size() / 2)) * 0.5F;
}

float ModeWindow::quantile(float q) const {
    MUST(!empty());
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<float>(size())));
    return sorted_.value(std::clamp<std::size_t>(rank, 1, size()) - 1);
}

void ModeWindow::save(Writer& out) const {
    out.varint(size());
    out.varint(next_);
    for (std::size_t i = 0; i < size(); ++i) {
        put_float(out, sorted_.value(i));
        out.varint(next_ - sorted_.tag(i));
    }
}

void ModeWindow::load(Reader& in) {
    *this = {};
    const std::uint64_t count = in.count(5);
    const std::uint64_t next = in.varint();
    if (count > kWindowMax || next > UINT32_MAX) return in.set_failed();
    next_ = static_cast<std::uint32_t>(next);
    std::array<bool, kWindowMax + 1> seen{};
    for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
        const float value = get_float(in);
        const std::uint64_t back = in.varint();
        // Ages are exactly 1..count, each once: insert() finds the oldest by its number.
        if (back == 0 || back > count || seen[back] || (i > 0 && value < sorted_.value(i - 1))) return in.set_failed();
        seen[back] = true;
        sorted_.append(value, static_cast<std::uint32_t>(next - back));
    }
}

const float* SampleWindow::weights() const {
    return kRingWeights.data() + kWindowMax - (size() == kWindowMax ? oldest_ : size());
}

Sample SampleWindow::sample(std::size_t slot) const {
    return {.value = value_[slot],
            .payload = payload_[slot],
            .type = type_[slot],
            .user = user_[slot],
            .demand = demand_[slot],
            .worker = worker_[slot]};
}

std::size_t SampleWindow::age(std::size_t slot) const {
    return (oldest_ + size() - 1 - slot) % size();
}

void SampleWindow::put(std::size_t slot, const Sample& sample) {
    if (slot == value_.size()) {
        for (auto* column : {&value_, &payload_}) column->resize(slot + kLane);
        for (auto* column : {&type_, &user_, &demand_, &worker_}) column->resize(slot + kLane);
    }
    value_[slot] = sample.value;
    payload_[slot] = sample.payload;
    type_[slot] = sample.type;
    user_[slot] = sample.user;
    demand_[slot] = sample.demand;
    worker_[slot] = sample.worker;
}

void SampleWindow::insert(const Sample& sample, float slope) {
    const float key = sample.value - slope * sample.payload;
    ++next_;
    if (size() < kWindowMax) {
        put(size(), sample);
        return sorted_.insert(key, static_cast<std::uint32_t>(size()));
    }
    const std::uint32_t slot = oldest_;
    oldest_ = (oldest_ + 1) % kWindowMax;
    put(slot, sample);
    sorted_.replace(sorted_.place_of(slot), key, slot);
}

void SampleWindow::resort(float slope) {
    sorted_.reorder([&](std::uint32_t slot) { return value_[slot] - slope * payload_[slot]; });
}

void SampleWindow::keep_newest(std::size_t count) {
    if (count >= size()) return;
    const auto slot_of_age = [&](std::size_t back) { return (oldest_ + size() - 1 - back) % size(); };
    SampleWindow kept;
    kept.next_ = next_;
    for (std::size_t back = count; back-- > 0;) kept.put(count - 1 - back, sample(slot_of_age(back)));
    for (std::size_t i = 0; i < sorted_.size(); ++i)
        if (const std::size_t back = age(sorted_.tag(i)); back < count)
            kept.sorted_.append(sorted_.value(i), static_cast<std::uint32_t>(count - 1 - back));
    *this = std::move(kept);
}

void SampleWindow::save(Writer& out) const {
    out.varint(size());
    out.varint(next_);
    for (std::size_t i = 0; i < size(); ++i) {
        const Sample past = sample(sorted_.tag(i));
        put_float(out, past.value);
        put_float(out, past.payload);
        for (const std::uint32_t hash : {past.type, past.user, past.demand, past.worker}) out.u32(hash);
        out.varint(age(sorted_.tag(i)));
    }
}

void SampleWindow::load(Reader& in, float slope) {
    *this = {};
    const std::uint64_t count = in.count(25);
    const std::uint64_t next = in.varint();
    if (count > kWindowMax || next < count || next > UINT32_MAX) return in.set_failed();
    std::array<Sample, kWindowMax> by_slot;
    std::array<bool, kWindowMax> seen{};
    for (std::uint64_t i = 0; i < count; ++i) {
        Sample past;
        past.value = get_float(in);
        past.payload = get_float(in);
        for (std::uint32_t* hash : {&past.type, &past.user, &past.demand, &past.worker}) *hash = in.u32();
        const std::uint64_t back = in.varint();
        const float key = past.value - slope * past.payload;
        // Ages are 0 .. count-1, each once: they tell the slots.
        const bool ascending = i == 0 || key >= sorted_.value(i - 1);
        if (in.failed() || back >= count || seen[back] || !ascending) {
            *this = {};
            return in.set_failed();
        }
        seen[back] = true;
        by_slot[count - 1 - back] = past;
        sorted_.append(key, static_cast<std::uint32_t>(count - 1 - back));
    }
    for (std::uint64_t slot = 0; slot < count; ++slot) put(slot, by_slot[slot]);
    next_ = static_cast<std::uint32_t>(next);
}

}  // namespace nexus::predict
