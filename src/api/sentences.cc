#include "api/sentences.h"

#include <algorithm>
#include <iterator>

#include "base/quantity.h"
#include "core/command.h"

namespace nexus::api {
namespace {

using core::WaitCause;

// `{}` stands for the name of what the cause is about.
struct CauseRow {
    WaitCause cause;
    const char* culprit;
    const char* remedy;
    const char* exclusion = "";
};
constexpr CauseRow kCauses[] = {
    {WaitCause::none, "", ""},
    {WaitCause::run_at, "its start time (run_at)", "wait, or submit it without run_at"},
    {WaitCause::dependencies, "", "they must succeed first"},
    {WaitCause::failures, "", "it is tried again by itself"},
    {WaitCause::hold, "an operator's hold", "clear the override"},
    {WaitCause::ordering_key, "an earlier task with the same ordering key", "that task must end first"},
    {WaitCause::concurrency_key, "", "one of them must end"},
    {WaitCause::rate_key, "the rate limit of its rate key", "wait for its turn"},
    {WaitCause::worker_line, "the tasks of worker {} before it", "add workers"},
    {WaitCause::paused, "shorter tasks use its slot on worker {}", "it continues when it is first in order"},
    {WaitCause::lost_worker, "the lease of lost worker {}", "the worker returns, or the lease ends"},
    {WaitCause::queue_paused, "queue {} is paused", "resume the queue"},
    {WaitCause::queue_limit, "the running limit of queue {}", "raise the limit"},
    {WaitCause::tenant_limit, "the running limit of tenant {}", "raise the limit"},
    {WaitCause::type_limit, "the running limit of type {}", "raise the limit"},
    {WaitCause::no_worker, "no worker has connected yet", "start a worker"},
    {WaitCause::disconnected, "workers are disconnected", "connect a worker that matches its demands", "disconnected"},
    {WaitCause::demands, "no worker matches its labels, type, pin or resources",
     "connect a worker that matches its demands", "labels, type, pin or resources do not match"},
    {WaitCause::cordoned, "workers are cordoned or draining", "uncordon a worker", "cordoned or draining"},
    {WaitCause::suspected, "workers are silent", "wait until they answer or are lost", "silent"},
    {WaitCause::breakers, "the circuit breakers of its workers are open", "wait: they are tried again",
     "circuit breaker open"},
    {WaitCause::workers_busy, "the workers that may run it are busy", "add workers"},
    {WaitCause::tasks_ahead, "", "add workers"},
};
static_assert(std::size(kCauses) == static_cast<std::size_t>(WaitCause::tasks_ahead) + 1);

constexpr std::string_view kDecisions[] = {
    "",
    "it arrived when a slot was free",
    "a slot became free and it was first in order",
    "its policy had bound it to this worker",
    "a second copy of a slow attempt",
    "a trial of a worker whose circuit breaker is open",
    "it is pinned to this worker",
    "round-robin, because prediction failed",
    "a longer task is paused for it",
    "paused for a shorter task",
    "continued: it was first in order for its slot",
    "a task of lower priority is stopped for it",
    "stopped for a task of higher priority",
};
static_assert(std::size(kDecisions) == static_cast<std::size_t>(core::DecisionReason::preempted) + 1);

constexpr std::string_view kStates[] = {
    "",
    "The task is waiting",
    "The task is assigned to a worker",
    "The task is running",
    "The task succeeded",
    "The task is dead",
    "The task was cancelled",
    "The task expired",
    "The task is paused",
};
static_assert(std::size(kStates) == static_cast<std::size_t>(core::TaskState::paused) + 1);

const CauseRow& row_of(WaitCause cause) {
    const auto index = static_cast<std::size_t>(cause);
    return kCauses[index < std::size(kCauses) ? index : 0];
}

std::string with_name(std::string text, std::string_view name) {
    if (const std::size_t at = text.find("{}"); at != std::string::npos) text.replace(at, 2, name);
    return text;
}

// " Add workers." of "add workers".
std::string sentence(std::string words) {
    if (words.empty()) return words;
    if (words.front() >= 'a' && words.front() <= 'z') words.front() = static_cast<char>(words.front() - 'a' + 'A');
    return " " + words + ".";
}

std::string waiting_summary(const engine::Explanation& e) {
    const engine::TaskInfo& task = e.task;
    const WaitWords words = wait_words(task.waiting_cause, task.waiting_name, task.waiting_count);
    std::string text = "The task is waiting";
    if (!words.culprit.empty()) text += ": " + words.culprit;
    const std::string work = " (" + span_words(e.work_ahead) + " of predicted work)";
    if (task.waiting_cause == WaitCause::tasks_ahead) text += work;
    text += ". " + std::to_string(e.workers_eligible) + " of " + counted(e.workers_total, "worker") + " may run it";
    if (e.tasks_ahead > 0 && task.waiting_cause != WaitCause::tasks_ahead)
        text += "; " + wait_words(WaitCause::tasks_ahead, {}, e.tasks_ahead).culprit + work;
    return text + "." + sentence(words.remedy);
}

}  // namespace

std::string span_words(Duration span) {
    const auto tenths = [](std::int64_t us, std::int64_t unit) {
        const std::int64_t n = (us * 10 + unit / 2) / unit;
        return std::to_string(n / 10) + "." + std::to_string(n % 10);
    };
    if (span.us < 1'000'000) return std::to_string(span.us / 1000) + " ms";
    if (span.us < 120'000'000) return tenths(span.us, 1'000'000) + " s";
    if (span.us < 7'200'000'000) return tenths(span.us, 60'000'000) + " min";
    return tenths(std::min<std::int64_t>(span.us, INT64_MAX / 20), 3'600'000'000) + " h";
}

WaitWords wait_words(core::WaitCause cause, std::string_view name, std::uint64_t count) {
    const CauseRow& row = row_of(cause);
    WaitWords words{.culprit = with_name(row.culprit, name), .remedy = row.remedy};
    switch (cause) {
        case WaitCause::dependencies:
            words.culprit = counted(count, "task") + " that it depends on";
            if (count == 1) words.remedy = "that task must succeed first";
            break;
        case WaitCause::failures:
            words.culprit =
                count == 0 ? "a pause before the next attempt" : "a pause after " + counted(count, "failed attempt");
            break;
        case WaitCause::concurrency_key:
            words.culprit = "its concurrency key allows " + counted(count, "task") + " at a time";
            if (count == 1) words.remedy = "the running one must end";
            break;
        case WaitCause::tasks_ahead:
            words.culprit = counted(count, "task") + (count == 1 ? " is" : " are") + " ahead of it";
            break;
        default: break;
    }
    return words;
}

std::string_view exclusion_words(core::WaitCause cause) {
    return row_of(cause).exclusion;
}

std::string_view decision_words(std::string_view code) {
    for (std::size_t i = 1; i < std::size(kDecisions); ++i)
        if (code == core::name_of(static_cast<core::DecisionReason>(i))) return kDecisions[i];
    return code;
}

std::string summary_of(const engine::Explanation& e) {
    const engine::TaskInfo& task = e.task;
    if (task.state == core::TaskState::waiting) return waiting_summary(e);
    const auto state = static_cast<std::size_t>(task.state);
    std::string text(kStates[state < std::size(kStates) ? state : 0]);
    if (task.state == core::TaskState::paused) {
        const WaitWords words = wait_words(task.waiting_cause, task.waiting_name, task.waiting_count);
        if (!words.culprit.empty()) text += ": " + words.culprit;
        return text + "." + sentence(words.remedy);
    }
    if (!task.error.empty()) text += ": " + task.error;
    text += ".";
    if (e.decision && !e.decision->worker.empty()) {
        text += " Worker " + e.decision->worker + " was chosen";
        if (e.decision->fallback)
            text += " by round-robin, because prediction failed";
        else if (!e.decision->reason.empty())
            text += " (" + std::string(decision_words(e.decision->reason)) + ")";
        text += "; predicted run time " + span_words(e.decision->estimate.p50) + ".";
    }
    return text;
}

}  // namespace nexus::api
