#pragma once
// Tasks as a person reads them.

#include <string>
#include <string_view>

#include "cli/columns.h"
#include "nexus/v1/nexus.pb.h"

namespace nexus::cli {

namespace pb = ::nexus::v1;

bool is_terminal(pb::TaskState state);
// "waiting", "no_eligible_worker": the names of the .proto file without their prefix, in lower case.
std::string state_text(pb::TaskState state);
std::string reason_text(pb::WaitReason reason);
// 0 (TASK_STATE_UNSPECIFIED) when the name is not one of state_text's.
pb::TaskState state_from_text(std::string_view name);
Tone tone_of(pb::TaskState state);

// One cell that says where the task is: the waiting reason with its culprit, the worker, or the error.
std::string where_text(const pb::Task& task, std::int64_t now_unix_us);
// Of a task that has ended: how, and why.
std::string outcome_text(const pb::Task& task);
const Kind<pb::Task>& task_kind();
// Many lines about one task.
std::string task_page(const pb::Task& task, bool colour, std::int64_t now_unix_us);
std::string decision_page(const pb::Decision& decision, bool colour);
std::string explanation_page(const pb::Explanation& explanation, bool colour, std::int64_t now_unix_us);

// What the exec handler of nexus worker stored as the result of a program.
struct ProgramStream {
    std::string bytes;           // as written; where some are left out a line says so
    bool text = true;            // false: bytes of another kind
    std::uint64_t written = 0;   // in all
    std::uint64_t left_out = 0;  // of them
};
struct ProgramResult {
    bool is_program = false;  // false: the result is something else
    int exit_code = 0;
    int signal = 0;
    bool stopped = false;  // it was told to stop: how it ended says nothing
    ProgramStream out, err;
};
ProgramResult program_result(std::string_view result);

}  // namespace nexus::cli
