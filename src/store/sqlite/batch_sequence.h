#pragma once
// The rows of the table `batch` in order: is each whole, and does it follow the one before it? Used by recovery, by
// verification and by the export.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "sqlite/database.h"

namespace nexus::store {

using sqlite::Database, sqlite::Statement;

// Bind: first sequence greater than, last sequence greater than.
inline constexpr const char* kSelectBatches =
    "SELECT first, count, drops, bytes FROM batch WHERE first > ? AND first + count - 1 > ? ORDER BY first";
inline constexpr std::size_t kTaskIdBytes = 16;

struct StoredBatch {  // views of a row of kSelectBatches
    Sequence first;
    std::uint64_t count = 0;
    std::string_view drops;  // task ids, then a CRC-32C of them; empty = none
    std::string_view bytes;
};
StoredBatch stored_batch(const Statement& row);

class BatchSequence {
public:
    // `trimmed`: the sequence up to which batches may be missing.
    explicit BatchSequence(std::uint64_t trimmed) : trimmed_(trimmed) {}

    // Faults: corrupt (with sequence and byte), unsupported.
    Result<void> follow(const StoredBatch& batch);

    std::uint64_t next() const { return next_ != 0 ? next_ : trimmed_ == 0 ? 0 : trimmed_ + 1; }  // 0 = any
    // The chain of the batch that was followed last; none = there was none.
    std::optional<std::uint64_t> chain() const { return chain_; }
    // The chain before the batch that was followed last.
    std::uint64_t chain_before() const { return chain_before_; }

private:
    std::uint64_t trimmed_;
    std::uint64_t next_ = 0;
    std::uint64_t chain_before_ = 0;
    std::optional<std::uint64_t> chain_;
};

}  // namespace nexus::store
