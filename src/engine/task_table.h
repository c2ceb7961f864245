#pragma once
// What is kept of each live task, by its id: an open-addressing index over slots in chunks, so that a look-up costs
// about two cache misses and an entry stays where it is until it is erased. Look-up only: it has no order. Not
// thread-safe.

#include <bit>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "core/index_table.h"

namespace nexus::engine {

template <class Value>
class TaskTable {
public:
    std::size_t size() const { return index_.size(); }
    // For going round all of them bit by bit: slots 0 to slots() - 1, the task of each; a zero id where none is.
    std::size_t slots() const { return slots_; }
    TaskId task_at(std::size_t slot) const { return at(slot).task; }
    bool contains(TaskId task) const { return slot_of(task) != core::kNone; }
    std::uint32_t slot_of(TaskId task) const {  // core::kNone when it is not here
        return index_.find(IdHash{}(task), [&](std::uint32_t slot) { return at(slot).task == task; });
    }
    Value* find(TaskId task) {
        const std::uint32_t slot = slot_of(task);
        return slot == core::kNone ? nullptr : &at(slot).value;
    }
    const Value* find(TaskId task) const {
        const std::uint32_t slot = slot_of(task);
        return slot == core::kNone ? nullptr : &at(slot).value;
    }
    template <class Visit>
    void each(Visit&& visit) const {  // of all, in no order
        for (std::size_t slot = 0; slot < slots_; ++slot)
            if (at(slot).task) visit(at(slot).task, at(slot).value);
    }
    void reserve(std::size_t tasks) { index_.reserve(tasks); }
    // The entry of the task, made when it has none.
    Value& operator[](TaskId task) {
        if (Value* known = find(task)) return *known;
        std::uint32_t slot = 0;
        if (free_.empty()) {
            slot = static_cast<std::uint32_t>(slots_++);
            const std::size_t chunk = chunk_of(slot);
            if (chunk == chunks_.size()) chunks_.emplace_back().reserve(kFirst << chunk);
            chunks_[chunk].emplace_back();
        } else {
            slot = free_.back();
            free_.pop_back();
        }
        at(slot).task = task;
        index_.insert(IdHash{}(task), slot);
        return at(slot).value;
    }
    void erase(TaskId task) {
        const std::uint32_t slot = slot_of(task);
        if (slot == core::kNone) return;
        index_.erase(IdHash{}(task), slot);
        at(slot) = {};
        free_.push_back(slot);
    }

private:
    struct Slot {
        TaskId task;
        Value value;
    };
    // Each chunk has room for twice as many as the one before, and never moves what is in it.
    static constexpr std::size_t kFirst = 256;
    static std::size_t chunk_of(std::size_t slot) {
        return static_cast<std::size_t>(std::bit_width(slot / kFirst + 1)) - 1;
    }
    Slot& at(std::size_t slot) {
        const std::size_t chunk = chunk_of(slot);
        return chunks_[chunk][slot - ((kFirst << chunk) - kFirst)];
    }
    const Slot& at(std::size_t slot) const {
        const std::size_t chunk = chunk_of(slot);
        return chunks_[chunk][slot - ((kFirst << chunk) - kFirst)];
    }
    core::IndexTable index_;
    std::vector<std::vector<Slot>> chunks_;
    std::size_t slots_ = 0;  // used so far
    std::vector<std::uint32_t> free_;
};

}  // namespace nexus::engine
