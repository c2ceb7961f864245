#include "cli/task_view.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/ascii.h"
#include "base/quantity.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

std::string lower_without(const std::string& name, std::string_view prefix) {
    return lower_case(name.starts_with(prefix) ? std::string_view(name).substr(prefix.size()) : name);
}

constexpr std::string_view kStatePrefix = "TASK_STATE_";

std::string band_text(std::int64_t p50_us, std::int64_t p90_us) {
    if (p50_us <= 0) return "-";
    return fmt::format("{} (p90 {})", span_text(p50_us), span_text(p90_us));
}

std::string progress_text(const pb::Attempt& attempt) {
    if (attempt.progress() <= 0) return {};
    return " " + percent_text(attempt.progress()) +
           (attempt.progress_note().empty() ? "" : " " + safe_text(attempt.progress_note(), 40));
}

bool was_rejected(const pb::Attempt& attempt) {
    return attempt.outcome() == "rejected" && !attempt.error().empty();
}

std::string attempt_line(const pb::Attempt& attempt, std::int64_t now) {
    std::string line = fmt::format("  {}. on {}: ", attempt.number(), safe_text(attempt.worker(), 60));
    if (attempt.ended_unix_us() == 0)
        line += attempt.started_unix_us() == 0
                    ? "assigned " + moment_text(attempt.assigned_unix_us(), now)
                    : (attempt.run_us() > 0 ? "ran " + span_text(attempt.run_us()) + " (pauses not counted) since "
                                            : std::string("running since ")) +
                          moment_text(attempt.started_unix_us(), now) + progress_text(attempt);
    else if (was_rejected(attempt))
        line += safe_text(attempt.error(), 300);
    else if (attempt.run_us() > 0)
        line += attempt.outcome() + " after " + span_text(attempt.run_us());
    else if (attempt.started_unix_us() > 0)  // nobody measured its run time
        line += attempt.outcome() + " " + span_text(attempt.ended_unix_us() - attempt.started_unix_us()) +
                " after its start";
    else
        line += attempt.outcome() + " before it started";
    if (was_rejected(attempt)) return line + "\n";  // nothing was done
    if (attempt.predicted_us() > 0) line += ", predicted " + span_text(attempt.predicted_us());
    if (attempt.peak_memory_bytes() > 0)
        line += ", peak memory " + bytes_text(static_cast<std::uint64_t>(attempt.peak_memory_bytes()));
    if (!attempt.error().empty()) line += ": " + safe_text(attempt.error(), 300);
    return line + "\n";
}

// Nobody knows it yet, or never will: not 0.
std::string known_span(std::int64_t us) {
    return us > 0 ? span_text(us) : "-";
}

void add_line(std::string& page, std::string_view name, const std::string& value) {
    if (!value.empty()) page += fmt::format("{:<12} {}\n", name, value);
}

}  // namespace

bool is_terminal(pb::TaskState state) {
    return state >= pb::TASK_STATE_SUCCEEDED && state != pb::TASK_STATE_PAUSED;
}

std::string state_text(pb::TaskState state) {
    return lower_without(pb::TaskState_Name(state), kStatePrefix);
}

std::string reason_text(pb::WaitReason reason) {
    return lower_without(pb::WaitReason_Name(reason), "WAIT_REASON_");
}

pb::TaskState state_from_text(std::string_view name) {
    for (int n = pb::TASK_STATE_WAITING; n < pb::TaskState_ARRAYSIZE; ++n)
        if (state_text(static_cast<pb::TaskState>(n)) == name) return static_cast<pb::TaskState>(n);
    return pb::TASK_STATE_UNSPECIFIED;
}

Tone tone_of(pb::TaskState state) {
    switch (state) {
        case pb::TASK_STATE_SUCCEEDED: return Tone::good;
        case pb::TASK_STATE_DEAD: return Tone::bad;
        case pb::TASK_STATE_CANCELLED:
        case pb::TASK_STATE_EXPIRED: return Tone::warn;
        case pb::TASK_STATE_PAUSED:
        case pb::TASK_STATE_WAITING: return Tone::faint;
        default: return Tone::plain;
    }
}

