#include "predict/size_driver.h"

#include <cmath>

namespace nexus::predict {
namespace {

constexpr std::size_t kNumbersMax = 4;
constexpr std::size_t kNameBytesMax = 64;
constexpr float kRunsMin = 4;         // of a number before it may take over
constexpr float kClearlyMore = 0.1F;  // of the variance

float size_of_payload(std::uint64_t bytes) {
    return bytes == 0 ? 0.0F : std::log(static_cast<float>(bytes) + 1);
}

float size_of_number(double x) {
    const auto size = static_cast<float>(std::log1p(std::abs(x)));
    return std::isfinite(size) ? size : 0.0F;
}

const double* number_named(const Features& features, std::string_view name) {
    if (features.numbers == nullptr) return nullptr;
    for (const auto& [own, x] : *features.numbers)
        if (own == name) return &x;
    return nullptr;
}

}  // namespace

float SizeDriver::size_of(const Features& features) const {
    if (chosen_ == 0) return size_of_payload(features.payload_bytes);
    const Named& named = named_[chosen_ - 1];
    const double* x = number_named(features, named.name);
    return x == nullptr ? named.line.mean() : size_of_number(*x);
}

bool SizeDriver::learn(const Features& features, float value) {
    payload_.learn(size_of_payload(features.payload_bytes), value);
    if (features.numbers == nullptr || features.numbers->empty()) return false;
    for (const auto& [name, x] : *features.numbers) {
        std::size_t at = 0;
        while (at < named_.size() && named_[at].name != name) ++at;
        if (at == named_.size()) {
            if (at == kNumbersMax || name.size() > kNameBytesMax) continue;
            named_.push_back({.name = name});
        }
        named_[at].line.learn(size_of_number(x), value);
    }
    std::size_t best = chosen_;
    float most = chosen().explained() + kClearlyMore;
    for (std::size_t at = 0; at < named_.size(); ++at)
        if (named_[at].line.count() >= kRunsMin && named_[at].line.explained() > most) {
            most = named_[at].line.explained();
            best = at + 1;
        }
    if (payload_.explained() > most) best = 0;
    if (best == chosen_) return false;
    chosen_ = best;
    return true;
}

void SizeDriver::forget() {
    payload_.forget();
    for (Named& named : named_) named.line.forget();
}

void SizeDriver::save(Writer& out) const {
    payload_.save(out);
    out.varint(named_.size());
    for (const Named& named : named_) {
        out.text(named.name);
        named.line.save(out);
    }
    out.varint(chosen_);
}

void SizeDriver::load(Reader& in) {
    payload_.load(in);
    const std::uint64_t count = in.count(20);
    if (count > kNumbersMax) return in.set_failed();
    named_.clear();
    for (std::uint64_t i = 0; i < count; ++i) {
        Named named;
        named.name = in.text();
        named.line.load(in);
        named_.push_back(std::move(named));
    }
    chosen_ = in.varint();
    if (chosen_ > named_.size()) {
        chosen_ = 0;
        in.set_failed();
    }
}

}  // namespace nexus::predict
