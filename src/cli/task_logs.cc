#include "cli/task_logs.h"

#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "base/quantity.h"
#include "cli/task_output.h"
#include "cli/task_view.h"
#include "cli/text.h"

namespace nexus::cli {
namespace {

constexpr Duration kPoll = milliseconds(250);
constexpr std::size_t kPartMax = 64 * 1024;  // of each stream in one answer; a full one is asked again at once
constexpr int kPartsAtOnce = 4;              // without --follow: more than a worker keeps
constexpr int kMuteLooks = 2;  // so often a handler says nothing before that is told: it may just begin or end

struct LogFlags {
    std::string id;
    std::uint32_t attempt = 0;
    bool follow = false, out_only = false, err_only = false;
};

const pb::Attempt* attempt_of(const pb::Task& task, std::uint32_t number) {
    for (const pb::Attempt& attempt : task.attempts())
        if (attempt.number() == number) return &attempt;
    return nullptr;
}

// One stream of one attempt, and how far it has been shown.
class LogStream {
public:
    LogStream(const Shell& shell, std::FILE* to, const char* name, bool shown)
        : shell_(shell), to_(to), name_(name), shown_(shown) {}
    std::uint64_t at() const { return at_; }
    void begin() { at_ = 0; }
    // False when nobody reads any more.
    bool show(std::uint64_t from, std::string_view bytes) {
        if (from + bytes.size() <= at_) return true;
        if (from > at_ && shown_) shell_.say(fmt::format("nexus: {} bytes of {} are not kept", from - at_, name_));
        if (from < at_) bytes.remove_prefix(at_ - from);
        at_ = std::max(from, at_) + bytes.size();
        if (!shown_) return true;
        return std::fwrite(bytes.data(), 1, bytes.size(), to_) == bytes.size() && std::fflush(to_) == 0;
    }
    bool show(const ProgramStream& kept) {
        for (const Piece& piece : pieces_of(kept))
            if (!show(piece.from, piece.bytes)) return false;
        return true;
    }

private:
    const Shell& shell_;
    std::FILE* const to_;
    const char* const name_;
    const bool shown_;
    std::uint64_t at_ = 0;
};

class Logs {
public:
    Logs(Shell& shell, const LogFlags& flags)
        : shell_(shell),
          flags_(flags),
          number_(flags.attempt),
          out_(shell, stdout, "standard output", !flags.err_only && !shell.wants_json()),
          err_(shell, stderr, "standard error", !flags.out_only && !shell.wants_json()) {}

    Answer<int> once();
    Answer<int> follow();

private:
    Answer<pb::ReadOutputResponse> read();
    bool show(const pb::ReadOutputResponse& answer);
    std::optional<pb::Task> waiting_task(const Failure& refused);
    std::string mute_text(const pb::Attempt& attempt) const;
    std::string nothing_text(const pb::Task& task) const;
    void say_once(const std::string& line, const std::string& place);
    Answer<std::optional<int>> after_the_attempt(bool mute);
    Answer<int> ended(const pb::Task& task) const;

