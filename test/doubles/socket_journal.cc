#include "doubles/socket_journal.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/bytes.h"

namespace nexus::test {
namespace {

using store::Body;
using store::BodyKind;
using store::BodyPut;
using store::Head;
using store::JournalBatch;

enum class Method : std::uint8_t { head = 1, claim, renew, append, read, bodies, put_snapshot, get_snapshot };

// One list of members per struct, written by Put and read back by Take.
struct Put {
    Writer& out;
    template <class T>
        requires std::is_integral_v<T> || std::is_enum_v<T>
    void operator()(T& v) {
        out.u64(static_cast<std::uint64_t>(v));
    }
    void operator()(std::string& v) { out.text(v); }
    template <class T>
    void operator()(std::vector<T>& list) {
        out.u64(list.size());
        for (T& item : list) members(*this, item);
    }
};
struct Take {
    Reader& in;
    template <class T>
        requires std::is_integral_v<T> || std::is_enum_v<T>
    void operator()(T& v) {
        v = static_cast<T>(in.u64());
    }
    void operator()(std::string& v) { v = in.text(); }
    template <class T>
    void operator()(std::vector<T>& list) {
        list.resize(in.u64());
        for (T& item : list) members(*this, item);
    }
};

void members(auto& io, TaskId& v) {
    io(v.hi);
    io(v.lo);
}
void members(auto& io, store::Claim& v) {
    io(v.token_hi);
    io(v.token_lo);
    io(v.epoch);
}
void members(auto& io, store::Claimant& v) {
    io(v.name);
    io(v.address);
    io(v.token_hi);
    io(v.token_lo);
}
void members(auto& io, Head& v) {
    members(io, v.claim);
    io(v.owner);
    io(v.address);
    io(v.wish);
    io(v.beat);
    io(v.last.n);
    io(v.chain);
    io(v.snapshot.n);
    io(v.history.n);
    io(v.level);
    io(v.renews);
    io(v.low_on_space);
    io(v.reserve_bytes);
}
void members(auto& io, BodyPut& v) {
    members(io, v.task);
    io(v.body);
}
void members(auto& io, JournalBatch& v) {
    io(v.first.n);
    io(v.count);
    io(v.chain_before);
    io(v.chain);
    io(v.bytes);
    io(v.puts);
    io(v.drops);
    io(v.results);
    io(v.taken);
    io(v.untaken);
    io(v.history_upto.n);
}
void members(auto& io, store::Appended& v) {
    io(v.again);
    io(v.low_on_space);
}
void members(auto& io, Body& v) {
    io(v.state);
    io(v.bytes);
    io(v.why);
}
void members(auto& io, store::StoredSnapshot& v) {
    io(v.at.n);
    io(v.bytes);
}
void members(auto& io, std::string& v) {
    io(v);
}

struct Nothing {};
void members(auto&, Nothing&) {}

template <class... Parts>
std::string packed(Method method, Parts... parts) {
    std::string bytes;
    Writer writer(bytes);
    writer.u8(static_cast<std::uint8_t>(method));
    Put put{writer};
    (members(put, parts), ...);
    return bytes;
}

template <class T>
std::string answer_of(Result<T> result) {
    std::string bytes;
    Writer writer(bytes);
    Put put{writer};
    bool good = result.has_value();
    put(good);
    if (!good) {
        put(result.error().fault);
        put(result.error().what);
    } else if constexpr (!std::is_void_v<T>) {
        members(put, *result);
    }
    return bytes;
}

template <class T>
Result<T> answer_in(const Result<std::string>& frame) {
    if (!frame) return std::unexpected(frame.error());
    Reader reader(*frame);
    Take take{reader};
    bool good = false;
    take(good);
    if (!good) {
        Error error;
        take(error.fault);
        take(error.what);
        return std::unexpected(std::move(error));
    }
    if constexpr (!std::is_void_v<T>) {
        T value{};
        members(take, value);
        return value;
    } else {
        return {};
    }
}

template <class T>
T taken(Reader& reader) {
    Take take{reader};
    T value{};
    members(take, value);
    return value;
}

struct List {
    std::vector<JournalBatch> batches;
    std::vector<TaskId> tasks;
    std::vector<Body> bodies;
};
void members(auto& io, List& v) {
    io(v.batches);
    io(v.tasks);
    io(v.bodies);
}

}  // namespace

JournalServer::JournalServer(store::MemoryJournalOptions options, FrameFaults faults)
    : journal_(std::move(options)), frames_([this](std::string_view request) { return answer(request); }, faults) {}

std::string JournalServer::answer(std::string_view request) {
    Reader in(request);
    switch (static_cast<Method>(in.u8())) {
        case Method::head: return answer_of(journal_.head());
        case Method::claim: {
            const auto observed = taken<Head>(in);
            return answer_of(journal_.claim(observed, taken<store::Claimant>(in)));
        }
        case Method::renew: {
            const auto claim = taken<store::Claim>(in);
            return answer_of(journal_.renew(claim, taken<std::string>(in)));
        }
        case Method::append: {
            const auto claim = taken<store::Claim>(in);
            return answer_of(journal_.append(claim, taken<List>(in).batches));
        }
        case Method::read: {
            JournalBatch next;
            (void)journal_.read({in.u64()}, {}, [&](Sequence first, std::string_view bytes) -> Result<void> {
                next.first = first;
                next.bytes = bytes;
                return fail(Fault::conflict, "one at a time");
            });
            return answer_of(Result<JournalBatch>(std::move(next)));
        }
        case Method::bodies: {
            const auto kind = static_cast<BodyKind>(in.u64());
            return answer_of(
                Result<List>(List{.batches = {}, .tasks = {}, .bodies = journal_.bodies(kind, taken<List>(in).tasks)}));
        }
        case Method::put_snapshot: {
            const auto snapshot = taken<store::StoredSnapshot>(in);
            return answer_of(store::put_snapshot(journal_, snapshot.at, snapshot.bytes));
        }
        case Method::get_snapshot: {
            auto stored = store::get_snapshot(journal_, static_cast<store::Kept>(in.u64()));
            if (!stored) return answer_of(Result<void>(std::unexpected(std::move(stored).error())));
            return answer_of(Result<store::StoredSnapshot>(*stored ? std::move(**stored) : store::StoredSnapshot{}));
        }
    }
    return answer_of(Result<void>(fail(Fault::unsupported, "no such method")));
}

Result<Head> SocketJournal::head() {
    return answer_in<Head>(ask(packed(Method::head)));
}

Result<store::Claim> SocketJournal::claim(const Head& observed, const store::Claimant& me) {
    return answer_in<store::Claim>(ask(packed(Method::claim, observed, me)));
}

Result<void> SocketJournal::renew(const store::Claim& claim, std::string_view wish) {
    return answer_in<void>(ask(packed(Method::renew, claim, std::string(wish))));
}

Result<store::Appended> SocketJournal::append(const store::Claim& claim, std::span<const JournalBatch> batches) {
    List list;
    list.batches.assign(batches.begin(), batches.end());
    return answer_in<store::Appended>(ask(packed(Method::append, claim, std::move(list))));
}

Result<void> SocketJournal::read(Sequence after, Duration wait, const store::BatchVisitor& visit) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(wait.us);
    for (bool seen = false;;) {
        std::string request = packed(Method::read);
        Writer(request).u64(after.n);
        const auto next = answer_in<JournalBatch>(ask(request));
        if (!next) return std::unexpected(next.error());
        if (!next->first) {
            if (seen || std::chrono::steady_clock::now() >= end) return {};
            std::this_thread::yield();
            continue;
        }
        if (auto ok = visit(next->first, next->bytes); !ok) return ok;
        seen = true;
        after = next->first;
    }
}

