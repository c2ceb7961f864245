#include "history/decision.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace nexus::history {
namespace {

std::string decision_json(const DecisionNote& note) {
    // Names need no escaping: they match [A-Za-z0-9._:-]. Written by hand because it is written for every attempt.
    const core::Decision& d = note.decision;
    fmt::memory_buffer out;
    fmt::format_to(std::back_inserter(out),
                   R"({{"reason":"{}","model":"default","baseline_worker":"{}","p50_us":{},"p90_us":{},"mean_us":{},)"
                   R"("source":{},"confidence":{},"eligible_free":{},"waiting":{},"candidates":[)",
                   core::name_of(d.reason), note.baseline, d.estimate.p50.us, d.estimate.p90.us, d.estimate.mean.us,
                   static_cast<int>(d.estimate.source), d.estimate.confidence_permille, d.eligible_free, d.waiting);
    for (int i = 0; i < d.candidates_count && i < 3; ++i) {
        const core::Candidate& c = d.candidates[i];
        fmt::format_to(
            std::back_inserter(out),
            R"({}{{"worker":"{}","score":{},"factors":{{"band":{},"utilization":{},"speed":{},"preference":{}}}}})",
            i == 0 ? "" : ",", i == 0 ? note.worker : note.others[i - 1], c.score, c.band, c.utilization, c.speed,
            c.preference);
    }
    out.push_back(']');
    if (d.rival) fmt::format_to(std::back_inserter(out), R"(,"rival":"{}")", to_text(d.rival));
    if (d.remaining.us > 0)
        fmt::format_to(std::back_inserter(out), R"(,"remaining_us":{},"ratio_permille":{})", d.remaining.us,
                       d.ratio_permille);
    if (d.saved.us > 0)
        fmt::format_to(std::back_inserter(out), R"(,"lost_us":{},"saved_us":{})", d.lost.us, d.saved.us);
    if (d.others_count > 0) out.append(std::string_view(R"(,"runner_ups":[)"));
    for (int i = 0; i < d.others_count && i < 3; ++i)
        fmt::format_to(std::back_inserter(out), R"({}{{"task":"{}","behind_us":{}}})", i == 0 ? "" : ",",
                       to_text(d.others[i].task), d.others[i].behind_us);
    out.append(std::string_view(d.others_count > 0 ? "]}" : "}"));
    return fmt::to_string(out);
}

}  // namespace

DecisionRow row_of(const DecisionNote& note) {
    return {.place = note.place,
            .task = note.task,
            .type = note.type,
            .worker = note.worker,
            .policy = core::name_of(static_cast<core::PolicyKind>(note.decision.policy)),
            .fallback = note.decision.fallback,
            .record = decision_json(note)};
}

namespace {

// Throws what the parser throws when a field is of another type.
DecisionInfo decision_from(const DecisionRow& row, const nlohmann::json& record) {
    DecisionInfo info{
        .place = row.place, .task = row.task, .policy = row.policy, .worker = row.worker, .fallback = row.fallback};
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
    try {
        return decision_from(row, nlohmann::json::parse(row.record));
    } catch (const nlohmann::json::exception& error) {
        return fail(Fault::corrupt,
                    "decision " + std::to_string(row.place.number) + ": its record cannot be read: " + error.what());
    }
}

}  // namespace nexus::history
