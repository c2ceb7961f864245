#include "worker/exec.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace nexus::worker {
namespace {

using nlohmann::json;

class Descriptor {
public:
    explicit Descriptor(int fd = -1) : fd_(fd) {}
    ~Descriptor() { reset(); }
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    int get() const { return fd_; }
    void reset() {
        if (fd_ >= 0) close(fd_);
        fd_ = -1;
    }

private:
    int fd_;
};

Result<std::pair<Descriptor, Descriptor>> make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return fail(Fault::exhausted, std::string("pipe: ") + std::strerror(errno));
    return std::pair(Descriptor(ends[0]), Descriptor(ends[1]));
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

std::vector<std::string> environment(const ExecRequest& request, const ExecRules& rules,
                                     const std::vector<std::string>& extra) {
    std::vector<std::string> env;
    for (const std::string& name : rules.env) {
        const auto asked =
            std::find_if(request.env.begin(), request.env.end(), [&](const auto& e) { return e.first == name; });
        if (asked != request.env.end()) {
            env.push_back(name + "=" + asked->second);
        } else if (const char* own = std::getenv(name.c_str())) {
            env.push_back(name + "=" + own);
        }
    }
    env.insert(env.end(), extra.begin(), extra.end());
    return env;
}

// In the child, between fork and exec: only calls that are safe there. Failures go to the parent as errno.
[[noreturn]] void become(const char* path, char* const* argv, char* const* env, const char* cwd, int out, int err,
                         int report) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(out, 1);
    dup2(err, 2);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int number : {SIGINT, SIGTERM, SIGPIPE, SIGHUP, SIGCHLD}) signal(number, SIG_DFL);
    if (cwd[0] == '\0' || chdir(cwd) == 0) execve(path, argv, env);
    const int why = errno;
    [[maybe_unused]] const auto written = write(report, &why, sizeof why);
    _exit(127);
}

// Reads what is there. False at the end of the stream.
bool drain(int fd, std::string& into, std::size_t most, bool& truncated) {
    char buffer[16384];
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    if (n == 0) return false;
    const std::size_t room = most - std::min(most, into.size());
    into.append(buffer, std::min<std::size_t>(room, static_cast<std::size_t>(n)));
    if (static_cast<std::size_t>(n) > room) truncated = true;
    return true;
}

struct Child {
    pid_t pid = -1;
    Descriptor pidfd, out, err;
};

Result<Child> spawn(const ExecRequest& request, const std::string& path, const ExecRules& rules,
                    const std::vector<std::string>& extra) {
    auto out = make_pipe();
    auto err = make_pipe();
    auto report = make_pipe();
    if (!out || !err || !report) return fail(Fault::exhausted, "no file descriptors left for another program");
    std::vector<std::string> args = request.argv;
    std::vector<std::string> env = environment(request, rules, extra);
    const std::vector<char*> argv = pointers(args);
    const std::vector<char*> envp = pointers(env);
    const pid_t pid = fork();
    if (pid < 0) return fail(Fault::exhausted, std::string("fork: ") + std::strerror(errno));
    if (pid == 0)
        become(path.c_str(), argv.data(), envp.data(), request.cwd.c_str(), out->second.get(), err->second.get(),
               report->second.get());
    setpgid(pid, pid);  // also here: whoever comes first
    report->second.reset();
    int why = 0;
    ssize_t n;
    do n = read(report->first.get(), &why, sizeof why);
    while (n < 0 && errno == EINTR);
    if (n == sizeof why) {
        waitpid(pid, nullptr, 0);
        return fail(
            why == ENOENT || why == ENOTDIR ? Fault::not_found : Fault::denied,
            "cannot run " + path + (request.cwd.empty() ? "" : " in " + request.cwd) + ": " + std::strerror(why));
    }
    Child child;
    child.pid = pid;
    child.pidfd = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    fcntl(out->first.get(), F_SETFL, O_NONBLOCK);
    fcntl(err->first.get(), F_SETFL, O_NONBLOCK);
    child.out = std::move(out->first);
    child.err = std::move(err->first);
    return child;
}

std::int64_t micros(const timeval& t) {
    return t.tv_sec * 1'000'000LL + t.tv_usec;
}

}  // namespace

