#pragma once
// Between the rules' plain values and the messages of nexus.v1. Only the stream and the runtime include this.

#include <nexus/v1/nexus.pb.h>

#include "attempt.h"
#include "worker_state.h"

namespace nexus::sdk {

// What a hello says beside what the rules know.
struct Identity {
    std::string name, version, hostname;
    std::uint64_t instance = 0;
    std::map<std::string, std::string> labels;
    std::optional<ResourceRequest> resources;
    std::vector<std::string> types;  // empty = any
    bool can_pause = false;
};
struct Load {
    double cpu_usage = 0;     // 0..1
    double memory_usage = 0;  // 0..1
};

// Replaces what is in `message`, and keeps its memory.
void fill(v1::WorkerMessage& message, const Outbound& out, const Identity& identity, const Load& load);
Assignment to_assignment(v1::Assign&& assign);

}  // namespace nexus::sdk
