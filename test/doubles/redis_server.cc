#include "doubles/redis_server.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <sstream>
#include <thread>

#include "base/must.h"

namespace nexus::test {
namespace {

constexpr std::chrono::seconds kStartMax{30};

std::string program_on_path(const std::string& name) {
    const char* path = ::getenv("PATH");
    std::istringstream folders(path == nullptr ? "/usr/bin" : path);
    for (std::string folder; std::getline(folders, folder, ':');)
        if (const std::string file = folder + "/" + name; ::access(file.c_str(), X_OK) == 0) return file;
    return {};
}

}  // namespace

RedisServer::RedisServer(std::string program, std::string directory, std::vector<std::string> settings)
    : program_(std::move(program)),
      directory_(std::move(directory)),
      socket_(directory_ + "/redis.sock"),
      settings_(std::move(settings)) {}

RedisServer::~RedisServer() {
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

Result<std::unique_ptr<RedisServer>> RedisServer::start(std::vector<std::string> settings) {
    std::string program = program_on_path("redis-server");
    if (program.empty())
        return fail(Fault::not_found,
                    "redis-server is not installed, and this test needs it: apt-get install redis-server "
                    "(make test does)");
    // In memory where there is such a place: kill -9 loses no file, and syncs that a busy disk holds up test nothing.
    const bool in_memory = ::access("/dev/shm", W_OK | X_OK) == 0;
    std::string directory = ((in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path()) /
                             "nexus-redis-XXXXXX")
                                .string();
    MUST(::mkdtemp(directory.data()) != nullptr);
    std::unique_ptr<RedisServer> server(new RedisServer(std::move(program), std::move(directory), std::move(settings)));
    if (auto ok = server->start_again(); !ok) return std::unexpected(std::move(ok).error());
    return server;
}

redis::Server RedisServer::address() const {
    return {.address = {.host = {}, .unix_path = socket_}, .reply_limit = seconds(20)};  // a busy machine is no failure
}

void RedisServer::kill() {
    if (child_) child_->reap({});
    child_.reset();
}

void RedisServer::signal(int number) const {
    MUST(child_.has_value());
    MUST(::kill(child_->pid(), number) == 0);
}

std::uint16_t RedisServer::listen() const {
    for (int tries = 0; tries < 50; ++tries) {
        const int port = 20'000 + (::getpid() * 7 + tries * 131) % 20'000;
        ask({"CONFIG", "SET", "bind", "127.0.0.1"});
        if (ask({"CONFIG", "SET", "port", std::to_string(port)}).text == "OK") return static_cast<std::uint16_t>(port);
    }
    MUST(false);
    return 0;
}

Result<void> RedisServer::start_again() {
    kill();
    std::vector<std::string> argv = {program_,   "--port", "0", "--unixsocket", socket_, "--dir",
                                     directory_, "--save", "",  "--appendonly", "yes"};
    argv.insert(argv.end(), settings_.begin(), settings_.end());
    auto child = process::Child::start(argv, directory_ + "/redis.log", false);
    if (!child) return std::unexpected(std::move(child).error().during("redis-server"));
    child_ = std::move(*child);
    const auto end = std::chrono::steady_clock::now() + kStartMax;
    while (std::chrono::steady_clock::now() < end) {
        if (const auto connection = redis::Connection::open(address())) {
            const auto reply = (*connection)->run({"PING"});
            if (reply && (!reply->is_error() || reply->error_code() == "NOAUTH")) return {};
        }
        if (const auto how = child_->ended())
            return fail(Fault::failed, "redis-server ended (" + *how + "); see " + directory_ + "/redis.log");
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return fail(Fault::unreachable, "redis-server does not answer; see " + directory_ + "/redis.log");
}

redis::Reply RedisServer::ask(std::initializer_list<std::string_view> words) const {
    const auto connection = redis::Connection::open(address());
    MUST(connection.has_value());
    auto reply = (*connection)->run(words);
    MUST(reply.has_value());
    return std::move(*reply);
}

}  // namespace nexus::test
