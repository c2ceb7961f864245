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
        const auto add_to = [&](ExpertNumbers& record, Floats more) {
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
        for (std::size_t e = 0; e < kExpertsBefore; ++e) put_float(out, (*part)[e]);
}

void ExpertScore::load(Reader& in) {
    for (auto* part : {&hits, &errors, &count})
        for (std::size_t e = 0; e < kExpertsBefore; ++e) {
            (*part)[e] = get_float(in);
            if ((*part)[e] < 0) in.set_failed();
        }
}

void ExpertScore::save_more(Writer& out) const {
    for (const auto* part : {&hits, &errors, &count}) put_float(out, (*part)[sibling_mode]);
}

void ExpertScore::load_more(Reader& in) {
    for (auto* part : {&hits, &errors, &count}) {
        (*part)[sibling_mode] = get_float(in);
        if ((*part)[sibling_mode] < 0) in.set_failed();
    }
}

void put_values(Writer& out, const ExpertValues& values) {
    for (std::size_t e = 0; e < kExpertsBefore; ++e) put_float(out, values[e]);
}

ExpertValues get_values(Reader& in) {
    ExpertValues values = kNobody;
    for (std::size_t e = 0; e < kExpertsBefore; ++e) values[e] = get_float_or_nan(in);
    return values;
}

void put_more(Writer& out, const ExpertValues& values) {
    put_float(out, values[sibling_mode]);
}

void get_more(Reader& in, ExpertValues& values) {
    values[sibling_mode] = get_float_or_nan(in);
}

}  // namespace nexus::predict
