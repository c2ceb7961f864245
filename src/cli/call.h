#pragma once
// One call in flight: its deadline, and Ctrl-C that cancels it. Private to the files that make calls.

#include <grpcpp/client_context.h>

#include <chrono>

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

inline void set_deadline(grpc::ClientContext& context, const Connection& connection) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(connection.timeout.us));
}

}  // namespace nexus::cli
