#include "main/dev_house.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace nexus::dev {
namespace {

constexpr Duration kReadyMax = minutes(5);  // recovery of a large journal takes a while
constexpr Duration kDrainMax = seconds(3);
constexpr Duration kStopMax = seconds(6);  // the server's own limit is 5 s

// "nexus: ready on 127.0.0.1:7070, http://127.0.0.1:7080, ..." -> the part after `before`, up to a comma.
std::string part_after(const std::string& line, const std::string& before) {
    const std::size_t at = line.find(before);
    if (at == std::string::npos) return {};
    const std::size_t begin = at + before.size();
    return line.substr(begin, line.find(',', begin) - begin);
}

std::string any_port(const std::string& address) {
    return address.substr(0, address.rfind(':') + 1) + "0";
}

}  // namespace

bool is_free(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<std::uint16_t>(std::atoi(address.c_str() + colon + 1)));
    if (inet_pton(AF_INET, address.substr(0, colon).c_str(), &where.sin_addr) != 1) return false;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const bool free = bind(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
    close(fd);
    return free;
}

Result<void> House::start_server() {
    const bool first = grpc_.empty();
    const std::string listen = !first ? grpc_ : is_free(options_.listen) ? options_.listen : any_port(options_.listen);
    const std::string http = !first ? page_ : is_free(options_.http) ? options_.http : any_port(options_.http);
    auto child =
        process::Child::start({options_.self, "serve", "--listen", listen, "--http", http, "--data", options_.data},
                              options_.data + "/server.log", true);
    if (!child) return std::unexpected(std::move(child).error());
    const auto line = child->read_line(kReadyMax);
    if (!line) {
        child->reap({});
        return fail(Fault::unavailable, "the server did not start; its log is " + options_.data + "/server.log");
    }
    server_ = std::move(*child);
    ready_line_ = *line;
    grpc_ = part_after(*line, "ready on ");
    page_ = part_after(*line, "http://");
    return {};
}

Result<process::Child> House::start_worker(std::size_t index) const {
    const std::string name = "dev-" + std::to_string(index + 1);
    return process::Child::start(
        {options_.self, "worker", "--server", grpc_, "--name", name, "--slots", "1", "--allow", "exec"},
        options_.data + "/" + name + ".log", false);
}

Result<void> House::start() {
    if (auto started = start_server(); !started) return started;
    for (int i = 0; i < options_.workers; ++i) {
        auto worker = start_worker(static_cast<std::size_t>(i));
        if (!worker) return std::unexpected(std::move(worker).error());
        workers_.push_back(std::move(*worker));
    }
    return {};
}

Result<bool> House::look_after() {
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        const auto how = workers_[i].ended();
        if (!how) continue;
        note_("worker dev-" + std::to_string(i + 1) + " ended by " + *how + "; started again");
        auto worker = start_worker(i);
        if (!worker) return std::unexpected(std::move(worker).error());
        workers_[i] = std::move(*worker);
    }
    const auto how = server_->ended();
    if (!how) return false;
    note_("the server ended by " + *how + "; started again");
    if (auto started = start_server(); !started) return std::unexpected(std::move(started).error());
    note_(ready_line_);
    return true;
}

void House::stop() {
    for (const process::Child& worker : workers_) worker.terminate();
    for (process::Child& worker : workers_) worker.reap(kDrainMax);
    workers_.clear();
    if (!server_) return;
    server_->terminate();
    server_->reap(kStopMax);
    server_.reset();
}

}  // namespace nexus::dev
