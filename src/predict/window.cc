#include "predict/window.h"

#include <algorithm>
#include <cmath>

#include "base/must.h"
#include "predict/floats.h"

namespace nexus::predict {
void ModeWindow::insert(float value, std::size_t capacity) {
    MUST(capacity > 0);
    MUST(capacity <= kWindowMax);
    if (values_.size() >= capacity) {
        const std::uint32_t oldest = next_ - static_cast<std::uint32_t>(values_.size());
        const auto at = std::find(number_.begin(), number_.end(), oldest) - number_.begin();
        values_.erase(values_.begin() + at);
        number_.erase(number_.begin() + at);
    }
    const auto at = std::upper_bound(values_.begin(), values_.end(), value) - values_.begin();
    values_.insert(values_.begin() + at, value);
    number_.insert(number_.begin() + at, next_++);
}

void ModeWindow::keep_newest(std::size_t count) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < values_.size(); ++i) {
        if (next_ - number_[i] > count) continue;
        values_[kept] = values_[i];
        number_[kept++] = number_[i];
    }
    values_.resize(kept);
    number_.resize(kept);
}

Band ModeWindow::mode(const AgeWeights& weights) const {
    std::array<float, kWindowMax> weight;
    for (std::size_t i = 0; i < values_.size(); ++i) weight[i] = weights[next_ - 1 - number_[i]];
    return densest_band(values_.data(), weight.data(), values_.size());
}

float ModeWindow::median() const {
    MUST(!values_.empty());
    return (values_[(values_.size() - 1) / 2] + values_[values_.size() / 2]) * 0.5F;
}

float ModeWindow::quantile(float q) const {
    MUST(!values_.empty());
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<float>(values_.size())));
    return values_[std::clamp<std::size_t>(rank, 1, values_.size()) - 1];
}

void ModeWindow::save(Writer& out) const {
    out.varint(values_.size());
    out.varint(next_);
    for (std::size_t i = 0; i < values_.size(); ++i) {
        put_float(out, values_[i]);
        out.varint(next_ - number_[i]);
    }
}

void ModeWindow::load(Reader& in) {
    const std::uint64_t count = in.count(5);
    const std::uint64_t next = in.varint();
    if (count > kWindowMax || next > UINT32_MAX) in.set_failed();
    std::array<bool, kWindowMax + 1> seen{};
    for (std::uint64_t i = 0; i < count && !in.failed(); ++i) {
        const float value = get_float(in);
        const std::uint64_t back = in.varint();
        // Ages are exactly 1..count, each once: insert() finds the oldest by its number.
        if (back == 0 || back > count || seen[back] || (i > 0 && value < values_.back())) return in.set_failed();
        seen[back] = true;
        values_.push_back(value);
        number_.push_back(static_cast<std::uint32_t>(next - back));
    }
    next_ = static_cast<std::uint32_t>(next);
}

void SampleWindow::insert(const Sample& sample, std::size_t capacity, float slope) {
    MUST(capacity > 0);
    MUST(capacity <= kWindowMax);
    std::size_t slot = samples_.size();
    if (slot >= capacity) {
        slot = (newest_ + 1) % samples_.size();
        const auto at = std::find(order_.begin(), order_.end(), static_cast<std::uint8_t>(slot)) - order_.begin();
        order_.erase(order_.begin() + at);
        keys_.erase(keys_.begin() + at);
        samples_[slot] = sample;
    } else {
        // While it grows the ring is in order of age, so the newest is always the last.
        samples_.push_back(sample);
    }
    newest_ = slot;
    const float key = sample.value - slope * sample.payload;
    const auto at = std::upper_bound(keys_.begin(), keys_.end(), key) - keys_.begin();
    keys_.insert(keys_.begin() + at, key);
    order_.insert(order_.begin() + at, static_cast<std::uint8_t>(slot));
}

void SampleWindow::resort(float slope) {
    // The old order is nearly right, which insertion sort likes.
    for (std::size_t i = 0; i < order_.size(); ++i) {
        const std::uint8_t slot = order_[i];
        const float key = samples_[slot].value - slope * samples_[slot].payload;
        std::size_t at = i;
        for (; at > 0 && keys_[at - 1] > key; --at) {
            keys_[at] = keys_[at - 1];
            order_[at] = order_[at - 1];
        }
        keys_[at] = key;
        order_[at] = slot;
    }
}

void SampleWindow::keep_newest(std::size_t count) {
    if (count >= samples_.size()) return;
    std::vector<Sample> kept;
    const std::size_t size = samples_.size();
    for (std::size_t back = count; back > 0; --back) kept.push_back(samples_[(newest_ + 1 + size - back) % size]);
    std::vector<std::uint8_t> order;
    std::vector<float> keys;
    for (std::size_t i = 0; i < order_.size(); ++i) {
        const std::size_t years = age(i);
        if (years >= count) continue;
        order.push_back(static_cast<std::uint8_t>(count - 1 - years));
        keys.push_back(keys_[i]);
    }
    samples_ = std::move(kept);
    order_ = std::move(order);
    keys_ = std::move(keys);
    newest_ = count == 0 ? 0 : count - 1;
}

void SampleWindow::save(Writer& out) const {
    out.varint(samples_.size());
    out.varint(newest_);
    for (const Sample& sample : samples_) {
        put_float(out, sample.value);
        put_float(out, sample.payload);
        out.u32(sample.type);
        out.u32(sample.user);
        out.u32(sample.demand);
        out.u32(sample.worker);
    }
    // Equal keys keep the order they came in, which the samples alone do not tell.
    for (const std::uint8_t slot : order_) out.u8(slot);
}

void SampleWindow::load(Reader& in, float slope) {
    const std::uint64_t count = in.count(25);
    newest_ = in.varint();
    if (count > kWindowMax || newest_ >= (count == 0 ? 1 : count)) return in.set_failed();
    for (std::uint64_t i = 0; i < count; ++i) {
        Sample sample;
        sample.value = get_float(in);
        sample.payload = get_float(in);
        sample.type = in.u32();
        sample.user = in.u32();
        sample.demand = in.u32();
        sample.worker = in.u32();
        samples_.push_back(sample);
    }
    std::array<bool, kWindowMax> seen{};
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint8_t slot = in.u8();
        if (slot >= count || seen[slot]) return in.set_failed();
        seen[slot] = true;
        const float key = samples_[slot].value - slope * samples_[slot].payload;
        if (!keys_.empty() && key < keys_.back()) return in.set_failed();
        order_.push_back(slot);
        keys_.push_back(key);
    }
}

}  // namespace nexus::predict
