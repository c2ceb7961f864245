#include "wire/acceptor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace nexus::wire {
namespace {

constexpr std::uint64_t kOwnDescriptors = 48;  // stores, epoll sets, HTTP and the like, measured 30
constexpr std::uint32_t kConnectionsMin = 8;
constexpr std::chrono::milliseconds kBackOff{50};  // after descriptors ran out
constexpr int kBacklog = 1024;
constexpr std::string_view kUnix = "unix:";

struct FreeAddress {
    void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

std::unexpected<Error> bad_address(const std::string& address) {
    return fail(Fault::invalid,
                "listen address \"" + address + "\": not a numeric IPv4, [IPv6] or localhost with a port");
}

Result<std::unique_ptr<addrinfo, FreeAddress>> resolve(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string::npos || colon + 1 == address.size()) return bad_address(address);
    std::string host = address.substr(0, colon);
    if (host == "localhost") host = "127.0.0.1";
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    addrinfo* found = nullptr;
    if (getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found) != 0) return bad_address(address);
    return std::unique_ptr<addrinfo, FreeAddress>(found);
}

std::unexpected<Error> system_error(const std::string& doing, int error) {
    Fault fault = Fault::invalid;
    if (error == EADDRINUSE) fault = Fault::conflict;
    if (error == EACCES) fault = Fault::denied;
    if (error == EMFILE || error == ENFILE) fault = Fault::exhausted;
    return fail(fault, doing + ": " + std::strerror(error));
}

std::uint16_t port_of(int socket) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0 || address.ss_family == AF_UNIX)
        return 0;
    const bool v6 = address.ss_family == AF_INET6;
    return ntohs(v6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                    : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

// Empty for those of this machine.
std::string peer_text(const sockaddr_storage& address) {
    if (address.ss_family == AF_UNIX) return {};
    char text[INET6_ADDRSTRLEN] = {};
    if (address.ss_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
        if (IN6_IS_ADDR_LOOPBACK(&v6)) return {};
        return inet_ntop(AF_INET6, &v6, text, sizeof text);
    }
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address).sin_addr;
    if (ntohl(v4.s_addr) >> 24 == 127) return {};
    return inet_ntop(AF_INET, &v4, text, sizeof text);
}

Result<int> listen_on_port(const std::string& address) {
    auto where = resolve(address);
    if (!where) return std::unexpected(std::move(where).error());
    const int socket = ::socket((*where)->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket < 0) return system_error("listen on " + address, errno);
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(socket, (*where)->ai_addr, (*where)->ai_addrlen) == 0 && ::listen(socket, kBacklog) == 0) return socket;
    const int error = errno;
    close(socket);
    return system_error("listen on " + address, error);
}

// A socket that a killed server left is there and refuses; one that answers is another server's.
void remove_dead_socket(const sockaddr_un& address) {
    struct stat about{};
    if (lstat(address.sun_path, &about) != 0 || !S_ISSOCK(about.st_mode)) return;
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return;
    if (connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno == ECONNREFUSED)
        unlink(address.sun_path);
    close(probe);
}

// Only the user of this process may connect.
Result<int> listen_on_path(const std::string& path) {
    const std::string doing = "listen on " + std::string(kUnix) + path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(Fault::invalid,
                    doing + ": a path of 1 to " + std::to_string(sizeof address.sun_path - 1) + " bytes");
    std::memcpy(address.sun_path, path.data(), path.size());
    remove_dead_socket(address);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket < 0) return system_error(doing, errno);
    fchmod(socket, 0600);  // before it has a name, so that it never has another mode
    if (bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        ::listen(socket, kBacklog) == 0)
        return socket;
    const int error = errno;
    close(socket);
    return system_error(doing, error);
}

// 0 when the descriptor is closed or no socket.
std::uint64_t inode_of(int descriptor) {
    struct stat about{};
    if (fstat(descriptor, &about) != 0 || !S_ISSOCK(about.st_mode)) return 0;
    return about.st_ino;
}

int open_reserve() {
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

}  // namespace

std::uint64_t raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlimit raised = limit;
        raised.rlim_cur = raised.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    return limit.rlim_cur;
}

Result<std::unique_ptr<Acceptor>> Acceptor::listen(const std::string& address, const Limits& limits,
                                                   api::PortCounts& counts) {
    const auto opened =
        address.starts_with(kUnix) ? listen_on_path(address.substr(kUnix.size())) : listen_on_port(address);
    if (!opened) return std::unexpected(opened.error());
    const int socket = *opened;
    const std::string doing = "listen on " + address;
    const int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0) {
        const int error = errno;
        close(socket);
        return system_error(doing, error);
    }
    const std::uint64_t descriptors = raise_descriptor_limit();
    Limits fitting = limits;
    const std::uint64_t room = descriptors > kOwnDescriptors ? descriptors - kOwnDescriptors : 0;
    fitting.connections_max = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(limits.connections_max, std::max<std::uint64_t>(room, kConnectionsMin)));
    return std::unique_ptr<Acceptor>(new Acceptor(fitting, socket, wake, port_of(socket), counts));
}

