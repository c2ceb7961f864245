#include "main/audit_head.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace nexus::serve {
namespace {

constexpr std::chrono::seconds kEvery{60};

// Beside it and then in its place, so that a reader never sees half of it and a planted link is replaced, not followed.
bool write_file(const std::string& path, const std::string& text) {
    const std::string fresh = path + ".new";
    unlink(fresh.c_str());
    const int file = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) return false;
    const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(file);
    return written && rename(fresh.c_str(), path.c_str()) == 0;
}

}  // namespace

void AuditHead::look(engine::Service& engine) {
    std::string head;
    {
        const std::lock_guard lock(answer_->mutex);
        head = answer_->head;
    }
    if (head != told_) tell(head);
    const auto now = std::chrono::steady_clock::now();
    if (now < ask_at_) return;
    ask_at_ = now + kEvery;
    engine.ask(server_itself(), engine::ReadState{},
               [answer = answer_](Result<std::shared_ptr<const engine::ReadModel>> state) {
                   if (!state) return;
                   const std::lock_guard lock(answer->mutex);
                   answer->head = (*state)->status.audit_head;
               });
}

void AuditHead::tell(const std::string& head) {
    told_ = head;
    log_.write(engine::LogLevel::info, "audit_head", "the audit's head is " + head);
    if (!write_file(path_, head + "\n"))
        log_.write(engine::LogLevel::warning, "audit_head_failed", path_ + ": " + std::strerror(errno));
}

}  // namespace nexus::serve
