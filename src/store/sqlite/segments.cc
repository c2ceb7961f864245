#include "store/sqlite/segments.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/must.h"

namespace nexus::store {
namespace {

constexpr std::size_t kEntryBytes = 20;
constexpr std::size_t kCrcBytes = 4;
// Compaction starts when more is dead than alive and at least this much, and rewrites about so much per transaction:
// small enough to hide in a commit (256 KiB cost about 0.3 ms), enough to outrun any rate of drops.
constexpr std::uint64_t kDeadBytesMin = 4 << 20;
constexpr std::uint64_t kCompactSliceBytes = 256 << 10;
constexpr std::size_t kSegmentsPerSlice = 64;
constexpr std::size_t kAhead = 8;  // bodies, of which the places are fetched into the cache before they are looked for

std::uint32_t checksum(std::string_view entries, std::string_view bytes) {
    return crc32c(bytes, crc32c(entries));
}

}  // namespace

std::string Segments::schema(const std::string& table) {
    return "CREATE TABLE " + table +
           "_segment(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, at_us INTEGER NOT NULL, directory BLOB NOT NULL,"
           " bytes BLOB NOT NULL);"
           "CREATE TABLE " +
           table + "_dead(id INTEGER PRIMARY KEY, bitmap BLOB NOT NULL);";
}

Result<std::vector<Segments::Entry>> Segments::read_directory(std::string_view directory) {
    if (directory.size() < kCrcBytes || (directory.size() - kCrcBytes) % kEntryBytes != 0)
        return fail(Fault::corrupt, "segment directory of " + std::to_string(directory.size()) + " bytes");
    std::vector<Entry> entries((directory.size() - kCrcBytes) / kEntryBytes);
    Reader r(directory);
    for (Entry& entry : entries) {
        entry.task.hi = r.u64();
        entry.task.lo = r.u64();
        entry.length = r.u32();
    }
    return entries;
}

Result<void> Segments::check_bytes(std::string_view directory, std::string_view bytes) {
    if (directory.size() < kCrcBytes) return fail(Fault::corrupt, "segment without a checksum");
    const std::string_view entries = directory.substr(0, directory.size() - kCrcBytes);
    if (Reader(directory.substr(entries.size())).u32() != checksum(entries, bytes))
        return fail(Fault::corrupt, "segment has a wrong checksum");
    return {};
}

Result<void> Segments::open(Database& db) {
    const std::string segment = options_.table + "_segment";
    const std::string dead = options_.table + "_dead";
    const auto prepare = [&db](Statement& statement, const std::string& sql) -> Result<void> {
        auto prepared = db.prepare(sql.c_str());
        if (!prepared) return std::unexpected(std::move(prepared).error());
        statement = *std::move(prepared);
        return {};
    };
    const std::pair<Statement*, std::string> statements[] = {
        {&insert_, "INSERT INTO " + segment + "(id, first, at_us, directory, bytes) VALUES(?, ?, ?, ?, ?)"},
        {&delete_, "DELETE FROM " + segment + " WHERE id = ?"},
        {&select_, "SELECT first, at_us, directory, bytes FROM " + segment + " WHERE id = ?"},
        {&select_directory_, "SELECT directory FROM " + segment + " WHERE id = ?"},
        {&put_dead_, "INSERT OR REPLACE INTO " + dead + "(id, bitmap) VALUES(?, ?)"},
        {&delete_dead_, "DELETE FROM " + dead + " WHERE id = ?"},
    };
    for (const auto& [statement, sql] : statements)
        if (auto ok = prepare(*statement, sql); !ok) return ok;

    // So many live at least: all in segments of which none is dead, and half of the others, or most of these would have
    // been rewritten. The index grows little from here.
    const auto directories = db.integer(("SELECT sum(length(directory)) FROM " + segment).c_str());
    if (!directories) return std::unexpected(directories.error());
    const auto bitmaps = db.integer(("SELECT sum(length(bitmap)) FROM " + dead).c_str());
    if (!bitmaps) return std::unexpected(bitmaps.error());
    {
        const std::lock_guard lock(mutex_);
        const auto bodies = static_cast<std::size_t>(*directories) / kEntryBytes;
        const auto dead_most = static_cast<std::size_t>(*bitmaps) * 8;
        index_.reserve(std::max(bodies / 2, bodies - std::min(bodies, dead_most)));
    }
    auto rows = db.prepare(("SELECT s.id, s.at_us, s.directory, d.bitmap FROM " + segment + " s LEFT JOIN " + dead +
                            " d ON d.id = s.id ORDER BY s.id")
                               .c_str());
    if (!rows) return std::unexpected(std::move(rows).error());
    for (;;) {
        const auto row = rows->step();
        if (!row) return std::unexpected(row.error());
        if (!*row) break;
        if (auto ok = load_row(*rows); !ok)
            return std::unexpected(std::move(ok).error().during(segment + " " + std::to_string(rows->integer(0))));
    }
    return {};
}

Result<void> Segments::load_row(const Statement& row) {
    const auto id = static_cast<std::uint64_t>(row.integer(0));
    const auto entries = read_directory(row.bytes(2));
    if (!entries) return std::unexpected(entries.error());
    const std::string_view dead = row.bytes(3);
    const std::lock_guard lock(mutex_);
    Segment& segment = segments_[id];
    segment.at = {row.integer(1)};
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < entries->size(); ++i) {
        const Entry& entry = (*entries)[i];
        const bool is_dead = i / 8 < dead.size() && ((static_cast<unsigned char>(dead[i / 8]) >> (i % 8)) & 1) != 0;
        if (offset + entry.length > UINT32_MAX) return fail(Fault::corrupt, "segment longer than 4 GiB");
        if (!entry.task) return fail(Fault::corrupt, "segment with a body of no task");
        if (!is_dead) {
            const Place place{.segment = id, .offset = static_cast<std::uint32_t>(offset), .length = entry.length};
            if (!place.fits()) return fail(Fault::corrupt, "segment with a body beyond 16 MiB");
            if (const auto old = index_.put(entry.task, place)) count_death(old->segment, old->length);
            ++segment.live;
            segment.live_bytes += entry.length;
            live_bytes_ += entry.length;
        } else {
            dead_bytes_ += entry.length;
        }
        offset += entry.length;
    }
    segment.bytes = offset;
    if (segment.live == 0) empty_.push_back(id);
    if (options_.expires) by_arrival_.push_back(id);
    next_id_ = id + 1;
    return {};
}