std::vector<Body> SocketJournal::bodies(BodyKind kind, std::span<const TaskId> tasks) {
    std::string request = packed(Method::bodies);
    Writer writer(request);
    writer.u64(static_cast<std::uint64_t>(kind));
    List asked;
    asked.tasks.assign(tasks.begin(), tasks.end());
    Put put{writer};
    members(put, asked);
    auto answer = answer_in<List>(ask(request));
    if (answer) return std::move(answer->bodies);
    return std::vector<Body>(tasks.size(), Body{.state = Body::State::unreachable, .bytes = {}, .why = "no answer"});
}

Result<void> SocketJournal::put_snapshot(Sequence at, const store::SnapshotSource& source) {
    store::StoredSnapshot snapshot{.at = at, .bytes = {}};
    for (;;) {
        const auto part = source();
        if (!part) return std::unexpected(part.error());
        if (part->empty()) break;
        snapshot.bytes += *part;
    }
    return answer_in<void>(ask(packed(Method::put_snapshot, std::move(snapshot))));
}

Result<Sequence> SocketJournal::get_snapshot(store::Kept which, const store::SnapshotSink& sink) {
    std::string request = packed(Method::get_snapshot);
    Writer(request).u64(static_cast<std::uint64_t>(which));
    const auto stored = answer_in<store::StoredSnapshot>(ask(request));
    if (!stored) return std::unexpected(stored.error());
    if (!stored->at) return Sequence{};
    if (auto ok = sink(stored->bytes); !ok) return std::unexpected(std::move(ok).error());
    return stored->at;
}

}  // namespace nexus::test
