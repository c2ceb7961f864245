#pragma once
// What a snapshot holds of the engine itself: what the core does not keep and a replay after the snapshot cannot find
// again. Followed event by event, by the engine and by the snapshotter alike.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "core/command.h"
#include "core/event.h"
#include "engine/audit.h"
#include "engine/task_table.h"
#include "identity/tokens.h"

namespace nexus::engine {

struct EngineSection {
    TaskTable<std::uint64_t> payload_bytes;  // of live tasks that have a payload: for learning
    Audit audit;
    std::shared_ptr<const identity::Tokens> tokens = std::make_shared<const identity::Tokens>();

    // Before the core applies it.
    void follow(Sequence number, const core::Event& event, const core::Scheduler& before);
    void follow(const core::Command& command);
    // In order of ids, so that equal states give equal bytes.
    std::string encode() const;
};
// The table of tokens after the event, or null when it is none of theirs.
std::shared_ptr<const identity::Tokens> after(const identity::Tokens& tokens, const core::Event& event,
                                              Duration wall_offset);
// Empty bytes are an empty section. Faults: corrupt.
Result<EngineSection> decode_engine_section(std::string_view bytes);

}  // namespace nexus::engine
