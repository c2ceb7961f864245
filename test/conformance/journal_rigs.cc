#include <doctest/doctest.h>

#include "conformance/journal_rig.h"
#include "conformance/scratch_directory.h"
#include "doubles/redis_server.h"
#include "doubles/socket_journal.h"
#include "store/memory/memory_journal.h"
#include "store/redis/redis_journal.h"
#include "store/sqlite/sqlite_journal.h"

namespace nexus::test {
namespace {

class MemoryRig final : public JournalRig {
public:
    store::JournalStore& store() override { return journal_; }
    void reopen() override {}
    bool survives_reopen() const override { return false; }

private:
    store::MemoryJournal journal_{{.level = store::Durability::process,
                                   .result_age_max = hours(24),
                                   .result_bytes_max = kResultBytesMax,
                                   .now = [this] { return now; }}};
};

class SocketRig final : public JournalRig {
public:
    store::JournalStore& store() override { return *journal_; }
    void reopen() override { journal_ = std::make_unique<SocketJournal>(server_); }

private:
    JournalServer server_{{.level = store::Durability::process,
                           .renews = true,
                           .result_age_max = hours(24),
                           .result_bytes_max = kResultBytesMax,
                           .now = [this] { return now; }}};
    std::unique_ptr<SocketJournal> journal_ = std::make_unique<SocketJournal>(server_);
};

class SqliteRig final : public JournalRig {
public:
    SqliteRig(store::Durability level, std::uint64_t cache_bytes) : level_(level), cache_bytes_(cache_bytes) { open(); }
    store::JournalStore& store() override { return *journal_; }
    void reopen() override {
        journal_.reset();
        open();
    }

private:
    void open() {
        auto opened = store::SqliteJournal::open({.directory = directory_.file("data"),
                                                  .level = level_,
                                                  .body_cache_bytes_max = cache_bytes_,
                                                  .result_cache_bytes_max = cache_bytes_,
                                                  .result_bytes_max = kResultBytesMax,
                                                  .reserve_bytes = 1 << 20,
                                                  .now = [this] { return now; }});
        MUST(opened.has_value());
        journal_ = *std::move(opened);
    }

    ScratchDirectory directory_;
    store::Durability level_;
    std::uint64_t cache_bytes_;
    std::unique_ptr<store::SqliteJournal> journal_;
};

// A real server, which ends by kill -9 each time the store is opened again.
class RedisRig final : public JournalRig {
public:
    RedisRig(store::Durability level, const char* fsync) : level_(level) {
        auto started = RedisServer::start({"--appendfsync", fsync});
        REQUIRE_MESSAGE(started.has_value(), started.error().what);
        server_ = std::move(*started);
        open();
    }
    store::JournalStore& store() override { return *journal_; }
    void reopen() override {
        journal_.reset();
        const auto again = server_->start_again();
        REQUIRE_MESSAGE(again.has_value(), again.error().what);
        open();
    }

private:
    void open() {
        auto opened = store::RedisJournal::open({.server = server_->address(),
                                                 .level = level_,
                                                 .result_age_max = hours(24),
                                                 .result_bytes_max = kResultBytesMax,
                                                 .now = [this] { return now; }});
        REQUIRE_MESSAGE(opened.has_value(), opened.error().what);
        journal_ = *std::move(opened);
    }

    store::Durability level_;
    std::unique_ptr<RedisServer> server_;
    std::unique_ptr<store::RedisJournal> journal_;
};

}  // namespace

const std::vector<NamedRig>& journal_rigs() {
    static const std::vector<NamedRig> rigs = {
        {"memory", [] { return std::make_unique<MemoryRig>(); }},
        {"memory behind a socket", [] { return std::make_unique<SocketRig>(); }},
        {"sqlite, level disk", [] { return std::make_unique<SqliteRig>(store::Durability::disk, 1 << 20); }},
        {"sqlite, level process, no cache", [] { return std::make_unique<SqliteRig>(store::Durability::process, 0); }},
        {"redis, AOF always", [] { return std::make_unique<RedisRig>(store::Durability::disk, "always"); }},
        {"redis, AOF everysec", [] { return std::make_unique<RedisRig>(store::Durability::process, "everysec"); }},
    };
    return rigs;
}

}  // namespace nexus::test
