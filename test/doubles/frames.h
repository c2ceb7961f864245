#pragma once
// A store behind a socket, as a test sees it: frames of bytes over a real stream socket within this process, with what
// networks do to them. One thread per connection serves; a client opens the next connection when one breaks.
//
//   lost request   the connection breaks, and nothing was done
//   lost reply     it was done, and the connection breaks before the answer
//   late reply     it was done, and the answer comes after the client's limit of time, on a connection it has left
//
// Time-outs need no clock: the server tells the client's "timer" that its limit has passed. What goes wrong, and when,
// follows from the seed and the order of the calls.

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/rng.h"

namespace nexus::test {

struct FrameFaults {
    std::uint64_t seed = 1;
    std::uint64_t lost_request_one_in = 0, lost_reply_one_in = 0, late_reply_one_in = 0;  // 0 = never
};
struct FrameCounts {
    std::uint64_t connections = 0, calls = 0, lost_requests = 0, lost_replies = 0, late_replies = 0;
};

class FrameServer {
public:
    // `handle` answers one request; it may be called by several threads at once.
    FrameServer(std::function<std::string(std::string_view)> handle, FrameFaults faults);
    ~FrameServer();  // all clients must be gone
    FrameServer(const FrameServer&) = delete;
    FrameServer& operator=(const FrameServer&) = delete;

    void set_faults(FrameFaults faults);
    // While it is away every call is lost, and nothing is done.
    void away(bool away);
    FrameCounts counts() const;

private:
    friend class FrameClient;
    struct Ends {
        int socket = -1, timer = -1;
    };
    enum class Fate : std::uint8_t { answered, lost_request, lost_reply, late_reply };
    Ends connect();
    void serve(Ends ends);
    Fate draw();

    std::function<std::string(std::string_view)> handle_;
    mutable std::mutex mutex_;  // guards all below
    FrameFaults faults_;
    Rng rng_;
    bool away_ = false;
    FrameCounts counts_;
    std::vector<std::thread> threads_;
};

// One caller at a time.
class FrameClient {
public:
    explicit FrameClient(FrameServer& server) : server_(server) {}
    ~FrameClient() { leave(); }
    FrameClient(const FrameClient&) = delete;
    FrameClient& operator=(const FrameClient&) = delete;
    // Fault unreachable: whether it was done is unknown.
    Result<std::string> call(std::string_view request);

private:
    void leave();
    FrameServer& server_;
    FrameServer::Ends ends_;
};

}  // namespace nexus::test
