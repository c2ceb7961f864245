#pragma once
// A broken promise. Thrown where it is noticed, caught where the seed was started.

#include <string>
#include <utility>

namespace nexus::faults {

struct Violation {
    std::string promise;  // the invariant's name in the contract, e.g. "S8"
    std::string what;
};

inline void demand(bool kept, const char* promise, std::string what) {
    if (!kept) throw Violation{.promise = promise, .what = std::move(what)};
}

}  // namespace nexus::faults
