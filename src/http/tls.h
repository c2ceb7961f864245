#pragma once
// The TLS side of the HTTP listener: a context for new connections, made again when its files change.

#include <string>

#include "http/transport.h"
#include "identity/tls_files.h"

namespace nexus::http {

// TLS 1.2 or newer, no renegotiation, no compression. Faults: invalid, with what OpenSSL says.
Result<Transport::Context> make_context(const identity::TlsFiles& files);

}  // namespace nexus::http