std::string where_text(const pb::Task& task, std::int64_t now) {
    if (task.state() == pb::TASK_STATE_WAITING) {
        std::string text = reason_text(task.waiting().reason());
        if (!task.waiting().culprit().empty()) text += ": " + safe_text(task.waiting().culprit(), 80);
        if (!task.attempts().empty() && was_rejected(*task.attempts().rbegin()))
            text += "; " + safe_text(task.attempts().rbegin()->error(), 80);
        if (task.eta().start_p50_unix_us() > 0)
            text += ", starts " + moment_text(std::max(task.eta().start_p50_unix_us(), now), now);
        return text;
    }
    if (is_terminal(task.state()) && !task.error().empty()) return safe_text(task.error(), 120);
    if (task.attempts().empty()) return "-";
    const pb::Attempt& last = *task.attempts().rbegin();
    std::string text = safe_text(last.worker(), 60);
    if (!is_terminal(task.state())) {
        text += progress_text(last);
        const std::int64_t finish = task.eta().finish_p50_unix_us();
        if (finish > 0) text += finish > now ? ", done " + done_text(finish, now) : ", longer than predicted";
    }
    return text;
}

// The error of a cancelled or expired task begins with that word.
std::string outcome_text(const pb::Task& task) {
    const std::string state = state_text(task.state());
    const std::string why = safe_text(task.error(), 500);
    return why.starts_with(state) ? why : state + (why.empty() ? "" : ": " + why);
}

const Kind<pb::Task>& task_kind() {
    using T = pb::Task;
    static const Kind<T> kind{
        .columns = {{.name = "id", .value = [](const T& t, const Look&) { return t.id(); }},
                    {.name = "type", .value = [](const T& t, const Look& look) { return look.text(t.type(), 32); }},
                    {.name = "state",
                     .value = [](const T& t,
                                 const Look& look) { return look.tone(state_text(t.state()), tone_of(t.state())); }},
                    {.name = "age",
                     .value =
                         [](const T& t, const Look& look) {
                             return look.span(std::max<std::int64_t>(look.now - t.submitted_unix_us(), 0));
                         },
                     .right = true},
                    {.name = "waited",
                     .value =
                         [](const T& t, const Look& look) {
                             const bool waits = t.wait_us() == 0 && t.state() == pb::TASK_STATE_WAITING;
                             return look.known_span(waits ? look.now - t.submitted_unix_us() : t.wait_us());
                         },
                     .right = true},
                    {.name = "ran",
                     .value = [](const T& t,
                                 const Look& look) { return look.known_span(is_terminal(t.state()) ? t.run_us() : 0); },
                     .right = true},
                    {.name = "predicted",
                     .value = [](const T& t, const Look& look) { return look.known_span(t.estimate().p50_us()); },
                     .right = true,
                     .wide = true},
                    {.name = "attempts",
                     .value = [](const T& t, const Look&) { return std::to_string(t.attempts_size()); },
                     .right = true,
                     .wide = true},
                    {.name = "priority",
                     .value = [](const T& t, const Look&) { return std::to_string(t.priority()); },
                     .right = true,
                     .wide = true,
                     .title = "PRIO"},
                    {.name = "tenant",
                     .value = [](const T& t, const Look& look) { return look.text(t.tenant(), 32); },
                     .wide = true},
                    {.name = "queue",
                     .value = [](const T& t, const Look& look) { return look.text(t.queue(), 32); },
                     .wide = true},
                    {.name = "submitted",
                     .value = [](const T& t, const Look& look) { return look.calendar(t.submitted_unix_us()); },
                     .wide = true,
                     .title = "SUBMITTED (UTC)"},
                    {.name = "worker",
                     .value =
                         [](const T& t, const Look& look) {
                             return look.text(t.attempts().empty() ? "" : t.attempts().rbegin()->worker(), 40);
                         },
                     .wide = true},
                    {.name = "where", .value = [](const T& t, const Look& look) { return where_text(t, look.now); }}},
        .name = [](const T& t) { return t.id(); }};
    return kind;
}

