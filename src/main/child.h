#pragma once
// One child process of `nexus dev`: in a process group of its own, so that Ctrl-C reaches it through us only, and
// killed by the kernel when the thread that started it ends. Never left as a zombie: the destructor kills and reaps.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace nexus::dev {

class Child {
public:
    // `argv[0]` is the path of the program. Standard error goes to the end of `log_path`; standard output too, unless
    // `read_stdout`. Call it from a thread that lives as long as the child shall.
    static Result<Child> start(const std::vector<std::string>& argv, const std::string& log_path, bool read_stdout);
    Child(Child&& other) noexcept;
    Child& operator=(Child&& other) noexcept;
    ~Child();

    // The next line of its standard output; an error when it ended or said nothing within `limit`.
    Result<std::string> read_line(Duration limit);
    // How it ended, once it has: "exit code 74", "signal 9". Reaps.
    std::optional<std::string> ended();
    void terminate() const;  // SIGTERM
    // Waits up to `limit` for its end, then kills it.
    void reap(Duration limit);
    pid_t pid() const { return pid_; }

private:
    Child(pid_t pid, int stdout_fd) : pid_(pid), stdout_fd_(stdout_fd) {}
    pid_t pid_ = -1;  // -1: none or reaped
    int stdout_fd_ = -1;
};

}  // namespace nexus::dev
