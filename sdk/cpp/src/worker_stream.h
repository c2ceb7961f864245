#pragma once
// One stream to the server, from its opening to its end. A new one is made for each connection.
//
// The callbacks run on gRPC's threads, in order, and must only enqueue. The object owns itself while the call is open,
// and hands itself over with on_done. It must be destroyed on a thread of ours: with the last channel of the process
// gRPC joins its callback threads, which none of them can do.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "nexus/client.h"
#include "worker_messages.h"

namespace nexus::sdk {

struct StreamEnd {
    bool refused = false;      // the server will not take this worker as it is
    bool name_in_use = false;  // not now: another process has the name
    std::string text;
};

class WorkerStream {
public:
    struct Callbacks {
        std::function<void(v1::ServerMessage)> on_message;
        std::function<void()> on_written;
        std::function<void()> on_ended;  // nothing more can be read: answer with release()
        // Last, exactly once, after release() or cancel(). Nothing touches the stream afterwards.
        std::function<void(StreamEnd, std::shared_ptr<WorkerStream>)> on_done;
    };
    virtual ~WorkerStream() = default;

    // Writes message(). One at a time: neither may be touched again before on_written.
    virtual v1::WorkerMessage& message() = 0;
    virtual void write() = 0;
    // After the last write has ended: says that nothing follows.
    virtual void half_close() = 0;
    // The last call made to a stream is one of these.
    virtual void release() = 0;
    virtual void cancel() = 0;
};

// Connects in the background. Null, with `failure` set, when the TLS files cannot be read.
std::shared_ptr<WorkerStream> open_stream(const std::string& target, const std::optional<TlsFiles>& tls,
                                          const std::string& token, WorkerStream::Callbacks callbacks,
                                          std::string& failure);

}  // namespace nexus::sdk
