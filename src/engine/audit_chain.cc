#include "engine/audit_chain.h"

#include <utility>

#include "engine/audit.h"

namespace nexus::engine {
namespace {

constexpr std::size_t kRowsPerPage = 1000;

std::string entry(std::uint64_t number) {
    return "entry " + std::to_string(number);
}

std::string broken_at(const history::AuditRow& row, std::uint64_t before) {
    if (before == 0)
        return entry(row.place.number) +
               " is not the first of the chain, or was changed: entries before it were deleted, or it was not written "
               "by this server";
    return entry(row.place.number) + " does not follow from " + entry(before) +
           ": one of the two was changed, or one between them was deleted, put in or moved";
}

}  // namespace

Result<AuditVerdict> verify_audit(const ReadAudit& read, const std::string& head) {
    AuditVerdict verdict;
    bool met = head.empty();
    std::uint64_t last = 0;
    history::AuditQuery query{.before = {}, .limit = kRowsPerPage};
    query.chain = true;
    for (bool more = true; more;) {
        const auto rows = read(query);
        if (!rows) return std::unexpected(rows.error());
        more = rows->size() == kRowsPerPage;
        for (const history::AuditRow& row : *rows) {
            query.before = row.place;
            if (row.place.number == 0) {
                ++verdict.unchained;
                continue;
            }
            if (chain_hash(verdict.head, row) != row.hash) {
                verdict.good = false;
                verdict.problem = broken_at(row, last);
                verdict.problem_number = row.place.number;
                return verdict;
            }
            if (verdict.entries++ == 0) verdict.oldest = row.place.at;
            verdict.head = row.hash;
            last = row.place.number;
            met = met || row.hash == head;
        }
    }
    if (met) return verdict;
    verdict.good = false;
    verdict.problem_number = last;
    verdict.problem = verdict.entries == 0
                          ? "all entries are gone: the history has none, and the head that is held says otherwise"
                          : "the newest entries are gone: the chain ends at " + entry(last) +
                                " and does not come to the head that is held";
    return verdict;
}

}  // namespace nexus::engine
