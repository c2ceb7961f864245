#pragma once
// Bytes to and from a server, over TCP or a Unix socket, plain or in TLS, never waiting longer than a limit.
// Not thread-safe.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "redis/address.h"

namespace nexus::redis {

struct Tls {
    std::string ca;         // file of the authorities that are believed; empty = those of the system
    std::string cert, key;  // files with which we show who we are; empty = we do not
};

class Stream {
public:
    // `limit` holds for each step: reaching the host, and TLS. Faults: unreachable, denied (TLS refused the other side or
    // us), invalid (a file of `tls` cannot be used).
    static Result<std::unique_ptr<Stream>> connect(const Address& address, const Tls& tls, Duration limit);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // All of it. `limit` is the longest time without a byte on its way. Fault unreachable; then the stream is of no use.
    Result<void> write(std::string_view bytes, Duration limit);
    // What has come, at least a byte; it is good until the next call. Faults as of write().
    Result<std::string_view> read(Duration limit);

private:
    class Security;
    explicit Stream(int fd);
    Result<void> secure(const Address& address, const Tls& tls, Duration limit);
    Result<void> await(short events, Duration limit) const;

    int fd_;
    std::unique_ptr<Security> security_;
    std::string buffer_;
};

}  // namespace nexus::redis
