#pragma once
// How much predicted work waits before a given key: sums over buckets of keys, O(1) to change and at most 128 additions
// to ask. The buckets widen by themselves when the waiting keys spread, so the answer is exact to one bucket.

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "core/fixed_ln.h"

namespace nexus::core {

class WorkAhead {
public:
    struct Sum {
        std::int64_t work_us = 0;
        std::int64_t tasks = 0;

        bool empty() const { return work_us == 0 && tasks == 0; }
        void add(const Sum& other) {
            work_us += other.work_us;
            tasks += other.tasks;
        }
    };

    void add(std::int64_t key, std::int64_t work_us) { change(key, work_us, 1); }
    void remove(std::int64_t key, std::int64_t work_us) { change(key, -work_us, -1); }
    Sum total() const { return total_; }

    // Of all keys in buckets before that of `key`, and of its own bucket what would lie before it were its keys even.
    Sum before(std::int64_t key) const {
        const std::int64_t bucket = key >> shift_;
        if (total_.tasks == 0 || bucket < low_) return {};
        if (bucket >= low_ + kBuckets) return total_;
        Sum sum;
        std::int64_t at = low_;
        while (at < bucket) {
            const bool whole_block = (at & (kBlock - 1)) == 0 && at + kBlock <= bucket;
            const Sum& part = whole_block ? blocks_[block_of(at)] : buckets_[slot_of(at)];
            sum.add(part);
            at += whole_block ? kBlock : 1;
        }
        const Sum& own = buckets_[slot_of(bucket)];
        if (own.empty()) return sum;
        const Keys& keys = keys_[slot_of(bucket)];
        const std::int64_t width = keys.last - keys.first;
        const std::int64_t part = width == 0 ? 1 : std::clamp<std::int64_t>(key - keys.first, 0, width);
        const std::int64_t of = width == 0 ? 2 : width + 1;
        return {sum.work_us + scale(own.work_us, part, of), sum.tasks + scale(own.tasks, part, of)};
    }

    // What one tenant put here last: its last key, and what it has put into that key's bucket since it came to it.
    struct Own {
        std::int64_t key = std::numeric_limits<std::int64_t>::min() / 2;
        Sum near;
    };
    void note(Own& own, std::int64_t key, std::int64_t work_us) const {
        if (own.key >> shift_ != key >> shift_) own.near = {};
        own.key = key;
        own.near.add({.work_us = work_us, .tasks = 1});
    }

    // The first key before which more than so much work (or so many tasks) waits, of which all that is its own; nothing
    // waits before `from`. What others have in a bucket is taken to lie even between the first and the last of its keys.
    // INT64_MAX when not so much waits. At most 128 additions.
    std::int64_t key_beyond_work(std::int64_t work_us, std::int64_t from, const Own& own) const {
        return key_beyond(&Sum::work_us, work_us, from, own);
    }
    std::int64_t key_beyond_tasks(std::int64_t tasks, std::int64_t from, const Own& own) const {
        return key_beyond(&Sum::tasks, tasks, from, own);
    }

    // Buckets that hold something, each with its distance from the one before it; the blocks follow from them.
    template <class Archive>
    void archive(Archive& a) {
        a(shift_, low_);
        std::uint64_t used = 0;
        for (std::size_t block = 0; block < blocks_.size(); ++block)
            for (std::size_t at = block * kBlock; !blocks_[block].empty() && at < (block + 1) * kBlock; ++at)
                used += buckets_[at].empty() ? 0 : 1;
        a(used);
        std::uint64_t at = 0, step = 0;
        for (; used > 0; --used, ++at) {
            if constexpr (!Archive::kReading)
                for (step = 0; buckets_[at + step].empty();)
                    step += (at + step) % kBlock == 0 && blocks_[(at + step) / kBlock].empty() ? kBlock : 1;
            a(step);
            if (step >= kBuckets - at) return a.refuse();
            at += step;
            Sum& own = buckets_[at];
            a(own.work_us, own.tasks);
            if (a.since(11)) a(keys_[at].first, keys_[at].last);
            if constexpr (Archive::kReading) {
                if (own.empty()) return a.refuse();
                if (!a.since(11)) keys_[at] = whole(low_ + ((static_cast<std::int64_t>(at) - low_) & (kBuckets - 1)));
                blocks_[at / kBlock].add(own);
                total_.add(own);
            }
        }
    }

private:
    static constexpr std::int64_t kBuckets = 4096, kBlock = 64;
    static constexpr int kShiftFirst = 10;  // buckets of about a millisecond

    struct Keys {  // of a bucket, since it was empty
        std::int64_t first = 0, last = 0;
    };
    Keys whole(std::int64_t bucket) const { return {bucket << shift_, ((bucket + 1) << shift_) - 1}; }

