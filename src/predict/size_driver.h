#pragma once
// What a type's run time grows with: its payload, or one of the numbers that its tasks carry as named features.
//
// Each candidate has a line of its own (payload_slope.h); the one that explains most of the variance of ln(run) is the
// type's size. Another takes over only when it explains clearly more, so that the choice settles within a few runs.
// Sizes are ln(1 + |x|). At most kNumbersMax names are followed, first come; further ones are ignored.
// Not thread-safe.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "predict/payload_slope.h"
#include "predict/predictor.h"

namespace nexus::predict {

class SizeDriver {
public:
    // Of this task; where its number is missing, the number's mean so far.
    float size_of(const Features& features) const;
    // True when another number took over: sizes handed out before mean something else.
    bool learn(const Features& features, float value);
    // The type has changed: its level is learned anew, from the next runs more than from those before.
    void forget();

    float slope() const { return chosen().slope(); }
    // On the learned line. Means little before three runs.
    float expected(float size) const { return chosen().expected(size); }
    float count() const { return chosen().count(); }
    // "payload" or the number's name.
    std::string_view name() const { return chosen_ == 0 ? "payload" : std::string_view(named_[chosen_ - 1].name); }

    void save(Writer& out) const;
    void load(Reader& in);

private:
    struct Named {
        std::string name;
        // Unlike a payload a number may also make runs shorter: a degree of parallelism, a quality to trade.
        PayloadSlope line{-1.5F};
    };
    const PayloadSlope& chosen() const { return chosen_ == 0 ? payload_ : named_[chosen_ - 1].line; }

    PayloadSlope payload_;
    std::vector<Named> named_;
    std::size_t chosen_ = 0;  // 0 = payload, else one more than the place in named_
};

}  // namespace nexus::predict
