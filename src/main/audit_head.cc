#include "main/audit_head.h"

#include "base/private_file.h"

namespace nexus::serve {
namespace {

constexpr std::chrono::seconds kEvery{60};

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
    if (const auto written = write_private(path_, head + "\n"); !written)
        log_.write(engine::LogLevel::warning, "audit_head_failed", written.error().what);
}

}  // namespace nexus::serve
