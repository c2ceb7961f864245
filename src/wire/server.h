#pragma once
// The gRPC server: TaskService, WorkerService and AdminService of nexus.v1 over an engine::Service, with health v1 and,
// when asked for, reflection.
//
//   Threads    start() and stop() by the owner; everything inside runs on gRPC's own threads, the engine's release
//              thread and one acceptor thread. No callback of ours ever blocks
//   Streams    one write at a time per stream; whatever is queued meanwhile goes out merged in the next one
//   Limits     everything a client can make grow has a bound in Limits; beyond it a call is refused with
//              RESOURCE_EXHAUSTED or the connection is closed, and counted
//   Acceptor   connections are accepted by our own loop and handed to gRPC: gRPC 1.51's own listener stops for good
//              when file descriptors run out (CVE-2023-4785)
//
// The engine must outlive the server, and must be running when stop() is called.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "identity/tls_files.h"

namespace nexus::api {
struct Door;
}

namespace nexus::wire {

struct Limits {
    std::uint32_t connections_max = 4096;       // more are closed at once after accept
    std::uint32_t connections_per_ip_max = 64;  // loopback is exempt
    std::uint32_t streams_per_connection_max = 100;
    std::uint32_t receive_bytes_max = 4 << 20;      // of one message; each method takes less
    std::uint32_t message_bytes_max = 3 << 20;      // of one message of a worker
    std::uint32_t metadata_bytes_max = 64 << 10;    // all header fields of one call; more is refused
    std::uint32_t header_bytes_max = 1 << 20;       // the same for gRPC, which ends the whole connection beyond it
    std::uint64_t transport_bytes_max = 128 << 20;  // all that gRPC holds: beyond it streams are ended
    std::uint64_t answer_bytes_max = 64 << 20;      // all answers of more than 64 KiB that clients have not read
    Duration answer_stall_max = seconds(10);        // such an answer that takes longer: the call is cancelled
    std::uint32_t result_bytes_max = 256 << 10;
    std::uint32_t stream_batches_max = 8;           // batches of one SubmitStream being stored; then reading pauses
    std::uint32_t held_max = 65'536;                // attempts listed in one hello
    std::size_t worker_buffer_bytes_max = 1 << 20;  // queued for a worker that does not read; then it is cut
    Duration worker_stall_max = seconds(10);        // one write that takes longer: the worker is cut
    Duration submit_stall_max = seconds(10);        // likewise of a SubmitStream whose answers are not read
    std::uint32_t submit_streams_max = 1024;        // open at once
    std::size_t watch_tasks_max = 10'000;           // changes that a watcher has not read, the newest of each task
    std::size_t watch_bytes_max = 8 << 20;          // the same in bytes; beyond either the watch ends, and says so
    std::uint64_t watches_bytes_max = 128 << 20;    // of all watches
    Duration watch_stall_max = seconds(10);         // one change that is not read for longer: the watch is cut
    std::uint32_t watches_max = 1024;               // open at once
};

struct Options {
    std::string address = "127.0.0.1:7070";  // numeric IPv4, [IPv6] or "localhost", with port; port 0 = any free one
    Limits limits;
    std::optional<identity::TlsFiles> tls;  // read again when they change
    std::string version = "0.1.0";
    bool reflection = true;
};

struct Counts {
    std::uint64_t connections_open = 0, connections_accepted = 0, connections_refused = 0, accept_errors = 0;
    std::uint64_t worker_streams_open = 0, worker_streams_cut = 0, watches_open = 0, watches_cut = 0;
    std::uint64_t submit_streams_open = 0, submit_streams_cut = 0;
    std::uint64_t requests = 0, requests_malformed = 0, legacy_reports = 0;
};

class Server {
public:
    // `door` must outlive the server. Binds, raises RLIMIT_NOFILE to its hard limit, and serves. Faults: invalid (address, certificates), conflict (the
    // port is taken), exhausted.
    static Result<std::unique_ptr<Server>> start(Options options, api::Door& door);
    ~Server();  // stops

    std::uint16_t port() const;
    // Health v1 answers NOT_SERVING while not ready; true from the start.
    void set_ready(bool ready);
    Counts counts() const;
    // Takes no more connections or calls, tells workers to reconnect, waits up to `grace` for calls to end, then cuts
    // them. Later calls do nothing.
    void stop(Duration grace = seconds(2));

private:
    struct State;
    explicit Server(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace nexus::wire
