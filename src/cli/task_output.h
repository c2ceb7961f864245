#pragma once
// What tasks wrote and left, for people and pipes: bytes arrive as they were written.

#include <string_view>
#include <vector>

#include "cli/shell.h"
#include "cli/task_view.h"

namespace nexus::cli {

// Writes the result of a task that has ended: of a program its standard output, and with `streams` its standard error to
// standard error. Of anything else the bytes. A refusal (exit code 1) when bytes that are no text are not all there.
Answer<void> put_result(const Shell& shell, const pb::Task& task, bool streams);

// Whether a task that was asked for with its result has one; else why not (exit code 4).
Answer<void> has_result(const pb::Task& task);

// The parts of a program's stream that are kept: as written, with their places in the stream.
struct Piece {
    std::uint64_t from = 0;
    std::string_view bytes;
};
std::vector<Piece> pieces_of(const ProgramStream& stream);

// The exit code for whoever waited for the task: its program's own, 128 + n for signal n, 124 when it ran longer than
// its timeout, 1 when it ended otherwise without success.
int exit_code_of(const pb::Task& task);

}  // namespace nexus::cli
