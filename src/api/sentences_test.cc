// Every sentence that people read about a task, one row each.

#include "api/sentences.h"

#include <doctest/doctest.h>

#include <set>

#include "core/command.h"

using namespace nexus;
using core::TaskState;
using core::WaitCause;

TEST_CASE("why a task waits, and what would help") {
    static constexpr struct {
        WaitCause cause;
        const char* name;
        std::uint64_t count;
        const char* culprit;
        const char* remedy;
    } rows[] = {
        {WaitCause::none, "", 0, "", ""},
        {WaitCause::run_at, "", 0, "its start time (run_at)", "wait, or submit it without run_at"},
        {WaitCause::dependencies, "", 1, "1 task that it depends on", "that task must succeed first"},
        {WaitCause::dependencies, "", 2, "2 tasks that it depends on", "they must succeed first"},
        {WaitCause::failures, "", 0, "a pause before the next attempt", "it is tried again by itself"},
        {WaitCause::failures, "", 1, "a pause after 1 failed attempt", "it is tried again by itself"},
        {WaitCause::failures, "", 2, "a pause after 2 failed attempts", "it is tried again by itself"},
        {WaitCause::hold, "", 0, "an operator's hold", "clear the override"},
        {WaitCause::ordering_key, "", 0, "an earlier task with the same ordering key", "that task must end first"},
        {WaitCause::concurrency_key, "", 1, "its concurrency key allows 1 task at a time", "the running one must end"},
        {WaitCause::concurrency_key, "", 3, "its concurrency key allows 3 tasks at a time", "one of them must end"},
        {WaitCause::rate_key, "", 0, "the rate limit of its rate key", "wait for its turn"},
        {WaitCause::worker_line, "w1", 0, "the tasks of worker w1 before it", "add workers"},
        {WaitCause::paused, "w1", 0, "shorter tasks use its slot on worker w1",
         "it continues when it is first in order"},
        {WaitCause::lost_worker, "w1", 0, "the lease of lost worker w1", "the worker returns, or the lease ends"},
        {WaitCause::queue_paused, "mail", 0, "queue mail is paused", "resume the queue"},
        {WaitCause::queue_limit, "mail", 0, "the running limit of queue mail", "raise the limit"},
        {WaitCause::tenant_limit, "acme", 0, "the running limit of tenant acme", "raise the limit"},
        {WaitCause::type_limit, "thumb", 0, "the running limit of type thumb", "raise the limit"},
        {WaitCause::no_worker, "", 0, "no worker has connected yet", "start a worker"},
        {WaitCause::disconnected, "", 0, "workers are disconnected", "connect a worker that matches its demands"},
        {WaitCause::demands, "", 0, "no worker matches its labels, type, pin or resources",
         "connect a worker that matches its demands"},
        {WaitCause::cordoned, "", 0, "workers are cordoned or draining", "uncordon a worker"},
        {WaitCause::suspected, "", 0, "workers are silent", "wait until they answer or are lost"},
        {WaitCause::breakers, "", 0, "the circuit breakers of its workers are open", "wait: they are tried again"},
        {WaitCause::workers_busy, "", 0, "the workers that may run it are busy", "add workers"},
        {WaitCause::tasks_ahead, "", 1, "1 task is ahead of it", "add workers"},
        {WaitCause::tasks_ahead, "", 1200, "1,200 tasks are ahead of it", "add workers"},
        {WaitCause::breakers_beside, "", 1,
         "of the workers that may run it 1 has a free slot, but an open circuit breaker; the others are busy",
         "wait: they are tried again"},
        {WaitCause::breakers_beside, "", 2,
         "of the workers that may run it 2 have a free slot, but an open circuit breaker; the others are busy",
         "wait: they are tried again"},
        {WaitCause::refused, "", 0, "every worker that may run it gave it back", "connect a worker that takes it"},
        {WaitCause::prefetched, "w3", 0, "ready on worker w3", "it starts there when a slot becomes free"},
    };
    std::set<WaitCause> shown;
    for (const auto& row : rows) {
        CAPTURE(core::name_of(row.cause));
        const api::WaitWords words = api::wait_words(row.cause, row.name, row.count);
        CHECK_EQ(words.culprit, row.culprit);
        CHECK_EQ(words.remedy, row.remedy);
        shown.insert(row.cause);
    }
    CHECK_EQ(shown.size(), static_cast<std::size_t>(WaitCause::prefetched) + 1);  // none is left out
}

