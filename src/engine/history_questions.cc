#include "engine/history_questions.h"

#include <algorithm>
#include <span>

#include "base/quantity.h"
#include "core/command.h"
#include "engine/attempt_result.h"
#include "engine/audit_chain.h"
#include "engine/body.h"
#include "history/whole_history.h"
#include "journal/codec.h"

namespace nexus::engine {
namespace {

using history::WholeHistory;
using store::JournalStore;

// What becomes of a task that has ended, for those who may see it.
Result<history::TaskRow> row_of(TaskId task, const std::string& tenant, WholeHistory& history) {
    auto row = history.task(task);
    if (!row) return std::unexpected(std::move(row).error());
    if (!*row || (!tenant.empty() && (*row)->tenant != tenant)) return std::unexpected(no_task(task));
    return **std::move(row);
}

Error not_readable(TaskId task, const store::Body& stored) {
    return {Fault::unreachable, "what task " + to_text(task) + " left cannot be read now: " + stored.why};
}

std::shared_ptr<const core::TaskSpec> spec_of(const TaskBody& body) {
    auto event = journal::decode(body.spec);
    auto* fact = event ? std::get_if<core::TaskSubmitted>(&event->what) : nullptr;
    return fact == nullptr ? nullptr : std::make_shared<core::TaskSpec>(std::move(fact->spec));
}

// What it left for people: empty when nothing is kept.
Result<std::string> result_at(TaskId place, TaskId task, JournalStore& journal) {
    const store::Body stored = store::read_body(journal, store::BodyKind::result, place);
    if (stored.state == store::Body::State::unreachable) return std::unexpected(not_readable(task, stored));
    if (stored.state != store::Body::State::found) return std::string();
    return std::string(left_behind(stored.bytes).bytes);
}

// Its attempt is the one that was given to the worker at that moment.
void tell_outcome(std::span<const history::AttemptRow> attempts, history::DecisionInfo& decision) {
    for (const history::AttemptRow& attempt : attempts)
        if (attempt.worker == decision.worker && attempt.assigned == decision.place.at && attempt.ended.us != 0)
            decision.outcome = {.run = attempt.run,
                                .outcome = attempt.outcome,
                                .ended = attempt.ended,
                                .predicted = attempt.predicted_p50,
                                .regret = {}};
}

Result<EndedTask> answer_to(const AskTask& asked, WholeHistory& history, JournalStore& journal) {
    auto row = row_of(asked.task, asked.tenant, history);
    if (!row) return std::unexpected(std::move(row).error());
    auto attempts = history.attempts_of(*row);
    if (!attempts) return std::unexpected(std::move(attempts).error());
    EndedTask ended{.row = *std::move(row), .attempts = *std::move(attempts), .result = {}, .decision = {}};
    if (asked.with_decision) {
        history::DecisionQuery last;
        last.task = asked.task;
        last.limit = 1;
        auto rows = history.decisions(last);
        if (!rows) return std::unexpected(std::move(rows).error());
        if (!rows->empty())
            if (auto decision = history::decision_of(rows->front())) ended.decision = *std::move(decision);
        if (ended.decision) tell_outcome(ended.attempts, *ended.decision);
    }
    if (!asked.with_result) return ended;
    const bool good = ended.row.state == static_cast<std::uint8_t>(core::TaskState::succeeded);
    if (!ended.attempts.empty()) {
        auto result =
            result_at(good ? asked.task : place_of_result(ended.attempts.back().attempt), asked.task, journal);
        if (!result) return std::unexpected(std::move(result).error());
        ended.result = *std::move(result);
    }
    if (good) return ended;
    const store::Body kept = store::read_body(journal, store::BodyKind::result, asked.task);
    if (const LeftBehind left = left_behind(kept.bytes); left.what == LeftBehind::What::body)
        if (auto body = decode_body(left.bytes)) {
            ended.spec = spec_of(*body);
            ended.metadata = std::move(body->metadata);
        }
    return ended;
}

Result<OutputText> answer_to(const AskOutput& asked, WholeHistory& history, JournalStore& journal) {
    const auto kept = [&](OutputText text, TaskId place) -> Result<OutputText> {
        auto result = result_at(place, asked.task, journal);
        if (!result) return std::unexpected(std::move(result).error());
        text.result = *std::move(result);
        return text;
    };
    if (asked.attempt) return kept({.number = asked.number}, place_of_result(asked.attempt));
    std::uint32_t made = asked.made;
    if (made == 0) {
        auto row = row_of(asked.task, asked.tenant, history);
        if (!row) return std::unexpected(std::move(row).error());
        made = row->attempts;
    }
    if (made == 0) return fail(Fault::failed_state, "task " + to_text(asked.task) + " ended without having started");
    const std::uint32_t number = asked.number == 0 ? made : asked.number;
    if (number > made)
        return fail(Fault::not_found, "task " + to_text(asked.task) + " had " + counted(made, "attempt") +
                                          ", and none of number " + std::to_string(number));
    auto rows = history.attempts({&asked.task, 1});
    if (!rows) return std::unexpected(std::move(rows).error());
    const auto row = std::ranges::find(*rows, number, &history::AttemptRow::number);
    if (row == rows->end())
        return fail(Fault::not_found, "attempt " + std::to_string(number) + " of task " + to_text(asked.task) +
                                          " is not in the history (any more)");
    const bool good = row->outcome == static_cast<std::uint8_t>(core::AttemptOutcome::succeeded);
    return kept({.number = number, .worker = row->worker}, good ? asked.task : place_of_result(row->attempt));
}

Result<std::vector<EndedTask>> answer_to(const AskTasks& asked, WholeHistory& history, JournalStore&) {
    auto rows = history.tasks(asked.query);
    if (!rows) return std::unexpected(std::move(rows).error());
    std::vector<TaskId> ids;
    for (const history::TaskRow& row : *rows) ids.push_back(row.task);
    auto attempts = history.attempts(ids);
    if (!attempts) return std::unexpected(std::move(attempts).error());
    std::vector<EndedTask> list;
    for (history::TaskRow& row : *rows) {
        EndedTask& ended = list.emplace_back();
        const auto [first, last] = std::ranges::equal_range(*attempts, row.task, {}, &history::AttemptRow::task);
        ended.attempts.assign(std::make_move_iterator(first), std::make_move_iterator(last));
        ended.row = std::move(row);
    }
    return list;
}

Result<std::vector<history::DecisionInfo>> answer_to(const AskDecisions& asked, WholeHistory& history, JournalStore&) {
    auto rows = history.decisions(asked.query);
    if (!rows) return std::unexpected(std::move(rows).error());
    std::vector<history::DecisionInfo> list;
    for (const history::DecisionRow& row : *rows)
        if (auto info = history::decision_of(row)) list.push_back(*std::move(info));
    if (!asked.with_outcome) return list;
    std::vector<TaskId> tasks;
    for (const history::DecisionInfo& decision : list) tasks.push_back(decision.task);
    std::ranges::sort(tasks);
    tasks.erase(std::ranges::unique(tasks).begin(), tasks.end());
    const auto attempts = history.attempts(tasks);
    if (!attempts) return std::unexpected(attempts.error());
    for (history::DecisionInfo& decision : list) {
        const auto own = std::ranges::equal_range(*attempts, decision.task, {}, &history::AttemptRow::task);
        tell_outcome({own.begin(), own.end()}, decision);
    }
    return list;
}

Result<std::vector<history::AuditRow>> answer_to(const AskAudit& asked, WholeHistory& history, JournalStore&) {
    return asked.written ? history.store().audit(asked.query) : history.audit(asked.query);
}

Result<AuditVerdict> answer_to(const AskChain& asked, WholeHistory& history, JournalStore&) {
    return verify_audit([&](const history::AuditQuery& query) { return history.audit(query); }, asked.head);
}

Result<ToldByBody> answer_to(const AskMetadata& asked, WholeHistory&, JournalStore& journal) {
    const store::Body stored = store::read_body(journal, store::BodyKind::body, asked.task);
    if (stored.state == store::Body::State::unreachable) return std::unexpected(not_readable(asked.task, stored));
    if (stored.state != store::Body::State::found) return std::unexpected(no_task(asked.task));
    auto body = decode_body(stored.bytes);
    if (!body) return std::unexpected(std::move(body).error());
    return ToldByBody{.metadata = std::move(body->metadata), .spec = spec_of(*body)};
}

Result<std::string> answer_to(const AskKeptBody& asked, WholeHistory& history, JournalStore& journal) {
    if (!asked.tenant.empty())  // what is kept does not say whose it is before it is read
        if (auto row = row_of(asked.task, asked.tenant, history); !row) return std::unexpected(std::move(row).error());
    const Error succeeded{Fault::failed_state, "task " + to_text(asked.task) + " succeeded; submit a new one instead"};
    store::Body stored = store::read_body(journal, store::BodyKind::result, asked.task);
    if (stored.state == store::Body::State::unreachable) return std::unexpected(not_readable(asked.task, stored));
    const bool found = stored.state == store::Body::State::found;
    if (found) {
        const LeftBehind left = left_behind(stored.bytes);
        if (left.what == LeftBehind::What::result) return std::unexpected(succeeded);
        if (left.what == LeftBehind::What::body) return std::string(left.bytes);
        // Of the release before, which marked nothing: the history tells which it is.
    }
    auto row = row_of(asked.task, asked.tenant, history);
    if (!row) return std::unexpected(std::move(row).error());
    if (row->state == static_cast<std::uint8_t>(core::TaskState::succeeded)) return std::unexpected(succeeded);
    if (found) return std::move(stored.bytes);
    return fail(Fault::not_found, "the payload of task " + to_text(asked.task) + " is not kept any more");
}

Result<std::vector<Result<std::string>>> answer_to(const AskKeptBodies& asked, WholeHistory& history,
                                                   JournalStore& journal) {
    std::vector<Result<std::string>> bodies;
    for (const TaskId task : asked.tasks)
        bodies.push_back(answer_to(AskKeptBody{task, asked.tenant}, history, journal));
    return bodies;
}

Result<std::vector<std::optional<std::uint8_t>>> answer_to(const AskStates& asked, WholeHistory& history,
                                                           JournalStore&) {
    std::vector<std::optional<std::uint8_t>> states;
    for (const TaskId task : asked.tasks) {
        auto row = history.task(task);
        if (!row) return std::unexpected(std::move(row).error());
        const bool seen = *row && (asked.tenant.empty() || (*row)->tenant == asked.tenant);
        states.push_back(seen ? std::optional((*row)->state) : std::nullopt);
    }
    return states;
}

}  // namespace

Error no_task(TaskId task) {
    return {Fault::not_found, "no task " + to_text(task)};
}

void answer(HistoryQuestion question, history::WholeHistory& history, store::JournalStore& journal) {
    std::visit([&](auto& asked) { asked.done(answer_to(asked.request, history, journal)); }, question);
}

void refuse(HistoryQuestion question, const Error& error) {
    std::visit([&](auto& asked) { asked.done(std::unexpected(error)); }, question);
}

}  // namespace nexus::engine
