#pragma once
// What the suite needs of a journal adapter: open it, and open it again after its process ended; and a writer of
// batches whose content it can recognise.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "journal/codec.h"
#include "journal/random_event.h"
#include "store/journal_store.h"

namespace nexus::test {

class JournalRig {
public:
    virtual ~JournalRig() = default;
    virtual store::JournalStore& store() = 0;
    // The process ends and another opens the same store.
    virtual void reopen() = 0;
    virtual bool survives_reopen() const { return true; }

    WallTime now{1'000'000'000'000'000};
    static constexpr std::uint64_t kResultBytesMax = 8'000;
};

struct NamedRig {
    const char* name;
    std::function<std::unique_ptr<JournalRig>()> make;
};
const std::vector<NamedRig>& journal_rigs();

inline TaskId task_of(std::uint64_t n) {
    return {.hi = 0x0193'0000'0000'7000ULL + n, .lo = 0x8000'0000'0000'0000ULL | n};
}
inline std::string body_of(std::uint64_t n, std::size_t bytes = 40) {
    std::string body = "body " + std::to_string(n) + " ";
    while (body.size() < bytes) body += static_cast<char>('a' + (n + body.size()) % 26);
    return body;
}

// Makes batches that follow each other.
class BatchMaker {
public:
    explicit BatchMaker(std::uint64_t first = 1) : writer_({first}, 0, 1), rng_(first) {}
    store::JournalBatch next(int events = 3) {
        for (int i = 0; i < events; ++i) writer_.add(journal::random_event(rng_, at_ = at_ + milliseconds(1)));
        return store::finish_batch(writer_, rng_.next());
    }
    Sequence last() const { return {writer_.first().n - 1}; }

private:
    journal::BatchWriter writer_;
    Rng rng_;
    Instant at_{1'000'000};
};

// Appends as the present owner; claims the journal when it has none, or none of this process.
inline Result<store::Appended> append(store::JournalStore& store, std::span<const store::JournalBatch> batches) {
    auto head = store.head();
    if (!head) return std::unexpected(std::move(head).error());
    if (head->owner.empty()) {
        static std::uint64_t token = 0;
        auto claim = store.claim(*head, {.name = "test", .token_hi = ++token, .token_lo = 1});
        if (!claim) return std::unexpected(std::move(claim).error());
        head->claim = *claim;
    }
    return store.append(head->claim, batches);
}
inline Result<store::Appended> append(store::JournalStore& store, const std::vector<store::JournalBatch>& batches) {
    return append(store, std::span<const store::JournalBatch>(batches));
}
inline store::Body body(store::JournalStore& store, TaskId task, store::BodyKind kind = store::BodyKind::body) {
    return store::read_body(store, kind, task);
}
inline bool found(const store::Body& body) {
    return body.state == store::Body::State::found;
}

// All batches after `after`, as (first, bytes).
inline std::vector<std::pair<std::uint64_t, std::string>> read_all(store::JournalStore& store,
                                                                   std::uint64_t after = 0) {
    std::vector<std::pair<std::uint64_t, std::string>> all;
    const auto ok = store.read({after}, {}, [&](Sequence first, std::string_view bytes) -> Result<void> {
        all.emplace_back(first.n, bytes);
        return {};
    });
    MUST(ok.has_value());
    return all;
}

}  // namespace nexus::test
