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
    {WaitCause::breakers_beside, "", "wait: they are tried again"},
    {WaitCause::refused, "every worker that may run it gave it back", "connect a worker that takes it", "gave it back"},
    {WaitCause::prefetched, "ready on worker {}", "it starts there when a slot becomes free"},
};
static_assert(std::size(kCauses) == static_cast<std::size_t>(WaitCause::prefetched) + 1);

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
    "prefetched: its slots are full and about to become free",
    "taken back before it began: it waited too long there, or is wanted elsewhere",
};
static_assert(std::size(kDecisions) == static_cast<std::size_t>(core::DecisionReason::recalled) + 1);

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
    return " " + first_upper(std::move(words)) + ".";
}

std::string waiting_summary(const engine::Explanation& e) {
    const engine::TaskInfo& task = e.task;
    const WaitWords words = wait_words(task);
    std::string text = "The task is waiting";
    if (!words.culprit.empty()) text += ": " + words.culprit;
    const std::string work = " (" + span_words(e.work_ahead) + " of predicted work)";
    if (task.waiting_cause == WaitCause::tasks_ahead) text += work;
    text += ". " + std::to_string(e.workers_eligible) + " of " + counted(e.workers_total, "worker") + " may run it";
    if (e.tasks_ahead > 0 && task.waiting_cause != WaitCause::tasks_ahead)
        text += "; " + wait_words(WaitCause::tasks_ahead, {}, e.tasks_ahead).culprit + work;
    text += "." + sentence(words.remedy);
    if (!task.attempts.empty() && task.attempts.back().outcome == name_of(core::AttemptOutcome::rejected))
        text += " It was " + task.attempts.back().error + ".";
    return text;
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
        case WaitCause::breakers_beside:
            words.culprit = "of the workers that may run it " + std::to_string(count) +
                            (count == 1 ? " has" : " have") +
                            " a free slot, but an open circuit breaker; the others are busy";
            break;
        case WaitCause::cordoned:
            if (name.empty()) break;
            words = {
                .culprit = "worker " + std::string(name) + ", the only one that may run it, is cordoned or draining",
                .remedy = "uncordon it, or connect another one like it"};
            break;
        case WaitCause::suspected:
            if (name.empty()) break;
            words.culprit = "worker " + std::string(name) + ", the only one that may run it, is silent";
            words.remedy = "wait until it answers or is lost";
            break;
        case WaitCause::breakers:
            if (name.empty()) break;
            words.culprit =
                "the circuit breaker of worker " + std::string(name) + ", the only one that may run it, is open";
            words.remedy = "wait: it is tried again";
            break;
        case WaitCause::tasks_ahead:
            words.culprit = counted(count, "task") + (count == 1 ? " is" : " are") + " ahead of it";
            break;
        default: break;
    }
    return words;
}

namespace {

std::string amount_words(core::Unmet::What what, std::int64_t amount) {
    if (what == core::Unmet::What::memory) return size_text(static_cast<std::uint64_t>(amount));
    if (what == core::Unmet::What::resource) return std::to_string(amount);
    std::string text = std::to_string(amount / 1000);  // of thousandths
    if (const std::int64_t rest = amount % 1000; rest != 0) {
        std::string digits = std::to_string(1000 + rest).substr(1);
        while (digits.back() == '0') digits.pop_back();
        text += "." + digits;
    }
    return text;
}

// "none of 4 workers has it", "1 of 4 workers has it".
std::string having(std::uint64_t workers, std::uint64_t without, std::string_view verb) {
    const std::uint64_t with = workers - std::min(workers, without);
    return (with == 0 ? "none" : std::to_string(with)) + " of " + counted(workers, "worker") + " " + std::string(verb);
}

}  // namespace

std::string unmet_words(const core::Unmet& unmet, std::uint64_t workers) {
    using What = core::Unmet::What;
    switch (unmet.what) {
        case What::type: return "type " + unmet.name + ": " + having(workers, unmet.workers, "takes it");
        case What::pin:
            return "it is pinned to worker " + unmet.name + (unmet.workers < workers ? "" : ", which is not connected");
        case What::label: {
            std::string text = unmet.name + "=" + unmet.wanted + ": " + having(workers, unmet.workers, "has it");
            for (std::size_t i = 0; i < unmet.others.size(); ++i)
                text += (i == 0 ? " (" : ", ") + unmet.name + "=" + unmet.others[i].first + " on " +
                        std::to_string(unmet.others[i].second);
            return text + (unmet.others.empty() ? "" : ")");
        }
        case What::forbidden_label:
            return unmet.name + "=" + unmet.wanted + " is forbidden: " + std::to_string(unmet.workers) + " of " +
                   counted(workers, "worker") + (unmet.workers == 1 ? " has it" : " have it");
        case What::excluded:
            return "type " + unmet.name + " is kept from " + counted(unmet.workers, "worker") + " by an override";
        case What::cpu:
        case What::memory:
        case What::gpu:
        case What::resource:
            return unmet.name + ": it asks for " + amount_words(unmet.what, unmet.asked) +
                   ", the most that a worker offers is " + amount_words(unmet.what, unmet.most);
    }
    return "";
}

WaitWords wait_words(const engine::TaskInfo& task) {
    WaitWords words = wait_words(task.waiting_cause, task.waiting_name, task.waiting_count);
    if (task.waiting_unmet.empty()) return words;
    // What nobody meets is the reason, all of it; where each demand is met by some, that no worker meets all is.
    std::string text;
    for (const core::Unmet& one : task.waiting_unmet)
        if (one.workers >= task.waiting_count)
            text += (text.empty() ? "" : "; ") + unmet_words(one, task.waiting_count);
    if (!text.empty()) {
        words.culprit = text;
        return words;
    }
    for (const core::Unmet& one : task.waiting_unmet)
        text += (text.empty() ? "no worker meets all that it asks for: " : "; ") + unmet_words(one, task.waiting_count);
    words.culprit = text;
    return words;
}

