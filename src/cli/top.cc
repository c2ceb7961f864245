#include "cli/top.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/fleet_view.h"
#include "cli/shell.h"
#include "cli/task_view.h"
#include "cli/text.h"
#include "cli/verbs.h"

namespace nexus::cli {
namespace {

constexpr std::size_t kBarWidth = 20;
constexpr std::uint32_t kRunningMax = 200;  // more are counted, not shown
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kRestOfLine = "\x1b[K";
constexpr std::string_view kRestOfScreen = "\x1b[J";
constexpr std::string_view kEnterScreen = "\x1b[?1049h\x1b[?25l";
constexpr std::string_view kLeaveScreen = "\x1b[?25h\x1b[?1049l";

std::string headline(const pb::Status& status, const std::string& server, const Terminal& terminal) {
    std::string page = toned(fmt::format("nexus {}", server), Tone::strong, terminal.colour);
    page += fmt::format("  up {}  policy {}{}  durability {}\n", span_text(status.uptime_us()), status.policy(),
                        status.fallback() ? toned(" (fallback)", Tone::bad, terminal.colour) : "", status.durability());
    page += fmt::format("tasks    {} waiting  {} running  {} succeeded  {} dead  {} cancelled  {} expired\n",
                        count_text(status.waiting()), count_text(status.running()), count_text(status.succeeded()),
                        count_text(status.dead()), count_text(status.cancelled()), count_text(status.expired()));
    page += fmt::format("workers  {} of {} ready, {} slots  {} {} used  backlog {} of work, done {}\n",
                        status.workers_ready(), status.workers_total(), status.slots(),
                        bar_text(status.utilization(), 10, terminal.unicode), percent_text(status.utilization()),
                        span_text(status.backlog_work_us()), drain_text(status, status.now_unix_us()));
    page += fmt::format(
        "predict  {} within 25 %, {} within p90, {} of ETAs within p90  decide p99 {:.0f} us  commit p99 {:.0f} us\n",
        rate_text(status.within_25()), rate_text(status.p90_coverage()), rate_text(status.eta_p90_coverage()),
        status.decision_p99_us(), status.commit_p99_us());
    return page;
}

// How far a running attempt is: as it says itself, else by its prediction (never quite done).
double share_done(const pb::Attempt& attempt, std::int64_t ran_us) {
    if (attempt.progress() > 0) return attempt.progress();
    if (attempt.predicted_us() <= 0) return 0;
    return std::min(static_cast<double>(ran_us) / static_cast<double>(attempt.predicted_us()), 0.99);
}

Table running_table(const pb::ListTasksResponse& tasks, const Terminal& terminal, std::int64_t now) {
    Table table({"TASK", "TYPE", "WORKER", ">RAN", ">PREDICTED", "PROGRESS", "DONE", "NOTE"});
    for (const pb::Task& task : tasks.tasks()) {
        if (task.attempts().empty()) continue;
        const pb::Attempt& attempt = *task.attempts().rbegin();
        const bool started = attempt.started_unix_us() > 0;
        const std::int64_t ran = started ? std::max<std::int64_t>(now - attempt.started_unix_us(), 0) : 0;
        const bool late = started && task.estimate().p90_us() > 0 && ran > task.estimate().p90_us();
        table.add({task.id(), safe_text(task.type(), 24), safe_text(attempt.worker(), 24),
                   started ? span_text(ran) : "-", attempt.predicted_us() > 0 ? span_text(attempt.predicted_us()) : "-",
                   bar_text(share_done(attempt, ran), kBarWidth, terminal.unicode),
                   done_text(task.eta().finish_p50_unix_us(), now),
                   late ? toned("longer than its p90", Tone::warn, terminal.colour)
                        : safe_text(attempt.progress_note(), 40)});
    }
    return table;
}

// The first `lines` lines of a text.
std::string first_lines(const std::string& text, std::size_t lines) {
    std::size_t at = 0;
    for (; lines > 0 && at < text.size(); --lines) {
        const std::size_t end = text.find('\n', at);
        if (end == std::string::npos) return text;
        at = end + 1;
    }
    return text.substr(0, at);
}

Answer<Picture> look(Shell& shell) {
    auto status = shell.session.status();
    if (!status) return std::unexpected(std::move(status).error());
    auto workers = shell.session.list_workers();
    if (!workers) return std::unexpected(std::move(workers).error());
    pb::ListTasksRequest request;
    request.add_states(pb::TASK_STATE_RUNNING);
    request.add_states(pb::TASK_STATE_ASSIGNED);
    request.add_states(pb::TASK_STATE_PAUSED);
    request.set_page_size(kRunningMax);
    auto running = shell.session.list_tasks(request);
    if (!running) return std::unexpected(std::move(running).error());
    return Picture{.status = std::move(*status), .workers = std::move(*workers), .running = std::move(*running)};
}

// Written over the picture before, line by line, so that nothing flickers.
std::string over_the_last(const std::string& picture) {
    std::string frame(kHome);
    for (const char c : picture) {
        if (c == '\n') frame.append(kRestOfLine);
        frame.push_back(c);
    }
    return frame.append(kRestOfScreen);
}

Answer<int> live(Shell& shell) {
    put(kEnterScreen);
    Answer<int> done = kExitOk;
    bool alive = true;
    do {
        const auto picture = look(shell);
        const bool away = !picture && picture.error().exit_code == kExitUnavailable;
        if (!picture && !away) {
            if (picture.error().exit_code != kExitInterrupted) done = std::unexpected(picture.error());
            break;
        }
        const Terminal now = look_at_terminal(!shell.terminal.colour);
        alive =
            put(over_the_last(away ? safe_text(picture.error().what, now.columns) + "\nwaiting for it; Ctrl-C stops\n"
                                   : top_picture(*picture, shell.session.server(), now)));
    } while (alive && !shell.interrupt.wait(seconds(1)));
    put(kLeaveScreen);
    return done;
}

}  // namespace

std::string top_picture(const Picture& picture, const std::string& server, const Terminal& terminal) {
    const std::int64_t now = picture.status.now_unix_us();
    const std::size_t columns = terminal.out_is_tty ? terminal.columns : 0;
    std::string page = headline(picture.status, server, terminal) + "\n";
    const std::size_t head_lines = 5;
    std::string workers = worker_table(picture.workers, terminal, now).text(terminal.colour, columns);
    std::string running = running_table(picture.running, terminal, now).text(terminal.colour, columns);
    if (terminal.out_is_tty) {
        const std::size_t rest = terminal.rows > head_lines + 3 ? terminal.rows - head_lines - 2 : 2;
        const auto running_lines = static_cast<std::size_t>(std::ranges::count(running, '\n'));
        workers = first_lines(workers, rest - std::min(running_lines, rest / 2));
        running = first_lines(running, rest - static_cast<std::size_t>(std::ranges::count(workers, '\n')));
    }
    page += workers + "\n" + running;
    return page;
}

void add_top(CLI::App& root, int& exit_code) {
    add_verb(root,
             {.name = "top",
              .help = "Workers and running tasks, live; printed once when piped",
              .examples = "  nexus top\n  nexus top --server 127.0.0.1:7071\n  nexus top | head -20"},
             exit_code, [](Shell& shell) -> Answer<int> {
                 if (shell.terminal.out_is_tty && !shell.wants_json()) return live(shell);
                 const auto picture = look(shell);
                 if (!picture) return std::unexpected(picture.error());
                 if (shell.wants_json())
                     shell.put_json(picture->status);
                 else
                     put(top_picture(*picture, shell.session.server(), shell.terminal));
                 return kExitOk;
             });
}

}  // namespace nexus::cli
