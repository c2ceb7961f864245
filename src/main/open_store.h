#pragma once
// The journal that the flags name, with what must be held as long as it is open.

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "cli/failure.h"
#include "config/setting.h"
#include "main/log.h"
#include "store/journal_store.h"
#include "store/sqlite/data_directory.h"

namespace nexus::serve {

// Where the journal is kept; the rest is about Redis alone (docs/redis.md).
struct StoreFlags {
    std::string store = "embedded";  // or a URL of redis/address.h
    std::string prefix = "nexus";
    std::string password_file, ca, cert, key;
    bool allow_volatile = false;
};
void add_store_flags(CLI::App& verb, StoreFlags& flags);

struct OpenJournal {
    std::optional<store::DirectoryLock> lock;  // of the data directory, where the journal does not hold it itself
    std::unique_ptr<store::JournalStore> journal;
    std::string owner = "nexus";  // as whom this server claims it
    std::string told;             // of the ready line: "redis://… (disk)"; empty = embedded
};

// `log` must outlive the journal.
cli::Answer<OpenJournal> open_journal(const config::Server& settings, const StoreFlags& flags, Log& log);

// Once it is claimed: the data directory remembers whose journal it belongs to, so that another one, or an emptied server,
// is not taken for it.
cli::Answer<void> remember_journal(const config::Server& settings, store::JournalStore& journal);

}  // namespace nexus::serve
