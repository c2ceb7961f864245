#include "main/dev.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/shell.h"
#include "cli/task_spec.h"
#include "cli/text.h"
#include "main/dev_follower.h"
#include "main/dev_house.h"
#include "main/dev_screen.h"
#include "main/job.h"
#include "main/job_progress.h"
#include "main/job_summary.h"
#include "nexus/client.h"
#include "store/sqlite/data_directory.h"

namespace nexus::dev {
namespace {

namespace fs = std::filesystem;
namespace pb = nexus::v1;
using cli::Answer;
using cli::failure;

constexpr std::size_t kBatch = 500;
constexpr Duration kTick = milliseconds(200);

struct Flags {
    std::string folder = ".";
    std::string data = "./nexus-data";
    std::string listen = "127.0.0.1:7070", http = "127.0.0.1:7080";
    int workers = 4;
    bool no_stay = false;
};

std::unexpected<cli::Failure> failed(const Error& error, std::string next = {}) {
    return failure(
        error.fault == Fault::invalid || error.fault == Fault::not_found ? cli::kExitUsage : cli::kExitFailure,
        error.what, std::move(next));
}

class Dev {
public:
    Dev(const Flags& flags, std::string self, cli::Interrupt& interrupt)
        : flags_(flags),
          interrupt_(interrupt),
          self_(std::move(self)),
          screen_(cli::look_at_terminal(false)),
          house_(
              {.self = self_, .data = flags.data, .listen = flags.listen, .http = flags.http, .workers = flags.workers},
              [this](const std::string& text) { screen_.note(text); }) {}

    Answer<int> run();

private:
    Answer<void> choose_job();
    Answer<bool> submit();    // false: interrupted
    Answer<bool> work_off();  // false: interrupted
    Answer<void> stay();
    bool look_at_open_tasks();
    void show_progress();
    std::int64_t drain_us();

