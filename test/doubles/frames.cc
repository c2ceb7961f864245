#include "doubles/frames.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>

#include "base/must.h"

namespace nexus::test {
namespace {

bool send_all(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

bool receive_all(int socket, char* bytes, std::size_t size) {
    while (size > 0) {
        const ssize_t got = ::recv(socket, bytes, size, 0);
        if (got <= 0) return false;
        bytes += got;
        size -= static_cast<std::size_t>(got);
    }
    return true;
}

bool send_frame(int socket, std::string_view bytes) {
    const auto size = static_cast<std::uint32_t>(bytes.size());
    return send_all(socket, {reinterpret_cast<const char*>(&size), sizeof size}) && send_all(socket, bytes);
}

std::optional<std::string> receive_frame(int socket) {
    std::uint32_t size = 0;
    if (!receive_all(socket, reinterpret_cast<char*>(&size), sizeof size)) return std::nullopt;
    std::string bytes(size, '\0');
    if (!receive_all(socket, bytes.data(), size)) return std::nullopt;
    return bytes;
}

}  // namespace

FrameServer::FrameServer(std::function<std::string(std::string_view)> handle, FrameFaults faults)
    : handle_(std::move(handle)), faults_(faults), rng_(faults.seed) {}

FrameServer::~FrameServer() {
    for (std::thread& thread : threads_) thread.join();
}

void FrameServer::set_faults(FrameFaults faults) {
    const std::lock_guard lock(mutex_);
    faults_ = faults;
    rng_ = Rng(faults.seed);
}

void FrameServer::away(bool away) {
    const std::lock_guard lock(mutex_);
    away_ = away;
}

FrameCounts FrameServer::counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
}

FrameServer::Ends FrameServer::connect() {
    int sockets[2];
    MUST(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
    const int timer = ::eventfd(0, EFD_CLOEXEC);
    MUST(timer >= 0);
    const int told = ::dup(timer);
    MUST(told >= 0);
    const std::lock_guard lock(mutex_);
    ++counts_.connections;
    threads_.emplace_back([this, ends = Ends{.socket = sockets[1], .timer = told}] { serve(ends); });
    return {.socket = sockets[0], .timer = timer};
}

FrameServer::Fate FrameServer::draw() {
    const std::lock_guard lock(mutex_);
    ++counts_.calls;
    const auto happens = [&](std::uint64_t one_in) { return one_in != 0 && rng_.one_in(one_in); };
    if (away_ || happens(faults_.lost_request_one_in)) {
        ++counts_.lost_requests;
        return Fate::lost_request;
    }
    if (happens(faults_.lost_reply_one_in)) {
        ++counts_.lost_replies;
        return Fate::lost_reply;
    }
    if (happens(faults_.late_reply_one_in)) {
        ++counts_.late_replies;
        return Fate::late_reply;
    }
    return Fate::answered;
}

void FrameServer::serve(Ends ends) {
    while (const auto request = receive_frame(ends.socket)) {
        const Fate fate = draw();
        if (fate == Fate::lost_request) break;
        const std::string answer = handle_(*request);
        if (fate == Fate::lost_reply) break;
        if (fate == Fate::late_reply) {
            const std::uint64_t passed = 1;
            MUST(::write(ends.timer, &passed, sizeof passed) == sizeof passed);
            // The client leaves, now or while the answer is on its way.
        }
        if (!send_frame(ends.socket, answer)) break;
    }
    ::close(ends.socket);
    ::close(ends.timer);
}

void FrameClient::leave() {
    for (const int end : {ends_.socket, ends_.timer})
        if (end >= 0) ::close(end);
    ends_ = {};
}

Result<std::string> FrameClient::call(std::string_view request) {
    if (ends_.socket < 0) ends_ = server_.connect();
    if (send_frame(ends_.socket, request)) {
        pollfd events[] = {{.fd = ends_.timer, .events = POLLIN, .revents = 0},
                           {.fd = ends_.socket, .events = POLLIN, .revents = 0}};
        while (::poll(events, 2, -1) < 0) {
        }
        // The timer first: an answer that comes with it is late.
        if ((events[0].revents & POLLIN) == 0)
            if (auto answer = receive_frame(ends_.socket)) return *std::move(answer);
    }
    leave();
    return fail(Fault::unreachable, "no answer from the store");
}

}  // namespace nexus::test