TEST_CASE("field J: what no worker meets is named, with what there is instead") {
    using What = core::Unmet::What;
    struct Row {
        const char* name;
        std::vector<core::Unmet> unmet;
        const char* culprit;
    };
    const Row rows[] = {
        {"a label with another value",
         {{.what = What::label, .name = "zone", .wanted = "b", .workers = 4, .others = {{"a", 4}}}},
         "zone=b: none of 4 workers has it (zone=a on 4)"},
        {"a label that nobody has",
         {{.what = What::label, .name = "zone", .wanted = "b", .workers = 4, .others = {}}},
         "zone=b: none of 4 workers has it"},
        {"two values",
         {{.what = What::label, .name = "zone", .wanted = "b", .workers = 4, .others = {{"a", 3}, {"c", 1}}}},
         "zone=b: none of 4 workers has it (zone=a on 3, zone=c on 1)"},
        {"memory",
         {{.what = What::memory, .name = "memory", .asked = 64LL << 30, .most = 2LL << 30, .workers = 4}},
         "memory: it asks for 64GiB, the most that a worker offers is 2GiB"},
        {"processors",
         {{.what = What::cpu, .name = "cpu", .asked = 64'000, .most = 2'500, .workers = 4}},
         "cpu: it asks for 64, the most that a worker offers is 2.5"},
        {"a resource of one's own",
         {{.what = What::resource, .name = "licences", .asked = 2, .most = 0, .workers = 4}},
         "licences: it asks for 2, the most that a worker offers is 0"},
        {"a type", {{.what = What::type, .name = "video", .workers = 4}}, "type video: none of 4 workers takes it"},
        {"a pin",
         {{.what = What::pin, .name = "w9", .workers = 4}},
         "it is pinned to worker w9, which is not connected"},
        {"a forbidden label",
         {{.what = What::forbidden_label, .name = "zone", .wanted = "a", .workers = 4}},
         "zone=a is forbidden: 4 of 4 workers have it"},
        {"an override",
         {{.what = What::excluded, .name = "video", .workers = 4}},
         "type video is kept from 4 workers by an override"},
        {"two at once, one of which some meet",
         {{.what = What::label, .name = "zone", .wanted = "b", .workers = 4},
          {.what = What::memory, .name = "memory", .asked = 4096, .most = 8192, .workers = 1}},
         "zone=b: none of 4 workers has it"},
        {"each is met, but not by one",
         {{.what = What::label, .name = "zone", .wanted = "b", .workers = 3, .others = {{"a", 3}}},
          {.what = What::memory, .name = "memory", .asked = 4096, .most = 8192, .workers = 1},
          {.what = What::pin, .name = "w1", .workers = 3}},
         "no worker meets all that it asks for: zone=b: 1 of 4 workers has it (zone=a on 3); memory: it asks for 4KiB, "
         "the most that a worker offers is 8KiB; it is pinned to worker w1"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        engine::TaskInfo task;
        task.waiting_cause = WaitCause::demands;
        task.waiting_count = 4;
        task.waiting_unmet = row.unmet;
        CHECK_EQ(api::wait_words(task).culprit, row.culprit);
        CHECK_EQ(api::wait_words(task).remedy, "connect a worker that matches its demands");
    }
}

TEST_CASE("what keeps a worker from a task") {
    static constexpr struct {
        WaitCause cause;
        const char* words;
    } rows[] = {{WaitCause::disconnected, "disconnected"},
                {WaitCause::demands, "labels, type, pin or resources do not match"},
                {WaitCause::cordoned, "cordoned or draining"},
                {WaitCause::suspected, "silent"},
                {WaitCause::breakers, "circuit breaker open"},
                {WaitCause::refused, "gave it back"}};
    for (const auto& row : rows) CHECK_EQ(api::exclusion_words(row.cause), row.words);
}

TEST_CASE("field E, J: a waiting task that was given back says by whom and why") {
    engine::Explanation explanation;
    explanation.workers_eligible = 1;
    explanation.workers_total = 2;
    explanation.task.waiting_cause = WaitCause::workers_busy;
    explanation.task.attempts.push_back(
        {.worker = "w2", .outcome = "rejected", .error = "rejected by w2: not allowed: /bin/a"});
    CHECK_NE(api::summary_of(explanation).find("It was rejected by w2: not allowed: /bin/a."), std::string::npos);
    explanation.task.attempts.push_back({.worker = "w1", .outcome = "failed", .error = "exit 1"});
    CHECK_EQ(api::summary_of(explanation).find("It was"), std::string::npos);
}

TEST_CASE("why a worker was chosen") {
    static constexpr struct {
        const char* code;
        const char* words;
    } rows[] = {{"arrival", "it arrived when a slot was free"},
                {"slot_freed", "a slot became free and it was first in order"},
                {"bound", "its policy had bound it to this worker"},
                {"speculation", "a second copy of a slow attempt"},
                {"probe", "a trial of a worker whose circuit breaker is open"},
                {"pinned", "it is pinned to this worker"},
                {"fallback", "round-robin, because prediction failed"},
                {"pause", "a longer task is paused for it"},
                {"paused", "paused for a shorter task"},
                {"resumed", "continued: it was first in order for its slot"},
                {"preemption", "a task of lower priority is stopped for it"},
                {"preempted", "stopped for a task of higher priority"},
                {"prefetched", "prefetched: its slots are full and about to become free"},
                {"recalled", "taken back before it began: it waited too long there, or is wanted elsewhere"},
                {"of a newer release", "of a newer release"},
                {"", ""}};
    for (const auto& row : rows) CHECK_EQ(api::decision_words(row.code), row.words);
    for (int i = 1; i <= static_cast<int>(core::DecisionReason::recalled); ++i) {
        const std::string code = core::name_of(static_cast<core::DecisionReason>(i));
        CHECK_EQ(std::string(api::decision_words(code)), rows[i - 1].words);
    }
}

TEST_CASE("times as a person says them") {
    CHECK_EQ(api::span_words(milliseconds(12)), "12 ms");
    CHECK_EQ(api::span_words(seconds(2)), "2.0 s");
    CHECK_EQ(api::span_words(milliseconds(119'960)), "120.0 s");
    CHECK_EQ(api::span_words(seconds(210)), "3.5 min");
    CHECK_EQ(api::span_words(hours(36)), "36.0 h");
}

TEST_CASE("the summary of a task in each state") {
    struct Row {
        const char* name;
        engine::Explanation given;
        const char* says;
    };
    const auto task = [](TaskState state, std::string error = {}) {
        engine::Explanation e;
        e.task.state = state;
        e.task.error = std::move(error);
        return e;
    };
    const auto waiting = [&](WaitCause cause, std::uint64_t count, std::uint64_t ahead, std::uint32_t eligible,
                             std::uint32_t workers) {
        engine::Explanation e = task(TaskState::waiting);
        e.task.waiting_cause = cause;
        e.task.waiting_count = count;
        e.tasks_ahead = ahead;
        e.work_ahead = seconds(static_cast<std::int64_t>(ahead) * 2);
        e.workers_eligible = eligible;
        e.workers_total = workers;
        return e;
    };
    const auto chosen = [&](TaskState state, const char* reason, bool fallback) {
        engine::Explanation e = task(state);
        e.decision.emplace();
        e.decision->worker = "w1";
        e.decision->reason = reason;
        e.decision->fallback = fallback;
        e.decision->estimate.p50 = seconds(2);
        return e;
    };
    engine::Explanation paused = task(TaskState::paused);
    paused.task.waiting_cause = WaitCause::paused;
    paused.task.waiting_name = "w1";
    const Row rows[] = {
        {"one ahead", waiting(WaitCause::tasks_ahead, 1, 1, 1, 1),
         "The task is waiting: 1 task is ahead of it (2.0 s of predicted work). 1 of 1 worker may run it. Add "
         "workers."},
        {"many ahead", waiting(WaitCause::workers_busy, 0, 1500, 2, 4),
         "The task is waiting: the workers that may run it are busy. 2 of 4 workers may run it; 1,500 tasks are ahead "
         "of it (50.0 min of predicted work). Add workers."},
        {"impossible", waiting(WaitCause::demands, 0, 0, 0, 4),
         "The task is waiting: no worker matches its labels, type, pin or resources. 0 of 4 workers may run it. "
         "Connect a worker that matches its demands."},
        {"after a rejection", waiting(WaitCause::failures, 0, 0, 1, 1),
         "The task is waiting: a pause before the next attempt. 1 of 1 worker may run it. It is tried again by "
         "itself."},
        {"assigned", chosen(TaskState::assigned, "pinned", false),
         "The task is assigned to a worker. Worker w1 was chosen (it is pinned to this worker); predicted run time 2.0 "
         "s."},
        {"running", chosen(TaskState::running, "slot_freed", false),
         "The task is running. Worker w1 was chosen (a slot became free and it was first in order); predicted run time "
         "2.0 s."},
        {"by round-robin", chosen(TaskState::running, "fallback", true),
         "The task is running. Worker w1 was chosen by round-robin, because prediction failed; predicted run time 2.0 "
         "s."},
        {"succeeded", task(TaskState::succeeded), "The task succeeded."},
        {"dead", task(TaskState::dead, "exit code 3"), "The task is dead: exit code 3."},
        {"cancelled", task(TaskState::cancelled), "The task was cancelled."},
        {"expired", task(TaskState::expired), "The task expired."},
        {"paused", paused,
         "The task is paused: shorter tasks use its slot on worker w1. It continues when it is first in order."},
    };
    for (const Row& row : rows) {
        CAPTURE(row.name);
        CHECK_EQ(api::summary_of(row.given), row.says);
    }
}
