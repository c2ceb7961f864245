#pragma once
// Looking into a journal without owning it: for the commands `verify`, `export` and `backup`. Reads only, takes no
// lock, works while a server runs (both see one state of the database).

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "store/journal_store.h"

namespace nexus::store {

struct JournalVerdict {
    Sequence first, last;  // of the events that are stored; 0 = none
    std::uint64_t batches = 0;
    std::uint64_t events = 0;
    std::uint64_t bodies = 0;  // stored, dead ones in living segments included
    std::uint64_t results = 0;
    std::uint64_t bytes = 0;            // of batches
    Sequence snapshot;                  // 0 = none
    std::uint64_t cut_batches = 0;      // put aside by an earlier recovery
    std::vector<std::string> problems;  // each with its place; empty = sound
};

// Checks everything: the database's own structure, every batch (checksum, order, chain, each event), every segment, the
// snapshot and how it joins the batches. A fault means that it could not be looked at; what is wrong with it is in
// `problems`.
Result<JournalVerdict> verify_journal(const std::string& directory, const std::string& vfs = {});

// Every event after `after` as one line of JSON with its sequence first: {"sequence":7,"at_us":...,"event":"..."}.
// Stops at the first damage with its fault, or with the error of `line`.
Result<void> export_journal(const std::string& directory, Sequence after,
                            const std::function<Result<void>(std::string_view line)>& line,
                            const std::string& vfs = {});

// The same of any journal. What is trimmed meanwhile is a fault (corrupt).
Result<void> export_events(JournalStore& journal, Sequence after,
                           const std::function<Result<void>(std::string_view line)>& line);

// The stored journal for whoever follows it: get_snapshot() and read() of one state of the database; the rest is
// `unsupported`.
Result<std::unique_ptr<JournalStore>> open_journal_to_read(const std::string& directory, const std::string& vfs = {});

// Copies the journal's present state (one moment of it, with the snapshot it needs) into the new directory `to`, from
// which a server can be started. The history is not part of it. Returns the last event copied. Faults: conflict (`to`
// exists).
Result<Sequence> backup_journal(const std::string& directory, const std::string& to);

}  // namespace nexus::store
