#include "bench/certificate.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

namespace nexus::bench {
namespace {

template <auto kFree>
struct Freed {
    template <class T>
    void operator()(T* object) const {
        kFree(object);
    }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using File = std::unique_ptr<std::FILE, Freed<std::fclose>>;

constexpr long kLives_s = 24 * 3600;

bool add_names(X509* certificate) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> names(
        X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost"));
    return names && X509_add_ext(certificate, names.get(), -1) == 1;
}

bool fill(X509* certificate, EVP_PKEY* key) {
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), kLives_s);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("nexus bench"), -1, -1,
                               0);
    return X509_set_issuer_name(certificate, name) == 1 && add_names(certificate) &&
           X509_sign(certificate, key, EVP_sha256()) > 0;
}

File open_new(const std::string& path) {
    const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return File(descriptor < 0 ? nullptr : fdopen(descriptor, "w"));
}

}  // namespace

Result<void> make_certificate(const std::string& stem) {
    const Key key(EVP_EC_gen("P-256"));
    const Certificate certificate(X509_new());
    if (!key || !certificate || !fill(certificate.get(), key.get()))
        return fail(Fault::failed, "OpenSSL cannot make a certificate");
    const File public_part = open_new(stem + ".crt"), secret_part = open_new(stem + ".key");
    const bool written = public_part && secret_part && PEM_write_X509(public_part.get(), certificate.get()) == 1 &&
                         PEM_write_PrivateKey(secret_part.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1;
    if (!written) return fail(Fault::failed, "cannot write " + stem + ".crt");
    return {};
}

}  // namespace nexus::bench
