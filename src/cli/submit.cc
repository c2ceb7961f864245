#include "cli/submit.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/quantity.h"
#include "cli/task_output.h"
#include "cli/task_view.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

struct SubmitFlags {
    SpecFlags spec;
    BulkFlags bulk;
    bool wait = false;
};

Answer<pb::SubmitResponse> submit_once(Shell& shell, const pb::TaskSpec& spec) {
    auto answer = shell.session.submit(spec);
    if (answer) return answer;
    Failure& failure = answer.error();
    const bool unknown = failure.exit_code == kExitUnavailable || failure.exit_code == kExitTimedOut ||
                         failure.exit_code == kExitInterrupted;
    if (!unknown || failure.what.find("connection refused") != std::string::npos) return answer;
    failure.what += "; the outcome is unknown";
    failure.next = fmt::format("submit it again with --key {}: it will be the same task, not a second one",
                               spec.idempotency_key());
    return answer;
}

// A key that was used before: what its task is now may not be what was meant.
void say_what_became_of_it(Shell& shell, const std::string& id) {
    const auto task = shell.session.get_task(id, false);
    std::string line = "this task was submitted before, with the same key";
    if (task) line += "; it is " + state_text(task->state());
    if (task && task->state() != pb::TASK_STATE_SUCCEEDED && is_terminal(task->state()))
        line += fmt::format(": run it again with `nexus task retry {}`, or submit with another --key", id);
    shell.say(line);
}

void put_submitted(Shell& shell, const pb::SubmitResponse& answer, const pb::TaskSpec& spec) {
    if (shell.wants_json()) {
        shell.put_json(answer);
        return;
    }
    put(answer.id() + "\n");
    if (answer.duplicate()) say_what_became_of_it(shell, answer.id());
    if (shell.format == Format::name || shell.quiet) return;
    const std::int64_t now = now_unix_us();
    std::string line = "submitted " + safe_text(spec.type(), 64);
    if (answer.estimate().p50_us() > 0)
        line += fmt::format(", predicted {} (p90 {})", span_text(answer.estimate().p50_us()),
                            span_text(answer.estimate().p90_us()));
    if (answer.estimate().source() == "none")
        line += ", a guess: no task like it has run yet";
    else if (answer.eta().finish_p50_unix_us() > 0)
        line += ", done " + done_text(answer.eta().finish_p50_unix_us(), now);
    shell.say(line);
}

// No time can be told for it: why, while somebody reads.
void say_what_keeps_it(Shell& shell, const pb::SubmitResponse& answer) {
    if (shell.quiet || shell.format == Format::name || shell.wants_json() || answer.duplicate() ||
        answer.eta().finish_p50_unix_us() > 0)
        return;
    const auto task = shell.session.get_task(answer.id(), false);
    if (task && (is_terminal(task->state()) || task->waiting().reason() != pb::WAIT_REASON_UNSPECIFIED))
        shell.say(is_terminal(task->state()) ? outcome_text(*task)
                                             : state_text(task->state()) + ": " + where_text(*task, now_unix_us()));
}

Answer<int> submit_one(Shell& shell, const SubmitFlags& flags) {
    const auto spec = make_spec(flags.spec, now_unix_us());
    if (!spec) return std::unexpected(spec.error());
    const auto answer = submit_once(shell, *spec);
    if (!answer) return std::unexpected(answer.error());
    if (!flags.wait) {
        put_submitted(shell, *answer, *spec);
        say_what_keeps_it(shell, *answer);
        return kExitOk;
    }
    shell.say(fmt::format("task {}", answer->id()));
    return wait_for_task(shell, answer->id(), shell.limit);
}

std::string state_line(const pb::Task& task) {
    const std::int64_t now = now_unix_us();
    std::string line = state_text(task.state()) + ": " + where_text(task, now);
    if (!is_terminal(task.state()) && task.estimate().p50_us() > 0)
        line += fmt::format(", predicted {} (p90 {})", span_text(task.estimate().p50_us()),
                            span_text(task.estimate().p90_us()));
    return line;
}

// Where a task is, without the numbers that change all the time.
std::string place_of(const pb::Task& task) {
    std::string place = state_text(task.state());
    if (task.state() == pb::TASK_STATE_WAITING) return place + reason_text(task.waiting().reason());
    if (!task.attempts().empty())
        place += fmt::format("{}{}", task.attempts().rbegin()->number(), task.attempts().rbegin()->worker());
    return place;
}

