#include <fmt/format.h>

#include <sys/stat.h>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

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
    TaskFile(const BulkFlags& flags, const pb::TaskSpec& defaults) : flags_(flags), defaults_(defaults) {}

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

    // An empty batch is the end. `lines` are those of its tasks.
    Answer<pb::SubmitBatchRequest> next(std::vector<std::uint64_t>& lines) {
        pb::SubmitBatchRequest batch;
        lines.clear();
        std::size_t bytes = 0;
        while (batch.tasks_size() < static_cast<int>(flags_.batch) && bytes < kBatchBytesMax) {
            auto line = read_line();
            if (!line) return std::unexpected(std::move(line).error());
            if (ended_) break;
            if (line->find_first_not_of(" \t\r") == std::string::npos) continue;
            auto spec = spec_from_json(*line, defaults_);
            if (!spec)
                return failure(kExitUsage, fmt::format("{}: {}", place_of(line_), spec.error().what),
                               spec.error().next);
            if (spec->idempotency_key().empty()) spec->set_idempotency_key(fmt::format("{}-{}", key_prefix(), line_));
            bytes += spec->ByteSizeLong();
            *batch.add_tasks() = std::move(*spec);
            lines.push_back(line_);
        }
        return batch;
    }

    std::string place_of(std::uint64_t line) const {
        return fmt::format("{} line {}", safe_text(flags_.file, 120), line);
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
            if (line.size() == kLineBytesMax) return failure(kExitUsage, place_of(line_ + 1) + ": longer than 1 MiB");
            line.push_back(static_cast<char>(c));
        }
        ++line_;
        bytes_read_ += line.size() + 1;
        if (line_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
        return line;
    }

    const BulkFlags& flags_;
    const pb::TaskSpec& defaults_;
    std::ifstream file_;
    std::string prefix_;
    std::uint64_t line_ = 0, bytes_read_ = 0, bytes_total_ = 0;
    bool ended_ = false;
};

struct Tally {
    std::uint64_t sent = 0, stored = 0, duplicates = 0;
    std::uint32_t in_flight = 0;                  // batches
    bool over = false;                            // the stream gives no more answers
    std::deque<std::vector<std::uint64_t>> open;  // lines of the batches that are not answered
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

namespace {

// "tasks[2].type: …" of the batch with these lines as the line of the file.
std::string at_line(const TaskFile& file, const std::string& what, const std::vector<std::uint64_t>& lines) {
    const std::size_t at = what.find("tasks[");
    std::size_t index = 0;
    if (at == std::string::npos) return {};
    const char* const begin = what.data() + at + 6;
    const auto [end, error] = std::from_chars(begin, what.data() + what.size(), index);
    if (error != std::errc{} || index >= lines.size() || std::string_view(end).substr(0, 2) != "].") return {};
    return file.place_of(lines[index]) + ": " + (end + 2);
}

// What the end of the stream means for the file: which line is to blame, and what of it is stored.
Failure failure_in(TaskFile& file, Failure failure, const Tally& tally, const std::string& so_far) {
    const bool blamed = failure.definite && !tally.open.empty();
    std::uint64_t unknown = tally.sent - tally.stored;
    if (blamed) {
        const std::vector<std::uint64_t>& lines = tally.open.front();
        unknown -= lines.size();
        if (std::string line = at_line(file, failure.what, lines); !line.empty()) failure.what = std::move(line);
        failure.what += fmt::format("; of lines {} to {} nothing was stored", lines.front(), lines.back());
    }
    failure.what += "; " + so_far;
    if (unknown > 0) failure.what += fmt::format(", the outcome of {} is unknown", counted(unknown, "task"));
    failure.next = fmt::format("{} with --key-prefix {}: nothing is submitted twice",
                               blamed ? "mend it and run it again" : "run it again", file.key_prefix());
    return failure;
}

}  // namespace

Answer<int> submit_file(Shell& shell, const BulkFlags& flags, const pb::TaskSpec& defaults) {
    TaskFile file(flags, defaults);
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
            tally.open.pop_front();
            answered.notify_all();
        }
        const std::lock_guard lock(mutex);
        tally.over = true;
        answered.notify_all();
    });
    Progress progress(shell);
    Answer<void> read;
    while (true) {
        std::vector<std::uint64_t> lines;
        auto batch = file.next(lines);
        if (!batch) read = std::unexpected(std::move(batch).error());
        if (!batch || batch->tasks().empty()) break;
        {
            std::unique_lock lock(mutex);
            answered.wait(lock, [&] { return tally.over || tally.in_flight < flags.in_flight; });
            if (tally.over) break;
            ++tally.in_flight;
            tally.open.push_back(std::move(lines));
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
    if (!finished) return std::unexpected(failure_in(file, finished.error(), tally, so_far));
    if (read) {
        shell.say(so_far);
        return kExitOk;
    }
    Failure failure = std::move(read).error();
    if (tally.stored > 0)
        failure.next += fmt::format("{}mend it and run it again with --key-prefix {}: nothing is submitted twice",
                                    failure.next.empty() ? "" : "; ", file.key_prefix());
    failure.what += "; " + (tally.stored > 0 ? so_far + " before it" : std::string("nothing was stored"));
    return std::unexpected(std::move(failure));
}

}  // namespace nexus::cli