Result<void> Segments::put(std::span<const BodyView> bodies, std::uint64_t first_sequence, WallTime at) {
    std::size_t from = 0;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < bodies.size(); ++i) {
        if (i > from && bytes + bodies[i].bytes.size() > options_.segment_bytes_max) {
            if (auto ok = write_segment(bodies.subspan(from, i - from), first_sequence, at); !ok) return ok;
            from = i;
            bytes = 0;
        }
        bytes += bodies[i].bytes.size();
    }
    return from == bodies.size() ? Result<void>{} : write_segment(bodies.subspan(from), first_sequence, at);
}

Result<void> Segments::write_segment(std::span<const BodyView> bodies, std::uint64_t first_sequence, WallTime at) {
    Staged staged{.id = next_id_++, .segment = {}, .places = {}, .bytes = nullptr};
    std::string directory;
    directory.reserve(bodies.size() * kEntryBytes + kCrcBytes);
    std::string bytes;
    std::size_t size = 0;
    for (const BodyView& body : bodies) size += body.bytes.size();
    if (size > UINT32_MAX) return fail(Fault::invalid, "a body longer than 4 GiB");
    bytes.reserve(size);
    staged.places.reserve(bodies.size());
    Writer w(directory);
    for (const BodyView& body : bodies) {
        const auto length = static_cast<std::uint32_t>(body.bytes.size());
        w.u64(body.task.hi);
        w.u64(body.task.lo);
        w.u32(length);
        staged.places.emplace_back(
            body.task,
            Place{.segment = staged.id, .offset = static_cast<std::uint32_t>(bytes.size()), .length = length});
        bytes.append(body.bytes);
    }
    w.u32(checksum(directory, bytes));
    staged.segment = {.live = static_cast<std::uint32_t>(bodies.size()), .live_bytes = size, .bytes = size, .at = at};
    if (auto ok = insert_.run(staged.id, first_sequence, at, directory, bytes); !ok) return ok;
    staged.bytes = std::make_shared<const std::string>(std::move(bytes));
    staged_.push_back(std::move(staged));
    return {};
}

bool Segments::drop(TaskId task) {
    const std::lock_guard lock(mutex_);
    const auto place = index_.take(task);
    if (!place) return false;
    dropped_.emplace_back(task, *place);
    count_death(place->segment, place->length);
    return true;
}

void Segments::count_death(std::uint64_t id, std::uint32_t length) {
    Segment& segment = segments_.at(id);
    MUST(segment.live > 0);
    --segment.live;
    segment.live_bytes -= length;
    segment.deaths_unfolded = true;
    live_bytes_ -= length;
    dead_bytes_ += length;
    if (segment.live == 0)
        empty_.push_back(id);
    else if (segment.live_bytes * 4 < segment.bytes)
        sparse_.insert(id);
}