    std::int64_t key_beyond(std::int64_t Sum::* what, std::int64_t least, std::int64_t from, const Own& own) const {
        std::int64_t sum = 0;
        for (std::int64_t at = low_; at < low_ + kBuckets;) {
            const std::int64_t block = blocks_[block_of(at)].*what;
            if ((at & (kBlock - 1)) == 0 && sum + block <= least) {
                sum += block;
                at += kBlock;
                continue;
            }
            const std::int64_t here = buckets_[slot_of(at)].*what;
            if (sum + here > least) {
                const Keys& keys = keys_[slot_of(at)];
                const std::int64_t first = std::clamp(from, keys.first, keys.last);
                const std::int64_t mine = own.key >> shift_ == at ? std::min(own.near.*what, here - 1) : 0;
                const std::int64_t others = std::max<std::int64_t>(least - sum - mine, 0);
                return first + scale(keys.last - first, others, here - mine);
            }
            sum += here;
            ++at;
        }
        return INT64_MAX;
    }

    static std::size_t slot_of(std::int64_t bucket) { return static_cast<std::size_t>(bucket & (kBuckets - 1)); }
    static std::size_t block_of(std::int64_t bucket) { return slot_of(bucket) / kBlock; }

    void change(std::int64_t key, std::int64_t work_us, std::int64_t tasks) {
        if (total_.tasks == 0 && tasks > 0) {  // empty: start afresh around this key
            shift_ = kShiftFirst;
            low_ = ((key >> shift_) - kBuckets / 4) & ~(kBlock - 1);
        }
        std::int64_t bucket = key >> shift_;
        while (!covers(bucket)) {
            if (!slide_towards(bucket)) widen();
            bucket = key >> shift_;
        }
        Keys& keys = keys_[slot_of(bucket)];
        if (buckets_[slot_of(bucket)].empty())
            keys = {key, key};
        else if (tasks > 0)
            keys = {std::min(keys.first, key), std::max(keys.last, key)};
        for (Sum* sum : {&buckets_[slot_of(bucket)], &blocks_[block_of(bucket)], &total_})
            sum->add({.work_us = work_us, .tasks = tasks});
    }
    bool covers(std::int64_t bucket) const { return bucket >= low_ && bucket < low_ + kBuckets; }

    // Moves the window by whole empty blocks at its far end, as far as needed. False when they are not empty.
    bool slide_towards(std::int64_t bucket) {
        const bool up = bucket >= low_;
        const std::int64_t want = up ? ((bucket - kBuckets) / kBlock + 1) * kBlock : bucket & ~(kBlock - 1);
        const std::int64_t distance = up ? want - low_ : low_ - want;
        if (distance > kBuckets) return false;
        for (std::int64_t moved = 0; moved < distance; moved += kBlock) {
            const std::int64_t gone = up ? low_ + moved : low_ + kBuckets - kBlock - moved;
            if (blocks_[block_of(gone)].tasks != 0) return false;
        }
        low_ = up ? low_ + ((distance + kBlock - 1) & ~(kBlock - 1)) : want;
        return true;
    }
    // Doubles the width of the buckets; pairs of old ones become one. Costs what is used, not the width of the window.
    void widen() {
        struct Used {
            std::int64_t at = 0;
            Sum part;
            Keys keys;
        };
        std::vector<Used> used;
        for (std::int64_t first = low_; first < low_ + kBuckets; first += kBlock) {
            if (std::exchange(blocks_[block_of(first)], {}).empty()) continue;
            for (std::int64_t at = first; at < first + kBlock; ++at) {
                const Sum part = std::exchange(buckets_[slot_of(at)], {});
                if (!part.empty()) used.push_back({at >> 1, part, keys_[slot_of(at)]});
            }
        }
        low_ = ((low_ >> 1) - kBuckets / 4) & ~(kBlock - 1);
        ++shift_;
        for (const auto& [at, part, keys] : used) {
            Keys& joined = keys_[slot_of(at)];
            const bool fresh = buckets_[slot_of(at)].empty();
            joined = fresh ? keys : Keys{std::min(joined.first, keys.first), std::max(joined.last, keys.last)};
            for (Sum* sum : {&buckets_[slot_of(at)], &blocks_[block_of(at)]}) sum->add(part);
        }
    }

    int shift_ = kShiftFirst;
    std::int64_t low_ = 0;  // first bucket of the window, a multiple of kBlock
    Sum total_;
    std::vector<Sum> buckets_ = std::vector<Sum>(kBuckets);
    std::vector<Keys> keys_ = std::vector<Keys>(kBuckets);
    std::vector<Sum> blocks_ = std::vector<Sum>(kBuckets / kBlock);
};

}  // namespace nexus::core
