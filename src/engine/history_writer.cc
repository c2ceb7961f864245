#include "engine/history_writer.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "base/system_clock.h"

namespace nexus::engine {
namespace {

constexpr std::size_t kRowsPerWrite = 20'000;
// How long rows are gathered before they are written: each transaction writes whole pages, so few large ones cost less.
constexpr std::chrono::milliseconds kGather{250};
constexpr int kNice = 5;
constexpr std::uint64_t kGatherBytes = 16ULL << 20;  // then it is enough at once
// What a row costs while it waits: measured sizes of the structs with their texts, rounded up.
constexpr std::uint64_t kTaskBytes = 360, kAttemptBytes = 290, kDecisionBytes = 640, kAuditBytes = 1024,
                        kGroupBytes = 192;

std::size_t rows_in(const history::UnwrittenRows& group) {
    return group.rows.size() + group.decisions.size();
}

bool passes(Fault fault) {
    return fault == Fault::no_space || fault == Fault::unreachable || fault == Fault::unavailable;
}

}  // namespace

HistoryWriter::HistoryWriter(Options options, history::HistoryStore& history)
    : options_(std::move(options)), history_(history), thread_([this] { run(); }) {}

HistoryWriter::~HistoryWriter() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void HistoryWriter::add(history::HistoryBatch batch, std::vector<history::DecisionNote> decisions, Sequence last) {
    if (batch.size() == 0 && decisions.empty()) return;
    auto group = std::make_shared<history::UnwrittenRows>();
    const std::lock_guard lock(mutex_);
    // Decisions give way at half of the buffer, so that outcomes still find room.
    if (bytes_ > options_.bytes_max / 2) {
        dropped_ += decisions.size();
        decisions.clear();
    }
    if (bytes_ > options_.bytes_max) {
        dropped_ += batch.tasks.size() + batch.attempts.size();
        batch.tasks.clear();
        batch.attempts.clear();
    }
    group->last = last.n;
    group->bytes = kGroupBytes + batch.tasks.size() * kTaskBytes + batch.attempts.size() * kAttemptBytes +
                   decisions.size() * kDecisionBytes + batch.audit.size() * kAuditBytes;
    group->rows = std::move(batch);
    group->decisions = std::move(decisions);
    bytes_ += group->bytes;
    ++given_;
    groups_.push_back(std::move(group));
    if (groups_.size() == 1 || bytes_ > kGatherBytes) wake_.notify_one();
}

bool HistoryWriter::flush(Duration limit) {
    std::unique_lock lock(mutex_);
    const std::uint64_t given = given_;
    hurry_ = true;
    wake_.notify_one();
    return written_.wait_for(lock, std::chrono::microseconds(limit.us), [&] { return done_ >= given; });
}

history::Unwritten HistoryWriter::unwritten() const {
    const std::lock_guard lock(mutex_);
    return {groups_.begin(), groups_.end()};
}

// The groups are the first of groups_ and stay there until they are written, so that they can be read meanwhile.
void HistoryWriter::write(const std::vector<Group>& groups, bool last_chance) {
    history::HistoryBatch decisions;
    std::vector<const history::HistoryBatch*> batches;
    std::uint64_t rows = 0, bytes = 0;
    std::size_t noted = 0;
    for (const Group& group : groups) noted += group->decisions.size();
    decisions.decisions.reserve(noted);
    for (const Group& group : groups) {
        batches.push_back(&group->rows);
        for (const history::DecisionNote& note : group->decisions) decisions.decisions.push_back(row_of(note));
        rows += rows_in(*group);
        bytes += group->bytes;
    }
    batches.push_back(&decisions);
    const auto ok = history_.write(batches);
    if (!ok && !complained_ && options_.log)
        options_.log(LogLevel::error, "history_failed", "history is not written: " + ok.error().what);
    complained_ = !ok;
    const std::lock_guard lock(mutex_);
    if (!ok && passes(ok.error().fault) && !last_chance) {
        retry_at_ = Clock::now() + std::chrono::microseconds(options_.retry.us);
        return;
    }
    if (!ok) dropped_ += rows;
    groups_.erase(groups_.begin(), groups_.begin() + static_cast<std::ptrdiff_t>(groups.size()));
    bytes_ -= bytes;
    done_ += groups.size();
    upto_ = groups.back()->last;
    written_.notify_all();
}

void HistoryWriter::expire_when_due() {
    const std::int64_t now = system_wall().us;
    if (now < next_expiry_us_) return;
    // A limit of size is met within seconds, or a small one would be passed many times over.
    next_expiry_us_ = now + (options_.store_bytes_max > 0 ? seconds(10) : minutes(10)).us;
    if (auto ok = history_.expire(WallTime{now - options_.retention.us}, options_.store_bytes_max); !ok && options_.log)
        options_.log(LogLevel::warning, "history_expiry_failed", ok.error().what);
}

void HistoryWriter::run() {
    pthread_setname_np(pthread_self(), "nexus-history");
    // Behind the loop and the committer when the machine is busy. Failing to yield is no failure.
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
    for (;;) {
        std::vector<Group> next;
        bool last_chance = false;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stop_ || !groups_.empty(); });
            if (Clock::now() < retry_at_)
                wake_.wait_until(lock, retry_at_, [this] { return stop_; });
            else
                wake_.wait_for(lock, kGather, [this] { return stop_ || hurry_ || bytes_ > kGatherBytes; });
            if (stop_ && groups_.empty()) return;
            last_chance = stop_;
            std::size_t rows = 0;
            for (const Group& group : groups_) {
                next.push_back(group);
                rows += rows_in(*group);
                if (rows >= kRowsPerWrite) break;
            }
            if (next.size() == groups_.size()) hurry_ = false;
        }
        write(next, last_chance);
        expire_when_due();
    }
}

}  // namespace nexus::engine
