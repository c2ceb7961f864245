#pragma once
// The history port over the frames of a socket: the client is an adapter like any other, the server any adapter behind
// it. What it shows: nothing in the port needs the store to be in this process, and a call that is sent again after an
// answer was lost does no harm.

#include <memory>
#include <mutex>

#include "doubles/frames.h"
#include "history/history_store.h"

namespace nexus::test {

class HistoryServer {
public:
    HistoryServer(history::HistoryStore& store, FrameFaults faults);
    FrameServer& frames() { return frames_; }

private:
    std::string answer(std::string_view request);
    history::HistoryStore& store_;
    FrameServer frames_;
};

// Thread-safe: calls of several threads wait for each other.
class RemoteHistory final : public history::HistoryStore {
public:
    // `tries`: how often a call is sent, until it is answered.
    explicit RemoteHistory(HistoryServer& server, int tries = 1) : client_(server.frames()), tries_(tries) {}
    using HistoryStore::write;
    Result<void> write(std::span<const history::HistoryBatch* const> batches) override;
    Result<std::optional<history::TaskRow>> task(TaskId task) override;
    Result<std::vector<history::AttemptRow>> attempts(std::span<const TaskId> tasks) override;
    Result<std::vector<history::TaskRow>> tasks(const history::TaskQuery& query) override;
    Result<std::vector<history::DecisionRow>> decisions(const history::DecisionQuery& query) override;
    Result<std::vector<history::AuditRow>> audit(const history::AuditQuery& query) override;
    Result<void> expire(WallTime oldest, std::uint64_t bytes_max) override;

private:
    template <class Answer, class... Asked>
    Result<Answer> call(std::uint8_t method, const Asked&... asked);
    std::mutex mutex_;
    FrameClient client_;
    int tries_;
};

}  // namespace nexus::test
