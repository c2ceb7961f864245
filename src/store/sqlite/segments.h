#pragma once
// Many small bodies in few rows. The bodies that arrive in one transaction are stored together as one segment (a row:
// directory and concatenated bytes); memory knows where each body lies. A body that is dropped costs no write of its
// own: only its segment's count of living bodies shrinks, and the row is deleted with the last of them. Segments that
// are mostly dead are rewritten, so that one old task cannot pin much.
//
// What survives a crash is what the caller makes it: which bodies of a surviving segment are dead is written by
// fold_deaths(), and the caller repeats later drops through drop().
//
// Threads: one writer calls everything that takes a Database; find() may be called by any thread.

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "sqlite/database.h"
#include "store/sqlite/place_index.h"

namespace nexus::store {

using sqlite::Access, sqlite::Database, sqlite::Statement;

struct BodyView {
    TaskId task;
    std::string_view bytes;
};

struct SegmentsOptions {
    std::string table;  // "body" or "result": names the tables <table>_segment, <table>_dead
    std::uint64_t cache_bytes_max = 64 << 20;
    std::size_t segment_bytes_max = 1 << 20;  // a larger body gets a segment of its own
    bool expires = false;                     // remember the order of arrival, so that expire() may be called
};

class Segments {
public:
    explicit Segments(SegmentsOptions options) : options_(std::move(options)) {}

    // SQL that creates the tables.
    static std::string schema(const std::string& table);

    // Prepares statements and rebuilds the index. Rows whose directory is damaged are a fault (corrupt).
    Result<void> open(Database& db);

    // The changes of one transaction, in the order drop, compact, put, delete_empty. All take effect in memory at once,
    // except that new bodies are found only after commit(); roll_back() undoes the rest.
    Result<void> put(std::span<const BodyView> bodies, std::uint64_t first_sequence, WallTime at);
    bool drop(TaskId task);       // false: unknown
    Result<void> delete_empty();  // rows of the segments that the drops left without living bodies
    Result<void> compact();       // rewrites some mostly dead segments when much is dead; a slice per call
    Result<void> fold_deaths();   // makes durable which bodies of living segments are dead
    // Drops whole segments, oldest first, that are older than `oldest` or beyond `bytes_max`; a slice per call.
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max);
    void commit();
    void roll_back();

    // The place of the bytes, and the bytes when they are in memory.
    struct Found {
        Place place;
        std::shared_ptr<const std::string> segment;
    };
    std::optional<Found> find(TaskId task);
    // Brings what drop() and find() read of these first into the cache: of a million bodies it is in none.
    void prefetch(std::span<const TaskId> tasks);
    // Offers bytes that were read from the database to the cache.
    void cache(std::uint64_t segment, std::shared_ptr<const std::string> bytes);

    struct Totals {
        std::uint64_t bodies = 0, live_bytes = 0, dead_bytes = 0, segments = 0, cached_bytes = 0;
    };
    Totals totals();

    // A directory row as it is stored: per body the task id and the length; then a CRC-32C of these and of the bytes.
    struct Entry {
        TaskId task;
        std::uint32_t length = 0;
    };
    static Result<std::vector<Entry>> read_directory(std::string_view directory);
    static Result<void> check_bytes(std::string_view directory, std::string_view bytes);

private:
    struct Segment {
        std::uint32_t live = 0;
        std::uint64_t live_bytes = 0;
        std::uint64_t bytes = 0;
        WallTime at;
        bool deaths_unfolded = false;
    };
    struct Staged {  // a segment written in the present transaction
        std::uint64_t id = 0;
        Segment segment;
        std::vector<std::pair<TaskId, Place>> places;
        std::shared_ptr<const std::string> bytes;
    };
    struct Cached {
        std::shared_ptr<const std::string> bytes;
        std::list<std::uint64_t>::iterator age;
    };
    Result<void> load_row(const Statement& row);
    Result<void> write_segment(std::span<const BodyView> bodies, std::uint64_t first_sequence, WallTime at);
    struct Survivors {  // living bodies of segments that are being rewritten
        std::vector<Entry> entries;
        std::string bytes;
        std::uint64_t first_sequence = INT64_MAX;  // the smallest: what a cut of the journal would take
    };
    Result<void> take_survivors(std::uint64_t id, Survivors& survivors);
    Result<std::vector<Entry>> directory_of(std::uint64_t id);
    void count_death(std::uint64_t id, std::uint32_t length);
    void forget(std::uint64_t id);
    void keep_in_cache(std::uint64_t id, std::shared_ptr<const std::string> bytes);

    SegmentsOptions options_;
    Statement insert_, delete_, select_, select_directory_, put_dead_, delete_dead_;

    // Guards what find(), cache() and totals() see. Only the writer changes index_, segments_ and the sums, so the
    // writer reads them without it.
    std::mutex mutex_;
    PlaceIndex index_;
    std::unordered_map<std::uint64_t, Segment> segments_;
    std::unordered_map<std::uint64_t, Cached> cache_;
    std::list<std::uint64_t> cache_by_use_;  // least recently used first
    std::uint64_t cached_bytes_ = 0;
    std::uint64_t live_bytes_ = 0;
    std::uint64_t dead_bytes_ = 0;  // of segments that still exist

    // Used by the writer only. The first four belong to the present transaction.
    std::vector<Staged> staged_;
    std::vector<std::pair<TaskId, Place>> dropped_;
    std::vector<std::uint64_t> deleted_;  // segments whose rows it deletes
    std::vector<std::uint64_t> folded_;   // segments whose deaths it writes
    std::uint64_t next_id_ = 1;
    std::vector<std::uint64_t> empty_;          // segments without living bodies, to be deleted
    std::unordered_set<std::uint64_t> sparse_;  // candidates for compaction
    std::deque<std::uint64_t> by_arrival_;      // when options_.expires
};

}  // namespace nexus::store