// "by 2026-11-30 03:13:36 UTC, likely 03:12:10, kept (12 s early)".
std::string promise_text(const pb::Task& task) {
    const std::int64_t by = task.promise().finish_p90_unix_us();
    std::string text = "by " + calendar_text(by) + " UTC, likely " + calendar_text(task.promise().finish_p50_unix_us());
    if (task.state() != pb::TASK_STATE_SUCCEEDED) return text;
    const std::int64_t late = task.finished_unix_us() - by;
    return text + (late <= 0 ? fmt::format(", kept ({} early)", span_text(-late))
                             : fmt::format(", missed ({} late)", span_text(late)));
}

std::string task_page(const pb::Task& task, bool colour, std::int64_t now) {
    std::string page;
    add_line(page, "id", task.id());
    add_line(page, "type", safe_text(task.type(), 128));
    add_line(page, "state", toned(state_text(task.state()), tone_of(task.state()), colour));
    if (task.waiting().reason() != pb::WAIT_REASON_UNSPECIFIED) {
        add_line(page, "waiting for",
                 reason_text(task.waiting().reason()) +
                     (task.waiting().culprit().empty() ? "" : ": " + safe_text(task.waiting().culprit())));
        if (task.waiting().until_unix_us() > 0)
            add_line(page, "until", moment_text(task.waiting().until_unix_us(), now));
        add_line(page, "remedy", safe_text(task.waiting().remedy(), 300));
    }
    add_line(page, "submitted",
             calendar_text(task.submitted_unix_us()) + " UTC, " + moment_text(task.submitted_unix_us(), now));
    add_line(page, "tenant",
             fmt::format("{}, queue {}, priority {}", safe_text(task.tenant(), 64), safe_text(task.queue(), 64),
                         task.priority()));
    if (task.estimate().p50_us() > 0)
        add_line(page, "predicted",
                 band_text(task.estimate().p50_us(), task.estimate().p90_us()) +
                     (task.estimate().source() == "none" ? ", a guess: no task like it has run yet"
                                                         : fmt::format(" by {}", task.estimate().source())));
    if (!is_terminal(task.state()) && task.eta().finish_p50_unix_us() > 0)
        add_line(page, "finishes",
                 done_text(task.eta().finish_p50_unix_us(), now) + " (p90 " +
                     done_text(task.eta().finish_p90_unix_us(), now) + ")");
    if (task.promise().finish_p90_unix_us() > 0) {
        add_line(page, "promised", promise_text(task));
    }
    if (is_terminal(task.state())) {
        add_line(page, "finished",
                 calendar_text(task.finished_unix_us()) + " UTC, " + moment_text(task.finished_unix_us(), now));
        if (task.run_us() > 0)
            add_line(page, "ran", span_text(task.run_us()) + " after waiting " + known_span(task.wait_us()));
        else if (task.attempts().empty())
            add_line(page, "ran", "never");
    }
    std::vector<std::string> metadata;
    for (const auto& [name, value] : task.metadata()) metadata.push_back(name + "=" + value);
    std::ranges::sort(metadata);
    add_line(page, "metadata", safe_text(fmt::format("{}", fmt::join(metadata, ", ")), 500));
    add_line(page, "error", safe_text(task.error(), 1000));
    add_line(page, "retry of", task.redrive_of());
    if (!task.attempts().empty()) page += "attempts\n";
    for (const pb::Attempt& attempt : task.attempts()) page += attempt_line(attempt, now);
    return page;
}

