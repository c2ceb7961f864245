#pragma once
// How much each past run counts in one question: by its age and by how much it is like the task in question.

#include <array>
#include <cstdint>

#include "predict/window.h"

namespace nexus::predict {

// Weights by likeness, by slot of the window. The kernel is (1 - d/8)^8, which is exp(-d) to the two digits that a
// weight needs, and 0 from d = 8 on.
struct Likes {
    const SampleWindow* past = nullptr;
    std::array<std::int32_t, kWindowMax> weight;  // quanta

    // `reach`: how fast a weight falls with the distance in ln(payload). `own_type`: what a run of the same type counts
    // more.
    void weigh(const SampleWindow& window, const Sample& asked, float reach, float own_type);
    // Of a window that was weighed.
    Band band() const;
};

}  // namespace nexus::predict
