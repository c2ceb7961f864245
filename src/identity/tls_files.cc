#include "identity/tls_files.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace nexus::identity {
namespace {

template <auto kFree>
struct Freed {
    template <class T>
    void operator()(T* object) const {
        kFree(object);
    }
};
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;

Result<struct stat> look_at(const std::string& path) {
    struct stat about{};
    if (stat(path.c_str(), &about) != 0)
        return fail(errno == ENOENT ? Fault::not_found : Fault::denied, path + ": " + std::strerror(errno));
    if (!S_ISREG(about.st_mode)) return fail(Fault::invalid, path + ": not a regular file");
    return about;
}

// As other servers have it: 0600 for our own key, 0640 for one that root keeps for our group.
Result<void> check_private(const std::string& path, const struct stat& about) {
    const mode_t open = about.st_uid == 0 && getuid() != 0 ? 0027 : 0077;
    if ((about.st_mode & open) == 0) return {};
    return fail(Fault::denied, path + ": others can read this key; chmod 600 it, and think of it as known to them");
}

}  // namespace

Result<void> check(const TlsFiles& files) {
    for (const std::string* path : {&files.certificate, &files.key}) {
        const auto about = look_at(*path);
        if (!about) return std::unexpected(about.error());
        if (path == &files.key)
            if (auto ok = check_private(*path, *about); !ok) return ok;
    }
    const Context context(SSL_CTX_new(TLS_server_method()));
    if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1)
        return fail(Fault::invalid, files.certificate + ": no certificate in PEM");
    if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1)
        return fail(Fault::invalid, files.key + ": no key in PEM without a password that fits " + files.certificate);
    if (SSL_CTX_check_private_key(context.get()) != 1)
        return fail(Fault::invalid, files.key + " is not the key of " + files.certificate);
    const X509* own = SSL_CTX_get0_certificate(context.get());
    if (X509_cmp_current_time(X509_get0_notAfter(own)) < 0)
        return fail(Fault::invalid, files.certificate + " has expired");
    if (X509_cmp_current_time(X509_get0_notBefore(own)) > 0)
        return fail(Fault::invalid, files.certificate + " is not valid yet");
    if (files.client_ca.empty()) return {};
    if (const auto about = look_at(files.client_ca); !about) return std::unexpected(about.error());
    if (SSL_CTX_load_verify_locations(context.get(), files.client_ca.c_str(), nullptr) != 1)
        return fail(Fault::invalid, files.client_ca + ": no certificate in PEM");
    return {};
}

std::string stamp_of(const TlsFiles& files) {
    std::string stamp;
    for (const std::string* path : {&files.certificate, &files.key, &files.client_ca}) {
        struct stat about{};
        if (path->empty() || stat(path->c_str(), &about) != 0) continue;
        stamp += std::to_string(about.st_ino) + "." + std::to_string(about.st_mtim.tv_sec) + "." +
                 std::to_string(about.st_mtim.tv_nsec) + ";";
    }
    return stamp;
}

std::vector<std::string> names_of(X509* certificate) {
    std::vector<std::string> names;
    if (certificate == nullptr) return names;
    const auto add = [&names](const ASN1_STRING* text) {
        names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                           static_cast<std::size_t>(ASN1_STRING_length(text)));
    };
    const std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>> all(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
        if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI) add(name->d.ia5);
    }
    const X509_NAME* subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0) add(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    return names;
}

}  // namespace nexus::identity
