#include "cli/task_change.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <functional>

#include "base/quantity.h"
#include "cli/shell.h"
#include "cli/task_view.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

constexpr std::uint32_t kPerCallMax = 1000;

struct ChangeFlags {
    std::vector<std::string> ids, states;
    std::string type, tenant, queue, worker, search, reason, rate;
    std::uint32_t limit = 0;
    bool dry_run = false;
};

// One of the two verbs.
struct Change {
    const char* name = "";
    const char* done = "";   // "cancelled"
    const char* would = "";  // "would be cancelled"
    Answer<pb::ChangeTasksResponse> (Session::*many)(const pb::ChangeTasksRequest&) = nullptr;
    std::function<Answer<void>(Shell&, const std::string& id, const ChangeFlags&)> one;
};

bool has_filter(const ChangeFlags& flags) {
    return !flags.states.empty() || !flags.type.empty() || !flags.tenant.empty() || !flags.queue.empty() ||
           !flags.worker.empty() || !flags.search.empty();
}

// "100/s", "30/m" as tasks a second.
Answer<double> rate_of(const std::string& text) {
    if (text.empty()) return 0.0;
    std::uint32_t count = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, fault] = std::from_chars(text.data(), end, count);
    const std::string_view unit(stop, end);
    if (fault != std::errc{} || count == 0 || (unit != "/s" && unit != "/m"))
        return failure(kExitUsage, fmt::format("--rate \"{}\": expected a number with its unit", safe_text(text, 40)),
                       "e.g. --rate 100/s or --rate 30/m");
    return unit == "/s" ? count : count / 60.0;
}

Answer<pb::ChangeTasksRequest> request_of(const ChangeFlags& flags) {
    pb::ChangeTasksRequest request;
    for (const std::string& name : flags.states) {
        const pb::TaskState state = state_from_text(name);
        if (state == pb::TASK_STATE_UNSPECIFIED)
            return failure(kExitUsage, fmt::format("--state \"{}\": no such state", safe_text(name, 40)),
                           "one of waiting, assigned, running, paused, succeeded, dead, cancelled, expired");
        request.mutable_filter()->add_states(state);
    }
    for (const std::string& id : flags.ids) request.add_ids(id);
    pb::ListTasksRequest& filter = *request.mutable_filter();
    filter.set_type(flags.type);
    filter.set_tenant(flags.tenant);
    filter.set_queue(flags.queue);
    filter.set_worker(flags.worker);
    filter.set_search(flags.search);
    request.set_reason(flags.reason);
    request.set_dry_run(flags.dry_run);
    return request;
}

struct Tally {
    std::uint64_t changed = 0, refused = 0;
};

void tell(const Shell& shell, const Change& change, const pb::ChangeTasksResponse& page, bool dry_run) {
    for (const pb::ChangedTask& task : page.tasks()) {
        if (shell.wants_json()) {
            put(json_text(task, false));
        } else if (!task.error().empty()) {
            std::fprintf(stderr, "nexus: task %s: %s\n", task.id().c_str(), safe_text(task.error(), 300).c_str());
        } else if (shell.format == Format::name) {
            put((task.new_id().empty() ? task.id() : task.new_id()) + "\n");
        } else {
            put(fmt::format("{}  {}{}\n", task.id(), dry_run ? change.would : change.done,
                            task.new_id().empty() ? "" : " as " + task.new_id()));
        }
    }
}

// Page by page, at most as fast as was asked for.
Answer<int> change_many(Shell& shell, const Change& change, const ChangeFlags& flags) {
    const auto rate = rate_of(flags.rate);
    if (!rate) return std::unexpected(rate.error());
    auto request = request_of(flags);
    if (!request) return std::unexpected(request.error());
    Tally tally;
    std::uint64_t left = flags.limit == 0 ? UINT64_MAX : flags.limit;
    while (true) {
        const auto begin = std::chrono::steady_clock::now();
        std::uint64_t step = std::min<std::uint64_t>(left, kPerCallMax);
        if (*rate > 0 && !flags.dry_run)
            step = std::min(step, std::max<std::uint64_t>(1, static_cast<std::uint64_t>(*rate)));
        request->set_limit(static_cast<std::uint32_t>(step));
        const auto page = (shell.session.*change.many)(*request);
        if (!page)
            return failure(
                page.error().exit_code,
                fmt::format("{}; {} {} before it", page.error().what, counted(tally.changed, "task"), change.done),
                page.error().next);
        tally.changed += page->changed();
        tally.refused += page->refused();
        left -= std::min<std::uint64_t>(left, static_cast<std::uint64_t>(page->tasks_size()));
        tell(shell, change, *page, flags.dry_run);
        if (!page->more() || left == 0) break;
        request->mutable_filter()->set_page_token(page->next_page_token());
        if (*rate <= 0 || flags.dry_run) continue;
        const auto pause = std::chrono::duration<double>(static_cast<double>(page->tasks_size()) / *rate);
        const auto rest =
            std::chrono::duration_cast<std::chrono::microseconds>(pause - (std::chrono::steady_clock::now() - begin));
        if (rest.count() > 0 && shell.interrupt.wait(microseconds(rest.count())))
            return failure(kExitInterrupted,
                           fmt::format("interrupted; {} {}", counted(tally.changed, "task"), change.done));
    }
    shell.say(fmt::format("{} {}{}", counted(tally.changed, "task"), flags.dry_run ? change.would : change.done,
                          tally.refused > 0 ? fmt::format(", {} refused", count_text(tally.refused)) : ""));
    return tally.refused > 0 ? kExitRefused : kExitOk;
}