Result<void> Segments::delete_empty() {
    for (const std::uint64_t id : empty_) {
        if (auto ok = delete_.run(id); !ok) return ok;
        if (auto ok = delete_dead_.run(id); !ok) return ok;
        deleted_.push_back(id);
    }
    return {};
}

Result<void> Segments::compact() {
    if (dead_bytes_ < std::max(kDeadBytesMin, live_bytes_)) return {};
    Survivors survivors;
    std::size_t segments = 0;
    for (const std::uint64_t id : sparse_) {
        if (survivors.bytes.size() >= kCompactSliceBytes || segments == kSegmentsPerSlice) break;
        if (segments_.at(id).live == 0) continue;
        if (auto ok = take_survivors(id, survivors); !ok) return ok;
        ++segments;
    }
    std::vector<BodyView> bodies;
    std::size_t offset = 0;
    for (const Entry& entry : survivors.entries) {
        bodies.push_back({.task = entry.task, .bytes = std::string_view(survivors.bytes).substr(offset, entry.length)});
        offset += entry.length;
    }
    return put(bodies, survivors.first_sequence, {});
}

// Copies the living bodies of a segment and deletes its row.
Result<void> Segments::take_survivors(std::uint64_t id, Survivors& survivors) {
    select_.bind(id);
    const auto row = select_.step();
    if (!row || !*row) {
        select_.reset();
        return row ? fail(Fault::corrupt, "segment " + std::to_string(id) + " has vanished")
                   : std::unexpected(row.error());
    }
    survivors.first_sequence = std::min(survivors.first_sequence, static_cast<std::uint64_t>(select_.integer(0)));
    const std::string_view bytes = select_.bytes(3);
    Result<void> ok = check_bytes(select_.bytes(2), bytes);
    const auto entries = read_directory(select_.bytes(2));
    if (ok && !entries) ok = std::unexpected(entries.error());
    std::size_t offset = 0;
    for (std::size_t i = 0; ok && i < entries->size(); offset += (*entries)[i++].length) {
        const Entry& entry = (*entries)[i];
        const auto place = index_.find(entry.task);
        if (!place || place->segment != id || place->offset != offset) continue;
        if (offset + entry.length > bytes.size()) {
            ok = fail(Fault::corrupt, "segment is shorter than its directory");
            break;
        }
        survivors.entries.push_back(entry);
        survivors.bytes.append(bytes.substr(offset, entry.length));
    }
    select_.reset();
    if (!ok) return std::unexpected(std::move(ok).error().during("segment " + std::to_string(id)));
    if (ok = delete_.run(id); !ok) return ok;
    if (ok = delete_dead_.run(id); !ok) return ok;
    deleted_.push_back(id);
    return {};
}

Result<std::vector<Segments::Entry>> Segments::directory_of(std::uint64_t id) {
    select_directory_.bind(id);
    const auto row = select_directory_.step();
    Result<std::vector<Entry>> entries =
        !row   ? Result<std::vector<Entry>>(std::unexpected(row.error()))
        : *row ? read_directory(select_directory_.bytes(0))
               : Result<std::vector<Entry>>(fail(Fault::corrupt, "segment " + std::to_string(id) + " has vanished"));
    select_directory_.reset();
    return entries;
}

Result<void> Segments::fold_deaths() {
    for (const auto& [id, segment] : segments_) {
        if (!segment.deaths_unfolded || segment.live == 0) continue;
        const auto entries = directory_of(id);
        if (!entries) return std::unexpected(entries.error());
        std::string bitmap((entries->size() + 7) / 8, '\0');
        std::size_t offset = 0;
        for (std::size_t i = 0; i < entries->size(); ++i) {
            const auto place = index_.find((*entries)[i].task);
            if (!place || place->segment != id || place->offset != offset)
                bitmap[i / 8] = static_cast<char>(bitmap[i / 8] | (1 << (i % 8)));
            offset += (*entries)[i].length;
        }
        if (auto ok = put_dead_.run(id, bitmap); !ok) return ok;
        folded_.push_back(id);
    }
    return {};
}

