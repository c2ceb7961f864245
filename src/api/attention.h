#pragma once
// Is all well; if not, what, and what does one do? One function for the page, `nexus doctor` and whoever else asks.

#include <optional>
#include <vector>

#include <nexus/v1/nexus.pb.h>

#include "api/methods.h"
#include "engine/read_model.h"
#include "engine/service.h"

namespace nexus::api {

// What is looked at: the state as all readers share it, whether work is taken, and the room on the disk.
struct Looked {
    const engine::ReadModel& state;
    std::vector<engine::Check> checks;
    Disk disk;
    std::optional<history::HistoryHealth> history;  // where it is somewhere else
    StoreFacts store{};
    IntakeFacts intake{};
};
// Pure. The worst first; equal states give equal ids.
void attention_of(const Looked& looked, v1::Attention& out);

}  // namespace nexus::api
