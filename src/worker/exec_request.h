#pragma once
// What a task asks an exec worker to run, and whether this worker may.
//
// The payload is JSON: {"argv": ["convert", "in.png", "out.png"], "env": {"LANG": "C"}, "cwd": "/data",
// "stdin_base64": "..."}; only argv is needed. The task's metadata says handler=exec; other handlers are not ours.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nexus::worker {

struct ExecRequest {
    std::vector<std::string> argv;
    std::map<std::string, std::string> environment;
    std::string directory;
    std::string input;
};

// Faults: invalid, naming the field.
Result<ExecRequest> parse_exec_request(std::string_view payload);

// What the flags --allow and --allow-env say.
class ExecRules {
public:
    // `programs`: empty = any program. A pattern with a slash is matched against the program's path, in which * does
    // not match a slash; one without is matched against the name, for programs that are named without a path.
    // `variables`: patterns of the environment variables that may be passed on or set.
    ExecRules(std::vector<std::string> programs, std::vector<std::string> variables);

    // From the value of one --allow flag: "exec" or "exec=PATTERN,...". Adds to `programs`; sets `any`.
    static Result<void> parse_allow(std::string_view text, std::vector<std::string>& programs, bool& any);

    // The path to execute. Faults: denied (no pattern matches), not_found (nothing of that name in PATH).
    Result<std::string> resolve(const ExecRequest& request) const;
    // NAME=value for everything allowed of our own environment, and what the request sets on top.
    // Faults: denied, naming the variable.
    Result<std::vector<std::string>> environment(const ExecRequest& request) const;

private:
    bool program_allowed(const std::string& named, const std::string& path) const;
    bool variable_allowed(const std::string& name) const;

    std::vector<std::string> programs_;
    std::vector<std::string> variables_;
};

}  // namespace nexus::worker
