#pragma once
// One call in flight: its deadline, and Ctrl-C that cancels it. Private to the files that make calls.

#include <grpcpp/client_context.h>

#include <chrono>

#include "channel.h"  // of the SDK
#include "cli/connection.h"
#include "cli/interrupt.h"

namespace nexus::cli {

// Ctrl-C cancels the call of this context while the object lives.
class Cancellable {
public:
    Cancellable(Interrupt& interrupt, grpc::ClientContext& context) : interrupt_(interrupt) {
        interrupt_.on_raise([&context] { context.TryCancel(); });
    }
    ~Cancellable() { interrupt_.on_raise({}); }
    Cancellable(const Cancellable&) = delete;
    Cancellable& operator=(const Cancellable&) = delete;

private:
    Interrupt& interrupt_;
};

// Its deadline, and who calls.
inline void prepare(grpc::ClientContext& context, const Connection& connection) {
    sdk::authorize(context, connection.token);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(connection.timeout.us));
}

}  // namespace nexus::cli