    const Flags& flags_;
    cli::Interrupt& interrupt_;
    std::string self_;
    Screen screen_;
    House house_;
    Job job_;
    bool continued_ = false;
    JobProgress progress_;
    std::optional<cli::Session> session_;
    std::optional<Follower> follower_;
    std::int64_t begin_us_ = 0, end_us_ = 0, drain_asked_us_ = 0, drain_unix_us_ = 0;
    std::size_t ended_before_ = 0;
};

std::string manifest_of(const Flags& flags) {
    return flags.data + "/job.json";
}

Answer<void> Dev::choose_job() {
    std::error_code fault;
    const fs::path folder = fs::canonical(flags_.folder, fault);
    if (fault || !fs::is_directory(folder))
        return failure(cli::kExitUsage, fmt::format("{} is not a folder", cli::safe_text(flags_.folder, 200)),
                       "nexus dev DIR");
    auto made = store::make_private_directory(flags_.data);
    if (!made) return failed(made.error());
    auto known = read_job(manifest_of(flags_));
    if (!known) return failed(known.error());
    if (*known && !(*known)->finished && (*known)->folder == folder.string()) {
        job_ = std::move(**known);
        continued_ = true;
        return {};
    }
    auto files = find_files(folder.string(), flags_.data);
    if (!files) return failed(files.error());
    if (files->empty())
        return failure(cli::kExitUsage, fmt::format("there are no files below {}", folder.string()), "nexus dev DIR");
    job_ = {.id = random_key(), .folder = folder.string(), .finished = false, .files = std::move(*files)};
    auto written = write_job(manifest_of(flags_), job_);
    if (!written) return failed(written.error());
    return {};
}

Answer<bool> Dev::submit() {
    for (std::size_t at = 0; at < job_.files.size();) {
        pb::SubmitBatchRequest batch;
        for (std::size_t i = at; i < std::min(at + kBatch, job_.files.size()); ++i)
            *batch.add_tasks() = task_of(job_, job_.files[i], self_);
        const auto answer = session_->submit_batch(batch);
        if (interrupt_.raised()) return false;
        if (!answer) {
            const bool again =
                answer.error().exit_code == cli::kExitUnavailable || answer.error().exit_code == cli::kExitTimedOut;
            const auto looked = house_.look_after();
            if (!looked) return failed(looked.error());
            if (!again) return std::unexpected(answer.error());
            if (interrupt_.wait(kTick)) return false;
            continue;  // the same keys again: what was stored is not stored twice
        }
        for (const pb::SubmitResponse& one : answer->results()) progress_.expect(one.id());
        at += static_cast<std::size_t>(batch.tasks_size());
        for (const pb::SubmitResponse& one : answer->results()) {
            if (!one.duplicate()) continue;
            const auto task = session_->get_task(one.id(), false);
            if (task) progress_.take(*task);
        }
        screen_.show(
            fmt::format("submitting: {} of {} files", cli::count_text(at), cli::count_text(job_.files.size())));
    }
    return true;
}

bool Dev::look_at_open_tasks() {
    for (const std::string& id : progress_.open_ids()) {
        const auto task = session_->get_task(id, false);
        if (!task) return false;
        progress_.take(*task);
    }
    return true;
}

std::int64_t Dev::drain_us() {
    const std::int64_t now = cli::now_unix_us();
    if (now - drain_asked_us_ > seconds(1).us) {
        drain_asked_us_ = now;
        const auto status = session_->status();
        drain_unix_us_ = status ? status->drain_eta_unix_us() : 0;
    }
    return drain_unix_us_ > now ? drain_unix_us_ - now : 0;
}

void Dev::show_progress() {
    const JobEta eta = progress_.eta(drain_us(), static_cast<std::uint32_t>(flags_.workers));
    const Accuracy recent = progress_.recent(50);
    const double seconds_run = static_cast<double>(cli::now_unix_us() - begin_us_) / 1e6;
    const double share = static_cast<double>(progress_.ended()) / static_cast<double>(progress_.total());
    std::string line = fmt::format("{} {}/{} files, {:.1f}/s, done in {} to {} (p50 to p90)",
                                   cli::bar_text(share, 20, screen_.terminal().unicode),
                                   cli::count_text(progress_.ended()), cli::count_text(progress_.total()),
                                   static_cast<double>(progress_.ended() - ended_before_) / seconds_run,
                                   cli::span_text(eta.p50_us), cli::span_text(eta.p90_us));
    if (recent.tasks > 0)
        line += fmt::format("; last {} predictions: {} within 25 %, median error {}", recent.tasks,
                            cli::percent_text(recent.within_25), cli::percent_text(recent.error_median));
    screen_.show(line);
}

Answer<bool> Dev::work_off() {
    bool ask = follower_->missed();
    while (!progress_.done()) {
        const auto restarted = house_.look_after();
        if (!restarted) return failed(restarted.error(), "run `nexus dev` again: the job continues where it stopped");
        ask = follower_->missed() || *restarted || ask;
        for (const pb::Task& task : follower_->take()) progress_.take(task);
        if (ask) ask = !look_at_open_tasks();
        show_progress();
        if (interrupt_.wait(kTick)) return false;
    }
    end_us_ = cli::now_unix_us();
    job_.finished = true;
    auto written = write_job(manifest_of(flags_), job_);
    if (!written) return failed(written.error());
    return true;
}

Answer<void> Dev::stay() {
    const std::string to = house_.server() == cli::kServerDefault ? "" : " --server " + house_.server();
    cli::put(fmt::format(
        "\nThe server stays up: http://{}   Ctrl-C stops it. In another terminal:\n"
        "  nexus status{}\n"
        "  nexus task list --limit 20{}\n"
        "  nexus type stats{}\n"
        "  nexus top{}\n"
        "  nexus task submit{} --wait -- {} digest {}\n",
        house_.page(), to, to, to, to, to, self_, (fs::path(job_.folder) / job_.files.front().path).string()));
    while (!interrupt_.wait(kTick)) {
        const auto looked = house_.look_after();
        if (!looked) return failed(looked.error());
        follower_->take();
    }
    return {};
}

Answer<int> Dev::run() {
    if (auto chosen = choose_job(); !chosen) return std::unexpected(std::move(chosen).error());
    auto started = house_.start();
    if (!started)
        return failed(started.error(), "if another server holds the data directory, stop it or give another --data");
    cli::put(house_.ready_line() + "\n");
    cli::put(fmt::format("{} workers; the page is http://{}\n", flags_.workers, house_.page()));
    cli::put(fmt::format("{} job {}: hash and compress {} files below {}\n", continued_ ? "continuing" : "new", job_.id,
                         cli::count_text(job_.files.size()), job_.folder));
    session_.emplace(cli::Connection{.server = house_.server()}, interrupt_);
    follower_.emplace(house_.server(), interrupt_);
    begin_us_ = cli::now_unix_us();
    auto going = submit();
    ended_before_ = continued_ ? progress_.ended() : 0;
    if (continued_) {
        screen_.note(fmt::format("{} of {} files were done before and are skipped", cli::count_text(ended_before_),
                                 cli::count_text(job_.files.size())));
        progress_.begin_run();
    }
    if (going && *going) going = work_off();
    Answer<void> stayed;
    if (going && *going) {
        screen_.clear();
        const std::int64_t wall_us = std::max<std::int64_t>(end_us_ - begin_us_, 1);
        cli::put(summary_text(progress_, ended_before_, wall_us, screen_.terminal()));
        if (!flags_.no_stay) stayed = stay();
    }
    screen_.clear();
    const bool complete = progress_.done();
    if (!complete && going) cli::put("stopping; `nexus dev` continues this job where it stopped\n");
    house_.stop();
    follower_.reset();
    if (!going) return std::unexpected(std::move(going).error());
    if (!stayed) return std::unexpected(std::move(stayed).error());
    if (!complete) return cli::kExitInterrupted;
    return progress_.succeeded() == progress_.total() ? cli::kExitOk : cli::kExitFailure;
}

int dev(Flags flags) {
    const std::string self = process::own_program();
    if (self.empty())
        return cli::report(
            {.exit_code = cli::kExitFailure, .what = "cannot find the path of this program", .next = {}});
    flags.data = fs::absolute(flags.data).lexically_normal().string();
    cli::Interrupt interrupt;
    Dev run(flags, self, interrupt);
    const auto done = run.run();
    return done ? *done : cli::report(done.error());
}

}  // namespace

void add_command(CLI::App& root, int& exit_code) {
    const auto flags = std::make_shared<Flags>();
    CLI::App* verb = root.add_subcommand("dev", "A server, four workers and a real job on this machine");
    verb->footer(
        "The job hashes and compresses every file below DIR, one task per file, each a process of its own. Kill what "
        "you like:\n"
        "workers and server are started again; kill `nexus dev` itself and run it again, and the job continues where "
        "it "
        "stopped.\n"
        "Examples:\n"
        "  nexus dev\n"
        "  nexus dev ~/src --workers 8\n"
        "  nexus dev /usr/share/doc --data /tmp/nexus-data --no-stay");
    verb->add_option("dir", flags->folder, "Folder (default: the current one)");
    verb->add_option("--data", flags->data, "Directory of the embedded store (default ./nexus-data)");
    verb->add_option("--workers", flags->workers, "Worker processes, one task at a time each")
        ->check(CLI::Range(1, 64))
        ->capture_default_str();
    verb->add_option("--listen", flags->listen, "gRPC address; any free port when it is taken")->capture_default_str();
    verb->add_option("--http", flags->http, "Address of the page; any free port when it is taken")
        ->capture_default_str();
    verb->add_flag("--no-stay", flags->no_stay, "Exit after the summary");
    verb->callback([flags, &exit_code] { exit_code = dev(*flags); });
}

}  // namespace nexus::dev