// One line on standard error that is written over on a terminal; elsewhere one for each new place.
class LiveLine {
public:
    explicit LiveLine(const Shell& shell) : shell_(shell) {}
    ~LiveLine() { clear(); }
    LiveLine(const LiveLine&) = delete;
    LiveLine& operator=(const LiveLine&) = delete;
    void show(const std::string& line, const std::string& place) {
        if (shell_.quiet || (shell_.terminal.err_is_tty ? line == last_ : place == place_)) return;
        last_ = line;
        place_ = place;
        if (shell_.terminal.err_is_tty)
            std::fprintf(stderr, "\r\x1b[K%s", safe_text(line, shell_.terminal.columns - 1).c_str());
        else
            shell_.say(line);
    }
    void clear() {
        if (!last_.empty() && shell_.terminal.err_is_tty) std::fputs("\r\x1b[K", stderr);
        last_.clear();
    }

private:
    const Shell& shell_;
    std::string last_, place_;
};

Answer<int> ended(const Shell& shell, const pb::Task& task) {
    if (shell.wants_json()) {
        shell.put_json(task);
        return exit_code_of(task);
    }
    if (const auto written = put_result(shell, task, true); !written && task.state() == pb::TASK_STATE_SUCCEEDED)
        return std::unexpected(written.error());
    if (task.state() == pb::TASK_STATE_SUCCEEDED) return kExitOk;
    const std::string what = fmt::format("task {} is {}", task.id(), outcome_text(task));
    return failure(exit_code_of(task), what, fmt::format("see `nexus task get {}`", task.id()));
}

}  // namespace

Answer<int> wait_for_task(Shell& shell, const std::string& id, Duration limit) {
    const std::int64_t end = limit.us > 0 ? now_unix_us() + limit.us : 0;
    LiveLine live(shell);
    Duration pause = milliseconds(20);
    while (true) {
        const auto task = shell.session.get_task(id, true);
        const bool away = !task && task.error().exit_code == kExitUnavailable;
        if (!task && !away && task.error().exit_code != kExitInterrupted) return std::unexpected(task.error());
        if (task && is_terminal(task->state())) {
            live.clear();
            return ended(shell, *task);
        }
        if (shell.interrupt.raised() || shell.interrupt.wait(pause))
            return failure(kExitInterrupted, fmt::format("stopped waiting; task {} continues", id),
                           fmt::format("stop it with `nexus task cancel {}`", id));
        if (end > 0 && now_unix_us() >= end)
            return failure(kExitTimedOut,
                           fmt::format("task {} has not ended within {}; it continues", id, duration_text(limit)),
                           fmt::format("see `nexus task explain {}`", id));
        if (task)
            live.show(state_line(*task), place_of(*task));
        else
            live.show("the server does not answer; waiting for it", "away");
        pause = std::min(Duration{pause.us * 3 / 2}, milliseconds(500));
    }
}

void add_submit(CLI::App& task, int& exit_code, const std::vector<std::string>& program) {
    const auto flags = std::make_shared<SubmitFlags>();
    CLI::App* verb = add_verb(
        task,
        {.name = "submit",
         .help = "Submit one task, or a file of them",
         .examples = "  nexus task submit -- convert in.png out.png\n"
                     "  nexus task submit --type thumb --priority 8 --wait -- convert in.png -resize 64 out.png\n"
                     "  nexus task submit --type report --payload '{\"month\": 3}' --run-at +10m --deadline +1h\n"
                     "  nexus task submit --file tasks.jsonl --key-prefix march\n"
                     "  generate | nexus task submit --file -"},
        exit_code, [flags, &program](Shell& shell) -> Answer<int> {
            SpecFlags& spec = flags->spec;
            spec.argv = program;
            if (flags->bulk.file.empty()) return submit_one(shell, *flags);
            if (!spec.argv.empty() || !spec.payload.empty() || !spec.payload_file.empty() || flags->wait ||
                !spec.environment.empty() || !spec.directory.empty() || !spec.input_file.empty())
                return failure(
                    kExitUsage,
                    "submit: --file takes no --payload, --payload-file, --wait, program, --env, --cwd or --stdin",
                    "give payloads in each line of the file");
            if (!spec.key.empty())
                return failure(kExitUsage, "submit: --file takes no --key: each task needs one of its own",
                               "say --key-prefix, or give idempotency_key in each line of the file");
            const auto defaults = make_defaults(spec, now_unix_us());
            if (!defaults) return std::unexpected(defaults.error());
            return submit_file(shell, flags->bulk, *defaults);
        });
    add_spec_flags(*verb, flags->spec);
    verb->add_flag("--wait", flags->wait, "Wait until it has ended; exit with its program's exit code");
    verb->add_option(
        "-f,--file", flags->bulk.file,
        "One task per line: JSON with the fields of TaskSpec; payload_text is a payload as text, argv a program. Other "
        "flags are for the lines that do not say");
    verb->add_option(
        "--key-prefix", flags->bulk.key_prefix,
        "With --file: tasks without a key get PREFIX-<line>; submitting the file again with it stores nothing twice");
    verb->add_option("--batch", flags->bulk.batch, "With --file: tasks per message")->check(CLI::Range(1, 1000));
    verb->add_option("--in-flight", flags->bulk.in_flight, "With --file: unanswered messages")
        ->check(CLI::Range(1, 64));
}

}  // namespace nexus::cli
