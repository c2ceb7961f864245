#include "http/tls.h"

#include <openssl/ssl.h>

namespace nexus::http {

namespace ssl = boost::asio::ssl;

Result<Transport::Context> make_context(const identity::TlsFiles& files) {
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    boost::system::error_code error;
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    context->use_certificate_chain_file(files.certificate, error);
    if (error) return fail(Fault::invalid, files.certificate + ": " + error.message());
    context->use_private_key_file(files.key, ssl::context::pem, error);
    if (!error && SSL_CTX_check_private_key(context->native_handle()) != 1)
        return fail(Fault::invalid, files.key + " is not the key of " + files.certificate);
    if (error) return fail(Fault::invalid, files.key + ": " + error.message());
    if (files.client_ca.empty()) return context;
    context->load_verify_file(files.client_ca, error);
    if (error) return fail(Fault::invalid, files.client_ca + ": " + error.message());
    context->set_verify_mode(files.require_client ? ssl::verify_peer | ssl::verify_fail_if_no_peer_cert
                                                  : ssl::verify_peer);
    // A session that is resumed keeps what it proved within one run of the server.
    static constexpr unsigned char kOurs[] = "nexus";
    SSL_CTX_set_session_id_context(context->native_handle(), kOurs, sizeof kOurs - 1);
    return context;
}

std::vector<std::string> Transport::client_names() {
    if (!tls_) return {};
    X509* certificate = SSL_get1_peer_certificate(tls_->native_handle());
    std::vector<std::string> names = identity::names_of(certificate);
    X509_free(certificate);
    return names;
}

}  // namespace nexus::http
