#include "cli/failure.h"

#include <cstdio>

namespace nexus::cli {

int report(const Failure& failure) {
    std::fprintf(stderr, "nexus: %s\n", failure.what.c_str());
    if (!failure.next.empty()) std::fprintf(stderr, "  %s\n", failure.next.c_str());
    return failure.exit_code;
}

}  // namespace nexus::cli
