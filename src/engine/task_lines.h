#pragma once
// The live tasks of each (type, tenant, queue), newest first: so that a list that asks for one of these, or for all,
// finds the next page without looking at the others.
//
// The tasks of a line lie in chunks of up to 256 slot numbers, ordered by task id. Ids grow with time, so a new task is
// nearly always the last. Costs: 8 to 10 bytes a task; insert O(1), erase O(256) in one piece of memory; a page O(lines
// that match + tasks shown), and a step per 256 tasks to find where it begins. Not thread-safe.
//
// `id_of(slot)` tells the id of the task in a slot; it must hold for every slot inserted and not yet erased.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/must.h"
#include "core/index_table.h"

namespace nexus::engine {

struct LineKey {
    std::uint32_t type = 0, tenant = 0, queue = 0;  // numbers of names
    bool operator==(const LineKey&) const = default;
};
struct LineFilter {
    std::optional<std::uint32_t> type, tenant, queue;  // empty = any
    // When not null: also one of the three is among these, by number.
    const std::vector<bool>* any_of = nullptr;
    bool wants(const LineKey& key) const {
        if (any_of != nullptr && !(*any_of)[key.type] && !(*any_of)[key.tenant] && !(*any_of)[key.queue]) return false;
        return (!type || *type == key.type) && (!tenant || *tenant == key.tenant) && (!queue || *queue == key.queue);
    }
};

class TaskLines {
public:
    using Slot = std::uint32_t;

    // The number of its line, for key(): good for as long as the slot is in it.
    template <class IdOf>
    std::uint32_t insert(Slot slot, const LineKey& key, const IdOf& id_of) {
        const TaskId id = id_of(slot);
        const Index number = line_of(key);
        Line& line = lines_[number];
        ++line.tasks;
        if (line.newest < id) line.newest = id;
        if (chunk_of_.size() <= slot) chunk_of_.resize(slot + 1, core::kNone);
        Index at = line.tail;
        while (at != core::kNone && chunks_[at].first > id && chunks_[at].older != core::kNone) at = chunks_[at].older;
        if (at == core::kNone) at = new_chunk(line, core::kNone, id);
        chunks_[at].first = std::min(chunks_[at].first, id);
        std::size_t place = chunks_[at].slots.size();
        while (place > 0 && id_of(chunks_[at].slots[place - 1]) > id) --place;
        if (chunks_[at].slots.size() == kChunkMax) {
            const Index newer =
                split(line, at, place, place == kChunkMax ? id : id_of(chunks_[at].slots[kChunkMax / 2]));
            if (place > chunks_[at].slots.size() || newer_is_empty(newer)) {
                place -= chunks_[at].slots.size();
                at = newer;
            }
        }
        auto& slots = chunks_[at].slots;
        slots.insert(slots.begin() + static_cast<std::ptrdiff_t>(place), slot);
        chunk_of_[slot] = at;
        return number;
    }
    const LineKey& key(std::uint32_t line) const { return lines_[line].key; }

    void erase(Slot slot) {
        const Index at = chunk_of_[slot];
        MUST(at != core::kNone);
        chunk_of_[slot] = core::kNone;
        Chunk& chunk = chunks_[at];
        --lines_[chunk.line].tasks;
        chunk.slots.erase(std::find(chunk.slots.begin(), chunk.slots.end(), slot));
        if (chunk.slots.empty()) return drop_chunk(at);
        if (chunk.slots.size() >= kChunkMax / 4 || chunk.older == core::kNone) return;
        Chunk& older = chunks_[chunk.older];
        if (older.slots.size() + chunk.slots.size() > kChunkMax / 2) return;
        for (const Slot moved : chunk.slots) chunk_of_[moved] = chunk.older;
        older.slots.insert(older.slots.end(), chunk.slots.begin(), chunk.slots.end());
        chunk.slots.clear();
        drop_chunk(at);
    }

    // Gives the slots of the tasks with ids before `before` (zero = all) to `visit`, newest first, until it says false.
    template <class IdOf, class Visit>
    void newest(const LineFilter& filter, TaskId before, const IdOf& id_of, Visit&& visit) const {
        std::vector<Front> fronts;
        for (Index n = 0; n < lines_.size(); ++n) {
            const Line& line = lines_[n];
            if (line.tail == core::kNone || !filter.wants(line.key)) continue;
            // Where the line begins is looked up when it is its turn: most lines of a short page never are.
            const TaskId bound = before && before < line.newest ? before : line.newest;
            fronts.push_back({.id = bound, .chunk = line.tail, .place = 0, .found = false});
        }
        std::make_heap(fronts.begin(), fronts.end());
        while (!fronts.empty()) {
            std::pop_heap(fronts.begin(), fronts.end());
            Front& front = fronts.back();
            if (front.found && !visit(chunks_[front.chunk].slots[front.place])) return;
            const bool more = front.found ? step(front) : seek(front, before, id_of);
            if (!more) {
                fronts.pop_back();
                continue;
            }
            front.found = true;
            front.id = id_of(chunks_[front.chunk].slots[front.place]);
            std::push_heap(fronts.begin(), fronts.end());
        }
    }

