// F6: the readers of events, batches and snapshots. Whatever the bytes, they answer; what they accept survives another
// round; and a batch that is wrapped with a right checksum reaches the event decoder too.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "journal/codec.h"

using namespace nexus;

namespace {

void insist(bool condition) {
    if (!condition) std::abort();
}

void try_event(std::string_view bytes) {
    const auto event = journal::decode(bytes);
    if (!event) return insist(event.error().fault == Fault::corrupt || event.error().fault == Fault::unsupported);
    std::string again;
    journal::encode(*event, again);
    const auto back = journal::decode(again);
    insist(back.has_value());
    insist(journal::describe(*back) == journal::describe(*event));
}

void try_batch(std::string_view bytes) {
    const auto head = journal::check_batch(bytes);
    const auto batch = journal::decode_batch(bytes, head ? head->chain_before : 0);
    if (!batch) return;
    insist(head.has_value());
    insist(batch->events.size() == head->count);
    journal::BatchWriter writer(batch->first, head->chain_before, batch->core_version);
    for (const core::Event& event : batch->events) writer.add(event);
    const std::string again = writer.finish(batch->digest);
    insist(journal::decode_batch(again, head->chain_before).has_value());
}

void try_snapshot(std::string_view bytes) {
    const auto snapshot = journal::decode_snapshot(bytes);
    if (snapshot) insist(journal::decode_snapshot(journal::encode_snapshot(*snapshot)).has_value());
}

std::string sealed(std::string bytes) {
    Writer(bytes).u32(crc32c(bytes));
    return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    try_event(input);
    try_batch(input);
    try_snapshot(input);
    // The same with the checksum made right, which no mutation finds by itself.
    try_batch(sealed(std::string(input)));
    try_snapshot(sealed(std::string(input)));
    return 0;
}
