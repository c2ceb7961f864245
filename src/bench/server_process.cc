#include "bench/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

extern char** environ;

namespace nexus::bench {
namespace {

constexpr int kReadyWaitMs = 300'000;

std::string own_binary() {
    std::error_code ignored;
    return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

}  // namespace

ScratchDirectory::ScratchDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "nexus-bench-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
}

ScratchDirectory::~ScratchDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Result<std::unique_ptr<ServerProcess>> ServerProcess::start(const std::string& data, const std::string& durability,
                                                            const std::string& http) {
    int output[2];
    if (pipe2(output, O_CLOEXEC) != 0) return fail(Fault::exhausted, "start the server: no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (data + "/server.log").c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    std::string words[] = {"nexus", "serve",  "--listen",      "127.0.0.1:0",  "--http",
                           http,    "--data", data + "/store", "--durability", durability};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_t pid = 0;
    const int error = posix_spawn(&pid, own_binary().c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(output[1]);
    if (error != 0) {
        close(output[0]);
        return fail(Fault::unavailable, "start the server: cannot run " + own_binary());
    }
    std::unique_ptr<ServerProcess> server(new ServerProcess(pid, output[0]));
    if (Result<void> ready = server->wait_ready(); !ready) return std::unexpected(std::move(ready).error());
    return server;
}

Result<void> ServerProcess::wait_ready() {
    static constexpr std::string_view kReady = "ready on ";
    std::string text;
    for (;;) {
        pollfd polled{.fd = output_, .events = POLLIN, .revents = 0};
        if (poll(&polled, 1, kReadyWaitMs) <= 0) return fail(Fault::unavailable, "the server did not become ready");
        char buffer[1024];
        const ssize_t got = read(output_, buffer, sizeof buffer);
        if (got <= 0) return fail(Fault::unavailable, "the server ended before it was ready");
        text.append(buffer, static_cast<std::size_t>(got));
        const std::size_t at = text.find(kReady);
        if (at == std::string::npos || text.find('\n', at) == std::string::npos) continue;
        const std::size_t from = at + kReady.size();
        address_ = text.substr(from, text.find_first_of(", \n", from) - from);
        static constexpr std::string_view kHttp = ", http://";
        if (const std::size_t page = text.find(kHttp, from); page != std::string::npos)
            http_address_ =
                text.substr(page + kHttp.size(), text.find_first_of(", \n", page + 2) - page - kHttp.size());
        return {};
    }
}

void ServerProcess::kill_now() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
}

ServerProcess::~ServerProcess() {
    kill_now();
    close(output_);
}

std::uint64_t ServerProcess::rss_bytes() const {
    std::ifstream statm("/proc/" + std::to_string(pid_) + "/statm");
    std::uint64_t size = 0, resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

double ServerProcess::cpu_s() const {
    std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
    std::stringstream text;
    text << stat.rdbuf();
    std::istringstream fields(text.str().substr(text.str().rfind(')') + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;  // state to cmajflt
    double user = 0, system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace nexus::bench
