#include "history/spool/spooled_history.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/private_file.h"
#include "base/shape_bytes.h"
#include "base/system_clock.h"
#include "history/shape.h"

namespace nexus::history {
namespace {

// A file of the spool is a list of records: 32 bytes of head, then the rows, deflated.
//   u32 CRC-32C of all that follows in the record, u32 bytes of the rows as they lie there, u32 bytes when inflated,
//   u32 number of rows, u64 number of the write, u64 number of entries of the audit among them
constexpr std::size_t kHeadBytes = 32;
constexpr std::uint64_t kSegmentBytes = 4 << 20;         // then the next file is begun
constexpr std::uint64_t kInflatedBytesMax = 1ULL << 30;  // of one record, which a write never comes near
// What a row costs in memory, about; see engine/history_writer.cc.
constexpr std::uint64_t kTaskBytes = 400, kAttemptBytes = 330, kDecisionBytes = 400, kAuditBytes = 1024;

struct Record {
    std::uint64_t id = 0, audit = 0;
    std::uint32_t rows = 0;
    std::string_view deflated;
    std::uint32_t inflated = 0;
};

std::string record_of(std::uint64_t id, const HistoryBatch& rows) {
    std::string plain;
    Writer w(plain);
    put(w, rows.tasks);
    put(w, rows.attempts);
    put(w, rows.decisions);
    put(w, rows.audit);
    uLongf size = compressBound(plain.size());
    std::string deflated(size, '\0');
    compress2(reinterpret_cast<Bytef*>(deflated.data()), &size, reinterpret_cast<const Bytef*>(plain.data()),
              plain.size(), 1);
    deflated.resize(size);
    std::string rest;
    Writer head(rest);
    head.put(static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(plain.size()),
             static_cast<std::uint32_t>(rows.size()), id, std::uint64_t{rows.audit.size()});
    rest += deflated;
    std::string out;
    Writer(out).u32(crc32c(rest));
    return out + rest;
}

// The whole records at the beginning of a file; what a power cut has left after them is not one.
std::vector<Record> records_in(std::string_view bytes) {
    std::vector<Record> records;
    while (bytes.size() >= kHeadBytes) {
        Reader r(bytes);
        Record record;
        const std::uint32_t crc = r.u32(), size = r.u32();
        r.take(record.inflated, record.rows, record.id, record.audit);
        if (size > bytes.size() - kHeadBytes || crc32c(bytes.substr(4, kHeadBytes - 4 + size)) != crc) break;
        record.deflated = bytes.substr(kHeadBytes, size);
        records.push_back(record);
        bytes.remove_prefix(kHeadBytes + size);
    }
    return records;
}

Result<HistoryBatch> rows_of(const Record& record) {
    std::string plain(std::min<std::uint64_t>(record.inflated, kInflatedBytesMax), '\0');
    uLongf size = plain.size();
    const bool whole =
        uncompress(reinterpret_cast<Bytef*>(plain.data()), &size,
                   reinterpret_cast<const Bytef*>(record.deflated.data()), record.deflated.size()) == Z_OK;
    HistoryBatch rows;
    Reader r(std::string_view(plain).substr(0, size));
    if (whole) {
        get(r, rows.tasks);
        get(r, rows.attempts);
        get(r, rows.decisions);
        get(r, rows.audit);
    }
    if (!whole || r.failed() || !r.at_end()) return fail(Fault::corrupt, "a record of the spool cannot be read");
    return rows;
}

std::string bytes_of_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::uint64_t memory_of(const HistoryBatch& rows) {
    return rows.tasks.size() * kTaskBytes + rows.attempts.size() * kAttemptBytes +
           rows.decisions.size() * kDecisionBytes + rows.audit.size() * kAuditBytes;
}

template <class Row>
void append_to(std::vector<Row>& all, const std::vector<Row>& more) {
    all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

Result<std::unique_ptr<SpooledHistory>> SpooledHistory::open(SpoolOptions options, HistoryStore& store) {
    std::unique_ptr<SpooledHistory> spool(new SpooledHistory(std::move(options), store));
    if (auto ok = spool->find_segments(); !ok) return std::unexpected(std::move(ok).error().during("the spool"));
    spool->thread_ = std::thread([raw = spool.get()] { raw->send(); });
    return spool;
}

SpooledHistory::~SpooledHistory() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

const char* SpooledHistory::suffix_of(Kind kind) {
    switch (kind) {
        case Kind::decisions: return ".decisions";
        case Kind::rows: return ".rows";
        case Kind::audit: return ".audit";
    }
    return "";
}

Result<void> SpooledHistory::find_segments() {
    if (mkdir(options_.directory.c_str(), 0700) != 0 && errno != EEXIST)
        return std::unexpected(file_error(options_.directory));
    health_.spool_bytes_max = options_.bytes_max;
    std::vector<std::string> paths;
    std::error_code error;
    for (const auto& file : std::filesystem::directory_iterator(options_.directory, error))
        for (const Kind kind : kKinds)
            if (file.path().extension() == suffix_of(kind)) paths.push_back(file.path().string());
    if (error) return fail(Fault::invalid, options_.directory + ": " + error.message());
    std::ranges::sort(paths);
    for (const std::string& path : paths) {
        Segment segment{.path = path, .closed = true};
        for (const Kind kind : kKinds)
            if (path.ends_with(suffix_of(kind))) segment.kind = kind;
        const std::string bytes = bytes_of_file(path);
        for (const Record& record : records_in(bytes)) {
            segment.rows += record.rows;
            segment.ids.push_back(record.id);
            Waiting& waiting = waiting_[record.id];
            waiting.entry.id = record.id;
            waiting.entry.count += record.rows;
            waiting.entry.audit += record.audit;
            ++waiting.parts;
            unreadable_ += record.rows;
            unreadable_audit_ += record.audit;
            next_id_ = std::max(next_id_, record.id + 1);
        }
        segment.bytes = bytes.size();
        health_.spool_bytes += segment.bytes;
        health_.waiting += segment.rows;
        segments_.push_back(std::move(segment));
    }
    behind_ = !segments_.empty();
    return {};
}

Result<void> SpooledHistory::write(std::span<const HistoryBatch* const> batches) {
    // A copy: the store may still be busy with it when whoever gave it has gone on.
    auto rows = std::make_shared<UnwrittenRows>();
    for (const HistoryBatch* const batch : batches) {
        append_to(rows->rows.tasks, batch->tasks);
        append_to(rows->rows.attempts, batch->attempts);
        append_to(rows->rows.decisions, batch->decisions);
        append_to(rows->rows.audit, batch->audit);
    }
    if (rows->rows.size() == 0) return {};
    rows->bytes = memory_of(rows->rows);
    std::unique_lock lock(mutex_);
    const Entry entry{.id = next_id_++, .rows = rows, .count = rows->rows.size(), .audit = rows->rows.audit.size()};
    if (!behind_ && !direct_) {
        direct_ = entry;
        direct_end_.reset();
        wake_.notify_one();
        sent_.wait_for(lock, std::chrono::microseconds(options_.patience.us), [&] { return direct_end_.has_value(); });
        if (direct_end_ && *direct_end_) return {};
        behind_ = true;
    }
    auto kept = keep(entry);
    if (segments_.empty()) behind_ = false;
    wake_.notify_one();
    return kept;
}

Result<void> SpooledHistory::keep(const Entry& entry) {
    const HistoryBatch& all = entry.rows->rows;
    HistoryBatch parts[std::size(kKinds)];
    parts[static_cast<std::size_t>(Kind::decisions)].decisions = all.decisions;
    parts[static_cast<std::size_t>(Kind::rows)].tasks = all.tasks;
    parts[static_cast<std::size_t>(Kind::rows)].attempts = all.attempts;
    parts[static_cast<std::size_t>(Kind::audit)].audit = all.audit;
    Waiting waiting{.entry = entry};
    for (const Kind kind : kKinds) {
        const HistoryBatch& part = parts[static_cast<std::size_t>(kind)];
        if (part.size() == 0) continue;
        if (auto ok = append(entry, kind, part); !ok) {
            // What is there of it already is skipped: all of it will be given again.
            if (waiting.parts > 0) arrived_.insert(entry.id);
            if (waiting.parts > 0) waiting_[entry.id] = {.entry = {.id = entry.id}, .parts = waiting.parts};
            return ok;
        }
        ++waiting.parts;
    }
    note([&](HistoryHealth& health) { health.waiting += entry.count; });
    if (memory_bytes_ + entry.rows->bytes > options_.memory_bytes_max) {
        waiting.entry.rows = nullptr;
        unreadable_ += entry.count;
        unreadable_audit_ += entry.audit;
    } else {
        memory_bytes_ += entry.rows->bytes;
    }
    waiting_[entry.id] = std::move(waiting);
    keep_within_bounds();
    return {};
}

Result<void> SpooledHistory::append(const Entry& entry, Kind kind, const HistoryBatch& rows) {
    const std::string record = record_of(entry.id, rows);
    auto segment = std::ranges::find_if(segments_.rbegin(), segments_.rend(),
                                        [&](const Segment& one) { return one.kind == kind; });
    if (segment == segments_.rend() || segment->path == sending_ || segment->closed ||
        segment->bytes >= kSegmentBytes) {
        char name[24];
        std::snprintf(name, sizeof name, "/%016llx", static_cast<unsigned long long>(entry.id));
        segments_.push_back({.path = options_.directory + name + suffix_of(kind), .kind = kind});
        segment = segments_.rbegin();
    }
    const int file = ::open(segment->path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    std::size_t done = 0;
    while (file >= 0 && done < record.size()) {
        const ssize_t n = ::write(file, record.data() + done, record.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
    }
    const int why = errno;
    if (file >= 0 && done < record.size() && ftruncate(file, static_cast<off_t>(segment->bytes)) != 0)
        segment->closed = true;
    if (file >= 0) ::close(file);
    if (file < 0 || done < record.size()) {
        errno = why;
        const std::string path = segment->path;
        if (segment->ids.empty()) {
            unlink(path.c_str());
            segments_.erase(std::next(segment).base());
        }
        return fail(why == ENOSPC || why == EDQUOT ? Fault::no_space : Fault::unreachable,
                    path + ": " + std::strerror(why));
    }
    segment->bytes += record.size();
    segment->rows += rows.size();
    segment->ids.push_back(entry.id);
    note([&](HistoryHealth& health) { health.spool_bytes += record.size(); });
    return {};
}

void SpooledHistory::keep_within_bounds() {
    while (health().spool_bytes > options_.bytes_max && segments_.size() > 1) {
        const auto oldest = [&](Kind kind) {
            return std::ranges::find_if(segments_,
                                        [&](const Segment& one) { return one.kind == kind && one.path != sending_; });
        };
        auto victim = oldest(Kind::decisions);
        if (victim == segments_.end()) victim = oldest(Kind::rows);
        if (victim == segments_.end()) return;
        const Segment gone = std::move(*victim);
        segments_.erase(victim);
        forget(gone, true);
    }
}

// The file is sent or dropped: with the lock, and no longer in segments_.
void SpooledHistory::forget(const Segment& segment, bool dropped) {
    unlink(segment.path.c_str());
    note([&](HistoryHealth& health) {
        health.spool_bytes -= std::min(health.spool_bytes, segment.bytes);
        health.waiting -= std::min(health.waiting, segment.rows);
        (dropped ? health.dropped : health.written) += segment.rows;
    });
    for (const std::uint64_t id : segment.ids) {
        const auto found = waiting_.find(id);
        if (found == waiting_.end() || --found->second.parts > 0) continue;
        const Entry& entry = found->second.entry;
        if (entry.rows) {
            memory_bytes_ -= std::min(memory_bytes_, entry.rows->bytes);
        } else {
            unreadable_ -= std::min(unreadable_, entry.count);
            unreadable_audit_ -= std::min(unreadable_audit_, entry.audit);
        }
        arrived_.erase(id);
        waiting_.erase(found);
    }
}

Result<std::uint64_t> SpooledHistory::send_segment(const Segment& segment) {
    const std::string bytes = bytes_of_file(segment.path);
    std::vector<HistoryBatch> batches;
    std::uint64_t found = 0;
    for (const Record& record : records_in(bytes)) {
        {
            const std::lock_guard lock(mutex_);
            if (arrived_.contains(record.id)) {
                found += record.rows;
                continue;
            }
        }
        auto rows = rows_of(record);
        if (!rows) break;  // its checksum was right: another release wrote it
        found += record.rows;
        batches.push_back(*std::move(rows));
    }
    std::vector<const HistoryBatch*> all;
    for (const HistoryBatch& batch : batches) all.push_back(&batch);
    if (all.empty()) return found;
    if (auto done = store_.write(all); !done) return std::unexpected(std::move(done).error());
    return found;
}

void SpooledHistory::tell(const Result<void>& sent) {
    bool news = false;
    note([&](HistoryHealth& health) {
        news = sent.has_value() != health.good;
        if (news) health.since = sent ? WallTime{} : system_wall();
        health.good = sent.has_value();
        health.why = sent ? std::string() : sent.error().what;
        if (!sent) ++health.failures;
    });
    if (news && options_.changed) options_.changed(sent ? nullptr : &sent.error());
}

void SpooledHistory::send() {
    pthread_setname_np(pthread_self(), "nexus-spool");
    std::unique_lock lock(mutex_);
    const auto work = [&] { return stop_ || (direct_ && !direct_end_) || !segments_.empty() || expiry_; };
    bool look = options_.probe != nullptr;  // whether it is there, while there is nothing to send
    for (;;) {
        if (!look) wake_.wait(lock, work);
        if (Clock::now() < retry_at_) wake_.wait_until(lock, retry_at_, [&] { return stop_; });
        if (stop_) return;
        Result<void> done;
        if (direct_ && !direct_end_) {
            const Entry entry = *direct_;
            lock.unlock();
            done = store_.write(entry.rows->rows);
            lock.lock();
            direct_end_ = done;
            direct_.reset();
            if (done && waiting_.contains(entry.id))
                arrived_.insert(entry.id);  // too late for whoever gave it, who has put it into a file
            else if (done)
                note([&](HistoryHealth& health) { health.written += entry.count; });
            sent_.notify_all();
        } else if (!segments_.empty()) {
            const Segment segment = segments_.front();
            sending_ = segment.path;
            lock.unlock();
            const auto found = send_segment(segment);
            lock.lock();
            sending_.clear();
            if (!found) {
                done = std::unexpected(found.error());
            } else {
                segments_.pop_front();
                forget(segment, false);
                const std::uint64_t lost = segment.rows - std::min(segment.rows, *found);
                note([&](HistoryHealth& health) {
                    health.dropped += lost;
                    health.written -= lost;
                });
                if (segments_.empty()) behind_ = false;
                sent_.notify_all();
            }
        } else if (expiry_) {
            const auto [oldest, bytes_max] = *expiry_;
            lock.unlock();
            done = store_.expire(oldest, bytes_max);
            lock.lock();
            expiry_.reset();
            expiry_end_ = done;
            sent_.notify_all();
            if (!done && done.error().fault != Fault::unreachable) continue;  // it is there, and will not: that is told
        } else if (look) {
            lock.unlock();
            done = options_.probe();
            lock.lock();
        }
        tell(done);
        look = !done && options_.probe;
        if (done) {
            retry_ = {};
            continue;
        }
        retry_ = std::clamp(Duration{retry_.us * 2}, options_.retry_min, options_.retry_max);
        retry_at_ = Clock::now() + std::chrono::microseconds(retry_.us);
    }
}

Unwritten SpooledHistory::waiting() const {
    const std::lock_guard lock(mutex_);
    Unwritten rows;
    for (const auto& [id, waiting] : waiting_)
        if (waiting.entry.rows) rows.push_back(waiting.entry.rows);
    return rows;
}

bool SpooledHistory::lacks(bool audit) const {
    const std::lock_guard lock(mutex_);
    return (audit ? unreadable_audit_ : unreadable_) > 0;
}

Result<std::optional<TaskRow>> SpooledHistory::task(TaskId task) {
    const bool lacks_some = lacks(false);  // before: what is sent meanwhile is found in the store
    auto row = WholeHistory(store_, waiting()).task(task);
    if (row && !*row && lacks_some)
        return fail(Fault::unreachable, "the history is behind: rows wait to be written to it; ask again");
    return row;
}
Result<std::vector<AttemptRow>> SpooledHistory::attempts(std::span<const TaskId> tasks) {
    return WholeHistory(store_, waiting()).attempts(tasks);
}
Result<std::vector<TaskRow>> SpooledHistory::tasks(const TaskQuery& query) {
    return WholeHistory(store_, waiting()).tasks(query);
}
Result<std::vector<DecisionRow>> SpooledHistory::decisions(const DecisionQuery& query) {
    return WholeHistory(store_, waiting()).decisions(query);
}
Result<std::vector<AuditRow>> SpooledHistory::audit(const AuditQuery& query) {
    if (lacks(true))
        return fail(Fault::unreachable, "the history is behind: entries of the audit wait to be written; ask again");
    return WholeHistory(store_, waiting()).audit(query);
}

Result<void> SpooledHistory::expire(WallTime oldest, std::uint64_t bytes_max) {
    std::unique_lock lock(mutex_);
    const Result<void> before = expiry_end_.value_or(Result<void>());  // of one that took longer
    expiry_ = {oldest, bytes_max};
    expiry_end_.reset();
    wake_.notify_one();
    sent_.wait_for(lock, std::chrono::microseconds(options_.patience.us), [&] { return expiry_end_.has_value(); });
    return expiry_end_.value_or(before);
}

HistoryHealth SpooledHistory::health() const {
    const std::lock_guard lock(health_mutex_);
    return health_;
}

bool SpooledHistory::flush(Duration limit) {
    std::unique_lock lock(mutex_);
    return sent_.wait_for(lock, std::chrono::microseconds(limit.us),
                          [&] { return segments_.empty() && !direct_ && !expiry_; });
}

}  // namespace nexus::history
