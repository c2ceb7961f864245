#include "predict/experts.h"

#include "predict/band.h"
#include "predict/floats.h"
#include "predict/lanes.h"

namespace nexus::predict {
namespace {

constexpr float kErrorMax = 2.0F;

}  // namespace

void ExpertScore::add(const ExpertValues& made, float actual, float decay) {
    for (std::size_t e = 0; e < expert_count; e += kLane) {
        const Floats said = load_lanes<Floats>(&made[e]);
        const Words spoke = said == said;  // not NaN
        const Floats off = said - actual;
        const Words hit = (off >= kHitLow) & (off <= kHitHigh);
        const auto add_to = [&](std::array<float, expert_count>& record, Floats more) {
            const Floats old = load_lanes<Floats>(&record[e]);
            store_lanes(spoke ? old * decay + more : old, &record[e]);
        };
        add_to(hits, hit ? floats(1) : floats(0));
        add_to(errors, lesser(off < 0 ? -off : off, floats(kErrorMax)));
        add_to(count, floats(1));
    }
}

void ExpertScore::save(Writer& out) const {
    for (const auto* part : {&hits, &errors, &count})
        for (const float v : *part) put_float(out, v);
}

void ExpertScore::load(Reader& in) {
    for (auto* part : {&hits, &errors, &count})
        for (float& v : *part) {
            v = get_float(in);
            if (v < 0) in.set_failed();
        }
}

void put_values(Writer& out, const ExpertValues& values) {
    for (const float v : values) put_float(out, v);
}

ExpertValues get_values(Reader& in) {
    ExpertValues values;
    for (float& v : values) v = get_float_or_nan(in);
    return values;
}

}  // namespace nexus::predict
