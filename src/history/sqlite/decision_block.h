#pragma once
// Many decisions in one row of history.db: the rows of about one write, one after the other, with what finds them. Where
// each had a row of its own, two indexes and text of 500 bytes, they cost a third of all that the server did for a task.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "history/history_store.h"

namespace nexus::history {

inline constexpr std::size_t kBlockRowsMax = 512;

struct DecisionBlock {
    std::size_t rows = 0;
    WallTime first_at, last_at;  // the earliest and the latest
    std::uint64_t number_min = 0, number_max = 0;
    TaskId task_min, task_max;
    std::string tasks;  // which tasks it may be about: see may_be_about()
    std::string bytes;  // the rows
};
// At least one row.
DecisionBlock make_block(std::span<const DecisionRow* const> rows);
// False: certainly not. One of 80 answers of true is wrong.
bool may_be_about(std::string_view tasks, TaskId task);
// Faults: corrupt.
Result<std::vector<DecisionRow>> rows_of_block(std::string_view bytes);

}  // namespace nexus::history
