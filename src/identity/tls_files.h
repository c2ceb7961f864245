#pragma once
// The files of TLS and what is asked of them before a server starts with them. Both listeners read them again when they
// change; what they may not be (readable by others, of two pairs, expired) is refused here, at the start.

#include <openssl/ossl_typ.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace nexus::identity {

struct TlsFiles {
    std::string certificate, key;  // PEM; the certificate with those between it and the root behind it
    std::string client_ca;        // PEM of whoever signs the certificates of clients; empty: they are not asked for one
    bool require_client = false;  // without one no connection comes about
};

// Faults: not_found, denied (the key can be read by others), invalid (not PEM, not a pair, expired or not yet valid).
Result<void> check(const TlsFiles& files);
// The times of their last change: equal while nothing changed.
std::string stamp_of(const TlsFiles& files);

// The names that a verified certificate carries, exactly as they stand there: subject alternative names (DNS, email,
// URI), then the common name.
std::vector<std::string> names_of(X509* certificate);

}  // namespace nexus::identity
