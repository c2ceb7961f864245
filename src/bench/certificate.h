#pragma once
// A certificate for a server on 127.0.0.1 that signs itself, for as long as a bench runs.

#include <string>

#include "base/result.h"

namespace nexus::bench {

// Writes `stem`.crt and `stem`.key (mode 0600), PEM. Fault failed.
Result<void> make_certificate(const std::string& stem);

}  // namespace nexus::bench
