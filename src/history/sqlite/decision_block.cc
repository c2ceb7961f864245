#include "history/sqlite/decision_block.h"

#include <algorithm>
#include <unordered_map>

#include "base/bytes.h"

namespace nexus::history {
namespace {

constexpr std::uint8_t kFormat = 1;
constexpr std::size_t kBitsPerRow = 10;
constexpr std::uint64_t kProbes = 4;

// Calls `probe` with the bits that stand for the task in a filter of so many bits; stored, so it never changes.
template <class Probe>
void each_bit(TaskId task, std::uint64_t bits, Probe probe) {
    std::uint64_t mixed = (task.hi ^ (task.lo * 0x9E3779B97F4A7C15ULL)) * 0xD6E8FEB86659FD93ULL;
    mixed = (mixed ^ (mixed >> 32)) * 0xD6E8FEB86659FD93ULL;
    const std::uint64_t step = (mixed >> 32) | 1;
    for (std::uint64_t i = 0; i < kProbes; ++i) probe(((mixed & 0xFFFF'FFFF) + i * step) % bits);
}

}  // namespace

DecisionBlock make_block(std::span<const DecisionRow* const> rows) {
    const DecisionRow& front = *rows.front();
    DecisionBlock block{.rows = rows.size(),
                        .first_at = front.place.at,
                        .last_at = front.place.at,
                        .number_min = front.place.number,
                        .number_max = front.place.number,
                        .task_min = front.task,
                        .task_max = front.task};
    block.tasks.assign((rows.size() * kBitsPerRow + 7) / 8, '\0');
    // Names first, each once; the rows refer to them by place.
    std::unordered_map<std::string_view, std::uint64_t> places;
    std::vector<std::string_view> names;
    const auto place_of = [&](std::string_view name, std::size_t last) {
        if (last < names.size() && names[last] == name) return std::uint64_t{last};
        const auto [found, is_new] = places.emplace(name, names.size());
        if (is_new) names.push_back(name);
        return found->second;
    };
    std::string body;
    Writer w(body);
    EventPlace before;
    std::uint64_t type = 0, worker = 0, policy = 0;
    for (const DecisionRow* row : rows) {
        const EventPlace& at = row->place;
        block.first_at = std::min(block.first_at, at.at);
        block.last_at = std::max(block.last_at, at.at);
        block.number_min = std::min(block.number_min, at.number);
        block.number_max = std::max(block.number_max, at.number);
        block.task_min = std::min(block.task_min, row->task);
        block.task_max = std::max(block.task_max, row->task);
        each_bit(row->task, block.tasks.size() * 8, [&](std::uint64_t bit) {
            block.tasks[bit / 8] = static_cast<char>(block.tasks[bit / 8] | (1 << (bit % 8)));
        });
        type = place_of(row->type, type);
        worker = place_of(row->worker, worker);
        policy = place_of(row->policy, policy);
        w.varints(zigzag(at.at.us - before.at.us), zigzag(static_cast<std::int64_t>(at.number - before.number)),
                  std::uint64_t{at.shard}, std::uint64_t{at.part}, type, worker,
                  policy << 1 | (row->fallback ? 1U : 0U));
        w.put(row->task.hi, row->task.lo);
        w.text(row->record);
        before = at;
    }
    Writer head(block.bytes);
    head.u8(kFormat);
    head.varint(names.size());
    for (const std::string_view name : names) head.text(name);
    head.varint(rows.size());
    block.bytes += body;
    return block;
}

bool may_be_about(std::string_view tasks, TaskId task) {
    if (tasks.empty()) return false;
    bool all = true;
    each_bit(task, tasks.size() * 8, [&](std::uint64_t bit) {
        all = all && ((static_cast<unsigned char>(tasks[bit / 8]) >> (bit % 8)) & 1) != 0;
    });
    return all;
}

Result<std::vector<DecisionRow>> rows_of_block(std::string_view bytes) {
    Reader r(bytes);
    if (r.u8() != kFormat) r.set_failed();
    std::vector<std::string_view> names(r.count());
    for (std::string_view& name : names) name = r.text();
    std::vector<DecisionRow> rows(r.count(24));
    const auto name = [&](std::uint64_t place) {
        if (place < names.size()) return std::string(names[place]);
        r.set_failed();
        return std::string();
    };
    EventPlace before;
    for (DecisionRow& row : rows) {
        if (r.failed()) break;
        row.place.at.us = static_cast<std::int64_t>(static_cast<std::uint64_t>(before.at.us) +
                                                    static_cast<std::uint64_t>(r.svarint()));
        row.place.number = before.number + static_cast<std::uint64_t>(r.svarint());
        row.place.shard = static_cast<std::uint32_t>(r.varint());
        row.place.part = static_cast<std::uint32_t>(r.varint());
        row.type = name(r.varint());
        row.worker = name(r.varint());
        const std::uint64_t policy = r.varint();
        row.policy = name(policy >> 1);
        row.fallback = (policy & 1) != 0;
        r.take(row.task.hi, row.task.lo);
        row.record = r.text();
        before = row.place;
    }
    if (r.failed() || !r.at_end())
        return fail(Fault::corrupt, "a block of decisions ends at byte " + std::to_string(r.position()));
    return rows;
}

}  // namespace nexus::history
