#include "engine/engine_section.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace nexus::engine {
namespace {

void put_id(Writer& writer, TaskId id) {
    writer.u64(id.hi);
    writer.u64(id.lo);
}

TaskId take_id(Reader& reader) {
    TaskId id;
    id.hi = reader.u64();
    id.lo = reader.u64();
    return id;
}

}  // namespace

void EngineSection::follow(Sequence number, const core::Event& event, const core::Scheduler& before) {
    audit.follow(number, event, before);
    if (auto changed = after(*tokens, event, before.wall_offset())) tokens = std::move(changed);
    if (const auto* submitted = std::get_if<core::TaskSubmitted>(&event.what)) {
        if (submitted->spec.payload_bytes > 0) payload_bytes[submitted->task] = submitted->spec.payload_bytes;
    }
}

void EngineSection::follow(const core::Command& command) {
    if (const auto* ended = std::get_if<core::TaskEnded>(&command)) payload_bytes.erase(ended->task);
}

std::string EngineSection::encode() const {
    std::string out;
    Writer writer(out);
    std::vector<std::pair<TaskId, std::uint64_t>> sizes;
    sizes.reserve(payload_bytes.size());
    payload_bytes.each([&](TaskId id, std::uint64_t bytes) { sizes.emplace_back(id, bytes); });
    if (!std::is_sorted(sizes.begin(), sizes.end())) std::sort(sizes.begin(), sizes.end());
    writer.varint(sizes.size());
    for (const auto& [id, bytes] : sizes) {
        put_id(writer, id);
        writer.varint(bytes);
    }
    writer.varint(0);  // where earlier releases listed tasks without bodies
    audit.save(writer);
    tokens->save(writer);
    return out;
}

std::shared_ptr<const identity::Tokens> after(const identity::Tokens& tokens, const core::Event& event,
                                              Duration wall_offset) {
    if (const auto* revoked = std::get_if<core::TokenRevoked>(&event.what)) return tokens.without(revoked->id);
    const auto* issued = std::get_if<core::TokenIssued>(&event.what);
    if (issued == nullptr) return nullptr;
    return tokens.with({.id = issued->id,
                        .hash = issued->hash,
                        .name = issued->name,
                        .roles = issued->roles,
                        .tenant = issued->tenant,
                        .created = {event.at.us + wall_offset.us},
                        .expires = issued->expires,
                        .created_by = issued->act.caller});
}

Result<EngineSection> decode_engine_section(std::string_view bytes) {
    EngineSection section;
    if (bytes.empty()) return section;
    Reader reader(bytes);
    const std::uint64_t sizes = reader.count(17);
    section.payload_bytes.reserve(sizes);
    for (std::uint64_t n = 0; n < sizes; ++n) {
        const TaskId id = take_id(reader);
        section.payload_bytes[id] = reader.varint();
    }
    for (std::uint64_t n = reader.count(16); n > 0; --n) take_id(reader);
    if (!reader.at_end()) section.audit.load(reader);  // cores before 8 had none
    if (!reader.at_end()) {                            // nor formats before 6 these
        auto tokens = std::make_shared<identity::Tokens>();
        tokens->load(reader);
        section.tokens = std::move(tokens);
    }
    if (reader.failed() || !reader.at_end())
        return fail(Fault::corrupt, "the engine's section ends at byte " + std::to_string(reader.position()));
    return section;
}

}  // namespace nexus::engine
