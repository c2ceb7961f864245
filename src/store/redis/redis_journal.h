#pragma once
// The journal in Redis: batches in a stream, bodies and results in hashes, snapshots in parts. Keys are in keys.h, scripts
// in scripts.h, levels in server_level.h.
//
//   One writer   a connection of its own for append() and renew(); everything else shares a pool. Each append is one
//                script that compares claim and position and changes bodies in the same step; long ones are several, each
//                of whole batches, sent together
//   Lost answer  the append is sent again on a new connection; the position tells what was stored
//   Level        read from the server's configuration at each connect and every 10 s. Below the one it was opened with,
//                nothing is written (unreachable, with what to set) until it is restored
//   Full         beyond maxmemory what is under way goes on within 64 MiB (Redis 7), and low_on_space is told
//   Away         every call answers unreachable, at once while the last attempt to connect has just failed
//   Lost end     the last batches are kept here, too. A server that has forgotten them (a failover, or a crash between two
//                syncs) is given them again from where it ends now, before anything else; found by place and chain with
//                each append and each renewal. More than is kept: conflict, and nothing is written
//   Gone         a server that has lost this journal is never written to: failed

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "redis/pool.h"
#include "store/movable_journal.h"
#include "store/redis/keys.h"
#include "store/redis/result_pages.h"
#include "store/redis/scripts.h"
#include "store/redis/server_level.h"

namespace nexus::store {

struct RedisJournalOptions {
    redis::Server server;
    std::string prefix = "nexus";
    Durability level = Durability::disk;  // at least
    std::uint64_t replicas = 0;           // that must have what is appended before it is confirmed
    bool allow_volatile = false;          // a server without append-only file is good enough
    Duration result_age_max = hours(24);
    std::uint64_t result_bytes_max = 256ULL << 20;  // the oldest go first
    Duration loading_max = minutes(10);             // for a server that reads its file at our start
    std::string cluster;                            // names an empty journal at its first claim
    std::function<WallTime()> now;                  // for the age of results; empty = the system's clock
    // What an operator should know: the server is lost, is back, is full, promises less. From any thread.
    std::function<void(bool bad, std::string text)> notice;
    Duration ring_age_max = seconds(60);  // of what is kept for a server that forgets
    std::uint64_t ring_bytes_max = 64ULL << 20;
};

// What an operator wants to know of it.
struct RedisJournalState {
    Durability level = Durability::process;  // in force
    std::string meaning;                     // of the level: "what is acknowledged survives …"
    std::string wrong;                       // why nothing can be written; empty = all is well
    bool reached = false;
    std::uint64_t reconnects = 0, repaired = 0, batches_repaired = 0, forked = 0;
    std::uint64_t memory_used = 0, memory_max = 0;  // bytes, as of the last look; 0 = no limit
};

class RedisJournal final : public MovableJournal {
public:
    // Faults: unreachable, denied, unsupported (see server_level.h), invalid.
    static Result<std::unique_ptr<RedisJournal>> open(RedisJournalOptions options);

    Result<Head> head() override;
    Result<Claim> claim(const Head& observed, const Claimant& me) override;
    Result<void> renew(const Claim& claim, std::string_view wish) override;
    Result<Appended> append(const Claim& claim, std::span<const JournalBatch> batches) override;
    Result<void> read(Sequence after, Duration wait, const BatchVisitor& visit) override;
    std::vector<Body> bodies(BodyKind kind, std::span<const TaskId> tasks) override;
    Result<void> put_snapshot(Sequence at, const SnapshotSource& source) override;
    Result<Sequence> get_snapshot(Kept which, const SnapshotSink& sink) override;
    Result<void> each_kept(BodyKind kind, const KeptVisitor& visit) override;
    Result<std::string> closed() override;
    Result<void> close(const Claim& claim, std::string_view why) override;
    Result<Claim> begin_copy(const CopyStart& start, const Claimant& me, std::string_view why) override;
    // Deletes a closed journal; what was read of foreign streams is kept. Fault failed_state: it is open.
    Result<void> discard();

