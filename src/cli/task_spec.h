#pragma once
// A task from the command line or from one line of a file, made into a TaskSpec. Nothing here talks to a server.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/failure.h"
#include "nexus/v1/nexus.pb.h"

namespace nexus::cli {

namespace pb = ::nexus::v1;

inline constexpr std::size_t kPayloadBytesMax = 256 * 1024;  // as the server has it
inline constexpr std::size_t kLineBytesMax = 1 << 20;        // of a file of tasks

// One member per flag, as typed; add_spec_flags() says what each means.
struct SpecFlags {
    std::string type, payload, payload_file, tenant, queue, worker, key, concurrency_key, ordering_key, rate_key;
    std::string run_at, deadline, traceparent, memory;
    int priority = -1;
    std::int64_t timeout_us = 0, ttl_us = 0, hint_us = 0, delay_us = 0, backoff_first_us = 0, backoff_max_us = 0;
    std::uint32_t attempts_max = 0, concurrency_max = 0;
    std::int64_t cpu_milli = 0, gpu_milli = 0;
    double rate_per_s = 0, cpus = 0;
    std::vector<std::string> labels_required, labels_preferred, labels_forbidden, custom, features, metadata, after;
    bool idempotent = false, exclusive = false, preemptible = false;
    std::vector<std::string> argv, environment;
    std::string directory, input_file;  // of the program
};

// Adds the flags. What stands after -- is argv, set by the caller.
void add_spec_flags(CLI::App& verb, SpecFlags& flags);

// Reads --payload-file ("-" = standard input). With argv the payload is the exec request of nexus worker. Without --key
// the idempotency key is random: safe to send again.
Answer<pb::TaskSpec> make_spec(const SpecFlags& flags, std::int64_t now_unix_us);
// What the flags say for tasks of a file: the same without a key, a payload or a program.
Answer<pb::TaskSpec> make_defaults(const SpecFlags& flags, std::int64_t now_unix_us);

// One JSON object with the fields of TaskSpec (.proto or lowerCamel names; payload in base64) and, besides them,
// "payload_text": the payload as UTF-8 text, or "argv", "cwd", "env", "stdin_base64": a program (worker/exec_request.h).
// Unknown fields are refused. What it does not say is as in `defaults`. A failure's next step says what a line of
// another format may be.
Answer<pb::TaskSpec> spec_from_json(std::string_view line, const pb::TaskSpec& defaults = {});

// The whole file, "-" = standard input. Refused: directories, more than `bytes_max`.
Answer<std::string> read_whole(const std::string& path, std::size_t bytes_max);

}  // namespace nexus::cli
