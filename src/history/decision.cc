#include "history/decision.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace nexus::history {
namespace {

constexpr std::uint8_t kFormat = 1;  // the first byte of a record; the JSON of earlier releases begins with a brace
constexpr std::size_t kMost = 3;     // candidates, runner-ups

// Once for every attempt, so it is kept short: names as text, numbers as varints.
std::string record_of(const DecisionNote& note) {
    const core::Decision& d = note.decision;
    std::string out;
    out.reserve(160);
    Writer w(out);
    w.u8(kFormat);
    w.text(core::name_of(d.reason));
    w.text(note.baseline);
    const std::uint64_t candidates = std::min<std::uint64_t>(d.candidates_count, kMost);
    w.varints(zigzag(d.estimate.p50.us), zigzag(d.estimate.p90.us), zigzag(d.estimate.mean.us),
              std::uint64_t{static_cast<std::uint8_t>(d.estimate.source)},
              std::uint64_t{d.estimate.confidence_permille}, std::uint64_t{d.eligible_free}, d.waiting, candidates);
    for (std::uint64_t i = 0; i < candidates; ++i) {
        const core::Candidate& c = d.candidates[i];
        w.text(i == 0 ? note.worker : note.others[i - 1]);
        w.varints(zigzag(c.score), zigzag(c.band), zigzag(c.utilization), zigzag(c.speed), zigzag(c.preference));
    }
    w.put(d.rival.hi, d.rival.lo);
    const std::uint64_t others = std::min<std::uint64_t>(d.others_count, kMost);
    w.varints(zigzag(d.remaining.us), std::uint64_t{d.ratio_permille}, zigzag(d.lost.us), zigzag(d.saved.us), others);
    for (std::uint64_t i = 0; i < others; ++i) {
        w.put(d.others[i].task.hi, d.others[i].task.lo);
        w.svarint(d.others[i].behind_us);
    }
    return out;
}

}  // namespace

DecisionRow row_of(const DecisionNote& note) {
    return {.place = note.place,
            .task = note.task,
            .type = note.type,
            .worker = note.worker,
            .policy = core::name_of(static_cast<core::PolicyKind>(note.decision.policy)),
            .fallback = note.decision.fallback,
            .record = record_of(note)};
}

namespace {

DecisionInfo head_of(const DecisionRow& row) {
    return {.place = row.place, .task = row.task, .policy = row.policy, .worker = row.worker, .fallback = row.fallback};
}

template <class T>
T number(Reader& r) {
    return static_cast<T>(r.varint());
}

Result<DecisionInfo> decision_from(const DecisionRow& row) {
    DecisionInfo info = head_of(row);
    Reader r(row.record);
    r.u8();
    info.reason = r.text();
    info.model = "default";
    info.baseline_worker = r.text();
    info.estimate.p50.us = r.svarint();
    info.estimate.p90.us = r.svarint();
    info.estimate.mean.us = r.svarint();
    info.estimate.source = static_cast<EstimateSource>(r.varint());
    info.estimate.confidence_permille = number<std::uint16_t>(r);
    info.eligible_free = number<std::uint32_t>(r);
    info.waiting = r.varint();
    for (std::uint64_t left = r.count(); left > 0; --left) {
        CandidateInfo candidate{.worker = std::string(r.text()), .score = static_cast<double>(r.svarint())};
        for (const char* factor : {"band", "utilization", "speed", "preference"})
            candidate.factors.emplace_back(factor, static_cast<double>(r.svarint()));
        info.candidates.push_back(std::move(candidate));
    }
    r.take(info.rival.hi, info.rival.lo);
    info.remaining.us = r.svarint();
    info.ratio = static_cast<double>(r.varint()) / 1000.0;
    info.lost.us = r.svarint();
    info.saved.us = r.svarint();
    for (std::uint64_t left = r.count(); left > 0; --left) {
        core::RunnerUp other;
        r.take(other.task.hi, other.task.lo);
        other.behind_us = r.svarint();
        info.runner_ups.push_back(other);
    }
    if (r.failed() || !r.at_end())
        return fail(Fault::corrupt, "decision " + std::to_string(row.place.number) + ": its record ends at byte " +
                                        std::to_string(r.position()));
    return info;
}

// As earlier releases wrote it. Throws what the parser throws when a field is of another type.
DecisionInfo decision_from(const DecisionRow& row, const nlohmann::json& record) {
    DecisionInfo info = head_of(row);
    info.reason = record.value("reason", "");
    info.model = record.value("model", "");
    info.baseline_worker = record.value("baseline_worker", "");
    info.estimate.p50.us = record.value("p50_us", std::int64_t{0});
    info.estimate.p90.us = record.value("p90_us", std::int64_t{0});
    info.estimate.mean.us = record.value("mean_us", std::int64_t{0});
    info.estimate.source = static_cast<EstimateSource>(record.value("source", 0));
    info.estimate.confidence_permille = record.value("confidence", std::uint16_t{0});
    info.eligible_free = record.value("eligible_free", 0U);
    info.waiting = record.value("waiting", std::uint64_t{0});
    for (const auto& c : record.value("candidates", nlohmann::json::array())) {
        CandidateInfo candidate{.worker = c.value("worker", ""), .score = c.value("score", 0.0), .factors = {}};
        const nlohmann::json factors = c.value("factors", nlohmann::json::object());  // outlives the loop
        for (const auto& [name, value] : factors.items()) candidate.factors.emplace_back(name, value.get<double>());
        info.candidates.push_back(std::move(candidate));
    }
    info.remaining.us = record.value("remaining_us", std::int64_t{0});
    info.lost.us = record.value("lost_us", std::int64_t{0});
    info.saved.us = record.value("saved_us", std::int64_t{0});
    info.ratio = record.value("ratio_permille", 0U) / 1000.0;
    info.rival = parse_id<TaskId>(record.value("rival", "")).value_or(TaskId{});
    for (const auto& other : record.value("runner_ups", nlohmann::json::array()))
        info.runner_ups.push_back(
            {parse_id<TaskId>(other.value("task", "")).value_or(TaskId{}), other.value("behind_us", std::int64_t{0})});
    return info;
}

}  // namespace

Result<DecisionInfo> decision_of(const DecisionRow& row) {
    if (row.record.starts_with(static_cast<char>(kFormat))) return decision_from(row);
    try {
        return decision_from(row, nlohmann::json::parse(row.record));
    } catch (const nlohmann::json::exception& error) {
        return fail(Fault::corrupt,
                    "decision " + std::to_string(row.place.number) + ": its record cannot be read: " + error.what());
    }
}

bool is_kind(const DecisionRow& row, std::string_view kind) {
    const auto info = decision_of(row);
    return info && info->reason == kind;
}

bool is_kind(const DecisionNote& note, std::string_view kind) {
    return core::name_of(note.decision.reason) == kind;
}

bool is_fallback(const DecisionRow& row) {
    return row.fallback;
}

bool is_fallback(const DecisionNote& note) {
    return note.decision.fallback;
}

}  // namespace nexus::history
