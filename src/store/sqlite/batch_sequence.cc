#include "store/sqlite/batch_sequence.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "journal/codec.h"

namespace nexus::store {
namespace {

constexpr std::size_t kCrcBytes = 4;

bool drops_are_whole(std::string_view drops) {
    if (drops.empty()) return true;
    if (drops.size() % kTaskIdBytes != kCrcBytes) return false;
    const std::string_view ids = drops.substr(0, drops.size() - kCrcBytes);
    return Reader(drops.substr(ids.size())).u32() == crc32c(ids);
}

}  // namespace

StoredBatch stored_batch(const Statement& row) {
    return {.first = {static_cast<std::uint64_t>(row.integer(0))},
            .count = static_cast<std::uint64_t>(row.integer(1)),
            .drops = row.bytes(2),
            .bytes = row.bytes(3)};
}

Result<void> BatchSequence::follow(const StoredBatch& batch) {
    const std::string place = "at sequence " + std::to_string(batch.first.n);
    auto head = journal::check_batch(batch.bytes);
    if (!head) return std::unexpected(std::move(head).error().during(place));
    if (head->first != batch.first || head->count != batch.count)
        return fail(Fault::corrupt, place + ": the batch names another sequence than its row");
    const bool follows = next_ != 0 ? batch.first.n == next_ : trimmed_ == 0 || batch.first.n <= trimmed_ + 1;
    if (!follows || (chain_ && head->chain_before != *chain_))
        return fail(Fault::corrupt, place + ": the batch does not follow the one before it");
    if (!drops_are_whole(batch.drops))
        return fail(Fault::corrupt, place + ": the list of dropped bodies has a wrong checksum");
    chain_before_ = head->chain_before;
    chain_ = head->chain;
    next_ = batch.first.n + batch.count;
    return {};
}

}  // namespace nexus::store
