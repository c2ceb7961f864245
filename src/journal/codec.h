#pragma once
// The byte format of the journal (docs/journal.md). Bytes in, bytes out; no files.
//
// A batch is what one group commit makes durable: a header (magic, format version, core version, first sequence, count,
// previous batch's chain hash), the framed events, the core's digest after the last of them, and a CRC-32C over all.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "core/event.h"

namespace nexus::journal {

inline constexpr std::uint32_t kFormatVersion = 6;

void encode(const core::Event& event, std::string& out);
// Faults: corrupt, or unsupported for an event kind of a newer version.
Result<core::Event> decode(std::string_view bytes);
// The name of the event's kind, e.g. "TaskSubmitted".
const char* kind_name(const core::Event& event);
// The event as one line of JSON: at_us, event (the kind), and the members that differ from their defaults. Times in
// microseconds, enums as their numbers. For people and exports; nothing reads it back.
std::string describe(const core::Event& event);

struct Batch {
    Sequence first;
    std::uint32_t core_version = 0;
    std::uint64_t digest = 0;  // of the core after the last event
    std::uint64_t chain = 0;   // hash of this batch and, through the previous chain, of all before it
    std::vector<core::Event> events;
};

// Builds batches incrementally: the engine adds each event as it applies it.
class BatchWriter {
public:
    BatchWriter(Sequence next, std::uint64_t chain, std::uint32_t core_version);
    void add(const core::Event& event);
    bool empty() const { return count_ == 0; }
    std::uint64_t count() const { return count_; }
    Sequence first() const { return first_; }
    std::size_t size_bytes() const { return body_.size(); }
    // Ends the batch, which must not be empty, returns its bytes and starts the next one.
    std::string finish(std::uint64_t digest);
    std::uint64_t chain() const { return chain_; }

private:
    Sequence first_;
    std::uint64_t chain_;
    std::uint32_t core_version_;
    std::uint64_t count_ = 0;
    Instant last_at_;   // of the last event added: times are stored as distances
    std::string body_;  // the header's place, then the framed events
    std::string scratch_;
};

// What a batch says about itself, without decoding its events. The checksum is verified; whether `chain_before` fits is
// the caller's to check. Faults: corrupt, unsupported.
struct BatchHead {
    Sequence first;
    std::uint64_t count = 0;
    std::uint32_t core_version = 0;
    std::uint64_t chain_before = 0;
    std::uint64_t chain = 0;
};
Result<BatchHead> check_batch(std::string_view bytes);

// `chain_before` must be the chain of the preceding batch (0 at the start). Faults: corrupt (with the byte offset),
// unsupported.
Result<Batch> decode_batch(std::string_view bytes, std::uint64_t chain_before);

// A snapshot container: version, sequence it stands at, chain, digest, core bytes, other named sections, CRC.
struct Snapshot {
    Sequence at;  // the last event it includes
    std::uint64_t chain = 0;
    std::uint64_t digest = 0;
    std::uint32_t core_version = 0;
    std::string core;       // Scheduler::save
    std::string predictor;  // Predictor::save
    std::string engine;     // engine's own small state
};
std::string encode_snapshot(const Snapshot& snapshot);
Result<Snapshot> decode_snapshot(std::string_view bytes);

}  // namespace nexus::journal