    Shell& shell_;
    const LogFlags& flags_;
    std::uint32_t number_;  // of the attempt; 0 = the latest, not known yet
    LogStream out_, err_;
    std::string said_;        // what the last line of ours was about
    bool something_ = false;  // is kept of this attempt
    int mute_looks_ = 0;
    bool over_ = false;  // nobody reads any more
};

Answer<pb::ReadOutputResponse> Logs::read() {
    pb::ReadOutputRequest request;
    request.set_id(flags_.id);
    request.set_attempt(number_);
    request.set_stdout_from(out_.at());
    request.set_stderr_from(err_.at());
    return shell_.session.read_output(request);
}

// True when there is more to be had at once.
bool Logs::show(const pb::ReadOutputResponse& answer) {
    number_ = answer.attempt();
    something_ = something_ || answer.running() || !answer.result().empty();
    over_ = shell_.wants_json() && !shell_.put_json(answer);
    if (answer.running()) {
        over_ = over_ || !out_.show(answer.stdout_from(), answer.stdout()) ||
                !err_.show(answer.stderr_from(), answer.stderr());
        return answer.stdout().size() >= kPartMax || answer.stderr().size() >= kPartMax;
    }
    const ProgramResult program = program_result(answer.result());
    if (program.is_program)
        over_ = over_ || !out_.show(program.out) || !err_.show(program.err);
    else if (!answer.result().empty() && !shell_.wants_json())
        shell_.say(
            fmt::format("nexus: attempt {} on {} left a result that is no output of a program: see `nexus task "
                        "get {} --result`",
                        answer.attempt(), answer.worker(), flags_.id));
    return false;
}

// The task, when the refusal is because it has not started.
std::optional<pb::Task> Logs::waiting_task(const Failure& refused) {
    if (refused.exit_code != kExitRefused) return std::nullopt;
    auto task = shell_.session.get_task(flags_.id, false);
    if (!task || task->state() != pb::TASK_STATE_WAITING) return std::nullopt;
    return *std::move(task);
}

std::string Logs::mute_text(const pb::Attempt& attempt) const {
    std::string text = fmt::format("the worker of attempt {}, {}, does not tell what it writes", attempt.number(),
                                   safe_text(attempt.worker(), 60));
    if (attempt.progress() > 0 || !attempt.progress_note().empty())
        text += fmt::format("; its progress: {} {}", percent_text(attempt.progress()),
                            safe_text(attempt.progress_note(), 80));
    return text;
}

std::string Logs::nothing_text(const pb::Task& task) const {
    const pb::Attempt* attempt = attempt_of(task, number_);
    if (attempt == nullptr) return fmt::format("attempt {} left no output that is kept", number_);
    const std::string who = fmt::format("attempt {} on {}", number_, safe_text(attempt->worker(), 60));
    if (attempt->outcome() == "worker_lost") return who + " was lost with its worker, and with it what it wrote";
    return fmt::format("{} ended ({}) and left no output, or it is not kept any more", who, attempt->outcome());
}

Answer<int> Logs::once() {
    for (int parts = 0; parts < kPartsAtOnce;) {
        const auto answer = read();
        if (!answer) {
            const auto task = waiting_task(answer.error());
            if (!task) return std::unexpected(answer.error());
            return failure(kExitRefused,
                           fmt::format("task {} has not started: {}", flags_.id, where_text(*task, now_unix_us())),
                           fmt::format("wait for it with `nexus task logs {} --follow`", flags_.id));
        }
        const std::uint64_t before = out_.at() + err_.at();
        show(*answer);
        if (answer->running() && !over_ && out_.at() + err_.at() > before) {  // there may be more, also behind a gap
            ++parts;
            continue;
        }
        if (something_ || shell_.wants_json()) return kExitOk;
        const auto task = shell_.session.get_task(flags_.id, false);
        if (!task) return std::unexpected(task.error());
        const pb::Attempt* attempt = attempt_of(*task, number_);
        const bool runs = attempt != nullptr && attempt->ended_unix_us() == 0 && !is_terminal(task->state());
        if (!runs) return failure(kExitRefused, nothing_text(*task), fmt::format("see `nexus task get {}`", flags_.id));
        if (++mute_looks_ >= kMuteLooks) return failure(kExitRefused, mute_text(*attempt));
        if (shell_.interrupt.wait(kPoll)) return failure(kExitInterrupted, "stopped looking");
    }
    return kExitOk;
}

void Logs::say_once(const std::string& line, const std::string& place) {
    if (said_ == place) return;
    said_ = place;
    shell_.say("nexus: " + line);
}

Answer<int> Logs::ended(const pb::Task& task) const {
    if (task.state() == pb::TASK_STATE_SUCCEEDED) return kExitOk;
    return failure(exit_code_of(task), fmt::format("task {} is {}", task.id(), outcome_text(task)),
                   fmt::format("see `nexus task get {}`", task.id()));
}

// The attempt has ended, or its worker does not tell: what comes next. An exit code when nothing does.
Answer<std::optional<int>> Logs::after_the_attempt(bool mute) {
    const auto task = shell_.session.get_task(flags_.id, true);
    if (!task) return std::unexpected(task.error());
    const bool over = is_terminal(task->state());
    const pb::Attempt* const shown = attempt_of(*task, number_);
    if (mute && !over && shown != nullptr && shown->ended_unix_us() == 0) {
        if (++mute_looks_ >= kMuteLooks) say_once(mute_text(*shown), fmt::format("mute {}", number_));
        return std::nullopt;
    }
    if (!something_) say_once(nothing_text(*task), fmt::format("nothing {}", number_));
    for (const pb::Attempt& next : task->attempts()) {
        if (next.number() <= number_ || flags_.attempt != 0) continue;
        number_ = next.number();
        out_.begin();
        err_.begin();
        something_ = false;
        mute_looks_ = 0;
        say_once(fmt::format("attempt {} on {}", next.number(), safe_text(next.worker(), 60)),
                 fmt::format("attempt {}", number_));
        return std::nullopt;
    }
    if (over) {
        const auto code = ended(*task);
        if (!code) return std::unexpected(code.error());
        return *code;
    }
    if (flags_.attempt != 0) return kExitOk;
    say_once("waits for its next attempt: " + where_text(*task, now_unix_us()),
             "waits " + reason_text(task->waiting().reason()));
    return std::nullopt;
}

Answer<int> Logs::follow() {
    const std::int64_t end = shell_.limit.us > 0 ? now_unix_us() + shell_.limit.us : 0;
    while (!over_) {
        bool more = false;
        const auto answer = read();
        std::optional<Failure> trouble;
        if (answer) {
            more = show(*answer);
            if (answer->running()) said_.clear();
            if (!answer->running()) {
                const auto next = after_the_attempt(answer->result().empty());
                if (next && *next) return **next;
                if (!next) trouble = next.error();
            }
        } else if (const auto task = waiting_task(answer.error())) {
            say_once("waits until the task starts: " + where_text(*task, now_unix_us()),
                     "waits " + reason_text(task->waiting().reason()));
        } else {
            trouble = answer.error();
        }
        if (trouble && trouble->exit_code == kExitUnavailable)
            say_once(trouble->what + "; waiting for it", "away");
        else if (trouble && trouble->exit_code != kExitInterrupted)
            return std::unexpected(*trouble);
        if (shell_.interrupt.raised() || (!more && shell_.interrupt.wait(kPoll)))
            return failure(kExitInterrupted, fmt::format("stopped following; task {} continues", flags_.id));
        if (end > 0 && now_unix_us() >= end)
            return failure(kExitTimedOut, fmt::format("task {} has not ended within {}; it continues", flags_.id,
                                                      duration_text(shell_.limit)));
    }
    return kExitOk;
}

}  // namespace

void add_logs(CLI::App& task, int& exit_code) {
    const auto flags = std::make_shared<LogFlags>();
    CLI::App* verb =
        add_verb(task,
                 {.name = "logs",
                  .help = "What a task's program writes, live and later, of every attempt",
                  .examples = "  nexus task logs 0190c1d2-...\n"
                              "  nexus task logs 0190c1d2-... -f           until it has ended, over retries\n"
                              "  nexus task logs 0190c1d2-... --attempt 1  what the first try wrote\n"
                              "  nexus task logs 0190c1d2-... --stdout-only > out.bin"},
                 exit_code, [flags](Shell& shell) {
                     Logs logs(shell, *flags);
                     return flags->follow ? logs.follow() : logs.once();
                 });
    verb->add_option("id", flags->id, "Task id")->required();
    verb->add_flag("-f,--follow", flags->follow,
                   "Wait until it starts, show what it writes until it has ended, and exit as submit --wait does");
    verb->add_option("--attempt", flags->attempt, "The attempt of this number (default: the latest)")
        ->check(CLI::Range(1U, 1U << 30U));
    auto* out_only = verb->add_flag("--stdout-only", flags->out_only, "Only its standard output");
    verb->add_flag("--stderr-only", flags->err_only, "Only its standard error")->excludes(out_only);
}

}  // namespace nexus::cli
