#include "predict/siblings.h"

#include <algorithm>
#include <cmath>

#include "predict/floats.h"

namespace nexus::predict {
namespace {

constexpr std::size_t kWindow = 8;
constexpr AgeWeights kFast = age_weights(0.70F);

}  // namespace

bool Siblings::fresh(Instant now) const {
    if (ended_.empty()) return false;
    const double longest = std::exp(std::min(static_cast<double>(ended_.mode(kFast).centre), 36.0));
    return static_cast<double>((now - heard_).us) <= longest;
}

bool Siblings::start(Instant now) {
    if (first_ != kNever || fresh(now)) return false;
    first_ = now;
    return true;
}

bool Siblings::pass(float value, Instant began) {
    if (began < since_ || value <= outlasted_) return false;
    outlasted_ = value;
    return true;
}

void Siblings::end(float value, Instant began, Instant now) {
    if (began >= since_) {
        since_ = now;
        ended_.keep_newest(0);
    }
    ended_.insert(value, kWindow);
    heard_ = now;
    cut();
}

// Of what runs longer than that the likeliest band begins there.
Band Siblings::band() const {
    Band made = ended_.empty() ? Band{.centre = 0, .weight = 1, .total = 1} : ended_.mode(kFast);
    if (outlasted_ > 0) made.centre = std::max(made.centre, outlasted_ + kHitHigh);
    return made;
}

void Siblings::save(Writer& out) const {
    out.u64(type);
    for (const Instant at : {first_, since_, heard_}) out.svarint(at.us);
    put_float(out, outlasted_);
    ended_.save(out);
}

void Siblings::load(Reader& in) {
    type = in.u64();
    for (Instant* at : {&first_, &since_, &heard_}) at->us = in.svarint();
    outlasted_ = get_float(in);
    ended_.load(in);
}

}  // namespace nexus::predict