// Each id by itself; the exit code is the first failure's.
Answer<int> change_each(Shell& shell, const Change& change, const ChangeFlags& flags) {
    int exit_code = kExitOk;
    for (const std::string& id : flags.ids) {
        const auto done = change.one(shell, id, flags);
        if (done) continue;
        const int code = report(done.error());
        if (exit_code == kExitOk) exit_code = code;
        if (code == kExitUnavailable || code == kExitInterrupted) break;
    }
    return exit_code;
}

Answer<int> run(Shell& shell, const Change& change, const ChangeFlags& flags) {
    if (!flags.ids.empty() && has_filter(flags))
        return failure(kExitUsage, fmt::format("task {}: give ids or a filter, not both", change.name));
    if (flags.ids.empty() && !has_filter(flags))
        return failure(kExitUsage, fmt::format("task {}: give ids, or a filter such as --type", change.name),
                       fmt::format("e.g. nexus task {} --type thumb --dry-run", change.name));
    const bool each = !flags.ids.empty() && !flags.dry_run;
    return each ? change_each(shell, change, flags) : change_many(shell, change, flags);
}

void add_change(CLI::App& task, int& exit_code, const Verb& text, const Change& change) {
    const auto flags = std::make_shared<ChangeFlags>();
    CLI::App* verb =
        add_verb(task, text, exit_code, [flags, change](Shell& shell) { return run(shell, change, *flags); });
    verb->add_option("ids", flags->ids, "Task ids; none = all that the filter finds");
    verb->add_option("--state", flags->states, "All in this state; repeatable")->delimiter(',');
    verb->add_option("--type", flags->type, "All of this type");
    verb->add_option("--tenant", flags->tenant, "All of this tenant");
    verb->add_option("--queue", flags->queue, "All of this queue");
    verb->add_option("--worker", flags->worker, "All with an attempt on this worker");
    verb->add_option("--search", flags->search, "All whose names hold this text, or whose id begins with it");
    verb->add_option("--limit", flags->limit, "At most this many of them (default: all)");
    verb->add_option("--rate", flags->rate, "At most so many at a time, e.g. 100/s or 30/m");
    verb->add_flag("--dry-run", flags->dry_run, "Tell which ones, and change nothing");
    verb->add_option("--reason", flags->reason, "Why; kept with the tasks");
}

Answer<void> cancel_one(Shell& shell, const std::string& id, const ChangeFlags& flags) {
    const auto done = shell.session.cancel_task(id, flags.reason);
    if (!done) return std::unexpected(done.error());
    if (shell.wants_json())
        shell.put_json(*done);
    else
        put(fmt::format("{}  {}\n", done->id(), state_text(done->state())));
    return {};
}

Answer<void> retry_one(Shell& shell, const std::string& id, const ChangeFlags&) {
    const auto done = shell.session.retry_task(id);
    if (!done) return std::unexpected(done.error());
    if (shell.wants_json())
        shell.put_json(*done);
    else
        put(done->id() + "\n");
    return {};
}

}  // namespace

void add_task_changes(CLI::App& task, int& exit_code) {
    add_change(task, exit_code,
               {.name = "cancel",
                .help = "Cancel tasks: waiting ones at once, running ones through their workers",
                .examples = "  nexus task cancel 0190c1d2-...\n"
                            "  nexus task cancel --type thumb --state waiting --dry-run\n"
                            "  nexus task cancel --queue mail --rate 100/s --reason 'wrong input'"},
               {.name = "cancel",
                .done = "cancelled",
                .would = "would be cancelled",
                .many = &Session::cancel_many,
                .one = cancel_one});
    add_change(task, exit_code,
               {.name = "retry",
                .help = "Submit tasks that ended without success again, as new tasks",
                .examples = "  nexus task retry 0190c1d2-...\n"
                            "  nexus task retry --state dead --type thumb --rate 30/m\n"
                            "  nexus task retry --worker w3 --dry-run"},
               {.name = "retry",
                .done = "submitted again",
                .would = "would be submitted again",
                .many = &Session::retry_many,
                .one = retry_one});
}

}  // namespace nexus::cli
