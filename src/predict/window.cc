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

// Takes what stands at `from` to `to`; what is between moves up by one.
template <class Column>
void SampleWindow::move_slot(Column& column, std::size_t from, std::size_t to) {
    const auto first = column.begin();
    if (from < to)
        std::move(first + static_cast<std::ptrdiff_t>(from) + 1, first + static_cast<std::ptrdiff_t>(to) + 1,
                  first + static_cast<std::ptrdiff_t>(from));
    else
        std::move_backward(first + static_cast<std::ptrdiff_t>(to), first + static_cast<std::ptrdiff_t>(from),
                           first + static_cast<std::ptrdiff_t>(from) + 1);
}

void SampleWindow::put(std::size_t at, const Sample& sample, float key, std::uint32_t number) {
    key_[at] = key;
    value_[at] = sample.value;
    payload_[at] = sample.payload;
    weight_[at] = 1;
    type_[at] = sample.type;
    user_[at] = sample.user;
    demand_[at] = sample.demand;
    worker_[at] = sample.worker;
    number_[at] = number;
}

void SampleWindow::insert(const Sample& sample, float slope) {
    std::size_t from = size();
    if (size() == kWindowMax) {
        const std::uint32_t oldest = next_ - static_cast<std::uint32_t>(kWindowMax);
        from = static_cast<std::size_t>(std::find(number_.begin(), number_.end(), oldest) - number_.begin());
    } else {
        for (auto* column : {&key_, &value_, &payload_, &weight_}) column->emplace_back();
        for (auto* column : {&type_, &user_, &demand_, &worker_, &number_}) column->emplace_back();
    }
    for (float& weight : weight_) weight *= kSampleDecay;
    const float key = sample.value - slope * sample.payload;
    // Among those that stay: the leaving one's place counts for nobody.
    const auto used = key_.begin() + static_cast<std::ptrdiff_t>(from);
    auto to = static_cast<std::size_t>(std::upper_bound(key_.begin(), used, key) - key_.begin());
    if (to == from && from + 1 < size())
        to = static_cast<std::size_t>(std::upper_bound(used + 1, key_.end(), key) - key_.begin()) - 1;
    for (auto* column : {&key_, &value_, &payload_, &weight_}) move_slot(*column, from, to);
    for (auto* column : {&type_, &user_, &demand_, &worker_, &number_}) move_slot(*column, from, to);
    put(to, sample, key, next_++);
}

Sample SampleWindow::sample(std::size_t i) const {
    return {.value = value_[i],
            .payload = payload_[i],
            .type = type_[i],
            .user = user_[i],
            .demand = demand_[i],
            .worker = worker_[i]};
}

void SampleWindow::resort(float slope) {
    for (std::size_t i = 0; i < size(); ++i) {
        const float key = value_[i] - slope * payload_[i];
        // What comes before is in order already, and nearly right, which insertion likes.
        std::size_t at = i;
        while (at > 0 && key_[at - 1] > key) --at;
        const Sample moved = sample(i);
        const float weight = weight_[i];
        const std::uint32_t number = number_[i];
        if (at < i) {
            for (auto* column : {&key_, &value_, &payload_, &weight_}) move_slot(*column, i, at);
            for (auto* column : {&type_, &user_, &demand_, &worker_, &number_}) move_slot(*column, i, at);
            put(at, moved, key, number);
            weight_[at] = weight;
        }
        key_[at] = key;
    }
}

void SampleWindow::keep_newest(std::size_t count) {
    if (count >= size()) return;
    SampleWindow kept;
    kept.next_ = next_;
    for (std::size_t i = 0; i < size(); ++i) {
        if (age(i) >= count) continue;
        const std::size_t at = kept.size();
        for (auto* column : {&kept.key_, &kept.value_, &kept.payload_, &kept.weight_}) column->emplace_back();
        for (auto* column : {&kept.type_, &kept.user_, &kept.demand_, &kept.worker_, &kept.number_})
            column->emplace_back();
        kept.put(at, sample(i), key_[i], number_[i]);
        kept.weight_[at] = weight_[i];
    }
    *this = std::move(kept);
}

void SampleWindow::save(Writer& out) const {
    out.varint(size());
    out.varint(next_);
    for (std::size_t i = 0; i < size(); ++i) {
        put_float(out, value_[i]);
        put_float(out, payload_[i]);
        for (const std::uint32_t hash : {type_[i], user_[i], demand_[i], worker_[i]}) out.u32(hash);
        out.varint(age(i));
    }
}

void SampleWindow::load(Reader& in, float slope) {
    static constexpr AgeWeights kWeights = age_weights(kSampleDecay);
    const std::uint64_t count = in.count(25);
    const std::uint64_t next = in.varint();
    if (count > kWindowMax || next < count || next > UINT32_MAX) return in.set_failed();
    next_ = static_cast<std::uint32_t>(next);
    std::array<bool, kWindowMax> seen{};
    for (std::uint64_t i = 0; i < count; ++i) {
        Sample past;
        past.value = get_float(in);
        past.payload = get_float(in);
        for (std::uint32_t* hash : {&past.type, &past.user, &past.demand, &past.worker}) *hash = in.u32();
        const std::uint64_t back = in.varint();
        const float key = past.value - slope * past.payload;
        // Ages are 0 .. count-1, each once: insert() finds the oldest by its number.
        if (in.failed() || back >= count || seen[back] || (i > 0 && key < key_.back())) return in.set_failed();
        seen[back] = true;
        for (auto* column : {&key_, &value_, &payload_, &weight_}) column->emplace_back();
        for (auto* column : {&type_, &user_, &demand_, &worker_, &number_}) column->emplace_back();
        put(i, past, key, next_ - 1 - static_cast<std::uint32_t>(back));
        weight_[i] = kWeights[back];
    }
}

}  // namespace nexus::predict