Acceptor::Acceptor(const Limits& limits, int listener, int wake, std::uint16_t port, api::PortCounts& counts)
    : connections_max_(limits.connections_max),
      per_ip_max_(limits.connections_per_ip_max),
      listener_(listener),
      wake_(wake),
      reserve_(open_reserve()),
      port_(port),
      counts_(counts) {}

Acceptor::~Acceptor() {
    stop();
    close(wake_);
    if (reserve_ >= 0) close(reserve_);
}

void Acceptor::run(Receiver receiver, std::function<void()> each_second) {
    receiver_ = std::move(receiver);
    each_second_ = std::move(each_second);
    thread_ = std::thread([this] { loop(); });
}

void Acceptor::stop() {
    if (stopping_.exchange(true)) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake_, &one, sizeof one);  // cannot fail: the counter is far from full
    if (thread_.joinable()) thread_.join();
    close(listener_);
}

void Acceptor::loop() {
    using std::chrono::duration_cast;
    using std::chrono::milliseconds;
    using std::chrono::steady_clock;
    constexpr std::chrono::seconds kSecond{1};
    auto next_second = steady_clock::now() + kSecond;
    auto resume = steady_clock::now();  // accepting rests until then
    while (!stopping_) {
        const auto now = steady_clock::now();
        const bool resting = now < resume;
        const auto until = resting ? std::min(resume, next_second) : next_second;
        const auto wait = duration_cast<milliseconds>(until - now).count() + 1;
        pollfd polled[] = {{.fd = wake_, .events = POLLIN, .revents = 0},
                           {.fd = resting ? -1 : listener_, .events = POLLIN, .revents = 0}};
        poll(polled, 2, static_cast<int>(std::clamp<std::int64_t>(wait, 0, 1000)));
        if (stopping_) return;
        if ((polled[1].revents & POLLIN) != 0 && !accept_one()) resume = steady_clock::now() + kBackOff;
        if (steady_clock::now() < next_second) continue;
        next_second = steady_clock::now() + kSecond;
        sweep();
        each_second_();
    }
}

// True: go on at once. False: descriptors ran out, rest a moment.
bool Acceptor::accept_one() {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    const int descriptor =
        accept4(listener_, reinterpret_cast<sockaddr*>(&address), &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor < 0) {
        // Aborted by the peer, or taken by a spurious wake-up: the next one is as good as ever.
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return true;
        counts_.errors.fetch_add(1, std::memory_order_relaxed);
        shed();
        return false;
    }
    if (!admit(descriptor, peer_text(address))) {
        counts_.refused.fetch_add(1, std::memory_order_relaxed);
        close(descriptor);
        return true;
    }
    counts_.accepted.fetch_add(1, std::memory_order_relaxed);
    const int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    receiver_(listener_, descriptor);
    return true;
}

// The connection that finds no descriptor is closed through the reserved one: its client learns of it at once instead
// of waiting in the backlog.
void Acceptor::shed() {
    if (reserve_ < 0) {
        reserve_ = open_reserve();
        return;
    }
    close(reserve_);
    const int descriptor = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor >= 0) {
        counts_.refused.fetch_add(1, std::memory_order_relaxed);
        close(descriptor);
    }
    reserve_ = open_reserve();
}

bool Acceptor::admit(int descriptor, std::string address) {
    // The kernel gave us this number anew: whoever had it before is gone.
    if (const auto old = peers_.find(descriptor); old != peers_.end()) forget(old);
    const auto full = [&] {
        if (peers_.size() >= connections_max_) return true;
        const auto same = per_ip_.find(address);
        return !address.empty() && same != per_ip_.end() && same->second >= per_ip_max_;
    };
    if (full()) sweep();
    if (full()) return false;
    if (!address.empty()) ++per_ip_[address];
    peers_.emplace(descriptor, Peer{.inode = inode_of(descriptor), .address = std::move(address)});
    counts_.open.store(peers_.size(), std::memory_order_relaxed);
    return true;
}

void Acceptor::forget(std::unordered_map<int, Peer>::iterator peer) {
    if (const auto same = per_ip_.find(peer->second.address); same != per_ip_.end() && --same->second == 0)
        per_ip_.erase(same);
    peers_.erase(peer);
    counts_.open.store(peers_.size(), std::memory_order_relaxed);
}

void Acceptor::sweep() {
    for (auto it = peers_.begin(); it != peers_.end();) {
        const auto peer = it++;
        if (inode_of(peer->first) != peer->second.inode) forget(peer);
    }
}

}  // namespace nexus::wire
