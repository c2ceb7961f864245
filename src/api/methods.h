#pragma once
// The table of methods: a row for everything that a client can reach, over gRPC or HTTP. From it the gRPC services
// (wire) and the REST routes (http) are made, and who may call what is read from it. A test compares it with what the
// server really answers.
//
// A new method is: its messages in nexus.proto, its request in engine/requests.h, a row here.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "api/submit.h"
#include "base/caller.h"
#include "base/units.h"
#include "engine/service.h"
#include "history/history_store.h"
#include "identity/guard.h"

namespace google::protobuf {
class Message;
}

namespace nexus::api {

using google::protobuf::Message;

class MethodCounts;
struct StartFiles;  // configuration.h

// What became of the connections and requests of one port. Thread-safe.
struct PortCounts {
    std::atomic<std::uint64_t> open{0}, accepted{0};
    std::atomic<std::uint64_t> refused{0};                                  // connections beyond a limit
    std::atomic<std::uint64_t> cut{0};                                      // by us: slow, silent, or not reading
    std::atomic<std::uint64_t> malformed{0};                                // requests that could not be understood
    std::atomic<std::uint64_t> errors{0};                                   // of accepting: no descriptors
    std::atomic<std::uint64_t> handshakes_failed{0}, certificates_read{0};  // of TLS, as far as it is ours to see
};

// The room that the stores of a server take, and what is left of it.
struct Disk {
    std::int64_t store_bytes = 0, free_bytes = 0;  // 0 = not known
    WallTime full;                                 // if it goes on as in the last hour; 0 = not known, or never
};

// Where the journal is kept, and what that promises.
struct StoreFacts {
    std::string where = "embedded";  // or an address, without password
    std::string level = "disk";      // in force now: process | disk | replicated
    std::string meaning;             // of the level, one sentence without its stop
    std::string wrong;               // why nothing can be stored, with what to do; empty = all is well
    bool reached = true;
    std::uint64_t reconnects = 0, repaired = 0, forked = 0;  // a lost server was back; it had lost its end, twice
    std::uint64_t memory_used = 0, memory_max = 0;           // bytes of the server; 0 = not known, no limit
};

// What came from the stream of the old producers since the start.
struct IntakeFacts {
    std::uint64_t read = 0, submitted = 0, duplicates = 0, dead = 0, warnings = 0, claimed = 0, deleted = 0;
    std::uint64_t foreign = 0;  // fetched by other consumers and not acknowledged
    std::string last_dead;      // which entry became no task, and why
    std::string trouble;        // why nothing is read; empty = all is well
    // Of workers that speak Redis alone: connected now, tasks sent, sent to nobody, ends read, of those of no use.
    std::uint64_t workers = 0, published = 0, unheard = 0, completions = 0, stale = 0, malformed = 0;
};

// What the methods of one server work with; made once, and used by every transport. Thread-safe.
struct Door {
    // Without a guard nobody is asked who they are.
    explicit Door(engine::Service& service, std::string level = "disk", std::shared_ptr<identity::Guard> keeper = {});
    ~Door();

    engine::Service& engine;
    std::shared_ptr<identity::Guard> guard;  // never null
    std::string durability;                  // told in every SubmitResponse: process | disk | replicated(k)
    std::size_t payload_bytes_max = kPayloadBytesMax;
    std::size_t tasks_max = kTasksMax;  // of one batch
    std::unique_ptr<MethodCounts> counts;
    PortCounts grpc, http;
    std::unique_ptr<StartFiles> start_files;  // set before the first call; null: there are none
    std::string name = "nexus";               // of this server, for people
    std::function<Disk()> disk;               // set before the first call, or empty; thread-safe, never waits for long
    std::function<history::HistoryHealth()> history;  // as above; empty: it is embedded
    std::function<StoreFacts()> store;                // as above; never waits
    std::function<IntakeFacts()> intake;              // as above; empty: there is none
    // A report of capacity by a worker that has no stream: ids are free text. As above.
    std::function<void(const std::string& worker, engine::WorkerReport::Load load)> heard;
};

enum class Kind : std::uint8_t {
    unary,    // `run` carries it out
    stream,   // of gRPC: code of its own in wire
    page,     // of HTTP alone: code of its own in http
    builtin,  // of gRPC alone: the library answers it
};
enum class Verb : std::uint8_t { none, get, post, put, remove };

// How HTTP reaches a method. Segments in braces name a field of the request; every other field may be given as a query
// parameter or, when there is one, in the body. `/x/{id}/verb` is reached as `/x/{id}:verb` too.
struct Rest {
    Verb verb = Verb::none;
    const char* path = "";       // "/v1/tasks/{id}"; empty: not over HTTP
    const char* body = "";       // "*": the body is the request; a name: that field of it; empty: no body
    std::uint16_t status = 200;  // of a good answer
    const char* location = "";   // the new thing is at this path and its `id`
};

using Run = void (*)(Door& door, const Caller& caller, Message& request, Message& response, engine::Done<void> done);

struct Method {
    const char* name;  // as gRPC names it, "/nexus.v1.TaskService/Submit"; "http/…" for what HTTP alone serves
    Kind kind = Kind::unary;
    Rest rest;
    std::optional<Role> role;                 // that a caller needs; none: open to everyone
    bool reads_payloads = false;              // only with Role::payload besides: else it is refused
    bool fleet = true;                        // not for callers who are bound to a tenant
    bool changes = false;                     // the state: not carried out for a client that has gone meanwhile
    bool audited = false;                     // an operator's act: in the audit with who and why
    std::uint32_t body_bytes_max = 64 << 10;  // of the request, over either transport
    // Of unary methods. `run` may move texts out of the request; request and response must live until `done` has run,
    // which happens once, on any thread, also before run() returns.
    Run run = nullptr;
    const Message& (*request)() = nullptr;  // prototypes
    const Message& (*response)() = nullptr;
};

std::span<const Method> methods();
// By Method::name; null when there is no such row.
const Method* find_method(std::string_view name);

// Calls answered, by method and gRPC code. Thread-safe.
class MethodCounts {
public:
    static constexpr std::size_t kCodes = 17;
    static constexpr std::size_t kMethodsMax = 96;

    void add(const Method& method, int code) {
        const auto row = static_cast<std::size_t>(&method - methods().data());
        at_[row][code >= 0 && code < static_cast<int>(kCodes) ? static_cast<std::size_t>(code) : 2].fetch_add(
            1, std::memory_order_relaxed);
    }
    std::uint64_t get(const Method& method, int code) const {
        return at_[static_cast<std::size_t>(&method - methods().data())][static_cast<std::size_t>(code)].load(
            std::memory_order_relaxed);
    }

private:
    std::array<std::array<std::atomic<std::uint64_t>, kCodes>, kMethodsMax> at_{};
};

// Who calls, when that caller may call the method. What every transport asks before it reads the request's body. Faults:
// unauthenticated, denied, exhausted.
Result<Caller> enter(Door& door, const Method& method, const identity::Proof& proof);
// The second half alone: whether this caller may call it.
Result<void> allow(const Method& method, const Caller& caller);

// The gRPC code of an outcome: 0 when it is good.
int code_of(const Result<void>& outcome);

}  // namespace nexus::api
