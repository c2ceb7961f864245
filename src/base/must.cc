#include "base/must.h"

#include <cstdio>
#include <cstdlib>

namespace nexus {

void must_failed(const char* expression, const char* file, int line) noexcept {
    std::fprintf(stderr, "nexus: invariant broken: %s (%s:%d)\n", expression, file, line);
    std::abort();
}

}  // namespace nexus
