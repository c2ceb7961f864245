#pragma once
// One child process that runs beside us: a server, a worker. Never left as a zombie: the destructor kills and reaps it.
// start.h says what it inherits and that it dies with the thread that started it; Ctrl-C reaches it through us only.
// Not thread-safe.

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "process/descriptor.h"

namespace nexus::process {

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
    Child(pid_t pid, Descriptor output) : pid_(pid), output_(std::move(output)) {}
    pid_t pid_ = -1;  // -1: none or reaped
    Descriptor output_;
};

// The path of this very program; empty when the kernel does not tell.
std::string own_program();

}  // namespace nexus::process
