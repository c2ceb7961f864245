#include "redis/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>

namespace nexus::redis {
namespace {

constexpr std::size_t kReadBytes = 64 << 10;

std::unexpected<Error> gone(std::string_view what, int error) {
    return fail(Fault::unreachable, std::string(what) + ": " + std::strerror(error));
}

std::string tls_reason() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) return "the other side ended it";
    char text[256];
    ERR_error_string_n(code, text, sizeof text);
    return text;
}

// A socket that connects, or has connected, to one of the addresses.
Result<int> connect_to(const sockaddr* where, socklen_t size, Duration limit) {
    const int fd = ::socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return gone("opening a socket", errno);
    if (::connect(fd, where, size) == 0) return fd;
    int error = errno;
    if (error == EINPROGRESS) {
        pollfd wait{.fd = fd, .events = POLLOUT, .revents = 0};
        const int ready = ::poll(&wait, 1, static_cast<int>(limit.us / 1000));
        socklen_t length = sizeof error;
        if (ready == 0) error = ETIMEDOUT;
        if (ready < 0) error = errno;
        if (ready > 0 && ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
        if (error == 0) return fd;
    }
    ::close(fd);
    return gone("connecting", error);
}

Result<int> connect_unix(const std::string& path, Duration limit) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    if (path.size() >= sizeof where.sun_path) return fail(Fault::invalid, "the path of the socket is too long");
    std::memcpy(where.sun_path, path.data(), path.size());
    return connect_to(reinterpret_cast<const sockaddr*>(&where), sizeof where, limit);
}

Result<int> connect_tcp(const Address& address, Duration limit) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int failed = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
    if (failed != 0) return fail(Fault::unreachable, "looking up " + address.host + ": " + ::gai_strerror(failed));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, ::freeaddrinfo);
    Result<int> fd = fail(Fault::unreachable, "looking up " + address.host + ": it has no address");
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
        fd = connect_to(one->ai_addr, one->ai_addrlen, limit);
        if (!fd) continue;
        const int on = 1;
        // Each is for speed or for finding a dead peer sooner: without them it works, too.
        (void)::setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)::setsockopt(*fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        break;
    }
    return fd;
}

}  // namespace

class Stream::Security {
public:
    ~Security() {
        SSL_free(ssl);
        SSL_CTX_free(context);
    }
    SSL_CTX* context = nullptr;
    SSL* ssl = nullptr;
    // What a call of OpenSSL waits for; none: it failed.
    std::optional<short> waits_for(int done) const {
        switch (SSL_get_error(ssl, done)) {
            case SSL_ERROR_WANT_READ: return POLLIN;
            case SSL_ERROR_WANT_WRITE: return POLLOUT;
            default: return std::nullopt;
        }
    }
};

Result<std::unique_ptr<Stream>> Stream::connect(const Address& address, const Tls& tls, Duration limit) {
    auto fd = address.unix_path.empty() ? connect_tcp(address, limit) : connect_unix(address.unix_path, limit);
    if (!fd) return std::unexpected(std::move(fd).error());
    std::unique_ptr<Stream> stream(new Stream(*fd));
    if (address.tls)
        if (auto ok = stream->secure(address, tls, limit); !ok)
            return std::unexpected(std::move(ok).error().during("TLS"));
    return stream;
}

Stream::Stream(int fd) : fd_(fd) {}

Stream::~Stream() {
    security_.reset();
    ::close(fd_);
}

