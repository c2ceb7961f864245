#pragma once
// A journal behind a socket: the model of a store that others share and a network that loses things. The server wraps a
// MemoryJournal; the adapter knows nothing but frames. It keeps the promises of the port: what has no answer is
// unreachable, and may be sent again.

#include <mutex>

#include "doubles/frames.h"
#include "store/memory/memory_journal.h"

namespace nexus::test {

class JournalServer {
public:
    explicit JournalServer(store::MemoryJournalOptions options = {.renews = true}, FrameFaults faults = {});
    FrameServer& frames() { return frames_; }
    store::MemoryJournal& journal() { return journal_; }

private:
    std::string answer(std::string_view request);
    store::MemoryJournal journal_;
    FrameServer frames_;
};

// Thread-safe: calls of several threads wait for each other.
class SocketJournal final : public store::JournalStore {
public:
    explicit SocketJournal(JournalServer& server) : frames_(server.frames()) {}

    Result<store::Head> head() override;
    Result<store::Claim> claim(const store::Head& observed, const store::Claimant& me) override;
    Result<void> renew(const store::Claim& claim, std::string_view wish) override;
    Result<store::Appended> append(const store::Claim& claim, std::span<const store::JournalBatch> batches) override;
    Result<void> read(Sequence after, Duration wait, const store::BatchVisitor& visit) override;
    std::vector<store::Body> bodies(store::BodyKind kind, std::span<const TaskId> tasks) override;
    Result<void> put_snapshot(Sequence at, const store::SnapshotSource& source) override;
    Result<Sequence> get_snapshot(store::Kept which, const store::SnapshotSink& sink) override;

private:
    Result<std::string> ask(std::string_view request) {
        const std::lock_guard lock(mutex_);
        return frames_.call(request);
    }
    std::mutex mutex_;
    FrameClient frames_;
};

}  // namespace nexus::test
