#pragma once
// The audit: who changed what, when and why. Each row follows from its event and from the state before it, so it is made
// when the event is applied and made again, byte for byte, at a replay; the hash chain names it, and writing it twice is
// harmless. Rows that the history has not confirmed are kept here and saved with the engine's section of a snapshot, so
// that neither a crash nor a history that loses rows loses one.
//
// Audited are changes of the configuration (a queue's pause is one), overrides, orders to workers, forced estimates,
// resets of types, tokens that are issued or revoked, and sign-ins at the page. Cancels are not: clients do them all the
// time; who and why stands in the journal and with the task. Not thread-safe.

#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/caller.h"
#include "core/scheduler.h"
#include "history/history_store.h"

namespace nexus::engine {

class Audit {
public:
    // Beyond either the engine takes no further act: what cannot be audited is not done.
    static constexpr std::size_t kUnconfirmedMax = 4096;
    static constexpr std::size_t kUnconfirmedBytesMax = 16 << 20;

    // What the event, the journal's `number`th, is to the audit; null when it is nothing. `before` is the core that has
    // not applied it yet. Valid until the next call.
    const history::AuditRow* follow(Sequence number, const core::Event& event, const core::Scheduler& before);
    // The history has these rows. Returns those before the newest of them that it does not have: to be written again.
    std::deque<history::AuditRow> confirm(std::span<const history::AuditRow> found);
    // Up to here the history has them all.
    void confirm(Sequence upto);
    const std::deque<history::AuditRow>& unconfirmed() const { return rows_; }
    bool full() const { return rows_.size() >= kUnconfirmedMax || bytes_ >= kUnconfirmedBytesMax; }
    const std::string& head() const { return head_; }  // hash of the last row

    void save(Writer& writer) const;
    void load(Reader& reader);

private:
    std::string head_;
    std::deque<history::AuditRow> rows_;  // not confirmed, in order
    std::size_t bytes_ = 0;               // of their texts
};

// Who does it, as the server proved it, and what they say of it. Fault invalid: a text longer than 1 KiB.
core::Act act_of(const Caller& caller, std::string author, std::string reason);
Result<void> check_act(const core::Act& act);

// The hash that chains a row to the one before it.
std::string chain_hash(const std::string& before, const history::AuditRow& row);

}  // namespace nexus::engine