    std::size_t lines() const { return numbers_.size(); }
    // Every line with the number of its tasks.
    template <class Visit>
    void each_line(Visit&& visit) const {
        for (Index n = 0; n < lines_.size(); ++n)
            if (lines_[n].tail != core::kNone) visit(n, lines_[n].key, lines_[n].tasks);
    }
    // Gives the slots of one of those lines to `visit`, oldest first, until it says false.
    template <class Visit>
    void oldest(std::uint32_t line, Visit&& visit) const {
        for (Index at = lines_[line].head; at != core::kNone; at = chunks_[at].newer)
            for (const Slot slot : chunks_[at].slots)
                if (!visit(slot)) return;
    }

private:
    using Index = std::uint32_t;
    static constexpr std::size_t kChunkMax = 256;
    struct Chunk {
        TaskId first;  // no task of the chunk is older, none of the older chunk newer
        Index line = core::kNone;
        Index older = core::kNone, newer = core::kNone;
        std::vector<Slot> slots;
    };
    struct Line {
        LineKey key;
        Index tail = core::kNone;  // the newest chunk; none: vacant
        Index head = core::kNone;  // the oldest
        std::uint32_t tasks = 0;
        TaskId newest;  // no task of the line is newer
    };
    struct Front {  // the next task of a line
        TaskId id;
        Index chunk;
        std::uint32_t place;
        bool found;  // `place` is known and `id` is its task's; else `id` only bounds it
        bool operator<(const Front& other) const { return id < other.id; }
    };

    static std::uint64_t hash_of(const LineKey& key) {
        return (key.type * 0x9E3779B97F4A7C15ULL ^ key.tenant * 0xC2B2AE3D27D4EB4FULL ^ key.queue) *
               0xD6E8FEB86659FD93ULL;
    }
    Index line_of(const LineKey& key) {
        const Index known = numbers_.find(hash_of(key), [&](Index n) { return lines_[n].key == key; });
        if (known != core::kNone) return known;
        if (free_lines_.empty()) {
            free_lines_.push_back(static_cast<Index>(lines_.size()));
            lines_.emplace_back();
        }
        const Index made = free_lines_.back();
        free_lines_.pop_back();
        lines_[made] = {.key = key, .tail = core::kNone, .head = core::kNone, .tasks = 0, .newest = {}};
        numbers_.insert(hash_of(key), made);
        return made;
    }
    // A chunk newer than `after`; with none of the line yet, its first.
    Index new_chunk(Line& line, Index after, TaskId first) {
        if (free_chunks_.empty()) {
            free_chunks_.push_back(static_cast<Index>(chunks_.size()));
            chunks_.emplace_back();
        }
        const Index made = free_chunks_.back();
        free_chunks_.pop_back();
        Chunk& chunk = chunks_[made];
        chunk.first = first;
        chunk.line = static_cast<Index>(&line - lines_.data());
        chunk.older = after;
        chunk.newer = after == core::kNone ? core::kNone : chunks_[after].newer;
        if (after != core::kNone)
            chunks_[after].newer = made;
        else
            line.head = made;
        if (chunk.newer == core::kNone)
            line.tail = made;
        else
            chunks_[chunk.newer].older = made;
        return made;
    }
    // Makes room in a full chunk: a new one after it, which is to begin with `first` and is left empty when what comes
    // goes to the end, and takes the newer half otherwise.
    Index split(Line& line, Index at, std::size_t place, TaskId first) {
        const Index made = new_chunk(line, at, first);
        if (place == kChunkMax) return made;
        auto& from = chunks_[at].slots;
        chunks_[made].slots.assign(from.begin() + kChunkMax / 2, from.end());
        from.resize(kChunkMax / 2);
        for (const Slot moved : chunks_[made].slots) chunk_of_[moved] = made;
        return made;
    }
    bool newer_is_empty(Index chunk) const { return chunks_[chunk].slots.empty(); }
    void drop_chunk(Index at) {
        Chunk& chunk = chunks_[at];
        Line& line = lines_[chunk.line];
        if (chunk.newer == core::kNone)
            line.tail = chunk.older;
        else
            chunks_[chunk.newer].older = chunk.older;
        if (chunk.older == core::kNone)
            line.head = chunk.newer;
        else
            chunks_[chunk.older].newer = chunk.newer;
        if (line.tail == core::kNone) {
            numbers_.erase(hash_of(line.key), chunk.line);
            free_lines_.push_back(chunk.line);
        }
        chunk = {};
        free_chunks_.push_back(at);
    }
    // To the next older task; false: there is none.
    bool step(Front& front) const {
        if (front.place > 0) {
            --front.place;
            return true;
        }
        front.chunk = chunks_[front.chunk].older;
        if (front.chunk == core::kNone) return false;
        front.place = static_cast<std::uint32_t>(chunks_[front.chunk].slots.size()) - 1;
        return true;
    }
    // To the newest task before `before`, from the tail of the line.
    template <class IdOf>
    bool seek(Front& front, TaskId before, const IdOf& id_of) const {
        if (before)
            while (front.chunk != core::kNone && chunks_[front.chunk].first >= before)
                front.chunk = chunks_[front.chunk].older;
        if (front.chunk == core::kNone) return false;
        const auto& slots = chunks_[front.chunk].slots;
        const auto end =
            before ? std::ranges::partition_point(slots, [&](Slot s) { return id_of(s) < before; }) : slots.end();
        front.place = static_cast<std::uint32_t>(end - slots.begin());
        return step(front);
    }

    std::vector<Line> lines_;
    std::vector<Index> free_lines_;
    core::IndexTable numbers_;  // of lines, by key
    std::vector<Chunk> chunks_;
    std::vector<Index> free_chunks_;
    std::vector<Index> chunk_of_;  // by slot
};

}  // namespace nexus::engine
