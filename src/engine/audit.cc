#include "engine/audit.h"

#include <algorithm>
#include <set>

#include "base/shape_bytes.h"
#include "config/versions.h"
#include "engine/body.h"
#include "identity/roles.h"
#include "identity/tokens.h"

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

}  // namespace nexus

namespace nexus::engine {
namespace {

constexpr std::size_t kActBytesMax = 1024;  // of each text of an act

std::size_t bytes_of(const history::AuditRow& row) {
    return sizeof row + row.caller.size() + row.author.size() + row.action.size() + row.reason.size() +
           row.before.size() + row.after.size() + row.hash.size();
}

std::string text_of(const core::OverrideSet& set) {
    static constexpr const char* kinds[] = {"", "pin", "hold", "boost", "exclude"};
    std::string text = kinds[static_cast<int>(set.kind)];
    text += set.task ? " task " + to_text(set.task) : " type " + set.type;
    if (!set.worker.empty()) text += " worker " + set.worker;
    if (set.boost.us != 0) text += " by " + std::to_string(set.boost.us) + " us";
    return text;
}

// The one queue that is paused or resumed, when nothing else differs.
const core::QueueLimits* only_pause(const core::Config& before, const core::Config& after) {
    core::Config same = after;
    same.version = before.version;
    const core::QueueLimits* changed = nullptr;
    for (std::size_t i = 0; i < after.queues.size(); ++i) {
        const core::QueueLimits& queue = after.queues[i];
        const auto was = std::ranges::find(before.queues, queue.name, &core::QueueLimits::name);
        const bool paused = was != before.queues.end() && was->paused;
        if (queue.paused == paused) continue;
        if (changed != nullptr) return nullptr;
        changed = &queue;
        same.queues[i].paused = paused;
        if (was == before.queues.end()) {
            same.queues.erase(same.queues.begin() + static_cast<std::ptrdiff_t>(i));
            break;
        }
    }
    return changed != nullptr && same == before ? changed : nullptr;
}

template <class Fact>
concept Audited = requires(const Fact& fact) { fact.act; } && !std::same_as<Fact, core::CancelRequested>;

// Fills in what was done, from what to what.
struct Teller {
    const core::Scheduler& before;
    history::AuditRow& row;

    void operator()(const core::ConfigChanged& e) {
        const core::QueueLimits* queue = only_pause(before.config(), e.config);
        row.action = queue == nullptr ? "change the configuration"
                                      : (queue->paused ? "pause queue " : "resume queue ") + queue->name;
        config::Edit edit = config::edit_of(before.config(), e.config);
        row.before = std::move(edit.before);
        row.after = std::move(edit.after);
    }
    void operator()(const core::WorkerControlled& e) {
        static constexpr const char* orders[] = {"", "cordon", "uncordon", "drain", "forget", "close-breaker"};
        row.action = std::string(orders[static_cast<int>(e.order)]) + " worker " + e.name;
    }
    void operator()(const core::OverrideSet& e) {
        row.action = "set override " + std::to_string(e.number);
        row.after = text_of(e);
    }
    void operator()(const core::OverrideCleared& e) {
        row.action = "clear override " + std::to_string(e.number);
        for (const core::OverrideSet& set : before.overrides())
            if (set.number == e.number) row.before = text_of(set);
    }
    void operator()(const core::EstimateForced& e) {
        row.action = (e.estimate.us == 0 ? "clear the forced estimate of " : "force the estimate of ") + e.type;
        for (const core::EstimateForced& forced : before.forced_estimates())
            if (forced.type == e.type) row.before = std::to_string(forced.estimate.us) + " us";
        if (e.estimate.us > 0) row.after = std::to_string(e.estimate.us) + " us";
    }
    void operator()(const core::TypeReset& e) { row.action = "reset type " + e.type; }
    // The hash of a token's secret is nobody's business.
    void operator()(const core::TokenIssued& e) {
        row.action = "issue token " + e.id + " to " + e.name;
        row.after = "roles = " + identity::text_of(e.roles) + "\n";
        if (!e.tenant.empty()) row.after += "tenant = " + e.tenant + "\n";
        if (e.expires.us != 0) row.after += "expires_unix_us = " + std::to_string(e.expires.us) + "\n";
    }
    void operator()(const core::TokenRevoked& e) { row.action = "revoke token " + e.id + " of " + e.name; }
    void operator()(const core::SignedIn& e) { row.action = "sign in with token " + e.id; }
};

}  // namespace

core::Act act_of(const Caller& caller, std::string author, std::string reason) {
    std::string who = caller.name;
    if (!caller.from.empty() && caller.from != who) who += (who.empty() ? "" : " at ") + caller.from;
    return {.caller = std::move(who), .author = std::move(author), .reason = std::move(reason)};
}

std::string chain_hash(const std::string& before, const history::AuditRow& row) {
    std::string text = before;
    for (const std::string& part : {std::to_string(row.place.number), std::to_string(row.place.at.us), row.caller,
                                    row.author, row.action, row.reason, row.before, row.after})
        text += '\n' + std::to_string(part.size()) + ' ' + part;
    return identity::sha256_hex(text);
}

const history::AuditRow* Audit::follow(Sequence number, const core::Event& event, const core::Scheduler& before) {
    return std::visit(
        [&]<class Fact>(const Fact& fact) -> const history::AuditRow* {
            if constexpr (Audited<Fact>) {
                history::AuditRow row{.place = {.at = {event.at.us + before.wall_offset().us},
                                                .shard = before.shard(),
                                                .number = number.n}};
                Teller{before, row}(fact);
                row.caller = fact.act.caller;
                row.author = fact.act.author;
                row.reason = fact.act.reason;
                row.hash = head_ = chain_hash(head_, row);
                bytes_ += bytes_of(row);
                return &rows_.emplace_back(std::move(row));
            }
            return nullptr;
        },
        event.what);
}

std::deque<history::AuditRow> Audit::confirm(std::span<const history::AuditRow> found) {
    std::set<std::string_view> hashes;
    std::uint64_t newest = 0;
    for (const history::AuditRow& row : found) hashes.insert(row.hash);
    std::erase_if(rows_, [&](const history::AuditRow& row) {
        if (!hashes.contains(row.hash)) return false;
        newest = std::max(newest, row.place.number);
        bytes_ -= bytes_of(row);
        return true;
    });
    std::deque<history::AuditRow> missing;
    for (const history::AuditRow& row : rows_)
        if (row.place.number < newest) missing.push_back(row);
    return missing;
}

void Audit::confirm(Sequence upto) {
    while (!rows_.empty() && rows_.front().place.number <= upto.n) {
        bytes_ -= bytes_of(rows_.front());
        rows_.pop_front();
    }
}

void Audit::save(Writer& writer) const {
    put(writer, head_);
    writer.varint(rows_.size());
    for (const history::AuditRow& row : rows_) put(writer, row);
}

void Audit::load(Reader& reader) {
    get(reader, head_);
    rows_.clear();
    bytes_ = 0;
    for (std::uint64_t n = reader.count(); n > 0 && !reader.failed(); --n) {
        get(reader, rows_.emplace_back());
        bytes_ += bytes_of(rows_.back());
    }
}

Result<void> check_act(const core::Act& act) {
    for (const auto& [field, text] : {std::pair{"author", &act.author}, std::pair{"reason", &act.reason}})
        if (text->size() > kActBytesMax)
            return fail(Fault::invalid,
                        std::string(field) + ": longer than " + std::to_string(kActBytesMax) + " bytes");
    return {};
}

}  // namespace nexus::engine
