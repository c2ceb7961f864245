#include "history/clickhouse/rows.h"

#include <algorithm>
#include <bit>

#include "base/ascii.h"
#include "history/decision.h"

namespace nexus::history {
namespace {

std::uint64_t bits(std::int64_t v) {
    return static_cast<std::uint64_t>(v);
}
template <class Id>
std::string text_of(Id id) {
    return id ? to_text(id) : std::string();
}
template <class Id>
Id id_of(std::string_view text) {
    return parse_id<Id>(text).value_or(Id{});
}
WallTime time(Reader& r) {
    return {static_cast<std::int64_t>(r.u64())};
}
Duration span(Reader& r) {
    return {static_cast<std::int64_t>(r.u64())};
}
std::string text(Reader& r) {
    return std::string(r.text());
}
std::uint32_t whole_ms(Duration span) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(span.us / 1000, 0, UINT32_MAX));
}

void put_place(Writer& w, const EventPlace& place) {
    w.put(bits(place.at.us), place.shard, place.number, place.part);
}
EventPlace place(Reader& r) {
    EventPlace place{.at = time(r)};
    r.take(place.shard, place.number, place.part);
    return place;
}

// The word of the old Nexus that comes nearest; `reason` says it exactly.
const char* old_reasoning(const DecisionRow& row, std::string_view reason) {
    if (row.fallback || reason == "fallback") return "fallback_round_robin";
    if (reason == "pinned") return "capability_match";
    if (reason == "probe" || reason == "speculation") return "load_balance";
    return "prediction";
}

}  // namespace

std::string quoted_text(std::string_view text) {
    return "unhex('" + hex_of(text) + "')";
}

std::string date_time(std::int64_t us) {
    // Times before 1970 and after 2106 have no DateTime.
    return "toDateTime(" + std::to_string(std::clamp<std::int64_t>(us / 1'000'000, 0, UINT32_MAX)) + ")";
}

std::string id_text(TaskId task) {
    return "'" + to_text(task) + "'";
}

void put_row(Writer& w, const TaskRow& row, std::uint64_t precedence) {
    w.u64(bits(row.finished.us));
    w.text(to_text(row.task));
    w.u8(row.state);
    for (const std::string* name : {&row.type, &row.tenant, &row.queue, &row.worker}) w.text(*name);
    w.put(row.priority, bits(row.submitted.us), bits(row.started.us), bits(row.run.us), row.attempts, row.failures,
          row.crashes, row.payload_bytes, row.result_bytes, bits(row.predicted_p50.us), bits(row.predicted_p90.us),
          bits(row.eta_finish_p50.us), bits(row.eta_finish_p90.us));
    w.text(row.error);
    w.text(text_of(row.redrive_of));
    w.put(row.shard, precedence);
}

TaskRow task_row(Reader& r) {
    TaskRow row{.finished = time(r)};
    row.task = id_of<TaskId>(r.text());
    row.state = r.u8();
    for (std::string* name : {&row.type, &row.tenant, &row.queue, &row.worker}) *name = text(r);
    row.priority = r.u8();
    row.submitted = time(r);
    row.started = time(r);
    row.run = span(r);
    r.take(row.attempts, row.failures, row.crashes, row.payload_bytes, row.result_bytes);
    row.predicted_p50 = span(r);
    row.predicted_p90 = span(r);
    row.eta_finish_p50 = time(r);
    row.eta_finish_p90 = time(r);
    row.error = text(r);
    row.redrive_of = id_of<TaskId>(r.text());
    row.shard = r.u32();
    return row;
}

void put_row(Writer& w, const AttemptRow& row, std::uint64_t precedence) {
    w.u64(bits(row.ended.us));
    w.text(to_text(row.task));
    w.put(row.number, row.shard);
    w.text(text_of(row.attempt));
    w.text(row.worker);
    w.put(row.outcome, bits(row.assigned.us), bits(row.started.us), bits(row.run.us), bits(row.predicted_p50.us),
          bits(row.predicted_p90.us));
    w.text(row.source);
    w.put(row.peak_memory_bytes);
    w.text(row.error);
    w.put(precedence);
}

AttemptRow attempt_row(Reader& r) {
    AttemptRow row{.ended = time(r)};
    row.task = id_of<TaskId>(r.text());
    r.take(row.number, row.shard);
    row.attempt = id_of<AttemptId>(r.text());
    row.worker = text(r);
    row.outcome = r.u8();
    row.assigned = time(r);
    row.started = time(r);
    row.run = span(r);
    row.predicted_p50 = span(r);
    row.predicted_p90 = span(r);
    row.source = text(r);
    r.take(row.peak_memory_bytes);
    row.error = text(r);
    return row;
}

void put_row(Writer& w, const DecisionRow& row) {
    put_place(w, row.place);
    w.text(to_text(row.task));
    for (const std::string* name : {&row.type, &row.worker, &row.policy}) w.text(*name);
    w.u8(row.fallback ? 1 : 0);
    w.text(row.record);
    const auto read = decision_of(row);
    const DecisionInfo info = read ? *read : DecisionInfo{};
    // A task is given away when it can start at once, or as good as: there is no wait to predict any more.
    w.put(whole_ms(info.estimate.p50), std::uint32_t{0},
          std::bit_cast<std::uint32_t>(static_cast<float>(info.estimate.confidence_permille) / 1000.0F));
    w.text(old_reasoning(row, info.reason));
    w.text(info.reason);
    w.put(info.eligible_free, info.waiting);
}

DecisionRow decision_row(Reader& r) {
    DecisionRow row{.place = place(r)};
    row.task = id_of<TaskId>(r.text());
    for (std::string* name : {&row.type, &row.worker, &row.policy}) *name = text(r);
    row.fallback = r.u8() != 0;
    row.record = text(r);
    return row;
}

void put_row(Writer& w, const AuditRow& row, std::uint64_t precedence) {
    put_place(w, row.place);
    for (const std::string* part :
         {&row.caller, &row.author, &row.action, &row.reason, &row.before, &row.after, &row.hash})
        w.text(*part);
    w.put(precedence);
}

AuditRow audit_row(Reader& r) {
    AuditRow row{.place = place(r)};
    for (std::string* part : {&row.caller, &row.author, &row.action, &row.reason, &row.before, &row.after, &row.hash})
        *part = text(r);
    return row;
}

}  // namespace nexus::history
