#pragma once
// The head of the audit's chain, told outside of the history once a minute when it has changed: a line of the log, the
// metric nexus_audit_head_info, and the file audit.head in the data directory. Who cuts entries off the end of the
// history would have to change all of them, and what has collected them.

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "engine/service.h"
#include "main/log.h"

namespace nexus::serve {

class AuditHead {
public:
    AuditHead(const std::string& data, Log& log) : path_(file_of(data)), log_(log) {}

    // Called often; asks once a minute, and tells what was answered since the last call.
    void look(engine::Service& engine);

    static std::string file_of(const std::string& data) { return data + "/audit.head"; }

private:
    void tell(const std::string& head);

    // Kept by the answer on its way, which may come late.
    struct Answer {
        std::mutex mutex;
        std::string head;
    };
    std::string path_;
    Log& log_;
    std::shared_ptr<Answer> answer_ = std::make_shared<Answer>();
    std::string told_;
    std::chrono::steady_clock::time_point ask_at_{};
};

}  // namespace nexus::serve
