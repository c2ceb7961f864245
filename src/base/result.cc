#include "base/result.h"

namespace nexus {

std::string_view fault_name(Fault fault) {
    switch (fault) {
        case Fault::invalid: return "invalid";
        case Fault::not_found: return "not_found";
        case Fault::conflict: return "conflict";
        case Fault::failed_state: return "failed_state";
        case Fault::exhausted: return "exhausted";
        case Fault::unavailable: return "unavailable";
        case Fault::unreachable: return "unreachable";
        case Fault::failed: return "failed";
        case Fault::superseded: return "superseded";
        case Fault::denied: return "denied";
        case Fault::corrupt: return "corrupt";
        case Fault::no_space: return "no_space";
        case Fault::unsupported: return "unsupported";
        case Fault::unauthenticated: return "unauthenticated";
    }
    return "unknown";
}

}  // namespace nexus
