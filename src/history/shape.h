#pragma once
// The members of history rows, in the order in which they are stored (docs/journal.md): in snapshots and in spools.

#include "base/shape.h"
#include "history/history_store.h"

namespace nexus {

template <>
struct Shape<history::EventPlace> {
    using T = history::EventPlace;
    static constexpr auto members =
        std::tuple{NEXUS_MEMBER(at), NEXUS_MEMBER(shard), NEXUS_MEMBER(number), NEXUS_MEMBER(part)};
};
static_assert(kListsAllMembers<history::EventPlace>);
template <>
struct Shape<history::AuditRow> {
    using T = history::AuditRow;
    static constexpr auto members =
        std::tuple{NEXUS_MEMBER(place),  NEXUS_MEMBER(caller), NEXUS_MEMBER(author), NEXUS_MEMBER(action),
                   NEXUS_MEMBER(reason), NEXUS_MEMBER(before), NEXUS_MEMBER(after),  NEXUS_MEMBER(hash)};
};
static_assert(kListsAllMembers<history::AuditRow>);
template <>
struct Shape<history::TaskRow> {
    using T = history::TaskRow;
    static constexpr auto members = std::tuple{NEXUS_MEMBER(task),
                                               NEXUS_MEMBER(shard),
                                               NEXUS_MEMBER(type),
                                               NEXUS_MEMBER(tenant),
                                               NEXUS_MEMBER(queue),
                                               NEXUS_MEMBER(priority),
                                               NEXUS_MEMBER(state),
                                               NEXUS_MEMBER(submitted),
                                               NEXUS_MEMBER(started),
                                               NEXUS_MEMBER(finished),
                                               NEXUS_MEMBER(run),
                                               NEXUS_MEMBER(worker),
                                               NEXUS_MEMBER(attempts),
                                               NEXUS_MEMBER(failures),
                                               NEXUS_MEMBER(crashes),
                                               NEXUS_MEMBER(payload_bytes),
                                               NEXUS_MEMBER(result_bytes),
                                               NEXUS_MEMBER(predicted_p50),
                                               NEXUS_MEMBER(predicted_p90),
                                               NEXUS_MEMBER(eta_finish_p50),
                                               NEXUS_MEMBER(eta_finish_p90),
                                               NEXUS_MEMBER(error),
                                               NEXUS_MEMBER(redrive_of)};
};
static_assert(kListsAllMembers<history::TaskRow>);
template <>
struct Shape<history::AttemptRow> {
    using T = history::AttemptRow;
    static constexpr auto members = std::tuple{NEXUS_MEMBER(task),          NEXUS_MEMBER(attempt),
                                               NEXUS_MEMBER(number),        NEXUS_MEMBER(shard),
                                               NEXUS_MEMBER(worker),        NEXUS_MEMBER(outcome),
                                               NEXUS_MEMBER(assigned),      NEXUS_MEMBER(started),
                                               NEXUS_MEMBER(ended),         NEXUS_MEMBER(run),
                                               NEXUS_MEMBER(predicted_p50), NEXUS_MEMBER(predicted_p90),
                                               NEXUS_MEMBER(source),        NEXUS_MEMBER(peak_memory_bytes),
                                               NEXUS_MEMBER(error)};
};
static_assert(kListsAllMembers<history::AttemptRow>);
template <>
struct Shape<history::DecisionRow> {
    using T = history::DecisionRow;
    static constexpr auto members =
        std::tuple{NEXUS_MEMBER(place),  NEXUS_MEMBER(task),     NEXUS_MEMBER(type),  NEXUS_MEMBER(worker),
                   NEXUS_MEMBER(policy), NEXUS_MEMBER(fallback), NEXUS_MEMBER(record)};
};
static_assert(kListsAllMembers<history::DecisionRow>);

}  // namespace nexus
