#include "doubles/remote_history.h"

#include "base/bytes.h"

namespace nexus::test {
namespace {

using namespace history;

enum Method : std::uint8_t { kWrite, kTask, kAttempts, kTasks, kDecisions, kAudit, kExpire };

// One list of fields per struct, for both directions: `io` is an Encoder or a Decoder.
template <class Io, class T>
    requires std::same_as<T, TaskRow>
void fields(Io& io, T& r) {
    io(r.task, r.shard, r.type, r.tenant, r.queue, r.priority, r.state, r.submitted, r.started, r.finished, r.run,
       r.worker, r.attempts, r.failures, r.crashes, r.payload_bytes, r.result_bytes, r.predicted_p50, r.predicted_p90,
       r.eta_finish_p50, r.eta_finish_p90, r.error, r.redrive_of);
}
template <class Io, class T>
    requires std::same_as<T, AttemptRow>
void fields(Io& io, T& r) {
    io(r.task, r.attempt, r.number, r.shard, r.worker, r.outcome, r.assigned, r.started, r.ended, r.run,
       r.predicted_p50, r.predicted_p90, r.source, r.peak_memory_bytes, r.error);
}
template <class Io, class T>
    requires std::same_as<T, EventPlace>
void fields(Io& io, T& p) {
    io(p.at, p.shard, p.number, p.part);
}
template <class Io, class T>
    requires std::same_as<T, DecisionRow>
void fields(Io& io, T& r) {
    io(r.place, r.task, r.type, r.worker, r.policy, r.fallback, r.record);
}
template <class Io, class T>
    requires std::same_as<T, AuditRow>
void fields(Io& io, T& r) {
    io(r.place, r.caller, r.author, r.action, r.reason, r.before, r.after, r.hash);
}
template <class Io, class T>
    requires std::same_as<T, HistoryBatch>
void fields(Io& io, T& b) {
    io(b.tasks, b.attempts, b.decisions, b.audit);
}
template <class Io, class T>
    requires std::same_as<T, TaskQuery>
void fields(Io& io, T& q) {
    io(q.states, q.promise, q.type, q.tenant, q.queue, q.worker, q.search, q.submitted_from, q.submitted_to, q.order,
       q.before, q.before_finished, q.limit);
}
template <class Io, class T>
    requires std::same_as<T, DecisionQuery>
void fields(Io& io, T& q) {
    io(q.task, q.worker, q.type, q.number, q.before, q.limit, q.kind, q.fallback, q.from);
}
template <class Io, class T>
    requires std::same_as<T, AuditQuery>
void fields(Io& io, T& q) {
    io(q.before, q.limit);
}

template <class T>
concept AnyNumber = std::integral<T> || std::is_enum_v<T>;

class Encoder {
public:
    explicit Encoder(std::string& out) : writer_(out) {}
    template <class... Ts>
    void operator()(const Ts&... values) {
        (one(values), ...);
    }

private:
    template <AnyNumber T>
    void one(T v) {
        writer_.varint(static_cast<std::uint64_t>(v));
    }
    template <class Tag>
    void one(Id128<Tag> id) {
        writer_.put(id.hi, id.lo);
    }
    void one(WallTime v) { writer_.svarint(v.us); }
    void one(Duration v) { writer_.svarint(v.us); }
    void one(const std::string& v) { writer_.text(v); }
    template <class T>
    void one(const std::vector<T>& list) {
        writer_.varint(list.size());
        for (const T& each : list) one(each);
    }
    template <class T>
    void one(const std::optional<T>& v) {
        writer_.varint(v ? 1 : 0);
        if (v) one(*v);
    }
    template <class T>
        requires std::is_class_v<T>
    void one(const T& row) {
        fields(*this, const_cast<T&>(row));
    }
    Writer writer_;
};

class Decoder {
public:
    explicit Decoder(std::string_view in) : reader_(in) {}
    template <class... Ts>
    void operator()(Ts&... values) {
        (one(values), ...);
    }

private:
    template <AnyNumber T>
    void one(T& v) {
        v = static_cast<T>(reader_.varint());
    }
    template <class Tag>
    void one(Id128<Tag>& id) {
        reader_.take(id.hi, id.lo);
    }
    void one(WallTime& v) { v.us = reader_.svarint(); }
    void one(Duration& v) { v.us = reader_.svarint(); }
    void one(std::string& v) { v = reader_.text(); }
    template <class T>
    void one(std::vector<T>& list) {
        list.resize(reader_.count());
        for (T& each : list) one(each);
    }
    template <class T>
    void one(std::optional<T>& v) {
        if (reader_.varint() != 0) one(v.emplace());
    }
    template <class T>
        requires std::is_class_v<T>
    void one(T& row) {
        fields(*this, row);
    }
    Reader reader_;
};

template <class T>
std::string encoded(const Result<T>& result) {
    std::string out;
    Encoder encode(out);
    encode(result.has_value());
    if (!result) {
        encode(result.error().fault, result.error().what);
    } else if constexpr (!std::is_void_v<T>) {
        encode(*result);
    }
    return out;
}

template <class T>
T decoded(Decoder& decode) {
    T value{};
    decode(value);
    return value;
}

}  // namespace

HistoryServer::HistoryServer(HistoryStore& store, FrameFaults faults)
    : store_(store), frames_([this](std::string_view request) { return answer(request); }, faults) {}

std::string HistoryServer::answer(std::string_view request) {
    Decoder decode(request);
    switch (decoded<std::uint8_t>(decode)) {
        case kWrite: {
            const auto batches = decoded<std::vector<HistoryBatch>>(decode);
            std::vector<const HistoryBatch*> all;
            for (const HistoryBatch& batch : batches) all.push_back(&batch);
            return encoded(store_.write(all));
        }
        case kTask: return encoded(store_.task(decoded<TaskId>(decode)));
        case kAttempts: return encoded(store_.attempts(decoded<std::vector<TaskId>>(decode)));
        case kTasks: return encoded(store_.tasks(decoded<TaskQuery>(decode)));
        case kDecisions: return encoded(store_.decisions(decoded<DecisionQuery>(decode)));
        case kAudit: return encoded(store_.audit(decoded<AuditQuery>(decode)));
        default: {
            const auto oldest = decoded<WallTime>(decode);
            return encoded(store_.expire(oldest, decoded<std::uint64_t>(decode)));
        }
    }
}

template <class Answer, class... Asked>
Result<Answer> RemoteHistory::call(std::uint8_t method, const Asked&... asked) {
    std::string request;
    Encoder encode(request);
    encode(method, asked...);
    const std::lock_guard lock(mutex_);
    auto bytes = client_.call(request);
    for (int n = 1; n < tries_ && !bytes; ++n) bytes = client_.call(request);
    if (!bytes) return std::unexpected(std::move(bytes).error());
    Decoder decode(*bytes);
    if (!decoded<bool>(decode)) {
        Error error;
        decode(error.fault, error.what);
        return std::unexpected(std::move(error));
    }
    if constexpr (std::is_void_v<Answer>)
        return {};
    else
        return decoded<Answer>(decode);
}

Result<void> RemoteHistory::write(std::span<const HistoryBatch* const> batches) {
    std::vector<HistoryBatch> all;
    for (const HistoryBatch* batch : batches) all.push_back(*batch);
    return call<void>(kWrite, all);
}
Result<std::optional<TaskRow>> RemoteHistory::task(TaskId task) {
    return call<std::optional<TaskRow>>(kTask, task);
}
Result<std::vector<AttemptRow>> RemoteHistory::attempts(std::span<const TaskId> tasks) {
    return call<std::vector<AttemptRow>>(kAttempts, std::vector<TaskId>(tasks.begin(), tasks.end()));
}
Result<std::vector<TaskRow>> RemoteHistory::tasks(const TaskQuery& query) {
    return call<std::vector<TaskRow>>(kTasks, query);
}
Result<std::vector<DecisionRow>> RemoteHistory::decisions(const DecisionQuery& query) {
    return call<std::vector<DecisionRow>>(kDecisions, query);
}
Result<std::vector<AuditRow>> RemoteHistory::audit(const AuditQuery& query) {
    return call<std::vector<AuditRow>>(kAudit, query);
}
Result<void> RemoteHistory::expire(WallTime oldest, std::uint64_t bytes_max) {
    return call<void>(kExpire, oldest, bytes_max);
}

}  // namespace nexus::test
