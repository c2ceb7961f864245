#include "engine/history_writer.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <future>

namespace nexus::engine {
namespace {

constexpr std::size_t kRowsPerWrite = 20'000;
// How long rows are gathered before they are written: each transaction writes whole pages, so few large ones cost less.
constexpr std::chrono::milliseconds kGather{100};
constexpr int kNice = 5;
constexpr std::chrono::seconds kSpaceRetry{1};       // after a full disk
constexpr std::uint64_t kGatherBytes = 16ULL << 20;  // then it is enough at once
// What a row costs while it waits: measured sizes of the structs with their texts, rounded up.
constexpr std::uint64_t kTaskBytes = 360, kAttemptBytes = 330, kDecisionBytes = 640, kAuditBytes = 1024;

std::int64_t wall_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

template <class Row>
void move_rows(std::vector<Row>& from, std::vector<Row>& to) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

HistoryWriter::HistoryWriter(Options options, history::HistoryStore& history, store::JournalStore& journal)
    : options_(std::move(options)), history_(history), journal_(journal), thread_([this] { run(); }) {}

HistoryWriter::~HistoryWriter() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void HistoryWriter::add(history::HistoryBatch batch, std::vector<history::DecisionNote> decisions) {
    if (batch.size() == 0 && decisions.empty()) return;
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
    const std::uint64_t bytes = batch.tasks.size() * kTaskBytes + batch.attempts.size() * kAttemptBytes +
                                decisions.size() * kDecisionBytes + batch.audit.size() * kAuditBytes;
    bytes_ += bytes;
    items_.push_back(Rows{.batch = std::move(batch), .decisions = std::move(decisions), .bytes = bytes});
    if (items_.size() == 1 || bytes_ > kGatherBytes) wake_.notify_one();
}

void HistoryWriter::ask(HistoryQuestion question) {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(question));
    asked_ = true;
    wake_.notify_one();
}

void HistoryWriter::flush() {
    auto done = std::make_shared<std::promise<void>>();  // the question may outlive this call's stack on another thread
    auto ready = done->get_future();
    ask([done](history::HistoryStore&, store::JournalStore&) { done->set_value(); });
    ready.wait();
}

// What finds the disk full stays, counted against the buffer, and is tried again.
void HistoryWriter::write(Gathered& gathered) {
    if (gathered.rows.size() == 0 || std::chrono::steady_clock::now() < gathered.retry_at) return;
    auto ok = history_.write(gathered.rows);
    if (!ok && !complained_ && options_.log)
        options_.log(LogLevel::error, "history_failed", "history is not written: " + ok.error().what);
    complained_ = !ok;
    if (!ok && ok.error().fault == Fault::no_space) {
        gathered.retry_at = std::chrono::steady_clock::now() + kSpaceRetry;
        return;
    }
    if (!ok) dropped_ += gathered.rows.size();
    const std::lock_guard lock(mutex_);
    bytes_ -= gathered.bytes;
    gathered = {};
}

void HistoryWriter::expire_when_due() {
    const std::int64_t now = wall_us();
    if (now < next_expiry_us_) return;
    next_expiry_us_ = now + minutes(10).us;
    if (auto ok = history_.expire(WallTime{now - options_.retention.us}, options_.store_bytes_max); !ok && options_.log)
        options_.log(LogLevel::warning, "history_expiry_failed", ok.error().what);
}

void HistoryWriter::run() {
    pthread_setname_np(pthread_self(), "nexus-history");
    // Behind the loop and the committer when the machine is busy. Failing to yield is no failure.
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
    Gathered gathered;
    for (;;) {
        std::deque<Item> items;
        {
            std::unique_lock lock(mutex_);
            const auto something = [this] { return stop_ || !items_.empty(); };
            if (gathered.rows.size() == 0) {
                wake_.wait(lock, something);
            } else {
                wake_.wait_until(lock, gathered.retry_at, something);
            }
            wake_.wait_for(lock, kGather, [this] { return stop_ || asked_ || bytes_ > kGatherBytes; });
            asked_ = false;
            if (stop_ && items_.empty()) break;
            items.swap(items_);
        }
        for (Item& item : items) {
            if (auto* question = std::get_if<HistoryQuestion>(&item)) {
                write(gathered);
                (*question)(history_, journal_);
                continue;
            }
            Rows& rows = std::get<Rows>(item);
            move_rows(rows.batch.tasks, gathered.rows.tasks);
            move_rows(rows.batch.attempts, gathered.rows.attempts);
            move_rows(rows.batch.audit, gathered.rows.audit);
            for (history::DecisionNote& note : rows.decisions)
                gathered.rows.decisions.push_back(row_of(std::move(note)));
            gathered.bytes += rows.bytes;
            if (gathered.rows.size() >= kRowsPerWrite) write(gathered);
        }
        write(gathered);
        expire_when_due();
    }
    gathered.retry_at = {};
    write(gathered);  // the last chance
    dropped_ += gathered.rows.size();
}

}  // namespace nexus::engine