    // The name that the journal got at its first claim; empty = never claimed.
    Result<std::string> cluster();
    // All marks of foreign entries that became tasks (BodyKind::taken).
    Result<std::vector<TaskId>> taken();
    // Never waits.
    RedisJournalState state() const;

private:
    struct Chunk;       // of an append: what one script stores
    struct Manifest;    // of a snapshot, as the head tells it
    struct Manifests {  // of the two that are kept, as text; empty = none
        std::string newest, older;
    };

    explicit RedisJournal(RedisJournalOptions options);
    Result<void> start();
    WallTime now() const;
    void note(bool bad, std::string text) const;
    template <class Change>
    void tell(Change change) {
        const std::lock_guard lock(state_mutex_);
        change(state_);
    }
    const redis_script::Scripts& scripts() const { return knows_flags_ ? flagged_scripts_ : plain_scripts_; }

    // ---- the writer; redis_append.cc
    Result<redis::Connection*> writer();
    Result<void> check_level(redis::Connection& connection);
    Result<redis::Reply> write_script(const redis_script::Script& script, std::span<const std::string_view> keys,
                                      std::span<const std::string_view> words);
    std::vector<Chunk> cut(const Claim& claim, std::span<const JournalBatch> batches);
    void add_commands(const Chunk& chunk, redis::Commands& out) const;
    Result<Appended> send(std::span<const Chunk> chunks);
    Result<void> await_replicas(const std::string& claim);
    // ---- a server that has forgotten
    void remember(std::span<const JournalBatch> batches);
    Result<void> repair(const Claim& claim, const Error& found);
    Result<void> reclaim(const Claim& claim);
    Result<void> restore(const Claim& claim, const Error& found);
    Result<std::vector<redis::Reply>> send_from(redis::Connection& connection, std::span<const Chunk> chunks,
                                                bool load);
    static Result<void> take_answer(const redis::Reply& reply, std::span<const Chunk> chunks, std::size_t& next);
    bool note_room(const ServerFacts& facts);
    Result<bool> has_room(redis::Connection& connection);
    void drop_results();
    Result<void> load_results();

    // ---- everybody else
    Result<std::string> field(std::string_view name);
    Result<redis::Reply> script(const redis_script::Script& script, std::initializer_list<std::string_view> keys,
                                std::initializer_list<std::string_view> words);
    Result<Manifests> manifests();
    Result<void> store_parts(const std::string& name, const SnapshotSource& source, Manifest& made);
    Result<void> keep(Manifest& made);
    Result<void> delete_unfinished();
    Result<void> trim();
    Result<std::vector<std::string>> pages_of_results();

    const RedisJournalOptions options_;
    const redis_key::Keys keys_;
    redis::Pool pool_;
    const redis_script::Scripts plain_scripts_, flagged_scripts_;
    std::atomic<bool> knows_flags_ = false;
    std::atomic<Durability> level_ = Durability::process;
    std::atomic<bool> low_on_space_ = false;

    std::mutex writer_mutex_;  // guards all down to the next mutex
    std::unique_ptr<redis::Connection> writer_;
    redis::Pool::Clock::time_point level_due_{};
    std::optional<Error> level_refused_;
    bool away_ = false;  // it has been said that the server is
    struct Remembered {
        JournalBatch batch;
        std::uint64_t bytes = 0;
        redis::Pool::Clock::time_point at;
    };
    std::deque<Remembered> ring_;  // the last batches confirmed, which follow each other
    std::uint64_t ring_bytes_ = 0;
    std::string owner_;                              // as whom it was claimed
    std::atomic<std::uint64_t> confirmed_next_ = 0;  // the sequence after the last one confirmed; 0 = none was

    mutable std::mutex state_mutex_;  // guards what state() tells
    RedisJournalState state_;

    std::mutex results_mutex_;  // guards the table of pages
    ResultPages results_;

    std::mutex snapshot_mutex_;  // one snapshot is written at a time
};

}  // namespace nexus::store
