// beanstalkd as its protocol is meant to be used: puts in pipelines of 500; each worker is a thread with one connection
// on which as many reservations are under way as it has slots; a job that came is deleted with the same write that reserves
// the next. Reservations do not wait: the deletions behind them would wait as well.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "peer.h"

namespace {

constexpr int kPipeline = 500;
constexpr std::string_view kReserve = "reserve-with-timeout 0\r\n";

class Line {
public:
    explicit Line(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            peers::die("beanstalkd does not answer");
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ~Line() { ::close(fd_); }
    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) peers::die("beanstalkd hung up");
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    // Reads what is there; false: nothing came within the time.
    bool receive(int wait_ms) {
        pollfd about{.fd = fd_, .events = POLLIN, .revents = 0};
        if (::poll(&about, 1, wait_ms) <= 0) return false;
        char bytes[64 << 10];
        const ssize_t got = ::recv(fd_, bytes, sizeof bytes, 0);
        if (got <= 0) peers::die("beanstalkd hung up");
        in_.erase(0, at_);
        at_ = 0;
        in_.append(bytes, static_cast<std::size_t>(got));
        return true;
    }
    // The next whole line, and the body of a job after it; empty: it has not come yet.
    std::string_view next() {
        const std::size_t end = in_.find("\r\n", at_);
        if (end == std::string::npos) return {};
        const std::string_view line = std::string_view(in_).substr(at_, end - at_);
        std::size_t after = end + 2;
        if (line.starts_with("RESERVED ")) after += std::strtoull(in_.c_str() + at_ + line.rfind(' '), nullptr, 10) + 2;
        if (after > in_.size()) return {};
        at_ = after;
        return line;
    }

private:
    int fd_;
    std::string in_;
    std::size_t at_ = 0;
};

void fill(const peers::Arguments& given) {
    Line line(given.port);
    const std::string put =
        "put 100 0 60 " + std::to_string(given.payload) + "\r\n" + std::string(given.payload, 'x') + "\r\n";
    for (std::uint64_t sent = 0; sent < given.tasks;) {
        std::string out;
        int some = 0;
        for (; some < kPipeline && sent < given.tasks; ++some, ++sent) out += put;
        line.send(out);
        while (some > 0) {
            const std::string_view answer = line.next();
            if (answer.empty())
                line.receive(-1);
            else if (answer.starts_with("INSERTED"))
                --some;
            else
                peers::die(std::string(answer));
        }
    }
}

void drain(const peers::Arguments& given, std::atomic<std::uint64_t>& done) {
    Line line(given.port);
    std::string out;
    for (unsigned n = 0; n < given.slots; ++n) out += kReserve;
    while (done < given.tasks) {
        line.send(out);
        out.clear();
        if (!line.receive(2)) continue;
        std::uint64_t deleted = 0;
        for (std::string_view answer = line.next(); !answer.empty(); answer = line.next()) {
            if (answer.starts_with("RESERVED ")) {
                const std::string_view rest = answer.substr(9);
                out.append("delete ").append(rest.substr(0, rest.find(' '))).append("\r\n").append(kReserve);
            } else if (answer == "DELETED") {
                ++deleted;
            } else if (answer == "TIMED_OUT") {
                std::this_thread::sleep_for(std::chrono::microseconds(200));
                out += kReserve;
            } else {
                peers::die(std::string(answer));
            }
        }
        done += deleted;
    }
}

}  // namespace

int main(int argc, char** argv) {
    const peers::Arguments given = peers::arguments(argc, argv);
    peers::measure(
        given, [&] { fill(given); }, [&](unsigned, std::atomic<std::uint64_t>& done) { drain(given, done); });
}