std::string explanation_page(const pb::Explanation& explanation, bool colour, std::int64_t now) {
    std::string page = toned(safe_text(explanation.summary(), 1000), Tone::strong, colour) + "\n\n" +
                       task_page(explanation.task(), colour, now);
    if (explanation.task().state() == pb::TASK_STATE_WAITING) {
        add_line(page, "ahead",
                 fmt::format("{}, {} of predicted work", counted(explanation.tasks_ahead(), "task"),
                             span_text(explanation.work_ahead_us())));
        add_line(page, "workers",
                 fmt::format("{} of {} may run it", explanation.workers_eligible(), explanation.workers_total()));
        for (const auto& [reason, workers] : explanation.workers_excluded())
            page += fmt::format("  {} cannot: {}\n", workers, safe_text(reason, 120));
    }
    if (explanation.decision().number() == 0) return page;
    return page + "\n" + decision_page(explanation.decision(), colour);
}

std::string decision_page(const pb::Decision& decision, bool colour) {
    std::string page =
        fmt::format("decision {} at {} UTC by {}{}: {}\n", decision.id(), calendar_text(decision.at_unix_us()),
                    decision.policy(), decision.fallback() ? " (fallback)" : "", safe_text(decision.reason(), 300));
    page += fmt::format("{} could run it, {} waiting, predicted {} by {}\n",
                        counted(decision.eligible_free(), "free worker"), counted(decision.waiting(), "task"),
                        band_text(decision.estimate().p50_us(), decision.estimate().p90_us()),
                        safe_text(decision.estimate().source(), 30));
    if (!decision.baseline_worker().empty())
        page += fmt::format("round-robin would have chosen {}\n", safe_text(decision.baseline_worker(), 60));
    if (decision.remaining_us() > 0) {
        page +=
            fmt::format("the attempt that gave way had {} left by its prediction", span_text(decision.remaining_us()));
        if (!decision.rival_task_id().empty())
            page += fmt::format(", over {:.4g} times the other's; the other task is {}", decision.ratio(),
                                safe_text(decision.rival_task_id(), 60));
        page += "\n";
    }
    if (decision.saved_us() > 0)
        page +=
            fmt::format("{} of its work is thrown away to save task {} a wait of {}\n", span_text(decision.lost_us()),
                        safe_text(decision.rival_task_id(), 60), span_text(decision.saved_us()));
    for (const pb::RunnerUp& other : decision.runner_ups())
        page += fmt::format("ahead of task {} by {}\n", safe_text(other.task_id(), 60), span_text(other.behind_us()));
    Table table({"WORKER", ">SCORE", "FACTORS"});
    for (const pb::Candidate& candidate : decision.candidates()) {
        std::vector<std::string> factors;
        for (const auto& [name, value] : candidate.factors())
            factors.push_back(fmt::format("{} {:.4g}", safe_text(name, 32), value));
        std::ranges::sort(factors);
        table.add({safe_text(candidate.worker(), 60), fmt::format("{:.4g}", candidate.score()),
                   fmt::format("{}", fmt::join(factors, ", "))});
    }
    return page + table.text(colour);
}

ProgramResult program_result(std::string_view result) {
    const auto object = nlohmann::json::parse(result, nullptr, false);
    if (!object.is_object() || !object.contains("exit_code") || !object.contains("stdout")) return {};
    const auto number = [&](const std::string& name) {
        const auto at = object.find(name);
        return at != object.end() && at->is_number_integer() ? at->get<std::int64_t>() : 0;
    };
    const auto stream = [&](const std::string& name) {
        ProgramStream read{.written = static_cast<std::uint64_t>(number(name + "_bytes")),
                           .left_out = static_cast<std::uint64_t>(number(name + "_left_out"))};
        if (const auto text = object.find(name); text != object.end() && text->is_string())
            read.bytes = text->get<std::string>();
        const auto bytes = object.find(name + "_base64");
        read.text = bytes == object.end() || !bytes->is_string();
        if (!read.text) absl::Base64Unescape(bytes->get<std::string>(), &read.bytes);
        return read;
    };
    const auto stopped = object.find("stopped");
    return {.is_program = true,
            .exit_code = static_cast<int>(number("exit_code")),
            .signal = static_cast<int>(number("signal")),
            .stopped = stopped != object.end() && stopped->is_boolean() && stopped->get<bool>(),
            .out = stream("stdout"),
            .err = stream("stderr")};
}

}  // namespace nexus::cli