Result<void> Segments::expire(WallTime oldest, std::uint64_t bytes_max) {
    MUST(options_.expires);
    std::size_t segments = 0;
    for (const std::uint64_t id : by_arrival_) {
        const auto found = segments_.find(id);
        if (found == segments_.end() || found->second.live == 0) continue;
        if (found->second.at >= oldest && live_bytes_ <= bytes_max) break;
        if (++segments > kSegmentsPerSlice) break;
        const auto entries = directory_of(id);
        if (!entries) return std::unexpected(entries.error());
        for (const Entry& entry : *entries) {
            const auto place = index_.find(entry.task);
            if (place && place->segment == id) drop(entry.task);
        }
    }
    return delete_empty();
}

void Segments::forget(std::uint64_t id) {
    const auto found = segments_.find(id);
    if (found == segments_.end()) return;
    dead_bytes_ -= found->second.bytes - found->second.live_bytes;
    live_bytes_ -= found->second.live_bytes;
    segments_.erase(found);
    sparse_.erase(id);
    if (const auto cached = cache_.find(id); cached != cache_.end()) {
        cached_bytes_ -= cached->second.bytes->size();
        cache_by_use_.erase(cached->second.age);
        cache_.erase(cached);
    }
}

void Segments::commit() {
    const std::lock_guard lock(mutex_);
    for (const std::uint64_t id : folded_) segments_.at(id).deaths_unfolded = false;
    for (const std::uint64_t id : deleted_) forget(id);
    std::erase_if(empty_, [this](std::uint64_t id) { return !segments_.contains(id); });
    for (Staged& staged : staged_) {
        live_bytes_ += staged.segment.live_bytes;
        segments_[staged.id] = staged.segment;
        if (options_.expires) by_arrival_.push_back(staged.id);
        index_.reserve(index_.size() + staged.places.size());
        for (std::size_t i = 0; i < staged.places.size(); ++i) {
            if (i + kAhead < staged.places.size()) index_.prefetch(staged.places[i + kAhead].first);
            const auto& [task, place] = staged.places[i];
            const auto old = index_.put(task, place);
            // A body put again kills the older one, unless that one's segment was just rewritten away.
            if (old && segments_.contains(old->segment)) count_death(old->segment, old->length);
        }
        keep_in_cache(staged.id, std::move(staged.bytes));
    }
    while (!by_arrival_.empty() && !segments_.contains(by_arrival_.front())) by_arrival_.pop_front();
    staged_.clear();
    dropped_.clear();
    deleted_.clear();
    folded_.clear();
}

void Segments::roll_back() {
    const std::lock_guard lock(mutex_);
    for (const auto& [task, place] : dropped_) {
        Segment& segment = segments_.at(place.segment);
        if (segment.live == 0) std::erase(empty_, place.segment);
        ++segment.live;
        segment.live_bytes += place.length;
        live_bytes_ += place.length;
        dead_bytes_ -= place.length;
        index_.put(task, place);
    }
    staged_.clear();
    dropped_.clear();
    deleted_.clear();
    folded_.clear();
}

void Segments::prefetch(std::span<const TaskId> tasks) {
    const std::lock_guard lock(mutex_);
    for (const TaskId task : tasks) index_.prefetch(task);
}

std::optional<Segments::Found> Segments::find(TaskId task) {
    const std::lock_guard lock(mutex_);
    const auto place = index_.find(task);
    if (!place) return std::nullopt;
    Found found{.place = *place, .segment = nullptr};
    if (const auto cached = cache_.find(place->segment); cached != cache_.end()) {
        found.segment = cached->second.bytes;
        cache_by_use_.splice(cache_by_use_.end(), cache_by_use_, cached->second.age);
    }
    return found;
}

void Segments::cache(std::uint64_t segment, std::shared_ptr<const std::string> bytes) {
    const std::lock_guard lock(mutex_);
    if (segments_.contains(segment)) keep_in_cache(segment, std::move(bytes));
}

void Segments::keep_in_cache(std::uint64_t id, std::shared_ptr<const std::string> bytes) {
    if (bytes->size() > options_.cache_bytes_max || cache_.contains(id)) return;
    cached_bytes_ += bytes->size();
    cache_.emplace(id, Cached{.bytes = std::move(bytes), .age = cache_by_use_.insert(cache_by_use_.end(), id)});
    while (cached_bytes_ > options_.cache_bytes_max) {
        const auto oldest = cache_.find(cache_by_use_.front());
        cached_bytes_ -= oldest->second.bytes->size();
        cache_.erase(oldest);
        cache_by_use_.pop_front();
    }
}

Segments::Totals Segments::totals() {
    const std::lock_guard lock(mutex_);
    return {.bodies = index_.size(),
            .live_bytes = live_bytes_,
            .dead_bytes = dead_bytes_,
            .segments = segments_.size(),
            .cached_bytes = cached_bytes_};
}

}  // namespace nexus::store