WaitWords waiting_words(const core::WaitingBy& by) {
    const auto key = [&](const char* kind) {
        return by.why.name.empty() ? std::string("their ") + kind + " keys" : std::string(kind) + " key " + by.why.name;
    };
    switch (by.why.cause) {
        case WaitCause::run_at: return {"their start time (run_at)", "wait"};
        case WaitCause::dependencies: return {"tasks that they come after", "those must succeed first"};
        case WaitCause::failures: return {"the pause after a failed attempt", "they are tried again by themselves"};
        case WaitCause::hold: return {"an operator's hold", "clear the override"};
        case WaitCause::ordering_key: return {key("ordering"), "the task before each must end first"};
        case WaitCause::concurrency_key:
            return {key("concurrency") +
                        (by.why.count > 0 ? ", which allows " + counted(by.why.count, "task") + " at a time" : ""),
                    "one that holds it must end"};
        case WaitCause::rate_key: return {"the rate limit of " + key("rate"), "wait for their turn"};
        case WaitCause::workers_busy: return {"the workers that may run them are busy", "add workers"};
        default: break;
    }
    engine::TaskInfo task;
    task.waiting_cause = by.why.cause;
    task.waiting_name = by.why.name;
    task.waiting_count = by.why.count;
    task.waiting_unmet = by.why.unmet;
    return wait_words(task);
}

std::string happened_words(const engine::Happened& event) {
    using enum engine::What;
    const std::string by = event.author.empty() ? std::string() : " by " + event.author;
    const std::string why = event.reason.empty() ? std::string(".") : ": " + event.reason + ".";
    switch (event.what) {
        case connected: return "Connected with " + counted(static_cast<std::uint64_t>(event.count), "slot") + ".";
        case left: return "Stopped: it said goodbye.";
        case closed: return "Its connection closed without a goodbye.";
        case suspected: return "Silent: it gets no new tasks.";
        case recovered: return "Heard again.";
        case lost: return "Lost: its tasks go elsewhere when their lease ends.";
        case cordoned: return "Cordoned" + by + why;
        case uncordoned: return "Takes work again, ordered" + by + why;
        case draining: return "Drained" + by + why;
        case forgotten: return "Forgotten" + by + why;
        case breaker_ordered: return "Its circuit breaker was closed" + by + why;
        case breaker_opened:
            return "Its circuit breaker opened" + (event.text.empty() ? std::string() : ": " + event.text) + ".";
        case breaker_probing: return "A task is tried on it.";
        case breaker_closed: return "Its circuit breaker closed.";
        case failed: return "An attempt ended after " + span_words({event.count}) + ": " + event.text + ".";
        case drifted: return "Run times changed; now it most likely takes " + span_words({event.count}) + ".";
        case forced: return "Its estimate is forced to " + span_words({event.count}) + by + why;
        case freed: return "It is estimated by what was learned again, ordered" + by + why;
        case reset: return "What was learned was forgotten, ordered" + by + why;
    }
    return "";
}

std::string first_upper(std::string text) {
    if (!text.empty() && text.front() >= 'a' && text.front() <= 'z')
        text.front() = static_cast<char>(text.front() - 'a' + 'A');
    return text;
}

std::string size_words(std::uint64_t bytes) {
    static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    std::size_t unit = 0;
    std::uint64_t tenths = bytes * 10;
    if (bytes > UINT64_MAX / 10) {
        tenths = bytes / 1024 * 10;
        ++unit;
    }
    while (tenths >= 10'240) {
        tenths /= 1024;
        ++unit;
    }
    if (unit == 0) return std::to_string(bytes) + " B";
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " " + units[unit];
}

std::string_view exclusion_words(core::WaitCause cause) {
    return row_of(cause).exclusion;
}

std::string_view decision_words(std::string_view code) {
    for (std::size_t i = 1; i < std::size(kDecisions); ++i)
        if (code == core::name_of(static_cast<core::DecisionReason>(i))) return kDecisions[i];
    return code;
}

bool is_decision_code(std::string_view code) {
    for (std::size_t i = 1; i < std::size(kDecisions); ++i)
        if (code == core::name_of(static_cast<core::DecisionReason>(i))) return true;
    return false;
}

std::string summary_of(const engine::Explanation& e) {
    const engine::TaskInfo& task = e.task;
    if (task.state == core::TaskState::waiting) return waiting_summary(e);
    const auto state = static_cast<std::size_t>(task.state);
    std::string text(kStates[state < std::size(kStates) ? state : 0]);
    if (task.state == core::TaskState::paused || task.waiting_cause == WaitCause::prefetched) {
        const WaitWords words = wait_words(task);
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

const char* meaning_of(core::PolicyKind policy) {
    using enum core::PolicyKind;
    switch (policy) {
        case predictive:
            return "Short predicted work first, within fairness and aging, on the worker that suits it best.";
        case fcfs: return "In the order of arrival, on the free worker that was used least.";
        case least_loaded: return "Bound at arrival to the worker with the fewest tasks for each slot.";
        case power_of_two: return "Bound at arrival to the shorter line of two workers drawn by lot.";
        case random: return "Bound at arrival to a worker drawn by lot.";
        case round_robin: return "Bound at arrival to the workers in turn, as the old Nexus did.";
        case nexus_ema: return "Bound at arrival by the score of the old Nexus: predicted wait, load and priority.";
        case least_work: return "Bound at arrival to the worker with the least predicted work for each slot.";
    }
    return "";
}

}  // namespace nexus::api