Result<ExecRequest> parse_exec_request(std::string_view text) {
    const json request = json::parse(text, nullptr, false);
    if (!request.is_object() || !request.contains("argv") || !request["argv"].is_array() || request["argv"].empty())
        return fail(Fault::invalid,
                    "the payload is not an exec request: {\"argv\": [\"program\", …], \"cwd\": …, \"env\": …}");
    ExecRequest out;
    for (const json& arg : request["argv"]) {
        if (!arg.is_string() || arg.get_ref<const std::string&>().find('\0') != std::string::npos)
            return fail(Fault::invalid, "argv: must hold texts without NUL");
        out.argv.push_back(arg);
    }
    if (out.argv[0].empty()) return fail(Fault::invalid, "argv[0]: the program is empty");
    if (request.contains("cwd") && request["cwd"].is_string()) out.cwd = request["cwd"];
    if (request.contains("env") && request["env"].is_object())
        for (const auto& [name, value] : request["env"].items())
            if (value.is_string()) out.env.emplace_back(name, value);
    return out;
}

Result<std::string> find_program(const ExecRequest& request, const ExecRules& rules) {
    namespace fs = std::filesystem;
    const std::string& name = request.argv[0];
    std::string path;
    if (name.find('/') != std::string::npos) {
        std::error_code error;
        const fs::path base = request.cwd.empty() ? fs::current_path(error) : fs::path(request.cwd);
        path = (base / name).lexically_normal().string();
    } else {
        const char* own = std::getenv("PATH");
        std::string_view rest = own == nullptr ? "/usr/local/bin:/usr/bin:/bin" : own;
        while (!rest.empty() && path.empty()) {
            const std::size_t colon = rest.find(':');
            const std::string candidate = std::string(rest.substr(0, colon)) + "/" + name;
            if (access(candidate.c_str(), X_OK) == 0) path = candidate;
            rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
        }
        if (path.empty()) return fail(Fault::not_found, "no program '" + name + "' in this worker's PATH");
    }
    const bool allowed = rules.programs.empty() ||
                         std::any_of(rules.programs.begin(), rules.programs.end(), [&](const std::string& pattern) {
                             return fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
                         });
    if (!allowed) return fail(Fault::denied, "this worker may not run " + path + " (see its --allow)");
    return path;
}

Result<ExecResult> run_program(const ExecRequest& request, const std::string& path, const ExecRules& rules, int stop_fd,
                               const std::vector<std::string>& extra_env) {
    auto child = spawn(request, path, rules, extra_env);
    if (!child) return std::unexpected(std::move(child).error());
    ExecResult result;
    bool out_open = true;
    bool err_open = true;
    bool exited = false;
    int timeout_ms = -1;
    while (!exited) {
        pollfd watched[] = {{child->pidfd.get(), POLLIN, 0},
                            {out_open ? child->out.get() : -1, POLLIN, 0},
                            {err_open ? child->err.get() : -1, POLLIN, 0},
                            {result.stopped ? -1 : stop_fd, POLLIN, 0}};
        const int ready = poll(watched, 4, timeout_ms);
        if (ready < 0 && errno != EINTR) break;
        if (ready == 0) {  // the grace is over
            kill(-child->pid, SIGKILL);
            timeout_ms = -1;
            continue;
        }
        if (watched[1].revents != 0)
            out_open = drain(child->out.get(), result.out, rules.output_bytes_max, result.truncated);
        if (watched[2].revents != 0)
            err_open = drain(child->err.get(), result.err, rules.output_bytes_max, result.truncated);
        if (watched[3].revents != 0) {
            result.stopped = true;
            kill(-child->pid, SIGTERM);
            timeout_ms = static_cast<int>(rules.kill_grace.us / 1000);
        }
        exited = watched[0].revents != 0;
    }
    // Grandchildren may hold the pipes open for ever; what was written until now is read, no more.
    for (std::size_t before = SIZE_MAX; out_open && before != result.out.size();) {
        before = result.out.size();
        out_open = drain(child->out.get(), result.out, rules.output_bytes_max, result.truncated);
    }
    for (std::size_t before = SIZE_MAX; err_open && before != result.err.size();) {
        before = result.err.size();
        err_open = drain(child->err.get(), result.err, rules.output_bytes_max, result.truncated);
    }
    if (result.stopped) kill(-child->pid, SIGKILL);  // what ignored SIGTERM and outlived its leader
    int status = 0;
    rusage usage{};
    while (wait4(child->pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    result.user_us = micros(usage.ru_utime);
    result.sys_us = micros(usage.ru_stime);
    result.max_rss_bytes = usage.ru_maxrss * 1024LL;
    return result;
}

std::string to_json(const ExecResult& result) {
    const json out = {{"exit_code", result.exit_code}, {"signal", result.signal},
                      {"stdout", result.out},          {"stderr", result.err},
                      {"truncated", result.truncated}, {"user_us", result.user_us},
                      {"sys_us", result.sys_us},       {"max_rss_bytes", result.max_rss_bytes}};
    return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace nexus::worker
