#include "engine/snapshotter.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "engine/engine_section.h"
#include "engine/replica.h"

namespace nexus::engine {
namespace {

constexpr int kNice = 10;

// What a snapshot holds besides the core.
struct SectionKeeper final : Replica::Follower {
    EngineSection section;

    Result<void> loaded(const journal::Snapshot& snapshot) override {
        auto kept = decode_engine_section(snapshot.engine);
        if (!kept) return std::unexpected(std::move(kept).error());
        section = std::move(*kept);
        return {};
    }
    void event(Sequence at, const core::Event& event, const core::Scheduler& before) override {
        section.follow(at, event, before);
    }
    void command(core::Command& command) override { section.follow(command); }
};

}  // namespace

Result<SnapshotMade> make_snapshot(store::JournalStore& store, const std::string& predictor, Sequence upto,
                                   Sequence audited, const std::atomic<bool>* stop) {
    SectionKeeper keeper;
    Replica replica(keeper);
    replica.stop_when(stop);
    if (auto ok = replica.recover(store, upto); !ok) return std::unexpected(std::move(ok).error().during("snapshot"));
    if (replica.at() == replica.snapshot_at()) return SnapshotMade{.at = replica.at()};
    keeper.section.audit.confirm(audited);
    return store_snapshot(store, replica.save(predictor, keeper.section), stop);
}

Result<SnapshotMade> store_snapshot(store::JournalStore& store, const journal::Snapshot& snapshot,
                                    const std::atomic<bool>* stop) {
    const std::string bytes = journal::encode_snapshot(snapshot);
    std::string_view left = bytes;
    const auto next = [&]() -> Result<std::string_view> {
        if (stop != nullptr && *stop) return fail(Fault::unavailable, "left off");
        const std::string_view part = left.substr(0, store::kSnapshotPartBytes);
        left.remove_prefix(part.size());
        return part;
    };
    if (auto ok = store.put_snapshot(snapshot.at, next); !ok)
        return std::unexpected(std::move(ok).error().during("snapshot"));
    return SnapshotMade{.at = snapshot.at, .bytes = bytes.size()};
}

Snapshotter::Snapshotter(store::JournalStore& store, Options options)
    : store_(store), options_(std::move(options)), thread_([this] { run(); }) {
    pthread_setname_np(thread_.native_handle(), "nexus-snapshot");
}

Snapshotter::~Snapshotter() {
    (void)end({});
    thread_.join();
}

void Snapshotter::order(std::string predictor, Sequence audited, std::optional<journal::Snapshot> recovered) {
    const std::lock_guard lock(mutex_);
    predictor_ = std::move(predictor);
    audited_ = audited;
    recovered_ = std::move(recovered);
    wanted_ = true;
    wake_.notify_one();
}

bool Snapshotter::end(Duration limit) {
    stop_ = true;
    std::unique_lock lock(mutex_);
    end_ = true;
    wake_.notify_one();
    return over_.wait_for(lock, std::chrono::microseconds(limit.us), [this] { return ended_; });
}

void Snapshotter::run() {
    // Behind everything that somebody waits for. Failing to yield is no failure.
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
    for (;;) {
        std::string predictor;
        Sequence audited;
        std::optional<journal::Snapshot> recovered;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return wanted_ || end_; });
            if (end_) {
                ended_ = true;
                over_.notify_all();
                return;
            }
            wanted_ = false;
            predictor = std::move(predictor_);
            audited = audited_;
            recovered.swap(recovered_);
        }
        const Sequence upto = options_.released();
        options_.before();
        const auto begin = std::chrono::steady_clock::now();
        auto made = recovered && recovered->at <= upto ? store_snapshot(store_, *recovered, &stop_)
                                                       : make_snapshot(store_, predictor, upto, audited, &stop_);
        recovered.reset();
        malloc_trim(0);  // a second core was in memory
        const auto took = std::chrono::steady_clock::now() - begin;
        options_.made(std::move(made), {std::chrono::duration_cast<std::chrono::microseconds>(took).count()});
    }
}

}  // namespace nexus::engine