Result<void> Stream::secure(const Address& address, const Tls& tls, Duration limit) {
    ERR_clear_error();
    auto security = std::make_unique<Security>();
    security->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX* const context = security->context;
    if (context == nullptr) return fail(Fault::invalid, tls_reason());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    const bool trusts = tls.ca.empty() ? SSL_CTX_set_default_verify_paths(context) == 1
                                       : SSL_CTX_load_verify_locations(context, tls.ca.c_str(), nullptr) == 1;
    if (!trusts) return fail(Fault::invalid, "the authorities of " + tls.ca + " cannot be used: " + tls_reason());
    if (!tls.cert.empty() && (SSL_CTX_use_certificate_chain_file(context, tls.cert.c_str()) != 1 ||
                              SSL_CTX_use_PrivateKey_file(context, tls.key.c_str(), SSL_FILETYPE_PEM) != 1))
        return fail(Fault::invalid, "the certificate " + tls.cert + " with its key cannot be used: " + tls_reason());
    security->ssl = SSL_new(context);
    SSL* const ssl = security->ssl;
    if (ssl == nullptr) return fail(Fault::invalid, tls_reason());
    in6_addr ip{};
    const bool is_ip =
        ::inet_pton(AF_INET, address.host.c_str(), &ip) == 1 || ::inet_pton(AF_INET6, address.host.c_str(), &ip) == 1;
    const bool named = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address.host.c_str()) == 1
                             : SSL_set1_host(ssl, address.host.c_str()) == 1 &&
                                   SSL_set_tlsext_host_name(ssl, address.host.c_str()) == 1;
    if (!named || SSL_set_fd(ssl, fd_) != 1) return fail(Fault::invalid, tls_reason());
    security_ = std::move(security);
    for (;;) {
        ERR_clear_error();
        const int done = SSL_connect(ssl);
        if (done == 1) return {};
        const auto events = security_->waits_for(done);
        if (!events) {
            const long verdict = SSL_get_verify_result(ssl);
            if (verdict != X509_V_OK)
                return fail(Fault::denied, std::string("the server's certificate is not believed: ") +
                                               X509_verify_cert_error_string(verdict));
            return fail(Fault::denied, tls_reason());
        }
        if (auto ok = await(*events, limit); !ok) return ok;
    }
}

Result<void> Stream::await(short events, Duration limit) const {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::microseconds(limit.us);
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        pollfd wait{.fd = fd_, .events = events, .revents = 0};
        const int ready = ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(0, left)));
        if (ready > 0) return {};
        if (ready == 0) return fail(Fault::unreachable, "no answer within " + std::to_string(limit.us / 1000) + " ms");
        if (errno != EINTR) return gone("waiting", errno);
    }
}

Result<void> Stream::write(std::string_view bytes, Duration limit) {
    while (!bytes.empty()) {
        short events = POLLOUT;
        if (security_) {
            ERR_clear_error();
            const int done =
                SSL_write(security_->ssl, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)));
            if (done > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(done));
                continue;
            }
            const auto wanted = security_->waits_for(done);
            if (!wanted) return fail(Fault::unreachable, "sending: " + tls_reason());
            events = *wanted;
        } else {
            const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (done > 0) {
                bytes.remove_prefix(static_cast<std::size_t>(done));
                continue;
            }
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return gone("sending", errno);
        }
        if (auto ok = await(events, limit); !ok) return ok;
    }
    return {};
}

Result<std::string_view> Stream::read(Duration limit) {
    buffer_.resize(kReadBytes);
    for (;;) {
        short events = POLLIN;
        if (security_) {
            ERR_clear_error();
            const int done = SSL_read(security_->ssl, buffer_.data(), static_cast<int>(buffer_.size()));
            if (done > 0) return std::string_view(buffer_).substr(0, static_cast<std::size_t>(done));
            const auto wanted = security_->waits_for(done);
            if (!wanted) return fail(Fault::unreachable, "receiving: " + tls_reason());
            events = *wanted;
        } else {
            const ssize_t done = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
            if (done > 0) return std::string_view(buffer_).substr(0, static_cast<std::size_t>(done));
            if (done == 0) return fail(Fault::unreachable, "the server closed the connection");
            if (errno == EINTR) continue;
            if (errno != EAGAIN) return gone("receiving", errno);
        }
        if (auto ok = await(events, limit); !ok) return std::unexpected(std::move(ok).error());
    }
}

}  // namespace nexus::redis
