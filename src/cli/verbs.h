#pragma once
// The nouns of the command line, one file each.

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace nexus::cli {

void add_task_verbs(CLI::App& root, int& exit_code, const std::vector<std::string>& program);
void add_worker_verbs(CLI::App& root, int& exit_code);
void add_type_verbs(CLI::App& root, int& exit_code);
void add_status_verbs(CLI::App& root, int& exit_code);  // status
void add_queue_verbs(CLI::App& root, int& exit_code);
void add_config_verbs(CLI::App& root, int& exit_code);  // policy, config but for what reads files
void add_override_verbs(CLI::App& root, int& exit_code);
void add_record_verbs(CLI::App& root, int& exit_code);  // decision
void add_audit_verbs(CLI::App& root, int& exit_code);
void add_token_verbs(CLI::App& root, int& exit_code);  // token, whoami
void add_profile_verbs(CLI::App& root, int& exit_code);
void add_top(CLI::App& root, int& exit_code);
void add_doctor(CLI::App& root, int& exit_code);
void add_completion(CLI::App& root, int& exit_code);

}  // namespace nexus::cli
