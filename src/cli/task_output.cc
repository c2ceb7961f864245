#include "cli/task_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "cli/task_view.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

void put_err(std::string_view bytes) {
    std::fwrite(bytes.data(), 1, bytes.size(), stderr);
}

}  // namespace

Answer<void> put_result(const Shell& shell, const pb::Task& task, bool streams) {
    const ProgramResult program = program_result(task.result());
    if (!program.is_program) {
        put(task.result());
        return {};
    }
    if (streams) put_err(program.err.bytes);
    if (program.out.left_out > 0 && !program.out.text)
        return failure(kExitFailure,
                       fmt::format("task {} wrote {} bytes that are no text, and {} of them are not kept: nothing is "
                                   "written",
                                   task.id(), program.out.written, program.out.left_out),
                       "let the program write a file of its own");
    put(program.out.bytes);
    if (program.out.left_out + program.err.left_out > 0)
        shell.say(fmt::format("nexus: {} bytes of the output were left out, where it says so",
                              program.out.left_out + program.err.left_out));
    return {};
}

Answer<void> has_result(const pb::Task& task) {
    if (!task.result().empty()) return {};
    const std::string next = fmt::format("see `nexus task get {}`", task.id());
    if (!is_terminal(task.state()))
        return failure(kExitRefused,
                       fmt::format("task {} has no result yet: it is {}", task.id(), state_text(task.state())),
                       fmt::format("wait with `nexus task get {} --wait`", task.id()));
    if (task.state() == pb::TASK_STATE_SUCCEEDED)
        return failure(kExitRefused,
                       fmt::format("task {} succeeded and has no result: its worker gave none, or it is not kept any "
                                   "more",
                                   task.id()),
                       next);
    return failure(kExitRefused,
                   fmt::format("task {} is {} and left no result: {}", task.id(), state_text(task.state()),
                               safe_text(task.error(), 500)),
                   next);
}

std::vector<Piece> pieces_of(const ProgramStream& stream) {
    const std::string_view all = stream.bytes;
    const std::string mark = fmt::format("[nexus: {} bytes left out]\n", stream.left_out);
    const std::size_t at = stream.left_out > 0 ? all.find(mark) : std::string_view::npos;
    if (at == std::string_view::npos) return {{.from = 0, .bytes = all}};
    const std::string_view tail = all.substr(at + mark.size());
    // The worker puts an end of line before its mark where the program wrote none.
    const std::uint64_t head = stream.written - std::min(stream.written, stream.left_out + tail.size());
    return {{.from = 0, .bytes = all.substr(0, std::min<std::uint64_t>(at, head))},
            {.from = stream.written - std::min<std::uint64_t>(stream.written, tail.size()), .bytes = tail}};
}

int exit_code_of(const pb::Task& task) {
    if (task.state() == pb::TASK_STATE_SUCCEEDED) return kExitOk;
    if (!task.attempts().empty() && task.attempts().rbegin()->outcome() == "timed_out") return kExitTimedOut;
    const ProgramResult program = program_result(task.result());
    if (!program.is_program || program.stopped) return kExitFailure;
    if (program.signal != 0) return 128 + program.signal;
    return program.exit_code != 0 ? program.exit_code : kExitFailure;
}

}  // namespace nexus::cli
