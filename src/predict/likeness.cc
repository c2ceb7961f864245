#include "predict/likeness.h"

#include "predict/lanes.h"

namespace nexus::predict {
namespace {

// How much more a past run counts when it resembles the task in question.
constexpr float kSameUser = 4;
constexpr float kSameDemand = 12;
constexpr float kSameWorker = 4;

// 1, or `more` where a run equals the question.
inline Floats if_same(const std::uint32_t* own, std::uint32_t asked, float more) {
    const Words same = load_lanes<Words>(own) == static_cast<std::int32_t>(asked);
    return same ? floats(more) : floats(1);
}

}  // namespace

void Likes::weigh(const SampleWindow& window, const Sample& asked, float reach, float own_type) {
    past = &window;
    const float* age = window.weights();
    for (std::size_t i = 0; i < window.size(); i += kLane) {
        const Floats apart = load_lanes<Floats>(window.payloads() + i) - asked.payload;
        const Floats near = 1 - (apart < 0 ? -apart : apart) * (reach / 8);
        const Floats kernel = greater(near, floats(0));
        const Floats squared = kernel * kernel;
        const Floats fourth = squared * squared;
        const Floats same = if_same(window.types() + i, asked.type, own_type) *
                            if_same(window.users() + i, asked.user, kSameUser) *
                            if_same(window.demands() + i, asked.demand, kSameDemand) *
                            if_same(window.workers() + i, asked.worker, kSameWorker);
        store_lanes(words(load_lanes<Floats>(age + i) * (fourth * fourth) * same * kWeightOne), weight.data() + i);
    }
}

Band Likes::band() const {
    return past->sorted().densest([this](std::uint32_t slot) { return weight[slot]; });
}

}  // namespace nexus::predict
