#include "doubles/clickhouse_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/must.h"

extern char** environ;

namespace nexus::test {
namespace {

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

int listen_anywhere(std::uint16_t& port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = loopback(0);
    MUST(bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    MUST(listen(socket, 64) == 0);
    socklen_t size = sizeof address;
    MUST(getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    return socket;
}

int connect_to(std::uint16_t port) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    if (connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
    close(socket);
    return -1;
}

bool send_all(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

void put_file(const std::string& path, const std::string& text) {
    std::ofstream(path) << text;
}

}  // namespace

ClickHouseServer::ClickHouseServer() {
    char name[] = "/tmp/nexus-clickhouse-XXXXXX";
    MUST(mkdtemp(name) != nullptr);
    directory_ = name;
    const int sockets[] = {listen_anywhere(port_), listen_anywhere(tcp_port_)};  // both at once: they differ
    for (const int socket : sockets) close(socket);
    put_file(directory_ + "/config.xml",
             "<yandex><logger><level>warning</level><log>" + directory_ + "/log</log><errorlog>" + directory_ +
                 "/errors</errorlog></logger><listen_host>127.0.0.1</listen_host><http_port>" + std::to_string(port_) +
                 "</http_port><tcp_port>" + std::to_string(tcp_port_) + "</tcp_port><path>" + directory_ +
                 "/data/</path><tmp_path>" + directory_ +
                 "/tmp/</tmp_path><users_config>users.xml</users_config><default_profile>default</default_profile>"
                 "<default_database>default</default_database><mark_cache_size>67108864</mark_cache_size></yandex>");
    put_file(directory_ + "/users.xml",
             "<yandex><profiles><default></default></profiles><users><default><password></password><networks>"
             "<ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default><nexus>"
             "<password>open sesame</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>"
             "<quota>default</quota></nexus></users><quotas><default/></quotas></yandex>");
    start();
}

void ClickHouseServer::start() {
    const std::string config = "--config-file=" + directory_ + "/config.xml";
    const char* const arguments[] = {"clickhouse-server", config.c_str(), nullptr};
    const char* const path = "/usr/sbin/clickhouse-server";
    if (access(path, X_OK) != 0) std::fprintf(stderr, "%s is missing: TOOLS=test tools/setup.sh installs it\n", path);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string out = directory_ + "/output";
    posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    MUST(posix_spawn(&pid_, path, &actions, nullptr, const_cast<char**>(arguments), environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    // Ready when it takes connections: it begins to listen when everything is loaded.
    for (int n = 0; n < 600; ++n) {
        int status = 0;
        MUST(waitpid(pid_, &status, WNOHANG) == 0);
        if (const int socket = connect_to(port_); socket >= 0) {
            close(socket);
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    MUST(false);
}

void ClickHouseServer::kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
}

ClickHouseServer::~ClickHouseServer() {
    kill();
    std::error_code error;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
}

ClickHouseServer& ClickHouseServer::shared() {
    static const char* const elsewhere = std::getenv("NEXUS_CLICKHOUSE_PORT");
    if (elsewhere != nullptr) {
        static ClickHouseServer server(static_cast<std::uint16_t>(std::atoi(elsewhere)));
        return server;
    }
    static ClickHouseServer server;
    return server;
}

std::string ClickHouseServer::new_database() {
    static int count = 0;
    return "test_" + std::to_string(++count);
}

HttpProxy::HttpProxy(std::uint16_t to) : to_(to) {
    listener_ = listen_anywhere(port_);
    acceptor_ = std::thread([this] { accept_loop(); });
}

HttpProxy::~HttpProxy() {
    stop_ = true;
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    close(listener_);
    for (std::thread& thread : threads_) thread.join();
}

void HttpProxy::set(Mode mode) {
    mode_ = mode;
}

void HttpProxy::accept_loop() {
    while (!stop_) {
        const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) return;
        ++connections_;
        if (mode_ == Mode::refuse) {
            close(client);
            continue;
        }
        const std::lock_guard lock(mutex_);
        threads_.emplace_back([this, client] { serve(client); });
    }
}

void HttpProxy::serve(int client) {
    int server = connect_to(to_);
    const auto passes = [](Mode mode) {
        return mode == Mode::pass || mode == Mode::half || mode == Mode::lost_reply || mode == Mode::slow;
    };
    char bytes[65536];
    while (!stop_) {
        pollfd both[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
        if (poll(both, server < 0 ? 1 : 2, 20) < 0) break;
        const Mode mode = mode_;
        if (mode == Mode::refuse) break;
        if ((both[0].revents & (POLLIN | POLLHUP)) != 0) {
            const ssize_t n = recv(client, bytes, sizeof bytes, 0);
            if (n <= 0) break;
            const std::string_view part(bytes, static_cast<std::size_t>(n));
            if (mode == Mode::error) {
                constexpr std::string_view kSays = "Code: 241, e.displayText() = DB::Exception: Memory limit exceeded";
                send_all(client, "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: " +
                                     std::to_string(kSays.size()) + "\r\n\r\n" + std::string(kSays));
                break;
            }
            if (passes(mode) && (server < 0 || !send_all(server, part))) break;
        }
        if (server >= 0 && (both[1].revents & (POLLIN | POLLHUP)) != 0) {
            ssize_t n = recv(server, bytes, sizeof bytes, 0);
            if (n <= 0 || mode == Mode::lost_reply) break;
            if (mode == Mode::slow) std::this_thread::sleep_for(std::chrono::milliseconds(600));
            if (mode == Mode::half) {
                send_all(client, std::string_view(bytes, static_cast<std::size_t>(n) / 2));
                break;
            }
            if (passes(mode) && !send_all(client, std::string_view(bytes, static_cast<std::size_t>(n)))) break;
        }
    }
    close(client);
    if (server >= 0) close(server);
}

}  // namespace nexus::test
