#include <fmt/format.h>

#include <sys/stat.h>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <mutex>
#include <thread>

#include "base/hash.h"
#include "base/quantity.h"
#include "cli/submit.h"
#include "cli/submit_stream.h"
#include "cli/task_view.h"
#include "cli/text.h"
#include "nexus/client.h"

namespace nexus::cli {
namespace {

constexpr std::size_t kBatchBytesMax = 1 << 20;  // half of what the server takes in one message

// The lines of a file as tasks; stops at the first line that is none.
class TaskFile {
public:
    explicit TaskFile(const BulkFlags& flags) : flags_(flags) {}

    Answer<void> open() {
        if (flags_.file == "-") return {};
        struct stat about{};
        if (stat(flags_.file.c_str(), &about) != 0)
            return failure(kExitUsage,
                           fmt::format("cannot read {}: {}", safe_text(flags_.file, 120), std::strerror(errno)));
        if (S_ISDIR(about.st_mode))
            return failure(kExitUsage, fmt::format("cannot read {}: it is a directory", safe_text(flags_.file, 120)));
        if (S_ISREG(about.st_mode)) bytes_total_ = static_cast<std::uint64_t>(about.st_size);
        file_.open(flags_.file, std::ios::binary);
        if (!file_)
            return failure(kExitUsage,
                           fmt::format("cannot read {}: {}", safe_text(flags_.file, 120), std::strerror(errno)));
        return {};
    }

    // An empty batch is the end.
    Answer<pb::SubmitBatchRequest> next() {
        pb::SubmitBatchRequest batch;
        std::size_t bytes = 0;
        while (batch.tasks_size() < static_cast<int>(flags_.batch) && bytes < kBatchBytesMax) {
            auto line = read_line();
            if (!line) return std::unexpected(std::move(line).error());
            if (ended_) break;
            if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
            auto spec = spec_from_json(*line);
            if (!spec)
                return failure(kExitUsage,
                               fmt::format("{} line {}: {}", safe_text(flags_.file, 120), line_, spec.error().what),
                               "nothing of this line or after it was submitted");
            if (spec->idempotency_key().empty()) spec->set_idempotency_key(fmt::format("{}-{}", key_prefix(), line_));
            bytes += spec->ByteSizeLong();
            *batch.add_tasks() = std::move(*spec);
        }
        return batch;
    }

    // 0..1 by bytes read; negative when the size is not known.
    double share() const {
        return bytes_total_ == 0 ? -1 : static_cast<double>(bytes_read_) / static_cast<double>(bytes_total_);
    }
    const std::string& key_prefix() {
        if (prefix_.empty()) prefix_ = flags_.key_prefix.empty() ? random_key() : flags_.key_prefix;
        return prefix_;
    }

private:
    Answer<std::string> read_line() {
        std::istream& in = flags_.file == "-" ? std::cin : file_;
        std::string line;
        for (int c = in.get(); c != '\n'; c = in.get()) {
            if (c == std::char_traits<char>::eof()) {
                ended_ = line.empty();
                break;
            }
            if (line.size() == kLineBytesMax)
                return failure(kExitUsage,
                               fmt::format("{} line {}: longer than 1 MiB", safe_text(flags_.file, 120), line_ + 1));
            line.push_back(static_cast<char>(c));
        }
        ++line_;
        bytes_read_ += line.size() + 1;
        return line;
    }

    const BulkFlags& flags_;
    std::ifstream file_;
    std::string prefix_;
    std::uint64_t line_ = 0, bytes_read_ = 0, bytes_total_ = 0;
    bool ended_ = false;
};

struct Tally {
    std::uint64_t sent = 0, stored = 0, duplicates = 0;
    std::uint32_t in_flight = 0;  // batches
    bool over = false;            // the stream gives no more answers
};

class Progress {
public:
    explicit Progress(const Shell& shell) : shell_(shell), begin_us_(now_unix_us()) {}
    void show(const Tally& tally, double share) {
        const std::int64_t now = now_unix_us();
        if (shell_.quiet || !shell_.terminal.err_is_tty || now - shown_us_ < 100'000) return;
        shown_us_ = now;
        const double seconds = static_cast<double>(now - begin_us_) / 1e6;
        std::string line =
            fmt::format("{} stored, {:.0f}/s", count_text(tally.stored), static_cast<double>(tally.stored) / seconds);
        if (share > 0)
            line = fmt::format("{} {} {}, {} left", bar_text(share, 30, shell_.terminal.unicode), percent_text(share),
                               line, span_text(static_cast<std::int64_t>(seconds * 1e6 * (1 - share) / share)));
        std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
    }
    void clear() const {
        if (shown_us_ != 0) std::fputs("\r\x1b[K", stderr);
    }
    double seconds() const { return static_cast<double>(now_unix_us() - begin_us_) / 1e6; }

private:
    const Shell& shell_;
    std::int64_t begin_us_, shown_us_ = 0;
};

}  // namespace

Answer<int> submit_file(Shell& shell, const BulkFlags& flags) {
    TaskFile file(flags);
    if (auto opened = file.open(); !opened) return std::unexpected(std::move(opened).error());
    const auto stream = shell.session.submit_stream();
    shell.interrupt.on_raise([&] { stream->cancel(); });
    std::mutex mutex;  // guards tally
    std::condition_variable answered;
    Tally tally;
    std::thread receiver([&] {
        pb::SubmitBatchResponse answers;
        while (stream->receive(answers)) {
            for (const auto& answer : answers.results())
                if (shell.format == Format::name)
                    put(answer.id() + "\n");
                else if (shell.wants_json())
                    put(json_text(answer, false));
            const std::lock_guard lock(mutex);
            tally.stored += static_cast<std::uint64_t>(answers.results_size());
            for (const auto& answer : answers.results()) tally.duplicates += answer.duplicate() ? 1 : 0;
            --tally.in_flight;
            answered.notify_all();
        }
        const std::lock_guard lock(mutex);
        tally.over = true;
        answered.notify_all();
    });
    Progress progress(shell);
    Answer<void> read;
    while (true) {
        auto batch = file.next();
        if (!batch) read = std::unexpected(std::move(batch).error());
        if (!batch || batch->tasks().empty()) break;
        {
            std::unique_lock lock(mutex);
            answered.wait(lock, [&] { return tally.over || tally.in_flight < flags.in_flight; });
            if (tally.over) break;
            ++tally.in_flight;
            tally.sent += static_cast<std::uint64_t>(batch->tasks_size());
            progress.show(tally, file.share());
        }
        if (!stream->send(*batch)) break;
    }
    stream->send_done();
    receiver.join();
    shell.interrupt.on_raise({});
    const auto finished = stream->finish();
    progress.clear();
    const std::string so_far = fmt::format(
        "{} stored{} in {:.1f} s", counted(tally.stored, "task"),
        tally.duplicates > 0 ? fmt::format(" ({} before)", count_text(tally.duplicates)) : "", progress.seconds());
    if (!finished) {
        Failure failure = finished.error();
        failure.what +=
            fmt::format("; {}, the outcome of {} is unknown", so_far, count_text(tally.sent - tally.stored));
        failure.next = fmt::format("run it again with --key-prefix {}: nothing is submitted twice", file.key_prefix());
        return std::unexpected(std::move(failure));
    }
    shell.say(so_far);
    if (!read) return std::unexpected(std::move(read).error());
    return kExitOk;
}

}  // namespace nexus::cli
