#pragma once
// Names and numbers of journal.db that more than one file needs. The schema is documented in docs/journal.md.

#include <cstdint>
#include <string>

#include "store/sqlite/segments.h"

namespace nexus::store {

inline constexpr const char* kJournalFile = "journal.db";
inline constexpr std::int64_t kJournalApplicationId = 0x4E584A44;  // "NXJD", PRAGMA application_id
inline constexpr std::int64_t kJournalSchemaVersion = 1;           // PRAGMA user_version

inline constexpr std::uint64_t kPageBytes = 4096;  // SQLite's default; 1000 small commits cost least

inline constexpr const char* kTakenTable =
    "CREATE TABLE IF NOT EXISTS taken(hi INTEGER, lo INTEGER, entry BLOB NOT NULL, PRIMARY KEY(hi, lo)) WITHOUT ROWID;";

inline std::string journal_schema() {
    return "CREATE TABLE batch(first INTEGER PRIMARY KEY, count INTEGER NOT NULL, drops BLOB NOT NULL, bytes BLOB NOT "
           "NULL);"
           "CREATE TABLE cut(first INTEGER PRIMARY KEY, count INTEGER NOT NULL, drops BLOB NOT NULL, bytes BLOB NOT "
           "NULL);"
           "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;" +
           Segments::schema("body") + Segments::schema("result") + kTakenTable;
}

}  // namespace nexus::store
