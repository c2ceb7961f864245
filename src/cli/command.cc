#include "cli/command.h"

#include "cli/verbs.h"

namespace nexus::cli {

void add_command(CLI::App& root, int& exit_code, const std::vector<std::string>& program) {
    add_status_verbs(root, exit_code);
    add_top(root, exit_code);
    add_doctor(root, exit_code);
    add_task_verbs(root, exit_code, program);
    add_worker_verbs(root, exit_code);
    add_type_verbs(root, exit_code);
    add_queue_verbs(root, exit_code);
    add_config_verbs(root, exit_code);
    add_override_verbs(root, exit_code);
    add_record_verbs(root, exit_code);
    add_audit_verbs(root, exit_code);
    add_token_verbs(root, exit_code);
    add_profile_verbs(root, exit_code);
    add_completion(root, exit_code);
}

}  // namespace nexus::cli
