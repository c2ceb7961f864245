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

HistoryWriter::HistoryWriter(Options options, store::HistoryStore& history, store::JournalStore& journal)
    : options_(std::move(options)), history_(history), journal_(journal), thread_([this] { run(); }) {}

HistoryWriter::~HistoryWriter() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void HistoryWriter::add(store::HistoryBatch batch, std::vector<DecisionNote> decisions) {
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
    ask([done](store::HistoryStore&, store::JournalStore&) { done->set_value(); });
    ready.wait();
}

void HistoryWriter::write(store::HistoryBatch& batch) {
    if (batch.size() == 0) return;
    if (auto ok = history_.write(batch); !ok) {
        dropped_ += batch.size();
        if (!complained_ && options_.log)
            options_.log(LogLevel::error, "history_failed", "history is not written: " + ok.error().what);
        complained_ = true;
    } else {
        complained_ = false;
    }
    batch = {};
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
    store::HistoryBatch gathered;
    for (;;) {
        std::deque<Item> items;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stop_ || !items_.empty(); });
            wake_.wait_for(lock, kGather, [this] { return stop_ || asked_ || bytes_ > kGatherBytes; });
            asked_ = false;
            if (items_.empty()) return;
            items.swap(items_);
        }
        for (Item& item : items) {
            if (auto* question = std::get_if<HistoryQuestion>(&item)) {
                write(gathered);
                (*question)(history_, journal_);
                continue;
            }
            Rows& rows = std::get<Rows>(item);
            move_rows(rows.batch.tasks, gathered.tasks);
            move_rows(rows.batch.attempts, gathered.attempts);
            move_rows(rows.batch.audit, gathered.audit);
            for (DecisionNote& note : rows.decisions) gathered.decisions.push_back(row_of(std::move(note)));
            if (gathered.size() >= kRowsPerWrite) write(gathered);
            const std::lock_guard lock(mutex_);
            bytes_ -= rows.bytes;
        }
        write(gathered);
        expire_when_due();
    }
}

}  // namespace nexus::engine
