#pragma once
// The journal that the flags name, with what must be held as long as it is open.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/methods.h"
#include "cli/failure.h"
#include "config/sources.h"
#include "intake/intake.h"
#include "intake/workers.h"
#include "main/configuration.h"
#include "main/log.h"
#include "store/journal_store.h"
#include "store/redis/redis_journal.h"
#include "store/sqlite/data_directory.h"

namespace nexus::serve {

struct OpenJournal {
    std::optional<store::DirectoryLock> lock;  // of the data directory, where the journal does not hold it itself
    std::unique_ptr<store::JournalStore> journal;
    std::string owner = "nexus";             // as whom this server claims it
    std::string told;                        // of the ready line: "redis://… (disk)"; empty = embedded
    std::string promised;                    // to who submits: process | disk | replicated(k)
    std::function<api::StoreFacts()> facts;  // thread-safe, while the journal lives
};

// A Redis that does not answer is tried again until server.store_start_limit is over, or `pause` answers that the server
// is to stop. `log` must outlive the journal.
cli::Answer<OpenJournal> open_journal(const config::Start& start, const std::function<bool(Duration)>& pause, Log& log);

// Tasks and workers that speak Redis alone, where the journal is in Redis and the settings want them; null: none.
struct RedisDoors {
    std::unique_ptr<redis::Pool> pool;
    std::unique_ptr<intake::Intake> intake;
    std::unique_ptr<intake::Workers> workers;
};
RedisDoors open_redis_doors(const config::Server& settings, store::JournalStore& journal, engine::Service& engine,
                            Log& log);
api::IntakeFacts facts_of(const RedisDoors& doors);
// What the old Nexus learned, as its key scheduler:predictions holds it there; empty: nothing, or nothing that can be
// read, which is told in the log and stops no start.
std::string learned_by_old_nexus(const config::Server& settings, Log& log);

// ---- for verbs that look into a journal, copy one or move one

// How a journal says that nobody may start from it: one of these, and where the other one is.
inline constexpr const char* kMovedTo = "moved to ";
inline constexpr const char* kCopyOf = "an unfinished copy of ";
// The journal that the settings name, for people: "redis://… (prefix nexus)", or a directory and its machine.
std::string place_of(const config::Server& settings);
// As read_start(), for verbs that look at one journal: --data without --store names a directory, whatever files and
// environment say.
cli::Answer<config::Start> read_journal_start(const StartFlags& flags);
// `why`: as MovableJournal::closed(), not empty.
std::unexpected<cli::Failure> closed_failure(const std::string& why, const config::Server& settings);
struct RedisUse {
    bool to_read = false;             // it needs no promise of the server
    std::function<WallTime()> now{};  // see RedisJournalOptions
};
// Tries once. The journal is not claimed. `log` must outlive it.
cli::Answer<std::unique_ptr<store::RedisJournal>> open_redis_journal(const config::Start& start, const RedisUse& use,
                                                                     Log& log);
// Until nobody else owns it, as far as a claim by `me` may know.
cli::Answer<void> await_owner(store::JournalStore& journal, const std::string& me, const config::Server& settings,
                              Log& log);
// The directory belongs to no journal in Redis any more.
Result<void> forget_journal(const config::Server& settings);

// Once it is claimed: the data directory remembers whose journal it belongs to, so that another one, or an emptied server,
// is not taken for it.
cli::Answer<void> remember_journal(const config::Server& settings, store::JournalStore& journal);

}  // namespace nexus::serve
